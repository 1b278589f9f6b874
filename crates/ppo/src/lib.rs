//! PPO and critic-free policy gradients with KL-penalised rollouts.
