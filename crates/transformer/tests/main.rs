//! Behaviour of the models, and their equality with the published implementations.

mod behaviour;
mod golden;
mod support;
