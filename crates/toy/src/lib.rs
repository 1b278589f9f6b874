//! The toy model of arXiv:2406.07327, all arms and seeds batched in one tensor program.
