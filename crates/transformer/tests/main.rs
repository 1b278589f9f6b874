//! Behaviour of the models, and their equality with the published implementations.

mod behaviour;
mod checkpoints;
mod golden;
mod support;
mod transformers;
