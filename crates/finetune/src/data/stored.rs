//! Rows as token ids in a file, with what is known of each besides in memory, and which of them are held out.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use preflab_data::{RowFile, RowWriter, TokenExample, TokenPair, Words};
use sha2::{Digest, Sha256};

use crate::FinetuneError;

/// A row of token ids.
pub(crate) trait Tokens: Words + Send {
    fn prompt(&self) -> &[u32];

    /// What comes after the prompt.
    fn rest(&self) -> [&[u32]; 2];
}

impl Tokens for TokenPair {
    fn prompt(&self) -> &[u32] {
        &self.prompt
    }

    fn rest(&self) -> [&[u32]; 2] {
        [&self.chosen, &self.rejected]
    }
}

impl Tokens for TokenExample {
    fn prompt(&self) -> &[u32] {
        &self.prompt
    }

    fn rest(&self) -> [&[u32]; 2] {
        [&self.completion, &[]]
    }
}

impl Tokens for Vec<u32> {
    fn prompt(&self) -> &[u32] {
        self
    }

    fn rest(&self) -> [&[u32]; 2] {
        [&[], &[]]
    }
}

/// Rows in a file, and a note on each.
#[derive(Debug)]
pub(crate) struct Stored<T, N> {
    pub tokens: RowFile<T>,
    pub notes: Vec<N>,
}

impl<T: Words, N> Stored<T, N> {
    /// All rows, in memory.
    pub fn to_vec(&self) -> io::Result<Vec<T>> {
        self.tokens.iter().collect()
    }
}

/// Rows on their way into a file.
#[derive(Debug)]
pub(super) struct Gathered<T, N> {
    rows: RowWriter<T>,
    notes: Vec<N>,
    /// The first bytes of a hash of each row's prompt with the seed.
    keys: Vec<u64>,
    seed: u64,
    openings: [Option<u32>; 2],
}

impl<T: Tokens, N> Gathered<T, N> {
    /// No rows yet, in a file of `directory` that has no name and goes with the process. A prompt of nothing but one of
    /// `openings` says nothing, and its row is told from others by all its tokens.
    pub fn new(
        directory: &Path,
        seed: u64,
        openings: [Option<u32>; 2],
    ) -> Result<Self, FinetuneError> {
        let file = tempfile::tempfile_in(directory);
        Ok(Self {
            rows: RowWriter::new(file.map_err(FinetuneError::io("write to", directory))?),
            notes: Vec::new(),
            keys: Vec::new(),
            seed,
            openings,
        })
    }

    /// Writes a row.
    pub fn push(&mut self, row: &T, note: N) -> io::Result<()> {
        self.rows.push(row)?;
        self.notes.push(note);
        self.keys.push(self.key(row));
        Ok(())
    }

    fn key(&self, row: &T) -> u64 {
        let mut hash = Sha256::new();
        hash.update(self.seed.to_le_bytes());
        let prompt = row.prompt();
        let says_nothing = matches!(prompt, [only] if self.openings.contains(&Some(*only)));
        let rest = row.rest();
        let all = std::iter::once(prompt).chain(rest.into_iter().filter(|_| says_nothing));
        for ids in all {
            for id in ids {
                hash.update(id.to_le_bytes());
            }
        }
        let digest = hash.finalize();
        u64::from_be_bytes(digest[..8].try_into().expect("eight bytes of a digest"))
    }

    /// How many rows have a prompt that `others` have too.
    pub fn known_to(&self, others: &Self) -> usize {
        let others: BTreeSet<u64> = others.keys.iter().copied().collect();
        self.keys.iter().filter(|key| others.contains(key)).count()
    }

    /// All rows.
    pub fn all(self, directory: &Path) -> Result<Stored<T, N>, FinetuneError> {
        let tokens = self.rows.finish();
        Ok(Stored {
            tokens: tokens.map_err(FinetuneError::io("write to", directory))?,
            notes: self.notes,
        })
    }

    /// Holds out a share of the rows: those of the prompts whose hashes (with the seed) are smallest, so that no prompt
    /// stands on both sides, and adding rows moves few. Returns what is left and what is held out, in the order of the rows.
    pub fn divided(self, directory: &Path, share: f64) -> Result<[Stored<T, N>; 2], FinetuneError>
    where
        N: Clone,
    {
        let last = last_held_out(&self.keys, share);
        let is_held_out: Vec<bool> = self.keys.iter().map(|key| Some(*key) <= last).collect();
        let all = self.all(directory)?;
        let part = |held_out: bool| {
            let places = (0..is_held_out.len()).filter(|&index| is_held_out[index] == held_out);
            let places: Vec<usize> = places.collect();
            Stored {
                notes: places
                    .iter()
                    .map(|&index| all.notes[index].clone())
                    .collect(),
                tokens: all.tokens.select(places),
            }
        };
        Ok([part(false), part(true)])
    }
}

/// The largest key that is held out, so that at least `share` of the rows are; none if none is.
fn last_held_out(keys: &[u64], share: f64) -> Option<u64> {
    let wanted = (keys.len() as f64 * share).round() as usize;
    let mut sorted = keys.to_vec();
    sorted.sort_unstable();
    sorted.get(wanted.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn divided<T: Tokens>(rows: &[T], share: f64, seed: u64) -> [Vec<T>; 2] {
        let place = tempfile::tempdir().unwrap();
        let mut gathered = Gathered::new(place.path(), seed, [Some(0), None]).unwrap();
        for (index, row) in rows.iter().enumerate() {
            gathered.push(row, index).unwrap();
        }
        let [train, held_out] = gathered.divided(place.path(), share).unwrap();
        let mut notes = [train.notes.as_slice(), &held_out.notes].concat();
        notes.sort_unstable();
        assert_eq!(notes, (0..rows.len()).collect::<Vec<_>>());
        [train.to_vec().unwrap(), held_out.to_vec().unwrap()]
    }

    #[test]
    fn a_prompt_is_never_on_both_sides() {
        let rows: Vec<Vec<u32>> = (0..200).map(|row| vec![row % 40, 7]).collect();
        let [train, held] = divided(&rows, 0.1, 7);
        assert_eq!(held.len(), 20);
        assert!(held.iter().all(|row| !train.contains(row)));
        assert_eq!(divided(&rows, 0.1, 7), [train, held.clone()]);
        assert_ne!(divided(&rows, 0.1, 8)[1], held);
        assert_eq!(divided(&rows, 0.0, 7), [rows, Vec::new()]);
    }

    /// Texts that are learnt whole all start with the same token: it must not tie them together.
    #[test]
    fn rows_without_a_prompt_of_their_own_are_held_out_one_by_one() {
        let row = |prompt: u32, index: u32| TokenExample {
            prompt: vec![prompt],
            completion: vec![index, 3],
        };
        let texts: Vec<TokenExample> = (0..100).map(|index| row(0, index)).collect();
        let [train, held] = divided(&texts, 0.1, 7);
        assert_eq!((train.len(), held.len()), (90, 10));
        let answers: Vec<TokenExample> = (0..100).map(|index| row(5, index)).collect();
        assert_eq!(divided(&answers, 0.1, 7)[1].len(), 100);
    }
}
