//! A report as a tree of headings, paragraphs, tables and figures, before it becomes HTML or Markdown.
//!
//! Both formats come from the same tree, so they cannot disagree. All text is text: markup in it is shown, not obeyed.
//!
//! # Example
//! ```
//! use preflab_report::document::{Block, Column, Document, Rich, Section, Table};
//! let mut table = Table::new(vec![Column::text("arm"), Column::number("score")]);
//! table.row(vec![Rich::code("ppo"), Rich::from("0.81")]);
//! let page = Document::new("Verse").section(Section::new("scores", "Scores").block(Block::Table(table)));
//! assert!(page.to_markdown().contains("| `ppo` | 0.81 |"));
//! assert!(page.to_html().starts_with("<!doctype html>"));
//! ```

mod html;
mod markdown;

use crate::figure::Figure;

/// A page.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    pub(crate) title: String,
    pub(crate) lead: Vec<Block>,
    pub(crate) sections: Vec<Section>,
}

/// A part of a page, with a heading and a name that links can point at.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    pub(crate) id: &'static str,
    pub(crate) title: String,
    pub(crate) blocks: Vec<Block>,
}

/// A piece of a section.
#[derive(Debug, Clone, PartialEq)]
pub enum Block {
    /// A heading below the section's.
    Heading(String),
    /// Running text.
    Paragraph(Rich),
    /// Something the reader should not miss: missing cells, failures.
    Warning(Rich),
    /// Items.
    List(Vec<Rich>),
    /// A table.
    Table(Table),
    /// A figure with its caption. Markdown has the caption alone.
    Figure(Box<Figure>, Rich),
    /// Text as it is, line by line.
    Code(String),
    /// Blocks that are hidden until the reader opens them.
    Folded(String, Vec<Block>),
}

/// Text with a little emphasis.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rich(pub(crate) Vec<Span>);

/// A stretch of text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Span {
    Plain(String),
    Code(String),
    Strong(String),
    Small(String),
}

/// A table: columns, and rows of as many cells.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    pub(crate) caption: Option<Rich>,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Vec<Rich>>,
}

/// A column's heading and the side to which its cells are set.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    pub(crate) title: Rich,
    pub(crate) side: Side,
}

/// Left for words, right for numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

impl Document {
    /// A page with a title and nothing else.
    pub fn new(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            lead: Vec::new(),
            sections: Vec::new(),
        }
    }

    /// Adds to what stands before the first section.
    #[must_use]
    pub fn lead(mut self, block: Block) -> Self {
        self.lead.push(block);
        self
    }

    /// Adds a section, unless it is empty.
    #[must_use]
    pub fn section(mut self, section: Section) -> Self {
        if !section.blocks.is_empty() {
            self.sections.push(section);
        }
        self
    }

    /// One HTML file that needs nothing else: style and figures are inside, there is no script.
    pub fn to_html(&self) -> String {
        html::page(self)
    }

    /// The same as Markdown, without the figures.
    pub fn to_markdown(&self) -> String {
        markdown::page(self)
    }
}

impl Section {
    /// An empty section. `id` is its name in links.
    pub fn new(id: &'static str, title: &str) -> Self {
        Self {
            id,
            title: title.to_owned(),
            blocks: Vec::new(),
        }
    }

    /// Adds a block.
    #[must_use]
    pub fn block(mut self, block: Block) -> Self {
        self.blocks.push(block);
        self
    }

    /// Adds blocks.
    #[must_use]
    pub fn blocks(mut self, blocks: impl IntoIterator<Item = Block>) -> Self {
        self.blocks.extend(blocks);
        self
    }
}

impl Block {
    /// Running text.
    pub fn paragraph(text: impl Into<Rich>) -> Self {
        Block::Paragraph(text.into())
    }

    /// A figure with its caption.
    pub fn figure(figure: Figure, caption: impl Into<Rich>) -> Self {
        Block::Figure(Box::new(figure), caption.into())
    }
}

impl Rich {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A name, tag, key or value.
    pub fn code(text: &str) -> Self {
        Self::new().and_code(text)
    }

    /// Text that stands out.
    pub fn strong(text: &str) -> Self {
        Self::new().and_strong(text)
    }

    /// Adds plain text.
    #[must_use]
    pub fn and(mut self, text: &str) -> Self {
        self.0.push(Span::Plain(text.to_owned()));
        self
    }

    /// Adds a name, tag, key or value.
    #[must_use]
    pub fn and_code(mut self, text: &str) -> Self {
        self.0.push(Span::Code(text.to_owned()));
        self
    }

    /// Adds text that stands out.
    #[must_use]
    pub fn and_strong(mut self, text: &str) -> Self {
        self.0.push(Span::Strong(text.to_owned()));
        self
    }

    /// Adds something of second rank, such as an interval below an estimate: on a line of its own in HTML.
    #[must_use]
    pub fn and_small(mut self, text: &str) -> Self {
        self.0.push(Span::Small(text.to_owned()));
        self
    }

    /// Adds other rich text.
    #[must_use]
    pub fn and_rich(mut self, other: Rich) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Names, separated by commas.
    pub fn codes<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut rich = Self::new();
        for name in names {
            if !rich.0.is_empty() {
                rich = rich.and(", ");
            }
            rich = rich.and_code(name);
        }
        rich
    }
}

impl From<&str> for Rich {
    fn from(text: &str) -> Self {
        Rich::new().and(text)
    }
}

impl From<String> for Rich {
    fn from(text: String) -> Self {
        Rich(vec![Span::Plain(text)])
    }
}

/// A table alone as Markdown.
pub(crate) fn table_as_markdown(table: &Table) -> String {
    markdown::table(table)
}

impl Table {
    /// A table without rows.
    pub fn new(columns: Vec<Column>) -> Self {
        Self {
            caption: None,
            columns,
            rows: Vec::new(),
        }
    }

    /// What the table shows, and how to read it.
    #[must_use]
    pub fn caption(mut self, caption: impl Into<Rich>) -> Self {
        self.caption = Some(caption.into());
        self
    }

    /// Adds a row.
    ///
    /// # Panics
    /// If it has not one cell for each column.
    pub fn row(&mut self, cells: Vec<Rich>) {
        assert_eq!(cells.len(), self.columns.len(), "one cell for each column");
        self.rows.push(cells);
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl Column {
    /// A column of words.
    pub fn text(title: impl Into<Rich>) -> Self {
        Self {
            title: title.into(),
            side: Side::Left,
        }
    }

    /// A column of numbers.
    pub fn number(title: impl Into<Rich>) -> Self {
        Self {
            title: title.into(),
            side: Side::Right,
        }
    }
}
