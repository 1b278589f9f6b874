//! Every shipped experiment can be planned, and every shipped model is one.

use std::fs;
use std::path::{Path, PathBuf};

use preflab_config::ModelSettings;

use crate::preflab::{Workplace, root};

/// The TOML files below a directory of the repository.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn every_experiment_plans() {
    let experiments = files(&root().join("experiments"));
    assert!(experiments.len() >= 2);
    for file in experiments {
        let place = Workplace::new();
        // Data that users bring is not in the repository: stand-ins show that paths are relative to where one is.
        for quoted in fs::read_to_string(&file)
            .unwrap()
            .split('"')
            .filter(|text| text.starts_with("data/"))
        {
            place.write(quoted, "");
        }
        let output = place.output(&["plan", file.to_str().unwrap()]);
        let (code, said) = (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        );
        assert_eq!(code, Some(0), "{}\n{said}", file.display());
    }
}

#[test]
fn every_model_is_a_shape_that_divides() {
    let models = files(&root().join("configs/model"));
    assert!(!models.is_empty());
    for file in models {
        let text = fs::read_to_string(&file).unwrap();
        let shape: ModelSettings =
            toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert_eq!(shape.problems(), Vec::<String>::new(), "{}", file.display());
    }
}

#[test]
fn every_model_comes_with_the_binary() {
    for file in files(&root().join("configs/model")) {
        let place = Workplace::with_experiment();
        let name = file.file_stem().unwrap().to_str().unwrap();
        let output = place.output(&["plan", "small.toml", "--set", &format!("model={name}")]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
