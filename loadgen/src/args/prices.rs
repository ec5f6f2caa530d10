//! The flags for prices.

use crate::economics::{Sheet, check_devices, parse_price};
use clap::Args;
use std::path::PathBuf;

/// Prices for energy and cost.
#[derive(Clone, Debug, Args)]
pub struct Prices {
    /// Price sheet (TOML): power, machines and services [default: the built-in
    /// deploy/economics.toml]
    #[arg(long, value_name = "FILE")]
    pub prices: Option<PathBuf>,
    /// Price of one chip of a device in USD per hour, such as h100=2.50; overrides the price sheet;
    /// repeat the flag for more devices
    #[arg(long = "price", value_name = "NAME=USD", value_parser = parse_price)]
    pub price: Vec<(String, f64)>,
}

impl Prices {
    /// Whether a price was given. Then costs are computed without `--cost`.
    pub const fn are_given(&self) -> bool {
        self.prices.is_some() || !self.price.is_empty()
    }

    /// The price sheet with the prices of `--price`.
    pub fn load(&self) -> anyhow::Result<Sheet> {
        let mut sheet = Sheet::load(self.prices.as_deref())?;
        check_devices(&self.price)?;
        sheet.set_prices(&self.price);
        Ok(sheet)
    }
}
