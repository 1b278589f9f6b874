//! The DPO family: one file per objective, one trainer, gradient decomposition, 3D diagnostics.
