//! Records to tables, figures, HTML, Markdown and CSV.

mod escape;
pub mod figure;
