//! How preference pairs are made from a policy's samples.
