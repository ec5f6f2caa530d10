//! The options that an advice compares.

use serde::Serialize;

/// A way to serve a workload.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    Cluster,
    /// The cluster, with the model of the devices.
    ClusterSameModel,
    Devices,
    SplitByLength,
    SplitByClass,
    /// No option keeps the SLO.
    Nothing,
}

impl Choice {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::ClusterSameModel => "cluster, devices' model",
            Self::Devices => "devices",
            Self::SplitByLength => "split by length",
            Self::SplitByClass => "split by class",
            Self::Nothing => "nothing",
        }
    }

    /// The name in the JSON.
    pub const fn key(self) -> &'static str {
        match self {
            Self::ClusterSameModel => "cluster_same_model",
            Self::SplitByLength => "split_by_length",
            Self::SplitByClass => "split_by_class",
            Self::Cluster | Self::Devices | Self::Nothing => self.name(),
        }
    }

    pub const fn is_split(self) -> bool {
        matches!(self, Self::SplitByLength | Self::SplitByClass)
    }
}
