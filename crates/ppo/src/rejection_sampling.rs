//! Which samples a policy is fine-tuned on.

use preflab_config::Keep;

use crate::advantages::members;

/// The samples that are kept, in their own order.
///
/// - `scores`: of each sample; `groups`: the prompt it belongs to.
///
/// Best of each prompt: Touvron et al. 2023, [arXiv:2307.09288](https://arxiv.org/abs/2307.09288), section 3.2.3. Best of
/// all: Dong et al. 2023, RAFT, [arXiv:2304.06767](https://arxiv.org/abs/2304.06767). Of equal ones the first.
pub fn kept_samples(scores: &[f64], groups: &[usize], keep: Keep) -> Vec<usize> {
    let better_first =
        |rows: &mut Vec<usize>| rows.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let mut kept: Vec<usize> = match keep {
        Keep::Best => (members(groups).into_iter())
            .map(|mut rows| {
                better_first(&mut rows);
                rows[0]
            })
            .collect(),
        Keep::TopOverall(count) => {
            let mut rows: Vec<usize> = (0..scores.len()).collect();
            better_first(&mut rows);
            rows.truncate(count.get());
            rows
        }
    };
    kept.sort_unstable();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use preflab_config::Count;

    #[test]
    fn the_best_of_each_prompt_or_of_all_are_kept() {
        let (scores, groups) = ([1.0, 4.0, 9.0, 8.0, 8.0], [5, 5, 3, 3, 3]);
        assert_eq!(kept_samples(&scores, &groups, Keep::Best), [1, 2]);
        assert_eq!(
            kept_samples(&scores, &groups, Keep::TopOverall(Count::of(2))),
            [2, 3]
        );
    }
}
