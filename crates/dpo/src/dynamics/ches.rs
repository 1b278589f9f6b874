//! CHES: which pairs displace likelihood.

/// The length-normalised centred hidden embedding similarity of a pair: `⟨h̄_w, h̄_l⟩ − ‖h̄_w‖²`.
///
/// Razin et al. 2024, [arXiv:2410.08847](https://arxiv.org/abs/2410.08847), definition 2, divided by lengths (section 6.1).
/// The higher it is, the more the completions look alike to the model, and the more training on the pair lowers the chosen
/// one's likelihood with the rejected one's.
///
/// - `chosen`, `rejected`: mean over completion tokens of the hidden state that predicts the token, `[d]`.
pub fn ches(chosen: &[f64], rejected: &[f64]) -> f64 {
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    product(chosen, rejected) - product(chosen, chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_completions_have_the_highest_similarity_of_their_length() {
        assert_eq!(ches(&[1.0, 2.0], &[1.0, 2.0]), 0.0);
        assert_eq!(ches(&[1.0, 2.0], &[-1.0, 0.0]), -6.0);
    }
}
