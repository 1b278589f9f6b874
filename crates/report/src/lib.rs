//! Records to tables, figures, HTML, Markdown and CSV.
