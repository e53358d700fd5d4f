//! Files that `pyarrow` wrote (`../tests/fixtures/make.py`).
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use counterpoint_rows::{Cell, Error, rows};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name)
}

#[test]
fn cells_are_texts_numbers_and_images() {
    let rows =
        rows(&fixture("rows.parquet"), &["prompt", "real_image", "qa_solution"], &["qa_type", "elsewhere"]).unwrap();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0]["prompt"], Cell::Text("a red hat on a beach".to_owned()));
    let red = std::fs::read(fixture("red.png")).unwrap();
    assert_eq!(rows[0]["real_image"], Cell::Image { bytes: Some(red), path: Some("red.png".to_owned()) });
    assert_eq!(rows[1]["real_image"], Cell::Image { bytes: None, path: Some("blue.jpg".to_owned()) });
    assert_eq!(rows[2]["qa_type"], Cell::Null);
    assert_eq!(
        rows[0].keys().map(String::as_str).collect::<Vec<_>>(),
        ["prompt", "qa_solution", "qa_type", "real_image"]
    );
}

#[test]
fn what_is_wrong_is_named() {
    let of = |name: &str, column: &str| rows(&fixture(name), &[column], &[]);
    assert!(matches!(of("none.parquet", "a"), Err(Error::Open(_))));
    assert!(matches!(of("red.png", "a"), Err(Error::Parquet(_))));
    let Err(Error::Column { name, known }) = of("rows.parquet", "text") else { panic!("expected a missing column") };
    assert!(name == "text" && known.contains(&"qa_problem".to_owned()));
    let error = of("other.parquet", "list").unwrap_err().to_string();
    assert!(error.starts_with("column `list`, row 0: expected text, a number or an image"), "{error}");
}
