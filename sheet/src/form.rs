//! What the tables of one kind look like: each column beside the place that its values come from.

use crate::column::Column;
use crate::sheet::{Row, Sheet};
use crate::value::Value;
use std::fmt;

/// A column, and how its value is found in a `T`.
pub struct Field<'a, T> {
    column: Column,
    value: Box<dyn Fn(&T) -> Value + 'a>,
}

/// The columns of a table whose rows are each made from a `T`.
#[derive(Debug)]
pub struct Form<'a, T>(Vec<Field<'a, T>>);

impl Column {
    /// The column with the place that its values come from.
    pub fn of<'a, T, V: Into<Value>>(self, value: impl Fn(&T) -> V + 'a) -> Field<'a, T> {
        Field { column: self, value: Box::new(move |row| value(row).into()) }
    }
}

impl<'a, T> Form<'a, T> {
    /// The columns from left to right.
    pub fn new(fields: impl IntoIterator<Item = Field<'a, T>>) -> Self {
        Self(fields.into_iter().collect())
    }

    /// A sheet with these columns and without rows.
    pub fn sheet(&self, title: impl Into<String>) -> Sheet {
        Sheet::new(title, self.0.iter().map(|field| field.column.clone()).collect())
    }

    /// The row of a `T`, for a sheet with these columns.
    pub fn row(&self, of: &T) -> Row {
        self.0.iter().map(|field| (field.value)(of)).collect()
    }
}

impl<T> fmt::Debug for Field<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Field").field(&self.column).finish()
    }
}
