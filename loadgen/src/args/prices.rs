//! Prices from the command line.

use crate::economics::{Sheet, check_devices, parse_price};
use clap::Args;
use std::path::PathBuf;

/// What energy and money are reckoned with.
#[derive(Clone, Debug, Args)]
pub struct Prices {
    /// Prices of power, machines and services; without it those of deploy/economics.toml
    #[arg(long, value_name = "FILE")]
    pub prices: Option<PathBuf>,
    /// What a chip costs an hour: h100=2.50; in place of what its row says
    #[arg(long = "price", value_name = "NAME=USD", value_parser = parse_price)]
    pub price: Vec<(String, f64)>,
}

impl Prices {
    /// Who names a price wants to see costs.
    pub const fn are_given(&self) -> bool {
        self.prices.is_some() || !self.price.is_empty()
    }

    pub fn load(&self) -> anyhow::Result<Sheet> {
        let mut sheet = Sheet::load(self.prices.as_deref())?;
        check_devices(&self.price)?;
        sheet.set_prices(&self.price);
        Ok(sheet)
    }
}
