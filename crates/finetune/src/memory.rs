//! About how much memory a run takes, said before it starts.

use preflab_transformer::Architecture;

/// Bytes of a parameter.
const VALUE: f64 = 4.0;
/// Bytes of a trained parameter's gradient and two moments.
const LEARNING: f64 = 12.0;

/// A model that a run holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Role {
    pub name: &'static str,
    pub parameters: usize,
    /// How many of them are trained.
    pub trained: usize,
}

/// A line about the memory of models and of the activations of a pass over `tokens` tokens.
pub(crate) fn line(roles: &[Role], architecture: &Architecture, tokens: usize) -> String {
    let bytes = |role: &Role| VALUE * role.parameters as f64 + LEARNING * role.trained as f64;
    let of_roles: Vec<String> = roles
        .iter()
        .map(|role| {
            let trained = match role.trained {
                0 => String::new(),
                trained if trained == role.parameters => ", all trained".to_owned(),
                trained => format!(", {} trained", count(trained)),
            };
            format!(
                "{} {} ({} parameters{trained})",
                role.name,
                size(bytes(role)),
                count(role.parameters)
            )
        })
        .collect();
    let block = 12 * architecture.width + 3 * architecture.mlp.width;
    let kept = architecture.layers.len() * block + architecture.vocabulary.min(8192);
    let activations = 4.0 * kept as f64 * tokens as f64;
    let all = roles.iter().map(bytes).sum::<f64>() + activations;
    format!(
        "memory: about {}: {}, activations {} ({tokens} tokens in one pass)",
        size(all),
        of_roles.join(", "),
        size(activations)
    )
}

fn size(bytes: f64) -> String {
    match bytes {
        bytes if bytes >= 1e9 => format!("{:.1} GB", bytes / 1e9),
        bytes => format!("{:.0} MB", (bytes / 1e6).max(1.0)),
    }
}

fn count(parameters: usize) -> String {
    match parameters as f64 {
        n if n >= 1e9 => format!("{:.2} B", n / 1e9),
        n if n >= 1e6 => format!("{:.1} M", n / 1e6),
        n => format!("{:.0} k", n / 1e3),
    }
}
