//! Batches of an engine's KV events, as bytes from its socket. What is read is written and read again, in both
//! forms.

use warmpath_kv_events::codec::{Form, decode, encode};
use warmpath_kv_events::event::{Batch, EngineHash, Event, ExtraKey, Removed, Stored};
use warmpath_kv_events::frames;

/// The bytes are a payload. The first 9 of them are a number and a count of frames too.
pub fn run(bytes: &[u8]) {
    frames_of(bytes);
    let Ok((batch, _)) = decode(bytes) else { return };
    if batch.ts.is_nan() {
        return;
    }
    for form in [Form::Map, Form::Array] {
        let written = encode(&batch, form);
        let read = decode(&written).expect("what was written");
        // What is not a text is written as nil, and read as that again.
        assert_eq!(read, (batch.clone(), 0), "{form:?}");
    }
}

/// Messages of any form are read without a panic, and as they were written.
fn frames_of(bytes: &[u8]) {
    let Some((&count, rest)) = bytes.split_first() else { return };
    let size = rest.len().div_ceil(usize::from(count % 6) + 1).max(1);
    let message: Vec<Vec<u8>> = rest.chunks(size).map(<[u8]>::to_vec).collect();
    let _ = frames::read_replay_request(&message);
    let _ = frames::read_published(message.clone());
    if let Ok(frames::Replayed::Batch(batch)) = frames::read_replayed(message) {
        let written = frames::replayed(None, Some((batch.seq, &batch.payload)));
        assert_eq!(frames::read_replayed(written), Ok(frames::Replayed::Batch(batch)));
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let hash = |first: u8| EngineHash::Bytes((first..first + 32).collect());
    let stored = Stored {
        hashes: vec![hash(0), hash(50), EngineHash::Int(-7)],
        parent: Some(EngineHash::Int(1 << 40)),
        token_ids: (0..48).map(|id| id * 3_000).collect(),
        block_size: 16,
        lora_id: Some(1),
        medium: Some("GPU".to_owned()),
        lora_name: Some("a".to_owned()),
        extra_keys: Some(vec![
            Some(vec![ExtraKey::Text("salt".to_owned()), ExtraKey::Other]),
            None,
        ]),
        group_idx: Some(1),
        spec_kind: Some("full_attention".to_owned()),
        sliding_window: Some(4_096),
        locality: Some("LOCAL".to_owned()),
    };
    let removed = Removed { hashes: vec![hash(9)], group_idx: Some(0), ..Removed::default() };
    let events = vec![Event::Stored(stored), Event::Removed(removed), Event::Cleared];
    let batch = Batch { ts: 1.5, events, data_parallel_rank: Some(0) };
    vec![encode(&batch, Form::Map), encode(&batch, Form::Array)]
}
