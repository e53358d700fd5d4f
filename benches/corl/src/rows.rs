//! Rows of files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use counterpoint::file::folder_of;
use counterpoint::image::RgbImage;
use counterpoint::{Error, Result};
use counterpoint_pictures::decode;
use serde_json::{Map, Value};

use crate::{Columns, Halves};

/// One row: a prompt to paint and a question about an image, as far as they are there.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Row {
    /// What to paint.
    pub prompt: String,
    /// The real image.
    pub image: Option<Picture>,
    /// The question.
    pub problem: String,
    /// Its answer.
    pub solution: String,
    /// The question's kind.
    pub kind: Option<String>,
    /// File and line or row, for messages.
    pub place: String,
}

/// An image that is decoded when it is needed.
#[derive(Debug, Clone, PartialEq)]
pub enum Picture {
    /// A file.
    Path(PathBuf),
    /// A file's content.
    Bytes(Arc<[u8]>),
}

impl Picture {
    fn load(&self) -> std::result::Result<RgbImage, Box<dyn std::error::Error + Send + Sync>> {
        match self {
            Self::Path(path) => {
                let bytes = std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
                decode(&bytes).map_err(|e| format!("{}: {e}", path.display()).into())
            }
            Self::Bytes(bytes) => decode(bytes),
        }
    }
}

impl Row {
    /// The real image, decoded.
    ///
    /// # Errors
    /// [`Data`](counterpoint::ErrorKind::Data) naming file and row when there is none or it is no image.
    pub fn picture(&self) -> Result<Arc<RgbImage>> {
        let bad = |what: &str| Error::data(format!("{}: {what}", self.place));
        let picture = self.image.as_ref().ok_or_else(|| bad("expected an image, got none"))?;
        let image = picture.load();
        image.map(Arc::new).map_err(|e| bad("expected an image, a PNG or JPEG file, got something else").with_source(e))
    }
}

/// The rows of a file, or of all files of a folder.
pub(crate) fn read(path: &Path, columns: &Columns, halves: Halves) -> Result<Vec<Row>> {
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        let cannot = |e| Error::data(format!("cannot read the folder {}", path.display())).with_source(e);
        let entries = std::fs::read_dir(path).map_err(cannot)?;
        files = entries.map(|entry| Ok(entry.map_err(cannot)?.path())).collect::<Result<Vec<_>>>()?;
        files.retain(|file| ending(file).is_some());
        files.sort();
    }
    let mut rows = Vec::new();
    for file in files {
        rows.extend(match ending(&file) {
            Some(Ending::Lines) => lines(&file, columns, halves)?,
            Some(Ending::Parquet) => parquet(&file, columns, halves)?,
            None => {
                return Err(Error::data(format!(
                    "expected a file that ends in .jsonl, .json or .parquet, or a folder of such files, got {}",
                    file.display()
                )));
            }
        });
    }
    if rows.is_empty() {
        return Err(Error::data(format!("expected one row or more in {}, got none", path.display())));
    }
    Ok(rows)
}

enum Ending {
    Lines,
    Parquet,
}

fn ending(file: &Path) -> Option<Ending> {
    match file.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "jsonl" | "json" => Some(Ending::Lines),
        "parquet" => Some(Ending::Parquet),
        _ => None,
    }
}

/// A cell of any file.
#[derive(Debug)]
enum Cell {
    Text(String),
    Picture(Picture),
}

fn row(mut cells: BTreeMap<&str, Cell>, columns: &Columns, halves: Halves, place: String) -> Result<Row> {
    let wrong = |column: &str, expected: &str, got: &str| {
        Error::data(format!("{place}: expected {expected} in column `{column}`, got {got}"))
    };
    for column in columns.needed(halves) {
        if !cells.contains_key(column) {
            let known = cells.keys().copied().collect::<Vec<_>>().join(", ");
            return Err(wrong(column, "something", &format!("nothing (there are: {known})")));
        }
    }
    let mut text = |column: &str| match cells.remove(column) {
        None => Ok(None),
        Some(Cell::Text(text)) => Ok(Some(text)),
        Some(Cell::Picture(_)) => Err(wrong(column, "text", "an image")),
    };
    let prompt = text(&columns.prompt)?.unwrap_or_default();
    let (problem, solution) =
        (text(&columns.problem)?.unwrap_or_default(), text(&columns.solution)?.unwrap_or_default());
    let kind = text(&columns.kind)?;
    let image = match cells.remove(columns.image.as_str()) {
        None => None,
        Some(Cell::Picture(picture)) => Some(picture),
        Some(Cell::Text(_)) => return Err(wrong(&columns.image, "an image", "text")),
    };
    Ok(Row { prompt, image, problem, solution, kind, place })
}

fn lines(file: &Path, columns: &Columns, halves: Halves) -> Result<Vec<Row>> {
    let cannot = |e: std::io::Error| Error::data(format!("cannot read {}", file.display())).with_source(e);
    let folder = folder_of(file);
    let mut rows = Vec::new();
    for (number, line) in BufReader::new(File::open(file).map_err(cannot)?).lines().enumerate() {
        let line = line.map_err(cannot)?;
        if line.trim().is_empty() {
            continue;
        }
        let place = format!("{}, line {}", file.display(), number + 1);
        let values: Map<String, Value> = serde_json::from_str(&line)
            .map_err(|e| Error::data(format!("{place}: expected a JSON object in one line")).with_source(e))?;
        let mut cells = BTreeMap::new();
        for (column, value) in &values {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                _ => continue,
            };
            let cell = match *column == columns.image {
                true => Cell::Picture(Picture::Path(folder.join(text))),
                false => Cell::Text(text),
            };
            cells.insert(column.as_str(), cell);
        }
        rows.push(row(cells, columns, halves, place)?);
    }
    Ok(rows)
}

#[cfg(feature = "parquet")]
fn parquet(file: &Path, columns: &Columns, halves: Halves) -> Result<Vec<Row>> {
    use counterpoint_rows as rows;

    let (needed, optional) = (columns.needed(halves), columns.optional(halves));
    let found = rows::rows(file, &needed, &optional)
        .map_err(|e| Error::data(format!("cannot use {}", file.display())).with_source(e))?;
    let folder = folder_of(file);
    let mut all = Vec::with_capacity(found.len());
    for (number, cells) in found.iter().enumerate() {
        let cell = |cell: &rows::Cell| match cell {
            rows::Cell::Null => None,
            rows::Cell::Text(text) => Some(Cell::Text(text.clone())),
            rows::Cell::Image { bytes: Some(bytes), .. } => {
                Some(Cell::Picture(Picture::Bytes(bytes.as_slice().into())))
            }
            rows::Cell::Image { path: Some(path), .. } => Some(Cell::Picture(Picture::Path(folder.join(path)))),
            rows::Cell::Image { .. } => None,
        };
        let cells = cells.iter().filter_map(|(column, value)| Some((column.as_str(), cell(value)?))).collect();
        all.push(row(cells, columns, halves, format!("{}, row {number}", file.display()))?);
    }
    Ok(all)
}

#[cfg(not(feature = "parquet"))]
fn parquet(file: &Path, _columns: &Columns, _halves: Halves) -> Result<Vec<Row>> {
    Err(Error::data(format!(
        "{} is a Parquet file, which this program was built without: build it with `--features parquet`, or give JSON Lines",
        file.display()
    )))
}
