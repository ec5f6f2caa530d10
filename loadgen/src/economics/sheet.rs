//! The price sheet: what a site, its power and API services cost.

use crate::files::{bad, bad_field, parse_toml, read};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use warmpath_core::engine::physics::Hardware;
use warmpath_core::report::{Rate, Rates};

const DEFAULT: &str = include_str!("../../../deploy/economics.toml");

/// A file such as `deploy/economics.toml`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sheet {
    pub site: Site,
    /// USD per chip and hour, by the device's name.
    #[serde(default)]
    pub usd_per_hour: BTreeMap<String, f64>,
    pub user: User,
    pub api: Vec<Api>,
}

#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    pub overhead: f64,
    /// Power of the host per chip.
    pub host_watts: f64,
    pub idle_host_watts: f64,
    pub usd_per_kwh: f64,
    pub pool_usd_per_tb_hour: f64,
    pub pool_watts_per_tb: f64,
}

#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    pub usd_per_kwh: f64,
    pub charged_share: f64,
}

/// An API service. Prices are USD per million tokens.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Api {
    pub name: String,
    pub input: f64,
    /// Input tokens that the service found in its cache.
    pub cached: f64,
    pub output: f64,
}

impl Api {
    /// Cost in USD of this many tokens of each kind.
    pub fn usd(&self, computed: f64, cached: f64, output: f64) -> f64 {
        (self.input * computed + self.cached * cached + self.output * output) / 1e6
    }
}

impl Sheet {
    /// Reads the price sheet `path`, or the built-in one.
    pub fn load(path: Option<&Path>) -> Result<Self> {
        let (origin, text) = match path {
            Some(path) => (path.display().to_string(), read(path)?),
            None => ("deploy/economics.toml".to_owned(), DEFAULT.to_owned()),
        };
        let sheet: Self = parse_toml(&origin, &text)?;
        sheet.check().map_err(|(field, why)| bad_field(&origin, &text, &field, &why))?;
        Ok(sheet)
    }

    fn check(&self) -> Result<(), (String, String)> {
        let Self { site, user, .. } = self;
        let amounts = [
            ("site.overhead", site.overhead, 1.0, 10.0),
            ("site.host_watts", site.host_watts, 0.0, 1e6),
            ("site.idle_host_watts", site.idle_host_watts, 0.0, 1e6),
            ("site.usd_per_kwh", site.usd_per_kwh, 0.0, 1e3),
            ("site.pool_usd_per_tb_hour", site.pool_usd_per_tb_hour, 0.0, 1e6),
            ("site.pool_watts_per_tb", site.pool_watts_per_tb, 0.0, 1e6),
            ("user.usd_per_kwh", user.usd_per_kwh, 0.0, 1e3),
            ("user.charged_share", user.charged_share, 0.0, 1.0),
        ];
        let amounts = amounts.map(|(field, value, least, most)| (field.into(), value, least, most));
        let chips = self.usd_per_hour.iter();
        let chips = chips.map(|(chip, &usd)| (format!("usd_per_hour.{chip}"), usd, 0.0, 1e6));
        let services = self.api.iter().flat_map(|api| {
            let prices = [("input", api.input), ("cached", api.cached), ("output", api.output)];
            prices.map(|(what, usd)| (format!("api.{what}"), usd, 0.0, 1e6))
        });
        for (field, value, least, most) in amounts.into_iter().chain(chips).chain(services) {
            if !(least..=most).contains(&value) {
                return Err((field, format!("{value}, expected {least} to {most}")));
            }
        }
        if self.api.is_empty() {
            return Err(("api".into(), "none, expected at least one [[api]]".into()));
        }
        Ok(())
    }

    /// Overrides prices with those of the command line, such as `h100=2.50`.
    pub fn set_prices(&mut self, prices: &[(String, f64)]) {
        self.usd_per_hour.extend(prices.iter().cloned());
    }

    /// Power and cost of cluster workers. NaN: unknown for their chips.
    pub fn cluster(&self, hardware: &Hardware) -> Rates {
        let site = &self.site;
        let chips = f64::from(hardware.chips);
        let known = |value: Option<f64>| value.unwrap_or(f64::NAN);
        let priced = self.usd_per_hour.get(&hardware.device).copied().or(hardware.usd_per_hour);
        let rate = |watts: f64| {
            // The buyer of a chip pays for its power too.
            let bought = hardware.purchase.map(|purchase| {
                purchase.usd_per_hour() + watts / 1e3 * site.overhead * site.usd_per_kwh
            });
            Rate { watts: watts * chips, usd_per_hour: known(priced.or(bought)) * chips }
        };
        Rates {
            busy: rate(known(hardware.watts) + site.host_watts),
            idle: rate(known(hardware.idle_watts) + site.idle_host_watts),
            overhead: site.overhead,
        }
    }

    /// Power and cost of a user's own device: its power while it computes, and the charged share of
    /// everything else.
    pub fn device(&self, hardware: &Hardware) -> Rates {
        let User { usd_per_kwh, charged_share: share } = self.user;
        let chips = f64::from(hardware.chips);
        let known = |value: Option<f64>| value.unwrap_or(f64::NAN) * chips;
        let (watts, idle_watts) = (known(hardware.watts), known(hardware.idle_watts));
        let purchase = hardware.purchase.map(|purchase| purchase.usd_per_hour());
        // A value whose charged share is 0 need not be known.
        let owned = if share > 0.0 { share * known(purchase) } else { 0.0 };
        let idle_power = if share > 0.0 { share * idle_watts / 1e3 * usd_per_kwh } else { 0.0 };
        Rates {
            busy: Rate { watts, usd_per_hour: owned + watts / 1e3 * usd_per_kwh },
            idle: Rate { watts: idle_watts, usd_per_hour: owned + idle_power },
            overhead: 1.0,
        }
    }
}

/// Reads `NAME=USD` of a command line.
pub fn parse_price(text: &str) -> Result<(String, f64), String> {
    let expected =
        || "expected NAME=USD, a device and the price of its chip for an hour".to_owned();
    let (name, usd) = text.split_once('=').ok_or_else(expected)?;
    let usd: f64 = usd.parse().map_err(|_| expected())?;
    if name.is_empty() || !(0.0..=1e6).contains(&usd) {
        return Err(expected());
    }
    Ok((name.to_owned(), usd))
}

/// Checks that each price names a device.
pub fn check_devices(prices: &[(String, f64)]) -> Result<()> {
    for (name, _) in prices {
        warmpath_launch::profiles::device(name, Path::new(""))
            .map_err(|why| bad(format!("--price: {why}")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hardware(profile: &str) -> Hardware {
        let profile = warmpath_launch::profiles::load(profile, Path::new(""))
            .expect("it comes with the program");
        profile.hardware().expect("it is made from a device").clone()
    }

    #[test]
    fn a_rented_worker_costs_the_same_busy_or_idle_and_draws_less_power_idle() {
        let sheet = Sheet::load(None).unwrap();
        let rates = sheet.cluster(&hardware("llama-70b-fp8-4xh100"));
        assert_eq!(rates.busy, Rate { watts: 4.0 * 1050.0, usd_per_hour: 4.0 * 2.95 });
        assert_eq!(rates.idle, Rate { watts: 4.0 * 275.0, usd_per_hour: 4.0 * 2.95 });
    }

    #[test]
    fn a_chip_without_a_price_gets_one_from_the_command_line() {
        let mut sheet = Sheet::load(None).unwrap();
        let chips = hardware("deepseek-v3-nvfp4-8xgb300");
        assert!(sheet.cluster(&chips).busy.usd_per_hour.is_nan());
        sheet.set_prices(&[("gb300".to_owned(), 7.0)]);
        assert_eq!(sheet.cluster(&chips).busy.usd_per_hour, 56.0);
    }

    #[test]
    fn an_owned_device_costs_its_power_and_a_charged_one_also_its_price_and_idle_power() {
        let mut sheet = Sheet::load(None).unwrap();
        let laptop = hardware("llama-8b-int4-m5-max");
        let owned = sheet.device(&laptop);
        assert_eq!((owned.busy.usd_per_hour, owned.idle.usd_per_hour), (0.075 * 0.17, 0.0));
        sheet.user.charged_share = 1.0;
        let bought = sheet.device(&laptop);
        let hourly = 5000.0 / (4.0 * 8766.0);
        assert!((bought.idle.usd_per_hour - (hourly + 0.01 * 0.17)).abs() < 1e-12);
        assert!((bought.busy.usd_per_hour - (hourly + 0.075 * 0.17)).abs() < 1e-12);
    }
}
