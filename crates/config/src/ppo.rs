//! Settings of PPO and of the critic-free policy gradients on the same rollouts.
