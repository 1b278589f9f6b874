//! Behaviour of the models, and their equality with the published implementations.

mod behaviour;
mod checkpoints;
mod damaged;
mod golden;
mod lora;
mod narrow;
mod precision;
mod recompute;
mod spoilt;
mod support;
mod transformers;
