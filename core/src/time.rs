//! Model time. The caller passes it in; the core has no clock.
//!
//! Both types count nanoseconds in a `u64`, which covers 584 years.

use core::fmt;
use core::ops::{Add, AddAssign, Sub};
use serde::{Deserialize, Serialize};

/// Nanoseconds since the run began.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize,
)]
pub struct Instant(u64);

/// A span of model time in nanoseconds.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize,
)]
pub struct Duration(u64);

impl Instant {
    /// The start of the run.
    pub const START: Self = Self(0);

    /// The instant this many nanoseconds after the start.
    pub const fn from_nanos(ns: u64) -> Self {
        Self(ns)
    }

    /// Nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Seconds since the start.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 * 1e-9
    }

    /// So much earlier, or when the run began.
    pub const fn back(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span.0))
    }

    /// The earliest instant of the list. None if it has none.
    #[inline]
    pub fn earliest<const N: usize>(all: [Option<Self>; N]) -> Option<Self> {
        // Without a branch for each: which one comes first changes from call to call.
        let (mut earliest, mut any) = (u64::MAX, false);
        for at in &all {
            earliest = earliest.min(at.map_or(u64::MAX, Self::as_nanos));
            any |= at.is_some();
        }
        any.then_some(Self(earliest))
    }

    /// The time from `earlier` to `self`; zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }
}

impl Duration {
    /// No time.
    pub const ZERO: Self = Self(0);

    /// This many nanoseconds.
    pub const fn from_nanos(ns: u64) -> Self {
        Self(ns)
    }

    /// This many milliseconds.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms * 1_000_000)
    }

    /// Rounds to the nearest nanosecond; negative and not-a-number become zero.
    pub fn from_secs_f64(seconds: f64) -> Self {
        Self::from_nanos_f64(seconds * 1e9)
    }

    /// Rounds to the nearest nanosecond; negative and not-a-number become zero.
    pub fn from_nanos_f64(ns: f64) -> Self {
        // As libm::round, in a few instructions: each step of an engine is rounded.
        let ns = ns.max(0.0);
        let whole = ns as u64;
        Self(whole.saturating_add(u64::from(ns - whole as f64 >= 0.5)))
    }

    /// The span in nanoseconds.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The span in seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 * 1e-9
    }

    /// The difference; zero if `other` is longer.
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Add for Duration {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Duration {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Instant {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6} s", self.as_secs_f64())
    }
}
