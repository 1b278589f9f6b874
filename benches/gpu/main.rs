//! One case on one device: steps of a trainer, or sampling, at a given shape. Prints a line of JSON.
//!
//! ```text
//! cargo bench --features cuda --bench gpu -- dpo --device cuda --shape qwen2-0.5b --precision bf16
//! cargo bench --bench gpu -- dpo --shape tiny
//! ```
//!
//! `benches/gpu/run` does all cases, and PyTorch beside them, in one call.

#![expect(clippy::print_stdout, reason = "figures are what it makes")]

mod cases;
mod shape;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use preflab_config::Precision;
use preflab_training::DeviceChoice;

use crate::cases::{Case, Figures};
use crate::shape::Shape;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Speed of training steps and sampling on one device.
#[derive(Debug, Parser)]
struct Arguments {
    /// What is timed
    case: Case,
    /// Where it runs: `cpu` or `cuda[:N]`
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Sizes of model and batch
    #[arg(long, default_value = "tiny")]
    shape: Shape,
    /// Numbers that the model computes in
    #[arg(long, default_value = "f32")]
    precision: Numbers,
    /// Compute activations once more in place of keeping them
    #[arg(long)]
    recompute: bool,
    /// Train adapters of this rank in place of all weights
    #[arg(long)]
    lora: Option<usize>,
    /// Steps that count
    #[arg(long, default_value_t = 10)]
    steps: usize,
    /// Steps before them
    #[arg(long, default_value_t = 3)]
    warmup: usize,
    /// What cargo passes to a benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Numbers {
    F32,
    Bf16,
}

impl From<Numbers> for Precision {
    fn from(numbers: Numbers) -> Self {
        match numbers {
            Numbers::F32 => Self::F32,
            Numbers::Bf16 => Self::Bf16,
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(figures) => {
            println!("{}", serde_json::json!(figures));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<Figures, Box<dyn Error>> {
    let device = arguments.device.parse::<DeviceChoice>()?.open()?;
    let bench = cases::Bench {
        shape: arguments.shape,
        precision: arguments.precision.into(),
        recompute: arguments.recompute,
        lora: arguments.lora,
        steps: arguments.steps.max(1),
        warmup: arguments.warmup,
        device,
    };
    let pool = rayon::ThreadPoolBuilder::new().build()?;
    let figures = pool.install(|| bench.run(arguments.case).map_err(|error| error.to_string()))?;
    Ok(figures)
}
