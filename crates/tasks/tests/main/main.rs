//! Behaviour of whole tasks, through the public interface.

mod generated_verse;
mod real_verse;
mod shared;
