//! What an advice is written from.

use super::facts::{Facts, Rates};
use super::options::{Decision, Inputs};
use super::sensitivity::Sensitivity;
use crate::economics::Sheet;
use crate::figures::RunReport;
use crate::setup::Setup;

#[derive(Debug)]
pub struct Asked<'a> {
    pub setup: &'a Setup,
    pub sheet: &'a Sheet,
    pub facts: &'a Facts,
    pub rates: &'a Rates,
    pub inputs: &'a Inputs,
    pub decision: &'a Decision,
    pub sensitivity: &'a [Sensitivity],
    pub played: Option<&'a RunReport>,
    pub monthly_given: bool,
    pub users_given: bool,
}
