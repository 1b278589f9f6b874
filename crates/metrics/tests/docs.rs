use std::path::Path;

/// `docs/metrics.md` says what the table says. `UPDATE=1` rewrites it.
#[test]
fn the_page_of_metrics_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let page = preflab_metrics::markdown_table();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/metrics.md is out of date\n\nhint: UPDATE=1 cargo test -p preflab-metrics"
    );
}
