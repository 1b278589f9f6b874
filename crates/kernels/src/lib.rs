//! Fused tensor operations with their own backward pass, for the CPU.
