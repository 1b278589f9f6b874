//! `preflab generate`: answers of a saved model.

use std::process::ExitCode;

use preflab_finetune::{Answer, GenerateJob, Prompts, on_threads, sampling};

use crate::args::GenerateArguments;
use crate::failure::Failure;
use crate::output;
use crate::request::device;

/// Answers every prompt, in order.
pub fn generate(arguments: &GenerateArguments) -> Result<ExitCode, Failure> {
    let sampling = sampling(
        arguments.temperature,
        arguments.top_k.map(|k| k.get()),
        arguments.top_p,
        arguments.max_tokens.get(),
    )?;
    let job = GenerateJob {
        model: &arguments.model,
        prompts: match &arguments.data {
            Some(file) => Prompts::File(file),
            None => Prompts::Typed {
                texts: &arguments.prompt,
                raw: arguments.raw,
            },
        },
        sampling,
        samples: arguments.samples.get(),
        seed: arguments.seed,
        device: device(&arguments.computing.device)?,
    };
    let json = arguments.computing.json;
    on_threads(arguments.computing.threads(), || {
        preflab_finetune::generate(&job, |answer: Answer| match json {
            true => output::json_line(&answer),
            false => output::line(&answer.completion),
        })
    })??;
    Ok(ExitCode::SUCCESS)
}
