//! Result tables: each row type is declared once, with a name, a type and a meaning a column, and
//! whoever writes a report reads the schema from here.

/// The cells of one column, in row order.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// Small counts and indices.
    U32(Vec<u32>),
    /// Counts, addresses and picoseconds.
    U64(Vec<u64>),
    /// Addresses and indices that may be absent.
    OptionalU64(Vec<Option<u64>>),
    /// Ratios, rates and nanoseconds.
    F64(Vec<f64>),
    /// The same, where they may be absent.
    OptionalF64(Vec<Option<f64>>),
    /// Flags.
    Bool(Vec<bool>),
    /// Names.
    Text(Vec<String>),
    /// Names that may be absent.
    OptionalText(Vec<Option<String>>),
    /// Names out of a fixed set.
    Name(Vec<&'static str>),
    /// Names out of a fixed set that may be absent.
    OptionalName(Vec<Option<&'static str>>),
}

impl Column {
    /// How many cells the column holds.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::U32(cells) => cells.len(),
            Self::U64(cells) => cells.len(),
            Self::OptionalU64(cells) => cells.len(),
            Self::F64(cells) => cells.len(),
            Self::OptionalF64(cells) => cells.len(),
            Self::Bool(cells) => cells.len(),
            Self::Text(cells) => cells.len(),
            Self::OptionalText(cells) => cells.len(),
            Self::Name(cells) => cells.len(),
            Self::OptionalName(cells) => cells.len(),
        }
    }

    /// Appends the cells of a column of the same type.
    ///
    /// # Panics
    /// If the types differ.
    pub fn extend(&mut self, other: Self) {
        match (self, other) {
            (Self::U32(cells), Self::U32(more)) => cells.extend(more),
            (Self::U64(cells), Self::U64(more)) => cells.extend(more),
            (Self::OptionalU64(cells), Self::OptionalU64(more)) => cells.extend(more),
            (Self::F64(cells), Self::F64(more)) => cells.extend(more),
            (Self::OptionalF64(cells), Self::OptionalF64(more)) => cells.extend(more),
            (Self::Bool(cells), Self::Bool(more)) => cells.extend(more),
            (Self::Text(cells), Self::Text(more)) => cells.extend(more),
            (Self::OptionalText(cells), Self::OptionalText(more)) => cells.extend(more),
            (Self::Name(cells), Self::Name(more)) => cells.extend(more),
            (Self::OptionalName(cells), Self::OptionalName(more)) => cells.extend(more),
            _ => panic!("the columns are of different types"),
        }
    }

    /// Whether the column holds no cell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A Rust type that can be a cell.
pub trait Cell {
    /// An empty column of this type.
    fn empty() -> Column;
    /// Appends the cell; the column must be of this type.
    fn push(self, column: &mut Column);
}

macro_rules! cell {
    ($type:ty, $variant:ident) => {
        impl Cell for $type {
            fn empty() -> Column {
                Column::$variant(Vec::new())
            }
            fn push(self, column: &mut Column) {
                let Column::$variant(cells) = column else {
                    unreachable!("a column keeps the type of its field")
                };
                cells.push(self);
            }
        }
    };
}
cell!(u32, U32);
cell!(u64, U64);
cell!(Option<u64>, OptionalU64);
cell!(f64, F64);
cell!(Option<f64>, OptionalF64);
cell!(bool, Bool);
cell!(String, Text);
cell!(Option<String>, OptionalText);
cell!(&'static str, Name);
cell!(Option<&'static str>, OptionalName);

/// Name and meaning of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The column's name, with its unit.
    pub name: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

/// A row of a result table.
pub trait Row {
    /// The table's name; its file is `<NAME>.parquet`.
    const NAME: &'static str;
    /// The columns, in order.
    const FIELDS: &'static [Field];
    /// Empty columns of the right types, in order.
    fn empty_columns() -> Vec<Column>;
    /// Appends the row to the columns, in order.
    fn append(self, columns: &mut [Column]);
}

/// Rows of one type, kept as columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The table's name.
    pub name: &'static str,
    /// Names and meanings of the columns.
    pub fields: &'static [Field],
    /// One column a field, all of one length.
    pub columns: Vec<Column>,
}

impl Table {
    /// A table of `R` without rows.
    #[must_use]
    pub fn new<R: Row>() -> Self {
        Self { name: R::NAME, fields: R::FIELDS, columns: R::empty_columns() }
    }

    /// Appends a row; `R` must be the type the table was made for.
    pub fn push<R: Row>(&mut self, row: R) {
        debug_assert_eq!(R::NAME, self.name);
        row.append(&mut self.columns);
    }

    /// Appends the rows of a table of the same row type.
    ///
    /// # Panics
    /// If the row types differ.
    pub fn extend(&mut self, other: Self) {
        assert_eq!(self.name, other.name, "rows of one type");
        for (column, more) in self.columns.iter_mut().zip(other.columns) {
            column.extend(more);
        }
    }

    /// How many rows the table holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.columns.first().map_or(0, Column::len)
    }

    /// Whether the table holds no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<R: Row> FromIterator<R> for Table {
    fn from_iter<I: IntoIterator<Item = R>>(rows: I) -> Self {
        let mut table = Self::new::<R>();
        for row in rows {
            table.push(row);
        }
        table
    }
}

/// Declares a row type: a struct whose field docs become the meanings of its columns.
macro_rules! row {
    (
        $(#[doc = $about:literal])+
        $name:ident => $table:literal {
            $($(#[doc = $meaning:literal])+ $field:ident: $type:ty,)+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name {
            $($(#[doc = $meaning])+ pub $field: $type,)+
        }

        impl $crate::table::Row for $name {
            const NAME: &'static str = $table;
            const FIELDS: &'static [$crate::table::Field] = &[
                $($crate::table::Field { name: stringify!($field), meaning: concat!($($meaning),+) },)+
            ];
            fn empty_columns() -> Vec<$crate::table::Column> {
                vec![$(<$type as $crate::table::Cell>::empty()),+]
            }
            fn append(self, columns: &mut [$crate::table::Column]) {
                let mut columns = columns.iter_mut();
                $(
                    $crate::table::Cell::push(
                        self.$field,
                        columns.next().expect("a column a field"),
                    );
                )+
            }
        }
    };
}
pub(crate) use row;
