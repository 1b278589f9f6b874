//! The table of Chinese characters with their tones and rhyme groups.
//!
//! Tab-separated text with a header; the columns `char`, `tone` and `pingshui` are read. `tone` is `P` (level), `Z`
//! (oblique), `B` (both readings) or empty (unknown). `pingshui` lists the groups of the Pingshui rhyme table, separated by
//! `|`, each optionally followed by `/` and a tone. Prompts name a group by its last character, which no two groups share:
//! `上平四支` is `支`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;
use std::path::Path;

use preflab_data::{DataError, open_text};

use super::lexicon::{Cut, Lexicon, Reading, Tone};

/// Reads the table, plain or gzip.
///
/// # Errors
/// If the file cannot be read, a column is missing, or a row is not as described above.
pub fn read(path: &Path) -> Result<Lexicon, DataError> {
    let mut table = Table { path, line: 0 };
    let mut lines = open_text(path)?.lines();
    let mut next = || {
        table.line += 1;
        let line = lines.next().transpose().map_err(|source| DataError::Read {
            path: path.to_owned(),
            source,
        });
        line.map(|text| text.map(|text| (table, text)))
    };

    let columns = match next()? {
        Some((table, header)) => table.columns(&header)?,
        None => return Err(Table { path, line: 1 }.error("the file is empty")),
    };
    let mut rows = BTreeMap::new();
    let mut names = BTreeSet::new();
    while let Some((table, text)) = next()? {
        if text.is_empty() {
            continue;
        }
        let row = table.row(&columns, &text)?;
        names.extend(row.groups.iter().cloned());
        if rows.insert(row.character.clone(), row.clone()).is_some() {
            return Err(table.error(format!("`{}` stands in the table twice", row.character)));
        }
    }
    let groups = short_names(path, &names)?;
    let index: BTreeMap<&String, usize> = names
        .iter()
        .enumerate()
        .map(|(i, name)| (name, i))
        .collect();
    let readings = rows
        .into_iter()
        .map(|(character, row)| {
            let groups = row.groups.iter().map(|name| index[name]).collect();
            (
                character,
                Reading {
                    tone: row.tone,
                    groups,
                },
            )
        })
        .collect();
    Ok(Lexicon::new(readings, groups, Cut::Characters))
}

/// The name of a group in prompts: its last character.
pub fn short_name(group: &str) -> String {
    group.chars().last().map(String::from).unwrap_or_default()
}

fn short_names(path: &Path, names: &BTreeSet<String>) -> Result<Vec<String>, DataError> {
    let short: Vec<String> = names.iter().map(|name| short_name(name)).collect();
    let different: BTreeSet<&String> = short.iter().collect();
    if different.len() == short.len() {
        return Ok(short);
    }
    Err(DataError::File {
        path: path.to_owned(),
        problem: "two rhyme groups end on the same character".into(),
        hint: "name groups as the Pingshui table does, for example 上平四支; prompts use the last character".into(),
    })
}

/// Where the reader stands.
#[derive(Clone, Copy)]
struct Table<'p> {
    path: &'p Path,
    line: usize,
}

struct Columns {
    character: usize,
    tone: usize,
    pingshui: usize,
}

#[derive(Clone)]
struct Row {
    character: String,
    tone: Tone,
    groups: Vec<String>,
}

impl Table<'_> {
    fn error(&self, problem: impl Into<String>) -> DataError {
        DataError::Row {
            path: self.path.to_owned(),
            line: self.line,
            problem: problem.into(),
            expected: "tab-separated columns `char`, `tone` (P, Z, B or empty) and `pingshui` (groups separated by |)".into(),
            hint: "the table is the one read as `characters`; is it swapped with `poems`?".into(),
        }
    }

    fn columns(&self, header: &str) -> Result<Columns, DataError> {
        let names: Vec<&str> = header.trim_start_matches('\u{feff}').split('\t').collect();
        let find = |name: &str| {
            let column = names.iter().position(|column| *column == name);
            column.ok_or_else(|| self.error(format!("the header has no column `{name}`")))
        };
        Ok(Columns {
            character: find("char")?,
            tone: find("tone")?,
            pingshui: find("pingshui")?,
        })
    }

    fn row(&self, columns: &Columns, text: &str) -> Result<Row, DataError> {
        let fields: Vec<&str> = text.split('\t').collect();
        let field = |column: usize, name: &str| {
            fields
                .get(column)
                .copied()
                .ok_or_else(|| self.error(format!("the row ends before column `{name}`")))
        };
        let character = field(columns.character, "char")?;
        if character.chars().count() != 1 {
            return Err(self.error(format!(
                "`char` is `{character}`, which is not one character"
            )));
        }
        let tone = match field(columns.tone, "tone")? {
            "P" => Tone::Level,
            "Z" => Tone::Oblique,
            "B" => Tone::Either,
            "" => Tone::Unknown,
            other => return Err(self.error(format!("`tone` is `{other}`"))),
        };
        let groups = field(columns.pingshui, "pingshui")?
            .split('|')
            .filter(|group| !group.is_empty())
            .map(|group| group.split('/').next().unwrap_or(group).to_owned())
            .collect();
        Ok(Row {
            character: character.to_owned(),
            tone,
            groups,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Result<Lexicon, DataError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read(file.path())
    }

    #[test]
    fn tones_and_groups_are_read() {
        let lexicon = table(
            "char\ttone\tpingshui\n为\tB\t上平四支/平|去声四寘/去\n支\tP\t上平四支/平\n𬬻\t\t\n",
        )
        .unwrap();
        let reading = lexicon.cut("为")[0].reading.unwrap();
        assert_eq!(reading.tone, Tone::Either);
        let names: Vec<&String> = reading
            .groups
            .iter()
            .map(|&group| &lexicon.groups()[group])
            .collect();
        assert_eq!(names, ["支", "寘"]);
        assert_eq!(lexicon.cut("𬬻")[0].reading.unwrap().tone, Tone::Unknown);
    }

    #[test]
    fn a_bad_row_is_named_by_its_line() {
        for (text, problem) in [
            ("", ":1: the file is empty"),
            ("char\ttone\n", ":1: the header has no column `pingshui`"),
            ("char\ttone\tpingshui\n天\tX\t\n", ":2: `tone` is `X`"),
            (
                "char\ttone\tpingshui\n天\tP\n",
                ":2: the row ends before column `pingshui`",
            ),
            ("char\ttone\tpingshui\n天地\tP\t\n", ":2: `char` is `天地`"),
            (
                "char\ttone\tpingshui\n天\tP\t\n天\tP\t\n",
                ":3: `天` stands in the table twice",
            ),
        ] {
            let message = table(text).unwrap_err().to_string();
            assert!(message.contains(problem), "{message}");
        }
    }
}
