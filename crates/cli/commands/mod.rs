//! One file for each command.

mod claims;
mod data;
mod generate;
mod metrics;
mod parity;
mod plan;
mod report;
mod run;
mod score;
mod toy;
mod train;

use std::process::ExitCode;

use crate::args::{Arguments, Command};
use crate::failure::Failure;

/// Does what was asked.
pub fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    match arguments.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Plan(arguments) => plan::plan(&arguments),
        Command::Report(arguments) => report::report(&arguments),
        Command::Train(arguments) => train::train(&arguments),
        Command::Generate(arguments) => generate::generate(&arguments),
        Command::Score(arguments) => score::score(&arguments),
        Command::Claims(arguments) => claims::claims(&arguments),
        Command::Toy(arguments) => toy::toy(&arguments),
        Command::Metrics(arguments) => metrics::metrics(&arguments),
        Command::Data(arguments) => data::data(&arguments),
        Command::Parity(arguments) => parity::parity(&arguments),
    }
}
