//! The stages of an experiment, from task data to evaluation, run on the trainers.
