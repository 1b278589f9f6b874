//! From the score of a completion to a reward for each of its tokens.

mod penalties;
mod scale;
mod scores;
mod token_rewards;

pub use penalties::{length_penalty, missing_eos};
pub use scale::{RunningScale, ScaleState};
pub use scores::{ScoreShaper, ShapedScores};
pub use token_rewards::token_rewards;
