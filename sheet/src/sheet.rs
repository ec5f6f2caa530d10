//! A table as data.

use crate::column::Column;
use crate::value::Value;

/// A row: a cell for each column.
pub type Row = Vec<Value>;

/// A table: what it is about, its columns, its rows, and what a reader must know besides.
#[derive(Clone, PartialEq, Debug)]
pub struct Sheet {
    /// What the table is about, in one line; may be empty.
    pub title: String,
    columns: Vec<Column>,
    /// Rows that belong together; text has a blank line between two groups.
    groups: Vec<Vec<Row>>,
    /// Lines behind the table.
    pub notes: Vec<String>,
    /// How many of the first columns name a row; a table that is broken in two repeats them.
    pub labels: usize,
    /// What happens to it where there is little room.
    pub narrow: Narrow,
}

/// What becomes of a table that is too wide.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Narrow {
    /// It becomes several tables, one below the other, each with the label columns.
    Break,
    /// It loses columns by their rank, and a line says which. What is still too wide is broken.
    Drop,
}

impl Sheet {
    /// A sheet without rows, whose first column is its label.
    ///
    /// # Panics
    /// If two columns have the same key.
    pub fn new(title: impl Into<String>, columns: Vec<Column>) -> Self {
        for (i, column) in columns.iter().enumerate() {
            let twice = columns[..i].iter().any(|other| other.key == column.key);
            assert!(!twice, "two columns have the key {}", column.key);
        }
        let (groups, notes) = (Vec::new(), Vec::new());
        Self { title: title.into(), columns, groups, notes, labels: 1, narrow: Narrow::Break }
    }

    /// Sets its title.
    pub fn titled(self, title: impl Into<String>) -> Self {
        Self { title: title.into(), ..self }
    }

    /// Sets how many of the first columns name a row.
    pub fn labels(self, labels: usize) -> Self {
        Self { labels, ..self }
    }

    /// Lets a narrow table lose columns by their rank.
    pub fn dropping(self) -> Self {
        Self { narrow: Narrow::Drop, ..self }
    }

    /// Adds a row to the last group.
    ///
    /// # Panics
    /// If the row has more or fewer cells than there are columns, or a value that is not of its column's shape.
    pub fn push(&mut self, row: impl IntoIterator<Item = Value>) {
        let row: Row = row.into_iter().collect();
        let (cells, columns) = (row.len(), self.columns.len());
        assert_eq!(cells, columns, "cells in a row of \"{}\"", self.title);
        for (column, value) in self.columns.iter().zip(&row) {
            assert!(column.takes(value), "{value:?} in the column {}", column.key);
        }
        match self.groups.last_mut() {
            Some(group) => group.push(row),
            None => self.groups.push(vec![row]),
        }
    }

    /// Begins a new group of rows, unless the last one is empty.
    pub fn begin_group(&mut self) {
        if self.groups.last().is_some_and(|group| !group.is_empty()) {
            self.groups.push(Vec::new());
        }
    }

    /// Adds a line behind the table.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Its columns, in order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Its groups of rows; none is empty.
    pub fn groups(&self) -> impl Iterator<Item = &[Row]> {
        self.groups.iter().map(Vec::as_slice).filter(|group| !group.is_empty())
    }

    /// All its rows, in order.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.groups.iter().flatten()
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.rows().next().is_none()
    }

    /// The same rows with only some columns, in the order of `keys`: a view for one purpose.
    ///
    /// # Panics
    /// If no column has one of the keys.
    pub fn pick<K: AsRef<str>>(&self, keys: impl IntoIterator<Item = K>) -> Self {
        let place = |key: K| {
            let found = self.columns.iter().position(|column| column.key == key.as_ref());
            found.unwrap_or_else(|| panic!("\"{}\" has no column {}", self.title, key.as_ref()))
        };
        let places: Vec<usize> = keys.into_iter().map(place).collect();
        let cells = |row: &Row| places.iter().map(|&place| row[place].clone()).collect();
        let rows = |group: &Vec<Row>| group.iter().map(cells).collect();
        Self {
            columns: places.iter().map(|&place| self.columns[place].clone()).collect(),
            groups: self.groups.iter().map(rows).collect(),
            ..self.clone()
        }
    }
}
