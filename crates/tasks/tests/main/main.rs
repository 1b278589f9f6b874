//! Behaviour of whole tasks, through the public interface.

mod arithmetic;
mod generated_verse;
mod real_verse;
mod shared;
mod slogan;
