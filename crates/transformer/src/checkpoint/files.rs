//! Reading of safetensors files, from which nothing is trusted.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use safetensors::tensor::{Metadata, TensorInfo};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::CheckpointError;
use super::number::Number;

/// Longest header read, bytes: the limit of the format itself.
const HEADER_LIMIT: u64 = 100_000_000;

/// Longest JSON file read, bytes.
const JSON_LIMIT: u64 = 64 << 20;

/// The tensors of a safetensors file, or of several.
#[derive(Debug)]
pub(crate) struct Tensors {
    /// What is read from: a file or a directory.
    pub path: PathBuf,
    files: Vec<TensorFile>,
    /// The file that holds each tensor.
    of_name: BTreeMap<String, usize>,
}

#[derive(Debug)]
struct TensorFile {
    path: PathBuf,
    file: RefCell<File>,
    /// First byte behind the header.
    start: u64,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Tensors {
    /// The weights of a checkpoint directory: `model.safetensors`, or the shards that its index names.
    pub fn of_directory(dir: &Path) -> Result<Self, CheckpointError> {
        let single = dir.join("model.safetensors");
        let index = dir.join("model.safetensors.index.json");
        let paths = if single.exists() {
            vec![single]
        } else if index.exists() {
            shards(dir, &index)?
        } else if dir.is_dir() {
            return Err(CheckpointError::NoWeights {
                dir: dir.to_owned(),
            });
        } else {
            let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
            return Err(CheckpointError::io(dir)(missing));
        };
        Self::open(dir, paths)
    }

    /// One file.
    pub fn of_file(path: &Path) -> Result<Self, CheckpointError> {
        Self::open(path, vec![path.to_owned()])
    }

    fn open(path: &Path, paths: Vec<PathBuf>) -> Result<Self, CheckpointError> {
        let files = paths
            .into_iter()
            .map(TensorFile::open)
            .collect::<Result<Vec<_>, _>>()?;
        let mut of_name = BTreeMap::new();
        for (index, file) in files.iter().enumerate() {
            for name in file.metadata.offset_keys() {
                if of_name.insert(name.clone(), index).is_some() {
                    let problem = format!("tensor `{name}` is also in another shard");
                    return Err(CheckpointError::damaged(&file.path, problem));
                }
            }
        }
        Ok(Self {
            path: path.to_owned(),
            files,
            of_name,
        })
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.of_name.keys().map(String::as_str)
    }

    pub fn contains(&self, name: &str) -> bool {
        self.of_name.contains_key(name)
    }

    /// Checks that `name` is there, in numbers that can be read, of `shape`.
    pub fn check(&self, name: &str, shape: &[usize]) -> Result<(), CheckpointError> {
        let (file, info) = self.expect(name)?;
        if info.shape != shape {
            return Err(CheckpointError::Shape {
                path: file.path.clone(),
                name: name.to_owned(),
                expected: shape.to_vec(),
                found: info.shape.clone(),
            });
        }
        self.number(name).map(|_| ())
    }

    fn number(&self, name: &str) -> Result<Number, CheckpointError> {
        let (file, info) = self.expect(name)?;
        Number::of(info.dtype).ok_or_else(|| CheckpointError::Numbers {
            path: file.path.clone(),
            name: name.to_owned(),
            found: format!("{:?}", info.dtype),
        })
    }

    /// The numbers of a tensor, in f32.
    pub fn read(&self, name: &str) -> Result<Vec<f32>, CheckpointError> {
        let number = self.number(name)?;
        let (file, info) = self.expect(name)?;
        // The header was checked against the length of the file, so this is at most the file's size.
        let mut bytes = vec![0; info.data_offsets.1 - info.data_offsets.0];
        let mut from = file.file.borrow_mut();
        from.seek(SeekFrom::Start(file.start + info.data_offsets.0 as u64))
            .and_then(|_| from.read_exact(&mut bytes))
            .map_err(CheckpointError::io(&file.path))?;
        Ok(number.decode(&bytes))
    }

    fn find(&self, name: &str) -> Option<(&TensorFile, &TensorInfo)> {
        let file = &self.files[*self.of_name.get(name)?];
        Some((file, file.metadata.info(name)?))
    }

    fn expect(&self, name: &str) -> Result<(&TensorFile, &TensorInfo), CheckpointError> {
        self.find(name).ok_or_else(|| CheckpointError::Missing {
            dir: self.path.clone(),
            names: vec![name.to_owned()],
        })
    }
}

impl TensorFile {
    fn open(path: PathBuf) -> Result<Self, CheckpointError> {
        let mut file = File::open(&path).map_err(CheckpointError::io(&path))?;
        let length = file.metadata().map_err(CheckpointError::io(&path))?.len();
        let mut size = [0; 8];
        if length < 8 {
            return Err(CheckpointError::damaged(
                &path,
                format!("{length} bytes, too short for a header"),
            ));
        }
        file.read_exact(&mut size)
            .map_err(CheckpointError::io(&path))?;
        let size = u64::from_le_bytes(size);
        if size > HEADER_LIMIT || size > length - 8 {
            let problem = format!("a header of {size} bytes in a file of {length}");
            return Err(CheckpointError::damaged(&path, problem));
        }
        let mut header = vec![0; size as usize];
        file.read_exact(&mut header)
            .map_err(CheckpointError::io(&path))?;
        // Deserialization checks that the tensors lie one behind the other, each as long as its shape says.
        let metadata: Metadata = serde_json::from_slice(&header)
            .map_err(|problem| CheckpointError::damaged(&path, problem))?;
        let (held, promised) = (length - 8 - size, metadata.data_len() as u64);
        if held != promised {
            let problem =
                format!("the header promises {promised} bytes of tensors, the file holds {held}");
            return Err(CheckpointError::damaged(&path, problem));
        }
        Ok(Self {
            path,
            file: RefCell::new(file),
            start: 8 + size,
            metadata,
        })
    }
}

/// The files an index names, sorted.
fn shards(dir: &Path, index: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let weights: Index = read_json(index)?;
    let mut names = BTreeSet::new();
    for (tensor, name) in &weights.weight_map {
        let mut components = Path::new(name).components();
        let plain = matches!(
            (components.next(), components.next()),
            (Some(Component::Normal(_)), None)
        );
        if !plain || name.contains(['/', '\\']) || !name.ends_with(".safetensors") {
            return Err(CheckpointError::ShardName {
                path: index.to_owned(),
                name: name.clone(),
                tensor: tensor.clone(),
            });
        }
        if !dir.join(name).is_file() {
            return Err(CheckpointError::NoShard {
                path: index.to_owned(),
                name: name.clone(),
                tensor: tensor.clone(),
            });
        }
        names.insert(name.as_str());
    }
    Ok(names.into_iter().map(|name| dir.join(name)).collect())
}

/// A JSON file of reasonable size.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, CheckpointError> {
    let file = File::open(path).map_err(CheckpointError::io(path))?;
    let mut text = Vec::new();
    file.take(JSON_LIMIT + 1)
        .read_to_end(&mut text)
        .map_err(CheckpointError::io(path))?;
    if text.len() as u64 > JSON_LIMIT {
        let size = std::fs::metadata(path).map_or(text.len() as u64, |metadata| metadata.len());
        return Err(CheckpointError::TooLarge {
            path: path.to_owned(),
            size,
            limit: JSON_LIMIT,
        });
    }
    serde_json::from_slice(&text).map_err(|source| CheckpointError::Json {
        path: path.to_owned(),
        source,
    })
}
