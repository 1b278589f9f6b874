//! `preflab plan`: what an experiment would compute.

use std::process::ExitCode;

use preflab_experiment::Outline;

use crate::args::PlanArguments;
use crate::failure::Failure;
use crate::output;
use crate::request::Request;

/// Shows cells, stages, matched keys and about what they cost.
pub fn plan(arguments: &PlanArguments) -> Result<ExitCode, Failure> {
    let request = Request::new(&arguments.experiment)?;
    let outline = Outline::new(&request.plan, &request.directory);
    if arguments.experiment.json {
        output::json(&outline)?;
    } else {
        output::line(&outline)?;
    }
    Ok(ExitCode::SUCCESS)
}
