//! Behaviour of whole tasks, through the public interface.

mod arithmetic;
mod generated_verse;
mod preference_data;
mod real_verse;
mod shared;
mod slogan;
