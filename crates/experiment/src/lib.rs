//! Experiment file to plan, cells and shared stages, store, engine and records.
