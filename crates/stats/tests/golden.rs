//! Every recorded case of `tests/golden/stats` (or of `$PREFLAB_GOLDEN/stats`) against this crate.
//!
//! The figures come from NumPy, SciPy, statsmodels, scikit-learn, arch, rliable and mpmath; each case names its source. An unknown file, kind or key
//! fails: nothing is skipped in silence.

#[path = "golden/aggregate.rs"]
mod aggregate;
#[path = "golden/case.rs"]
mod case;
#[path = "golden/curves.rs"]
mod curves;
#[path = "golden/multiple.rs"]
mod multiple;
#[path = "golden/paired.rs"]
mod paired;
#[path = "golden/power.rs"]
mod power;
#[path = "golden/proportions.rs"]
mod proportions;

use case::{Golden, directory};

#[test]
fn every_file_has_a_test() {
    for entry in std::fs::read_dir(directory()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let known = [
            "paired",
            "aggregate",
            "multiple",
            "proportions",
            "curves",
            "power",
        ];
        let stem = name.strip_suffix(".json").unwrap_or(&name);
        assert!(known.contains(&stem), "{name} has no test");
    }
}

#[test]
fn paired() {
    Golden::open("paired").check(paired::check);
}

#[test]
fn multiple() {
    Golden::open("multiple").check(multiple::check);
}

#[test]
fn proportions() {
    Golden::open("proportions").check(proportions::check);
}

#[test]
fn aggregate() {
    Golden::open("aggregate").check(aggregate::check);
}

#[test]
fn curves() {
    Golden::open("curves").check(curves::check);
}

#[test]
fn power() {
    Golden::open("power").check(power::check);
}
