//! Reading a report's table back.

use std::collections::BTreeMap;
use std::path::Path;

use polars_arrow::array::{Array, BooleanArray, PrimitiveArray, Utf8ViewArray};
use polars_arrow::types::NativeType;

use crate::error::ReportError;
use crate::parquet::ParquetFile;

/// The cells of a column, in row order, `None` where null.
#[derive(Clone, Debug, PartialEq)]
pub enum Cells {
    /// `UInt32`.
    U32(Vec<Option<u32>>),
    /// `UInt64`.
    U64(Vec<Option<u64>>),
    /// `Int64`.
    I64(Vec<Option<i64>>),
    /// `Float64`.
    F64(Vec<Option<f64>>),
    /// `Boolean`.
    Bool(Vec<Option<bool>>),
    /// `String`.
    Text(Vec<Option<String>>),
}

/// A table of a report as its file holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredTable {
    /// Names and cells of the columns, in order.
    pub columns: Vec<(String, Cells)>,
    /// Rows of each row group.
    pub row_groups: Vec<usize>,
    /// The key-value metadata.
    pub metadata: BTreeMap<String, String>,
}

impl StoredTable {
    /// Reads a table whole.
    ///
    /// # Errors
    /// If the file cannot be read, or has a column of a type that no report has.
    pub fn read(path: &Path) -> Result<Self, ReportError> {
        Self::read_columns(path, &|_| true)
    }

    /// Reads the columns of a table whose names are `wanted`.
    ///
    /// # Errors
    /// If the file cannot be read, or such a column has a type that no report has.
    pub fn read_columns(path: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<Self, ReportError> {
        let mut file = ParquetFile::open(path)?;
        let row_groups = file.row_groups();
        let fields: Vec<_> = file.schema().iter_values().cloned().collect();
        let mut columns = Vec::with_capacity(fields.len());
        for (index, field) in fields.iter().enumerate().filter(|(_, field)| wanted(&field.name)) {
            let mut cells = Cells::of_type(&field.dtype).ok_or_else(|| {
                let name = field.name.escape_debug();
                ReportError::read(path, format!("column `{name}` has type {:?}", field.dtype))
            })?;
            for (row_group, &rows) in row_groups.iter().enumerate() {
                let chunk = file.read_chunk(row_group, index)?;
                cells.extend(&*file.decode(&chunk, 0..rows)?);
            }
            columns.push((field.name.to_string(), cells));
        }
        Ok(Self { columns, row_groups, metadata: file.key_values() })
    }

    /// How many rows the table has.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.row_groups.iter().sum()
    }

    /// The cells of the column `name`.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Cells> {
        self.columns.iter().find(|(column, _)| column == name).map(|(_, cells)| cells)
    }

    /// The columns without those about the host, `wall_*`: what must not depend on the machine.
    #[must_use]
    pub fn without_wall(&self) -> Vec<(String, Cells)> {
        self.columns.iter().filter(|(name, _)| !name.starts_with("wall_")).cloned().collect()
    }
}

impl Cells {
    fn of_type(dtype: &polars_arrow::datatypes::ArrowDataType) -> Option<Self> {
        use polars_arrow::datatypes::ArrowDataType as Type;
        Some(match dtype {
            Type::UInt32 => Self::U32(Vec::new()),
            Type::UInt64 => Self::U64(Vec::new()),
            Type::Int64 => Self::I64(Vec::new()),
            Type::Float64 => Self::F64(Vec::new()),
            Type::Boolean => Self::Bool(Vec::new()),
            Type::Utf8View => Self::Text(Vec::new()),
            _ => return None,
        })
    }

    /// Appends an array of this type.
    fn extend(&mut self, array: &dyn Array) {
        fn numbers<T: NativeType>(cells: &mut Vec<Option<T>>, array: &dyn Array) {
            let array: &PrimitiveArray<T> = cast(array);
            cells.extend(array.iter().map(Option::<&T>::copied));
        }
        match self {
            Self::U32(cells) => numbers(cells, array),
            Self::U64(cells) => numbers(cells, array),
            Self::I64(cells) => numbers(cells, array),
            Self::F64(cells) => numbers(cells, array),
            Self::Bool(cells) => cells.extend(cast::<BooleanArray>(array).iter()),
            Self::Text(cells) => {
                cells.extend(cast::<Utf8ViewArray>(array).iter().map(|text| text.map(String::from)));
            }
        }
    }
}

/// The array as its type, which the schema gave.
fn cast<A: Array>(array: &dyn Array) -> &A {
    array.as_any().downcast_ref().expect("an array of the schema's type")
}
