//! Tasks with a gold score: prompts, reference answers, scorers, corruption.
