//! Settings of the reward model.
