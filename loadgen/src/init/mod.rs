//! Files to start from: each runs as it is, and says what its keys mean.

mod profile;

pub use profile::{Asked, profile};

const PROFILE: &str = include_str!("profile.toml");
const WORKLOAD: &str = include_str!("workload.toml");
const SCENARIO: &str = include_str!("scenario.toml");
const DEVICE: &str = include_str!("device.toml");

/// A kind of file.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum, Debug)]
pub enum Kind {
    /// How a model is served on a device
    Profile,
    /// What the requests are
    Workload,
    /// Workers, workload, policies and SLO
    Scenario,
    /// An accelerator: its data sheet
    Device,
}

impl Kind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::Workload => "workload",
            Self::Scenario => "scenario",
            Self::Device => "device",
        }
    }

    /// The text of a file of this kind.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Profile => PROFILE,
            Self::Workload => WORKLOAD,
            Self::Scenario => SCENARIO,
            Self::Device => DEVICE,
        }
    }

    /// What to do with the file.
    pub fn next(self, file: &str) -> String {
        match self {
            Self::Profile | Self::Workload | Self::Scenario => {
                format!("loadgen sim --{} {file}", self.name())
            }
            Self::Device => format!("loadgen init profile --device {file}"),
        }
    }
}
