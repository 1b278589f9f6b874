//! Tests of the DPO family against references, of what must hold for every objective, and of the trainer.

mod every_objective;
mod golden;
mod invariances;
mod trainer;
mod unpaired;
