//! `preflab claims`: the paper's claims, from the records of finished runs.

use std::process::ExitCode;

use preflab_report::claims::{Claims, Tally};
use serde::Serialize;

use crate::args::ClaimsArguments;
use crate::failure::Failure;
use crate::output;

/// What machines get.
#[derive(Serialize)]
struct Results<'a> {
    tally: Tally,
    #[serde(flatten)]
    claims: &'a Claims,
}

/// Reads the records and prints what they say of each claim. A claim that fails is a result, not a failure.
pub fn claims(arguments: &ClaimsArguments) -> Result<ExitCode, Failure> {
    let claims = Claims::read(&arguments.directories).map_err(Failure::request)?;
    if arguments.json {
        output::json(&Results {
            tally: claims.tally(),
            claims: &claims,
        })?;
    } else if arguments.markdown {
        output::line(claims.markdown(arguments.every))?;
    } else {
        output::line(claims.text(arguments.every))?;
    }
    Ok(ExitCode::SUCCESS)
}
