//! Writing batches.

use super::{Form, REMOVED, STORED};
use crate::event::{Batch, EngineHash, Event, ExtraKey, Removed, Stored};
use crate::msgpack::Writer;

/// Writes a batch, byte for byte as msgspec writes vLLM's classes.
pub fn encode(batch: &Batch, form: Form) -> Vec<u8> {
    let mut w = Writer::default();
    w.array(3);
    w.float(batch.ts);
    w.array(batch.events.len());
    for event in &batch.events {
        let fields = match event {
            Event::Stored(event) => stored_fields(event),
            Event::Removed(event) => removed_fields(event),
            Event::Cleared => Fields {
                name: "AllBlocksCleared",
                needed: 0,
                may_be_long: false,
                fields: Vec::new(),
            },
        };
        match form {
            Form::Map => fields.as_map(&mut w),
            Form::Array => fields.as_array(&mut w),
        }
    }
    match batch.data_parallel_rank {
        Some(rank) => w.int(rank.into()),
        None => w.nil(),
    }
    w.0
}

enum Value<'a> {
    Nil,
    Int(i128),
    Text(&'a str),
    Hash(&'a EngineHash),
    Hashes(&'a [EngineHash]),
    Ids(&'a [u32]),
    ExtraKeys(&'a [Option<Vec<ExtraKey>>]),
}

impl<'a> Value<'a> {
    fn int<N: Into<i128>>(number: Option<N>) -> Self {
        number.map_or(Self::Nil, |number| Self::Int(number.into()))
    }

    fn text(text: &'a Option<String>) -> Self {
        text.as_deref().map_or(Self::Nil, Self::Text)
    }

    const fn is_nil(&self) -> bool {
        matches!(self, Self::Nil)
    }

    fn write(&self, w: &mut Writer) {
        match *self {
            Self::Nil => w.nil(),
            Self::Int(number) => w.int(number),
            Self::Text(text) => w.text(text),
            Self::Hash(hash) => write_hash(w, hash),
            Self::Hashes(hashes) => {
                w.array(hashes.len());
                hashes.iter().for_each(|hash| write_hash(w, hash));
            }
            Self::Ids(ids) => {
                w.array(ids.len());
                ids.iter().for_each(|&id| w.int(id.into()));
            }
            Self::ExtraKeys(blocks) => {
                w.array(blocks.len());
                for keys in blocks {
                    let Some(keys) = keys else {
                        w.nil();
                        continue;
                    };
                    w.array(keys.len());
                    for key in keys {
                        match key {
                            ExtraKey::Text(text) => w.text(text),
                            ExtraKey::Other => w.nil(),
                        }
                    }
                }
            }
        }
    }
}

fn write_hash(w: &mut Writer, hash: &EngineHash) {
    match hash {
        EngineHash::Int(number) => w.int(*number),
        EngineHash::Bytes(bytes) => w.bytes(bytes),
    }
}

/// The fields of an event. Those after the first `needed` ones are left out where they are nil.
struct Fields<'a> {
    name: &'static str,
    needed: usize,
    /// With all of vLLM's fields it has more than 15. msgspec then writes a long head, also where fields are
    /// left out.
    may_be_long: bool,
    fields: Vec<(&'static str, Value<'a>)>,
}

impl Fields<'_> {
    fn as_map(&self, w: &mut Writer) {
        let is_written = |(place, (_, value)): &(usize, &(&str, Value<'_>))| {
            *place < self.needed || !value.is_nil()
        };
        let written = || self.fields.iter().enumerate().filter(is_written);
        match self.may_be_long {
            true => w.long_map(1 + written().count() as u16),
            false => w.map(1 + written().count()),
        }
        w.text("type");
        w.text(self.name);
        for (_, (name, value)) in written() {
            w.text(name);
            value.write(w);
        }
    }

    /// In an array only the last fields can be left out.
    fn as_array(&self, w: &mut Writer) {
        let last = self.fields.iter().rposition(|(_, value)| !value.is_nil());
        let length = last.map_or(0, |last| last + 1).max(self.needed);
        w.array(1 + length);
        w.text(self.name);
        self.fields[..length].iter().for_each(|(_, value)| value.write(w));
    }
}

fn stored_fields(event: &Stored) -> Fields<'_> {
    let values = [
        Value::Hashes(&event.hashes),
        event.parent.as_ref().map_or(Value::Nil, Value::Hash),
        Value::Ids(&event.token_ids),
        Value::Int(event.block_size.into()),
        Value::int(event.lora_id),
        Value::text(&event.medium),
        Value::text(&event.lora_name),
        event.extra_keys.as_deref().map_or(Value::Nil, Value::ExtraKeys),
        Value::int(event.group_idx),
        Value::text(&event.spec_kind),
        Value::int(event.sliding_window),
        Value::text(&event.locality),
    ];
    let fields = STORED.into_iter().zip(values).collect();
    Fields { name: "BlockStored", needed: 7, may_be_long: true, fields }
}

fn removed_fields(event: &Removed) -> Fields<'_> {
    let values = [
        Value::Hashes(&event.hashes),
        Value::text(&event.medium),
        Value::int(event.group_idx),
        Value::text(&event.locality),
    ];
    let fields = REMOVED.into_iter().zip(values).collect();
    Fields { name: "BlockRemoved", needed: 2, may_be_long: false, fields }
}
