//! Transformer blocks shared by policy, reference, reward model and value model.
