//! Each bound against an exhaustive search of small cases.

mod hits;
mod waiting;
