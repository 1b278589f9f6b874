//! Reward models: Bradley-Terry losses, trainer and evaluation.
