//! A document as Markdown (the dialect with pipe tables).

use std::fmt::Write;

use super::{Block, Document, Rich, Side, Span, Table};

const INFALLIBLE: &str = "a string takes any text";

pub(super) fn page(document: &Document) -> String {
    let mut page = format!("# {}\n", escaped(&document.title));
    write_blocks(&mut page, &document.lead);
    for section in &document.sections {
        write!(page, "\n## {}\n", escaped(&section.title)).expect(INFALLIBLE);
        write_blocks(&mut page, &section.blocks);
    }
    page
}

pub(super) fn table(table: &Table) -> String {
    let mut text = String::new();
    write_table(&mut text, table);
    text
}

fn write_blocks(page: &mut String, blocks: &[Block]) {
    for block in blocks {
        page.push('\n');
        match block {
            Block::Heading(text) => writeln!(page, "### {}", escaped(text)),
            Block::Paragraph(text) => writeln!(page, "{}", rich(text)),
            Block::Warning(text) => writeln!(page, "> {}", rich(text)),
            Block::List(items) => items
                .iter()
                .try_for_each(|item| writeln!(page, "- {}", rich(item))),
            Block::Table(table) => {
                write_table(page, table);
                Ok(())
            }
            Block::Figure(_, caption) => {
                writeln!(page, "(Figure in the HTML report: {})", rich(caption))
            }
            Block::Code(text) => {
                let fence = "`".repeat(longest_run(text, '`').max(2) + 1);
                writeln!(page, "{fence}\n{}\n{fence}", text.trim_end_matches('\n'))
            }
            Block::Folded(summary, blocks) => {
                writeln!(page, "### {}", escaped(summary)).expect(INFALLIBLE);
                write_blocks(page, blocks);
                Ok(())
            }
        }
        .expect(INFALLIBLE);
    }
}

fn write_table(page: &mut String, table: &Table) {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    page.push_str(&line(
        table
            .columns
            .iter()
            .map(|column| cell(&column.title))
            .collect(),
    ));
    let rule = |side: Side| match side {
        Side::Left => "---",
        Side::Right => "---:",
    };
    page.push_str(&line(
        table
            .columns
            .iter()
            .map(|column| rule(column.side).to_owned())
            .collect(),
    ));
    for row in &table.rows {
        page.push_str(&line(row.iter().map(cell).collect()));
    }
    if let Some(caption) = &table.caption {
        writeln!(page, "\n{}", rich(caption)).expect(INFALLIBLE);
    }
}

/// A cell stands on one line and has no bare pipe.
fn cell(text: &Rich) -> String {
    rich(text).replace('|', "\\|").replace('\n', "<br>")
}

fn rich(text: &Rich) -> String {
    let span = |span: &Span| match span {
        Span::Plain(text) => escaped(text),
        Span::Code(text) => {
            let ticks = "`".repeat(longest_run(text, '`') + 1);
            let pad = if text.starts_with('`') || text.ends_with('`') {
                " "
            } else {
                ""
            };
            format!("{ticks}{pad}{text}{pad}{ticks}")
        }
        Span::Strong(text) => format!("**{}**", escaped(text)),
        Span::Small(text) => format!(" {}", escaped(text)),
    };
    text.0.iter().map(span).collect()
}

/// The characters that would become markup, with a backslash before them. A bracket alone is none: only what follows makes it a link.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut before = ' ';
    for c in text.chars() {
        if matches!(c, '\\' | '`' | '*' | '_' | '<' | '>' | '#')
            || (before == ']' && matches!(c, '(' | '[' | ':'))
        {
            safe.push('\\');
        }
        safe.push(c);
        before = c;
    }
    safe
}

fn longest_run(text: &str, of: char) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c == of { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Column, Section};

    #[test]
    fn markup_in_text_is_shown_and_not_obeyed() {
        let mut table = Table::new(vec![Column::text("a|b"), Column::number("n")]);
        table.row(vec![Rich::code("x|`y`"), Rich::from("1\n2")]);
        let blocks = [
            Block::paragraph("<b>*not bold*</b>"),
            Block::Table(table),
            Block::Code("```\nfence".to_owned()),
        ];
        let page = Document::new("T_1")
            .section(Section::new("s", "S").blocks(blocks))
            .to_markdown();
        let expected = "# T\\_1\n\n## S\n\n\\<b\\>\\*not bold\\*\\</b\\>\n\n| a\\|b | n |\n| --- | ---: |\n| `` x\\|`y` `` | 1<br>2 |\n\n````\n```\nfence\n````\n";
        assert_eq!(page, expected);
    }
}
