//! `--set key=value` on the settings.

use preflab_config::ToySettings;
use toml::{Table, Value};

use crate::error::ToyError;

/// `settings` with `key=value` laid over them, in order. Keys are dotted; a value is TOML, or a word.
///
/// Writing an arm's table anew (`arms.dpo={ preference.slic={} }`) replaces it.
///
/// # Errors
/// If one is not `key=value`, or the result does not parse.
///
/// ```
/// use preflab_config::ToySettings;
/// let set = ["epochs=9".to_owned(), "rejected=own".to_owned(), "arms.dpo.preference.dpo.beta=0.5".to_owned()];
/// let settings = preflab_toy::with_overrides(&ToySettings::default(), &set)?;
/// assert_eq!(settings.epochs.get(), 9);
/// # Ok::<(), preflab_toy::ToyError>(())
/// ```
pub fn with_overrides(settings: &ToySettings, set: &[String]) -> Result<ToySettings, ToyError> {
    let mut table = Table::try_from(settings).expect("settings are plain data");
    for text in set {
        let malformed = || ToyError::Override { text: text.clone() };
        let (key, value) = text.split_once('=').ok_or_else(malformed)?;
        let keys: Vec<&str> = key.trim().split('.').collect();
        if keys.iter().any(|key| key.is_empty()) {
            return Err(malformed());
        }
        lay(&mut table, &keys, parsed(value.trim()));
    }
    let error = |error: toml::de::Error| ToyError::Settings {
        message: error.to_string().trim_end().to_owned(),
    };
    // Through text, so that the message shows the line.
    let text = toml::to_string(&table).expect("a table is plain data");
    toml::from_str(&text).map_err(error)
}

/// The value as TOML; what is not TOML is a word.
fn parsed(text: &str) -> Value {
    let line = format!("value = {text}");
    match toml::from_str::<Table>(&line) {
        Ok(mut table) => table.remove("value").expect("the only key"),
        Err(_) => Value::String(text.to_owned()),
    }
}

fn lay(table: &mut Table, keys: &[&str], value: Value) {
    let [key, rest @ ..] = keys else { return };
    if rest.is_empty() {
        table.insert((*key).to_owned(), value);
        return;
    }
    let inner = table
        .entry((*key).to_owned())
        .or_insert_with(|| Value::Table(Table::new()));
    if !inner.is_table() {
        *inner = Value::Table(Table::new());
    }
    if let Value::Table(inner) = inner {
        lay(inner, rest, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> Result<ToySettings, ToyError> {
        with_overrides(&ToySettings::default(), &[text.to_owned()])
    }

    #[test]
    fn arms_are_changed_added_and_refused() {
        let settings = set("arms.mine.preference.dpo={ beta = 0.3 }").unwrap();
        assert_eq!(settings.arms.len(), ToySettings::default().arms.len() + 1);
        assert_eq!(set("scenarios=[\"4\"]").unwrap().scenarios.len(), 1);
        assert!(matches!(set("epochs"), Err(ToyError::Override { .. })));
        assert!(matches!(set("a..b=1"), Err(ToyError::Override { .. })));
        let error = set("epoch=3").unwrap_err().to_string();
        assert!(error.contains("unknown field `epoch`"), "{error}");
        assert!(set("epochs=0").is_err());
    }
}
