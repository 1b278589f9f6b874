//! What an experiment left on disk, without what may differ between two runs: wall-clock times.

use std::collections::BTreeMap;
use std::path::Path;

use preflab_experiment::records::{CellRecord, Records};
use preflab_experiment::{LOCK_FILE, Ledger};
use preflab_metrics::{Metric, read_scalars};

/// A curve's numbers, compared bit by bit.
type Curve = Vec<(u64, u64)>;

/// Records and curves.
pub struct Results {
    cells: BTreeMap<String, CellRecord>,
    curves: BTreeMap<String, BTreeMap<Metric, Curve>>,
    /// Hash of the artifacts of each stage, by its key.
    outputs: BTreeMap<String, String>,
}

impl Results {
    /// Reads an experiment's directory.
    pub fn read(directory: &Path) -> Self {
        let records = Records::read(directory).unwrap();
        let (mut cells, mut curves) = (BTreeMap::new(), BTreeMap::new());
        for cell in &records.cells {
            let name = format!("{} {}", cell.arm, cell.seed);
            curves.insert(name.clone(), read_curves(&records.cell_directory(cell)));
            cells.insert(name, reproducible(cell.clone()));
        }
        assert_eq!(
            records.cells.len(),
            records.experiment.arms.len() * records.experiment.seeds.len()
        );
        Self {
            cells,
            curves,
            outputs: read_outputs(directory),
        }
    }

    /// Names of the cells.
    pub fn cells(&self) -> Vec<String> {
        self.cells.keys().cloned().collect()
    }

    /// Number of different stages behind the cells.
    pub fn stages(&self) -> usize {
        let keys: std::collections::BTreeSet<_> = self
            .cells
            .values()
            .flat_map(|cell| cell.stages.iter().map(|stage| &stage.key))
            .collect();
        keys.len()
    }

    /// The results of some cells, as if there had been no others.
    pub fn only(mut self, names: Vec<String>) -> Self {
        self.cells.retain(|name, _| names.contains(name));
        self.curves.retain(|name, _| names.contains(name));
        for cell in self.cells.values_mut() {
            cell.stages.iter_mut().for_each(|stage| stage.shared_by = 0);
        }
        self
    }

    /// Fails, naming the first cell and measure that differ.
    pub fn assert_equal(&self, other: &Self, when: &str) {
        assert_eq!(self.cells(), other.cells(), "{when}");
        for (stage, output) in &self.outputs {
            let theirs = other.outputs.get(stage);
            assert!(
                theirs.is_none_or(|theirs| theirs == output),
                "{when}: artifacts of stage {stage}"
            );
        }
        for (name, cell) in &self.cells {
            let mut theirs = other.cells[name].clone();
            for (stage, own) in theirs.stages.iter_mut().zip(&cell.stages) {
                if own.shared_by == 0 {
                    stage.shared_by = 0;
                }
            }
            // As text, in which NaN equals itself; the first line that differs says enough.
            let (ours, theirs) = (lines(cell), lines(&theirs));
            let differs = ours.iter().zip(&theirs).find(|(one, other)| one != other);
            assert!(
                differs.is_none() && ours.len() == theirs.len(),
                "{when}: record of {name}: {differs:?}"
            );
            assert!(!self.curves[name].is_empty(), "{when}: {name} has curves");
            for (metric, curve) in &self.curves[name] {
                assert_eq!(
                    Some(curve),
                    other.curves[name].get(metric),
                    "{when}: {} of {name}",
                    metric.tag()
                );
            }
            assert_eq!(
                self.curves[name].len(),
                other.curves[name].len(),
                "{when}: curves of {name}"
            );
        }
    }
}

fn lines(cell: &CellRecord) -> Vec<String> {
    serde_json::to_string_pretty(cell)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

/// What the lock says of the artifacts: weights, pairs and all else that stages leave.
fn read_outputs(directory: &Path) -> BTreeMap<String, String> {
    let lock: toml::Table =
        toml::from_str(&std::fs::read_to_string(directory.join(LOCK_FILE)).unwrap()).unwrap();
    let stages = lock["lock"]["stages"].as_array().unwrap();
    let text = |stage: &toml::Value, key: &str| stage[key].as_str().unwrap().to_owned();
    stages
        .iter()
        .map(|stage| (text(stage, "key"), text(stage, "output")))
        .collect()
}

fn read_curves(directory: &Path) -> BTreeMap<Metric, Curve> {
    let curves = read_scalars(&directory.join(preflab_metrics::SCALARS_FILE)).unwrap();
    let bits = |metric| {
        curves
            .series(metric)
            .iter()
            .map(|&(step, value)| (step, value.to_bits()))
            .collect()
    };
    curves
        .metrics()
        .filter(|metric| metric.reproducible())
        .map(|metric| (metric, bits(metric)))
        .collect()
}

fn reproducible(mut cell: CellRecord) -> CellRecord {
    let untimed = |measures: &mut BTreeMap<String, f64>| {
        measures.retain(|tag, _| Metric::from_tag(tag).is_none_or(Metric::reproducible));
    };
    let ledgers = [
        &mut cell.training,
        &mut cell.preparation,
        &mut cell.evaluation,
    ];
    ledgers
        .into_iter()
        .for_each(|ledger| *ledger = Ledger::reproducible(*ledger));
    untimed(&mut cell.measures);
    for stage in &mut cell.stages {
        stage.ledger = stage.ledger.reproducible();
        untimed(&mut stage.measures);
    }
    cell
}
