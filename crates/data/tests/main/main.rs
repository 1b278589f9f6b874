//! Behaviour through the public interface: equality with TRL and transformers, data sets of every format, checks.

mod chat_and_strings;
mod check;
mod check_kinds;
mod golden;
mod parquet;
mod preprocessing;
mod records;
mod selection;
mod shared;
mod start_of_sequence;
