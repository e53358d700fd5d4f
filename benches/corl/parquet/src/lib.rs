//! Rows of a Parquet file: texts and images of the columns that are asked for.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use parquet::schema::types::Type;

/// What a cell holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Nothing.
    Null,
    /// Text, or a number written out.
    Text(String),
    /// An image: its bytes, or else the path that is beside them, as Hugging Face's `datasets` stores images.
    Image {
        /// The file's content.
        bytes: Option<Vec<u8>>,
        /// Where it came from.
        path: Option<String>,
    },
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be opened.
    #[error("cannot open it")]
    Open(#[source] std::io::Error),
    /// It is no Parquet file, or a damaged one.
    #[error("it is no Parquet file, or a damaged one")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// A column is missing.
    #[error("expected a column `{name}`, got {}", known.join(", "))]
    Column {
        /// The one that was asked for.
        name: String,
        /// Those that are there.
        known: Vec<String>,
    },
    /// A cell holds something else than text, a number or an image.
    #[error(
        "column `{column}`, row {row}: expected text, a number or an image (a struct of bytes and path), got {got}"
    )]
    Cell {
        /// The column.
        column: String,
        /// The row, from 0 on.
        row: usize,
        /// What it holds.
        got: String,
    },
}

/// All rows of the file, with the cells of `columns`; of the columns `optional` those that are there.
///
/// # Errors
/// When it cannot be read, a column is missing or a cell holds something else.
pub fn rows(path: &Path, columns: &[&str], optional: &[&str]) -> Result<Vec<BTreeMap<String, Cell>>, Error> {
    let reader = SerializedFileReader::new(File::open(path).map_err(Error::Open)?)?;
    let schema = reader.metadata().file_metadata().schema();
    let known: Vec<String> = schema.get_fields().iter().map(|field| field.name().to_owned()).collect();
    if let Some(name) = columns.iter().find(|name| !known.iter().any(|known| known == *name)) {
        return Err(Error::Column { name: (*name).to_owned(), known });
    }
    let wanted = |name: &str| columns.contains(&name) || optional.contains(&name);
    let fields = schema.get_fields().iter().filter(|field| wanted(field.name())).cloned().collect();
    let projection = Type::group_type_builder(schema.name()).with_fields(fields).build()?;
    let mut rows = Vec::new();
    for (number, row) in reader.get_row_iter(Some(projection))?.enumerate() {
        let mut cells = BTreeMap::new();
        for (column, field) in row?.into_columns() {
            let got = cell(field).map_err(|got| Error::Cell { column: column.clone(), row: number, got })?;
            cells.insert(column, got);
        }
        rows.push(cells);
    }
    Ok(rows)
}

/// The cell, or what else there is.
fn cell(field: Field) -> Result<Cell, String> {
    Ok(match field {
        Field::Null => Cell::Null,
        Field::Str(text) => Cell::Text(text),
        Field::Bytes(bytes) => Cell::Image { bytes: Some(bytes.data().to_vec()), path: None },
        Field::Group(group) => image(group)?,
        Field::Bool(_)
        | Field::Byte(_)
        | Field::Short(_)
        | Field::Int(_)
        | Field::Long(_)
        | Field::UByte(_)
        | Field::UShort(_)
        | Field::UInt(_)
        | Field::ULong(_)
        | Field::Float(_)
        | Field::Double(_) => Cell::Text(field.to_string()),
        other => return Err(format!("{other}").chars().take(80).collect()),
    })
}

fn image(group: Row) -> Result<Cell, String> {
    let (mut bytes, mut path) = (None, None);
    for (name, field) in group.into_columns() {
        match (name.as_str(), field) {
            ("bytes", Field::Bytes(data)) => bytes = Some(data.data().to_vec()),
            ("path", Field::Str(text)) => path = Some(text),
            ("bytes" | "path", Field::Null) => {}
            (other, _) => return Err(format!("a struct with `{other}`")),
        }
    }
    if bytes.is_none() && path.is_none() { Ok(Cell::Null) } else { Ok(Cell::Image { bytes, path }) }
}
