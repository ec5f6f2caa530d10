//! What a file of requests does not say itself: how it is to be read.

use std::fmt;
use std::str::FromStr;

/// How a file is read, where the file does not say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reading {
    /// The tokens of one id. None: found from the ids and lengths.
    pub block: Option<u32>,
    /// The unit of the times. None: the format's.
    pub unit: Option<TimeUnit>,
    /// What the rows of a session carry. None: found from the ids.
    pub history: Option<History>,
}

/// What the rows of a session carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum History {
    /// The whole prompt, with the history of the session.
    Whole,
    /// What is new. The prompt is the text of all rows of the session so far.
    New,
    /// What is new. The prompt is the text of all rows so far, with the answers between them.
    NewAndAnswers,
}

impl History {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Whole, "whole"), (Self::New, "new"), (Self::NewAndAnswers, "new+answers")];
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(known, _)| known == self).map_or("", |known| known.1))
    }
}

impl FromStr for History {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|(_, name)| *name == text);
        found
            .map(|known| known.0)
            .ok_or_else(|| "expected one of: whole, new, new+answers".to_owned())
    }
}

/// The unit of a file's times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimeUnit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds.
    Nanoseconds,
}

impl TimeUnit {
    const ALL: [(Self, &'static str, f64); 4] = [
        (Self::Seconds, "s", 1e3),
        (Self::Milliseconds, "ms", 1.0),
        (Self::Microseconds, "us", 1e-3),
        (Self::Nanoseconds, "ns", 1e-6),
    ];

    /// Milliseconds of one unit.
    pub fn in_ms(self) -> f64 {
        Self::ALL.iter().find(|(known, ..)| *known == self).map_or(1.0, |known| known.2)
    }

    /// The unit in which a time can only be one since 1970, if it is not milliseconds: a time of
    /// 1,700,000,000 is a second of 2023, or a millisecond of 1970.
    pub fn of_epoch(time: f64) -> Option<Self> {
        match time {
            1e9..1e10 => Some(Self::Seconds),
            1e14..1e17 => Some(Self::Microseconds),
            1e17.. => Some(Self::Nanoseconds),
            _ => None,
        }
    }
}

impl fmt::Display for TimeUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(known, ..)| known == self).map_or("", |known| known.1))
    }
}

impl FromStr for TimeUnit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|(_, name, _)| *name == text);
        found.map(|known| known.0).ok_or_else(|| "expected one of: s, ms, us, ns".to_owned())
    }
}
