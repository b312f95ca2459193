//! Dense columns: the components of one kind of entity as slices.

/// The columns of a query whose entities lie in one table, as shared slices.
macro_rules! columns {
    ($query:expr) => {
        $query
            .contiguous_iter()
            .expect("hot components are kept in tables")
            .next()
            .expect("entities of a kind lie in one table")
    };
}

/// The columns of a query whose entities lie in one table, mutable where the query is.
macro_rules! columns_mut {
    ($query:expr) => {
        $query
            .contiguous_iter_mut()
            .expect("hot components are kept in tables")
            .next()
            .expect("entities of a kind lie in one table")
    };
}

/// The same, where any entity matches.
macro_rules! optional_columns_mut {
    ($query:expr) => {
        $query.contiguous_iter_mut().expect("hot components are kept in tables").next()
    };
}

pub(crate) use {columns, columns_mut, optional_columns_mut};
