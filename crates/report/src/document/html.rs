//! A document as one HTML file.

use std::fmt::Write;

use super::{Block, Document, Rich, Side, Span, Table};
use crate::escape::escape;
use crate::figure::FIGURE_CSS;

const INFALLIBLE: &str = "a string takes any text";

const CSS: &str = "\
:root{color-scheme:light dark;--bg:#fff;--fg:#1d1d1f;--soft:#5b5b60;--line:#dcdce0;--card:#f6f6f8;--link:#005a9c;--warn:#fff3dd;--warnline:#e69f00}
@media (prefers-color-scheme:dark){:root{--bg:#17181a;--fg:#ececee;--soft:#a9a9b0;--line:#3a3b40;--card:#202125;--link:#7cc0ff;--warn:#3a2c10;--warnline:#c98a10}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1120px;padding:1.5rem 1.5rem 4rem;background:var(--bg);color:var(--fg);font:16px/1.55 system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}
h1{font-size:1.7rem;line-height:1.25;margin:.5rem 0 1rem}h2{font-size:1.3rem;margin:2.6rem 0 .8rem;padding-bottom:.25rem;border-bottom:1px solid var(--line)}h3{font-size:1.05rem;margin:1.6rem 0 .5rem}
p{margin:.6rem 0;max-width:75ch}ul{max-width:80ch;padding-left:1.3rem}li{margin:.25rem 0}a{color:var(--link)}
nav{font-size:.9rem;margin:1rem 0}nav a{margin-right:1rem;white-space:nowrap}
code,pre{font:.88em/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace}code{overflow-wrap:anywhere}
pre{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:.7rem .9rem;overflow-x:auto;white-space:pre-wrap}
.wide{overflow-x:auto;margin:.8rem 0 1.2rem}table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:.35rem .6rem;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}th{border-bottom:2px solid var(--line);font-weight:600;vertical-align:bottom}
.n{text-align:right;white-space:nowrap}th.n{white-space:normal}th code,td:first-child{white-space:nowrap}td small{display:block;color:var(--soft)}caption{caption-side:bottom;text-align:left;color:var(--soft);font-size:.86rem;padding-top:.5rem;max-width:80ch}
figure{margin:1rem 0 1.8rem}figure .wide{margin:0}figcaption{color:var(--soft);font-size:.86rem;max-width:80ch;margin-top:.3rem}
.warning{background:var(--warn);border-left:4px solid var(--warnline);padding:.6rem .9rem;margin:.8rem 0;border-radius:0 6px 6px 0;max-width:none}
details{margin:.8rem 0;border:1px solid var(--line);border-radius:6px;padding:.4rem .9rem}summary{cursor:pointer;font-weight:600}
@media print{details{border:0}nav{display:none}}
";

pub(super) fn page(document: &Document) -> String {
    let title = escape(&document.title);
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{CSS}{FIGURE_CSS}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
    );
    write_blocks(&mut html, &document.lead);
    html.push_str("<nav aria-label=\"Sections\">");
    for section in &document.sections {
        write!(
            html,
            "<a href=\"#{}\">{}</a> ",
            section.id,
            escape(&section.title)
        )
        .expect(INFALLIBLE);
    }
    html.push_str("</nav>\n<main>\n");
    for section in &document.sections {
        writeln!(
            html,
            "<section id=\"{}\">\n<h2>{}</h2>",
            section.id,
            escape(&section.title)
        )
        .expect(INFALLIBLE);
        write_blocks(&mut html, &section.blocks);
        html.push_str("</section>\n");
    }
    html.push_str("</main>\n</body>\n</html>\n");
    html
}

fn write_blocks(html: &mut String, blocks: &[Block]) {
    for block in blocks {
        match block {
            Block::Heading(text) => writeln!(html, "<h3>{}</h3>", escape(text)),
            Block::Paragraph(text) => writeln!(html, "<p>{}</p>", rich(text)),
            Block::Warning(text) => writeln!(html, "<p class=\"warning\">{}</p>", rich(text)),
            Block::List(items) => {
                let items: Vec<String> = items.iter().map(|item| format!("<li>{}</li>", rich(item))).collect();
                writeln!(html, "<ul>\n{}\n</ul>", items.join("\n"))
            }
            Block::Table(table) => writeln!(html, "{}", table_html(table)),
            Block::Figure(figure, caption) => {
                let svg = figure.to_inline_svg();
                writeln!(html, "<figure>\n<div class=\"wide\">\n{svg}</div>\n<figcaption>{}</figcaption>\n</figure>", rich(caption))
            }
            Block::Code(text) => writeln!(html, "<pre>{}</pre>", escape(text)),
            Block::Folded(summary, blocks) => {
                writeln!(html, "<details>\n<summary>{}</summary>", escape(summary)).expect(INFALLIBLE);
                write_blocks(html, blocks);
                writeln!(html, "</details>")
            }
        }
        .expect(INFALLIBLE);
    }
}

fn table_html(table: &Table) -> String {
    let mut html = String::from("<div class=\"wide\">\n<table>\n");
    if let Some(caption) = &table.caption {
        writeln!(html, "<caption>{}</caption>", rich(caption)).expect(INFALLIBLE);
    }
    let class = |column: usize| match table.columns[column].side {
        Side::Left => "",
        Side::Right => " class=\"n\"",
    };
    html.push_str("<thead><tr>");
    for (index, column) in table.columns.iter().enumerate() {
        write!(
            html,
            "<th scope=\"col\"{}>{}</th>",
            class(index),
            rich(&column.title)
        )
        .expect(INFALLIBLE);
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for row in &table.rows {
        html.push_str("<tr>");
        for (index, cell) in row.iter().enumerate() {
            write!(html, "<td{}>{}</td>", class(index), rich(cell)).expect(INFALLIBLE);
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody>\n</table>\n</div>");
    html
}

fn rich(text: &Rich) -> String {
    let span = |span: &Span| match span {
        Span::Plain(text) => escape(text).replace('\n', "<br>"),
        Span::Code(text) => format!("<code>{}</code>", escape(text)),
        Span::Strong(text) => format!("<strong>{}</strong>", escape(text)),
        Span::Small(text) => format!("<small>{}</small>", escape(text)),
    };
    text.0.iter().map(span).collect()
}
