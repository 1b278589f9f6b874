//! Rows of token ids in a file, read one by one: data that do not fit into memory are trained on from here.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use crate::{TokenExample, TokenPair};

/// Bytes of a word.
const WORD: usize = size_of::<u32>();

/// A row that is written as words of 32 bits.
pub trait Words: Clone {
    /// Appends the row.
    fn write(&self, words: &mut Vec<u32>);

    /// The row that was written as `words`.
    ///
    /// # Panics
    /// If it was not.
    fn read(words: &[u32]) -> Self;
}

impl Words for Vec<u32> {
    fn write(&self, words: &mut Vec<u32>) {
        words.extend(self);
    }

    fn read(words: &[u32]) -> Self {
        words.to_vec()
    }
}

impl Words for TokenExample {
    fn write(&self, words: &mut Vec<u32>) {
        words.push(self.prompt.len() as u32);
        words.extend(self.prompt.iter().chain(&self.completion));
    }

    fn read(words: &[u32]) -> Self {
        let (prompt, completion) = words[1..].split_at(words[0] as usize);
        Self {
            prompt: prompt.to_vec(),
            completion: completion.to_vec(),
        }
    }
}

impl Words for TokenPair {
    fn write(&self, words: &mut Vec<u32>) {
        words.extend([self.prompt.len() as u32, self.chosen.len() as u32]);
        words.extend(self.prompt.iter().chain(&self.chosen).chain(&self.rejected));
    }

    fn read(words: &[u32]) -> Self {
        let (prompt, completions) = words[2..].split_at(words[0] as usize);
        let (chosen, rejected) = completions.split_at(words[1] as usize);
        Self {
            prompt: prompt.to_vec(),
            chosen: chosen.to_vec(),
            rejected: rejected.to_vec(),
        }
    }
}

/// Writes rows to a file, one after the other.
#[derive(Debug)]
pub struct RowWriter<T> {
    file: BufWriter<File>,
    words: Vec<u32>,
    bytes: Vec<u8>,
    written: u64,
    places: Places,
    row: PhantomData<fn(&T)>,
}

/// Where rows start, words from the start of the file, and how many words they have: 12 bytes a row.
#[derive(Debug, Clone, Default)]
struct Places {
    starts: Vec<u64>,
    lengths: Vec<u32>,
}

impl<T: Words> RowWriter<T> {
    /// A writer to an empty file, open for reading too.
    pub fn new(file: File) -> Self {
        Self {
            file: BufWriter::with_capacity(1 << 18, file),
            words: Vec::new(),
            bytes: Vec::new(),
            written: 0,
            places: Places::default(),
            row: PhantomData,
        }
    }

    /// Writes a row.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn push(&mut self, row: &T) -> io::Result<()> {
        self.words.clear();
        row.write(&mut self.words);
        self.bytes.clear();
        self.bytes
            .extend(self.words.iter().flat_map(|word| word.to_le_bytes()));
        self.file.write_all(&self.bytes)?;
        self.places.starts.push(self.written);
        self.places.lengths.push(self.words.len() as u32);
        self.written += self.words.len() as u64;
        Ok(())
    }

    /// The rows that were written.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn finish(self) -> io::Result<RowFile<T>> {
        let file = self
            .file
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        Ok(RowFile {
            file: Arc::new(Mutex::new(file)),
            places: self.places,
            map: None,
        })
    }
}

impl<T: Words> RowWriter<T> {
    /// The rows that were written, on the disk, with their lengths behind them: [`RowFile::sealed`] finds them again.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn seal(mut self) -> io::Result<RowFile<T>> {
        for length in &self.places.lengths {
            self.file.write_all(&length.to_le_bytes())?;
        }
        let count = self.places.lengths.len() as u64;
        self.file.write_all(&count.to_le_bytes())?;
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        self.finish()
    }
}

/// Rows in a file. A row is read when it is asked for; what is in memory is where each stands.
#[derive(Debug, Clone)]
pub struct RowFile<T> {
    file: Arc<Mutex<File>>,
    places: Places,
    map: Option<fn(T) -> T>,
}

impl<T: Words> RowFile<T> {
    /// The rows that [`RowWriter::seal`] left in a file.
    ///
    /// # Errors
    /// If it cannot be read, or is not as it was left.
    pub fn sealed(mut file: File) -> io::Result<Self> {
        const COUNT: usize = size_of::<u64>();
        let damaged =
            || io::Error::new(io::ErrorKind::InvalidData, "the file is not as it was left");
        let size = file.seek(SeekFrom::End(0))? as usize;
        let end = size.checked_sub(COUNT).ok_or_else(damaged)?;
        file.seek(SeekFrom::Start(end as u64))?;
        let mut count = [0; COUNT];
        file.read_exact(&mut count)?;
        let lengths = (u64::from_le_bytes(count) as usize).checked_mul(WORD);
        let start = lengths.and_then(|lengths| end.checked_sub(lengths));
        let start = start.ok_or_else(damaged)?;
        file.seek(SeekFrom::Start(start as u64))?;
        let mut lengths = vec![0; end - start];
        file.read_exact(&mut lengths)?;
        let lengths: Vec<u32> = words(&lengths);
        let mut at = 0;
        let starts = lengths.iter().map(|&length| {
            at += u64::from(length);
            at - u64::from(length)
        });
        let starts: Vec<u64> = starts.collect();
        if at as usize * WORD != start {
            return Err(damaged());
        }
        Ok(Self {
            file: Arc::new(Mutex::new(file)),
            places: Places { starts, lengths },
            map: None,
        })
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.places.starts.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row at a place.
    ///
    /// # Errors
    /// If the file cannot be read.
    ///
    /// # Panics
    /// If there are not as many rows.
    pub fn row(&self, index: usize) -> io::Result<T> {
        let mut bytes = vec![0; self.places.lengths[index] as usize * WORD];
        {
            let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            file.seek(SeekFrom::Start(self.places.starts[index] * WORD as u64))?;
            file.read_exact(&mut bytes)?;
        }
        let row = T::read(&words(&bytes));
        Ok(match self.map {
            Some(map) => map(row),
            None => row,
        })
    }

    /// All rows, in their order, one at a time.
    pub fn iter(&self) -> impl Iterator<Item = io::Result<T>> {
        (0..self.len()).map(|index| self.row(index))
    }

    /// Some of the rows, in the order of `indices`, in the same file.
    #[must_use]
    pub fn select(&self, indices: impl IntoIterator<Item = usize>) -> Self {
        let mut places = Places::default();
        for index in indices {
            places.starts.push(self.places.starts[index]);
            places.lengths.push(self.places.lengths[index]);
        }
        Self {
            file: Arc::clone(&self.file),
            places,
            map: self.map,
        }
    }

    /// The same rows, each through `map` when it is read.
    #[must_use]
    pub fn mapped(self, map: fn(T) -> T) -> Self {
        Self {
            map: Some(map),
            ..self
        }
    }

    /// The `most` longest rows, the longest first, the earlier of equals first.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn longest(&self, most: usize) -> io::Result<Vec<T>> {
        let mut places: Vec<usize> = (0..self.len()).collect();
        places.sort_by_key(|&index| std::cmp::Reverse(self.places.lengths[index]));
        places.truncate(most);
        places.into_iter().map(|index| self.row(index)).collect()
    }
}

fn words(bytes: &[u8]) -> Vec<u32> {
    let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("a word"));
    bytes.chunks_exact(WORD).map(word).collect()
}

/// Rows as trainers take them: in memory, or in a file.
#[derive(Debug)]
pub enum Rows<'r, T> {
    /// In memory.
    Memory(&'r [T]),
    /// In a file.
    File(&'r RowFile<T>),
}

impl<T> Clone for Rows<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Rows<'_, T> {}

impl<'r, T: Words> Rows<'r, T> {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Memory(rows) => rows.len(),
            Self::File(rows) => rows.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row at a place.
    ///
    /// # Errors
    /// If it stands in a file that cannot be read.
    ///
    /// # Panics
    /// If there are not as many rows.
    pub fn row(&self, index: usize) -> io::Result<Cow<'r, T>> {
        match self {
            Self::Memory(rows) => Ok(Cow::Borrowed(&rows[index])),
            Self::File(rows) => rows.row(index).map(Cow::Owned),
        }
    }

    /// The rows at some places.
    ///
    /// # Errors
    /// As [`Rows::row`].
    pub fn rows(&self, indices: &[usize]) -> io::Result<Vec<Cow<'r, T>>> {
        indices.iter().map(|&index| self.row(index)).collect()
    }
}

impl<'r, T> From<&'r [T]> for Rows<'r, T> {
    fn from(rows: &'r [T]) -> Self {
        Self::Memory(rows)
    }
}

impl<'r, T> From<&'r Vec<T>> for Rows<'r, T> {
    fn from(rows: &'r Vec<T>) -> Self {
        Self::Memory(rows)
    }
}

impl<'r, T, const N: usize> From<&'r [T; N]> for Rows<'r, T> {
    fn from(rows: &'r [T; N]) -> Self {
        Self::Memory(rows)
    }
}

impl<'r, T> From<&'r RowFile<T>> for Rows<'r, T> {
    fn from(rows: &'r RowFile<T>) -> Self {
        Self::File(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples() -> Vec<TokenExample> {
        let example = |prompt: &[u32], completion: &[u32]| TokenExample {
            prompt: prompt.to_vec(),
            completion: completion.to_vec(),
        };
        vec![
            example(&[1, 2], &[3]),
            example(&[], &[4, u32::MAX, 6]),
            example(&[7], &[]),
            example(&[8, 9, 10], &[11, 12, 13]),
        ]
    }

    fn written<T: Words>(rows: &[T]) -> RowFile<T> {
        let mut writer = RowWriter::new(tempfile::tempfile().unwrap());
        for row in rows {
            writer.push(row).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn rows_are_read_as_they_were_written() {
        let rows = examples();
        let file = written(&rows);
        let read: Vec<TokenExample> = file.iter().map(Result::unwrap).collect();
        assert_eq!(read, rows);
        let pairs = vec![
            TokenPair {
                prompt: vec![1],
                chosen: vec![2, 3],
                rejected: vec![4],
            },
            TokenPair::default(),
        ];
        let file = written(&pairs);
        assert_eq!(file.row(1).unwrap(), pairs[1]);
        assert_eq!(file.row(0).unwrap(), pairs[0]);
        let prompts = vec![vec![1, 2], vec![], vec![3]];
        let file = written(&prompts);
        assert_eq!(file.iter().map(Result::unwrap).collect::<Vec<_>>(), prompts);
        assert!(written::<Vec<u32>>(&[]).is_empty());
    }

    #[test]
    fn rows_in_memory_and_in_a_file_are_the_same() {
        let rows = examples();
        let file = written(&rows);
        let (memory, file) = (Rows::from(&rows), Rows::from(&file));
        assert_eq!((memory.len(), file.len()), (4, 4));
        let taken = [3, 0, 0, 2];
        assert_eq!(memory.rows(&taken).unwrap(), file.rows(&taken).unwrap());
    }

    #[test]
    fn some_rows_stand_in_the_same_file() {
        let rows = examples();
        let some = written(&rows).select([3, 1]).mapped(TokenExample::whole);
        assert_eq!(some.len(), 2);
        assert_eq!(some.row(0).unwrap(), rows[3].clone().whole());
        assert_eq!(some.row(1).unwrap(), rows[1].clone().whole());
        let longest = written(&rows).longest(2).unwrap();
        assert_eq!(longest, [rows[3].clone(), rows[0].clone()]);
    }

    #[test]
    fn rows_are_found_again() {
        let place = tempfile::NamedTempFile::new().unwrap();
        let mut writer = RowWriter::new(place.reopen().unwrap());
        for row in examples() {
            writer.push(&row).unwrap();
        }
        let written = writer.seal().unwrap();
        let again = || RowFile::<TokenExample>::sealed(place.reopen().unwrap());
        let read: Vec<TokenExample> = again().unwrap().iter().map(Result::unwrap).collect();
        assert_eq!(read, examples());
        assert_eq!(written.row(3).unwrap(), read[3]);
        let size = place.as_file().metadata().unwrap().len();
        for damaged in [size - 4, size + 4, 7, 0] {
            place.as_file().set_len(damaged).unwrap();
            assert!(again().is_err(), "{damaged} bytes");
        }
    }

    #[test]
    fn a_file_that_was_cut_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut writer = RowWriter::new(file.reopen().unwrap());
        for row in examples() {
            writer.push(&row).unwrap();
        }
        let rows = writer.finish().unwrap();
        assert!(rows.row(3).is_ok());
        file.as_file().set_len(8).unwrap();
        assert!(rows.row(3).is_err());
    }
}
