//! Settings of the tasks with a gold score.
