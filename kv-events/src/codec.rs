//! Batches in msgpack, as vLLM's msgspec classes write and read them.
//!
//! A batch is `[ts, events, data_parallel_rank]`. Each event is a map with its name under `type`, or in
//! older versions an array with its name first. Both are read, in any mix, and a batch as a map too. A field
//! that is not known is skipped.

mod write;

pub use crate::error::DecodeError;
pub use write::encode;

use crate::event::{Batch, EngineHash, Event, ExtraKey, Removed, Stored};
use crate::msgpack::{Head, Reader};

/// The form in which events are written.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Form {
    #[default]
    Map,
    /// As versions before the map form read and wrote it.
    Array,
}

/// The longest name of a block, in bytes.
pub const MOST_HASH_BYTES: usize = 64;
/// The longest text of a field that is kept, in bytes.
pub const MOST_TEXT_BYTES: usize = 1_024;

const fn wrong(field: &'static str, expected: &'static str) -> DecodeError {
    DecodeError::Field { field, expected }
}

type Read<T> = Result<T, DecodeError>;

/// Reads a batch. Events with a name that is not known are left out; their number is the second value.
pub fn decode(payload: &[u8]) -> Read<(Batch, u32)> {
    let mut reader = Reader::new(payload);
    let mut batch = Batch { ts: 0.0, events: Vec::new(), data_parallel_rank: None };
    let mut unknown = 0;
    let (mut has_ts, mut has_events) = (false, false);
    let r = &mut reader;
    let mut field = |r: &mut Reader<'_>, name: &str| -> Read<()> {
        match name {
            "ts" => (batch.ts, has_ts) = (float(r, "ts")?, true),
            "events" => (unknown, has_events) = (events(r, &mut batch.events)?, true),
            "data_parallel_rank" => batch.data_parallel_rank = small(r, "data_parallel_rank")?,
            _ => r.skip()?,
        }
        Ok(())
    };
    match r.head()? {
        Head::Array(length) => {
            let names = ["ts", "events", "data_parallel_rank"];
            for place in 0..length {
                field(r, names.get(place).unwrap_or(&""))?;
            }
        }
        Head::Map(pairs) => {
            for _ in 0..pairs {
                let name = key(r)?;
                field(r, name)?;
            }
        }
        _ => return Err(wrong("batch", "an array or a map")),
    }
    for (field, has) in [("ts", has_ts), ("events", has_events)] {
        if !has {
            return Err(DecodeError::Missing { event: "batch", field });
        }
    }
    match reader.left() {
        0 => Ok((batch, unknown)),
        left => Err(DecodeError::Trailing(left)),
    }
}

fn events(r: &mut Reader<'_>, into: &mut Vec<Event>) -> Read<u32> {
    let Head::Array(length) = r.head()? else { return Err(wrong("events", "an array")) };
    into.clear();
    let mut unknown = 0;
    for _ in 0..length {
        r.keep(size_of::<Event>())?;
        match event(r)? {
            Some(event) => into.push(event),
            None => unknown += 1,
        }
    }
    Ok(unknown)
}

/// The fields of the array form, in order, after the name.
const STORED: [&str; 12] = [
    "block_hashes",
    "parent_block_hash",
    "token_ids",
    "block_size",
    "lora_id",
    "medium",
    "lora_name",
    "extra_keys",
    "group_idx",
    "kv_cache_spec_kind",
    "kv_cache_spec_sliding_window",
    "locality",
];
const REMOVED: [&str; 4] = ["block_hashes", "medium", "group_idx", "locality"];

/// None: its name is not known.
fn event(r: &mut Reader<'_>) -> Read<Option<Event>> {
    match r.head()? {
        Head::Array(0) => Err(DecodeError::NoType),
        Head::Array(length) => {
            let Head::Text(name) = r.head()? else { return Err(DecodeError::NoType) };
            let fields = length - 1;
            let mut open = Open::named(name);
            for place in 0..fields {
                let names: &[&str] = match open {
                    Some(Open::Stored(..)) => &STORED,
                    Some(Open::Removed(..)) => &REMOVED,
                    _ => &[],
                };
                match (&mut open, names.get(place)) {
                    (Some(open), Some(name)) => open.field(r, name)?,
                    _ => r.skip()?,
                }
            }
            open.map(Open::close).transpose()
        }
        Head::Map(pairs) => {
            // The name stands first, as msgspec writes it. Other writers may put it anywhere.
            let mut ahead = *r;
            let mut name = None;
            for _ in 0..pairs {
                if key(&mut ahead)? == "type" {
                    let Head::Text(text) = ahead.head()? else { return Err(DecodeError::NoType) };
                    name = Some(text);
                    break;
                }
                ahead.skip()?;
            }
            let mut open = Open::named(name.ok_or(DecodeError::NoType)?);
            for _ in 0..pairs {
                let name = key(r)?;
                match &mut open {
                    Some(open) => open.field(r, name)?,
                    None => r.skip()?,
                }
            }
            open.map(Open::close).transpose()
        }
        _ => Err(wrong("event", "an array or a map")),
    }
}

/// An event that is being read. The numbers are the fields that it has, as bits.
enum Open {
    Stored(Stored, u8),
    Removed(Removed, u8),
    Cleared,
}

impl Open {
    fn named(name: &str) -> Option<Self> {
        match name {
            "BlockStored" => Some(Self::Stored(Stored::default(), 0)),
            "BlockRemoved" => Some(Self::Removed(Removed::default(), 0)),
            "AllBlocksCleared" => Some(Self::Cleared),
            _ => None,
        }
    }

    fn field(&mut self, r: &mut Reader<'_>, name: &str) -> Read<()> {
        match self {
            Self::Stored(event, has) => match name {
                "block_hashes" => (event.hashes, *has) = (hashes(r)?, *has | 1),
                "parent_block_hash" => event.parent = optional_hash(r, "parent_block_hash")?,
                "token_ids" => (event.token_ids, *has) = (token_ids(r)?, *has | 2),
                "block_size" => {
                    let size = small(r, "block_size")?.ok_or(wrong("block_size", "a number"))?;
                    (event.block_size, *has) = (size, *has | 4);
                }
                "lora_id" => event.lora_id = number(r, "lora_id")?,
                "medium" => event.medium = text(r, "medium")?,
                "lora_name" => event.lora_name = text(r, "lora_name")?,
                "extra_keys" => event.extra_keys = extra_keys(r)?,
                "group_idx" => event.group_idx = small(r, "group_idx")?,
                "kv_cache_spec_kind" => event.spec_kind = text(r, "kv_cache_spec_kind")?,
                "kv_cache_spec_sliding_window" => {
                    event.sliding_window = small(r, "kv_cache_spec_sliding_window")?;
                }
                "locality" => event.locality = text(r, "locality")?,
                _ => r.skip()?,
            },
            Self::Removed(event, has) => match name {
                "block_hashes" => (event.hashes, *has) = (hashes(r)?, *has | 1),
                "medium" => event.medium = text(r, "medium")?,
                "group_idx" => event.group_idx = small(r, "group_idx")?,
                "locality" => event.locality = text(r, "locality")?,
                _ => r.skip()?,
            },
            Self::Cleared => r.skip()?,
        }
        Ok(())
    }

    fn close(self) -> Read<Event> {
        let missing = |event, field| Err(DecodeError::Missing { event, field });
        match self {
            Self::Stored(_, has) if has & 1 == 0 => missing("BlockStored", "block_hashes"),
            Self::Stored(_, has) if has & 2 == 0 => missing("BlockStored", "token_ids"),
            Self::Stored(_, has) if has & 4 == 0 => missing("BlockStored", "block_size"),
            Self::Stored(event, _) => Ok(Event::Stored(event)),
            Self::Removed(_, has) if has & 1 == 0 => missing("BlockRemoved", "block_hashes"),
            Self::Removed(event, _) => Ok(Event::Removed(event)),
            Self::Cleared => Ok(Event::Cleared),
        }
    }
}

fn key<'a>(r: &mut Reader<'a>) -> Read<&'a str> {
    match r.head()? {
        Head::Text(name) => Ok(name),
        _ => Err(wrong("key", "a text")),
    }
}

fn float(r: &mut Reader<'_>, field: &'static str) -> Read<f64> {
    match r.head()? {
        Head::Float(number) => Ok(number),
        Head::Int(number) => Ok(number as f64),
        _ => Err(wrong(field, "a number")),
    }
}

fn small(r: &mut Reader<'_>, field: &'static str) -> Read<Option<u32>> {
    let err = wrong(field, "a number of 32 bits or nil");
    match r.head()? {
        Head::Nil => Ok(None),
        Head::Int(number) => u32::try_from(number).map(Some).map_err(|_| err),
        _ => Err(err),
    }
}

fn number(r: &mut Reader<'_>, field: &'static str) -> Read<Option<i64>> {
    let err = wrong(field, "a number of 64 bits or nil");
    match r.head()? {
        Head::Nil => Ok(None),
        Head::Int(number) => i64::try_from(number).map(Some).map_err(|_| err),
        _ => Err(err),
    }
}

fn text(r: &mut Reader<'_>, field: &'static str) -> Read<Option<String>> {
    match r.head()? {
        Head::Nil => Ok(None),
        Head::Text(text) if text.len() <= MOST_TEXT_BYTES => Ok(Some(text.to_owned())),
        _ => Err(wrong(field, "a text of up to 1024 bytes or nil")),
    }
}

fn optional_hash(r: &mut Reader<'_>, field: &'static str) -> Read<Option<EngineHash>> {
    match r.head()? {
        Head::Nil => Ok(None),
        Head::Int(number) => Ok(Some(EngineHash::Int(number))),
        Head::Bytes(bytes) if (1..=MOST_HASH_BYTES).contains(&bytes.len()) => {
            Ok(Some(EngineHash::Bytes(bytes.into())))
        }
        _ => Err(wrong(field, "a number or 1 to 64 bytes")),
    }
}

fn hashes(r: &mut Reader<'_>) -> Read<Vec<EngineHash>> {
    let err = wrong("block_hashes", "an array of numbers or 1 to 64 bytes");
    let Head::Array(length) = r.head()? else { return Err(err) };
    // Grows as values are read: a value of the list takes more memory than the one byte that it needs.
    let mut hashes = Vec::new();
    for _ in 0..length {
        r.keep(size_of::<EngineHash>())?;
        hashes.push(optional_hash(r, "block_hashes")?.ok_or(err)?);
    }
    Ok(hashes)
}

fn token_ids(r: &mut Reader<'_>) -> Read<Vec<u32>> {
    let err = wrong("token_ids", "an array of numbers of 32 bits");
    let length = match r.head()? {
        Head::Array(length) => length,
        Head::Nil => 0,
        _ => return Err(err),
    };
    let mut ids = Vec::new();
    for _ in 0..length {
        r.keep(size_of::<u32>())?;
        let Head::Int(number) = r.head()? else { return Err(err) };
        ids.push(u32::try_from(number).map_err(|_| err)?);
    }
    Ok(ids)
}

fn extra_keys(r: &mut Reader<'_>) -> Read<Option<Vec<Option<Vec<ExtraKey>>>>> {
    let err = wrong("extra_keys", "an array of arrays or nil");
    let blocks = match r.head()? {
        Head::Nil => return Ok(None),
        Head::Array(length) => length,
        _ => return Err(err),
    };
    let mut all = Vec::new();
    for _ in 0..blocks {
        r.keep(size_of::<Option<Vec<ExtraKey>>>())?;
        let keys = match r.head()? {
            Head::Nil => None,
            Head::Array(length) => {
                let mut keys = Vec::new();
                for _ in 0..length {
                    r.keep(size_of::<ExtraKey>())?;
                    let mut ahead = *r;
                    keys.push(match ahead.head()? {
                        Head::Text(text) if text.len() <= MOST_TEXT_BYTES => {
                            ExtraKey::Text(text.to_owned())
                        }
                        _ => ExtraKey::Other,
                    });
                    r.skip()?;
                }
                Some(keys)
            }
            _ => return Err(err),
        };
        all.push(keys);
    }
    Ok(Some(all))
}
