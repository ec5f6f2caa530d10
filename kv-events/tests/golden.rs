//! Bytes that msgspec wrote with vLLM's classes, hostile bytes, and random batches there and back.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use warmpath_kv_events::codec::{DecodeError, Form, decode, encode};
use warmpath_kv_events::event::{Batch, EngineHash, Event, ExtraKey, Removed, Stored};

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks_exact(2);
    digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

/// One block and a clearing.
const SHORT: &str = "93cb3ff800000000000092de0008a474797065ab426c6f636b53746f726564ac626c6f636b5f6861736865739101b1706172\
     656e745f626c6f636b5f68617368c0a9746f6b656e5f6964739105aa626c6f636b5f73697a6510a76c6f72615f6964c0a66d\
     656469756da3475055a96c6f72615f6e616d65c081a474797065b0416c6c426c6f636b73436c656172656400";
/// Every field of the map form.
const FULL: &str = "93cb409b91000000000092de000da474797065ab426c6f636b53746f726564ac626c6f636b5f68617368657392c420000102\
     030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1fc4206465666768696a6b6c6d6e6f70717273747576\
     7778797a7b7c7d7e7f80818283b1706172656e745f626c6f636b5f68617368cf8000000000000005a9746f6b656e5f696473\
     9401ccc8ce00011170ce2a05f200aa626c6f636b5f73697a6502a76c6f72615f696407a66d656469756da3435055a96c6f72\
     615f6e616d65a26164aa65787472615f6b6579739292a26164a473616c74c0a967726f75705f69647801b26b765f63616368\
     655f737065635f6b696e64ae66756c6c5f617474656e74696f6ebc6b765f63616368655f737065635f736c6964696e675f77\
     696e646f77cd1000a86c6f63616c697479a54c4f43414c85a474797065ac426c6f636b52656d6f766564ac626c6f636b5f68\
     617368657392c4206465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f80818283fda66d656469756da347\
     5055a967726f75705f69647801a86c6f63616c697479a652454d4f544503";
/// The array form.
const ARRAYS: &str = "93cb40000000000000009398ab426c6f636b53746f72656491c420000102030405060708090a0b0c0d0e0f10111213141516\
     1718191a1b1c1d1e1fc4206465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f8081828392090802c0a347\
     5055c093ac426c6f636b52656d6f76656491c420000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d\
     1e1fa347505591b0416c6c426c6f636b73436c656172656400";
/// Fields that later versions have, and a key that is no text.
const LATER: &str = "93cb3ff000000000000091de000ca474797065ab426c6f636b53746f726564ac626c6f636b5f6861736865739105b1706172\
     656e745f626c6f636b5f68617368c0a9746f6b656e5f696473920102aa626c6f636b5f73697a6502a76c6f72615f6964c0a6\
     6d656469756da3475055a96c6f72615f6e616d65c0aa65787472615f6b657973919292a3696d6703c40178a96f776e657273\
     686970a16faa73657373696f6e5f6964a173b36c6f6f6b61686561645f746f6b656e5f6964739103c0";

fn name(first: u8) -> EngineHash {
    EngineHash::Bytes((first..first + 32).collect())
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn stored(hash: EngineHash) -> Stored {
    Stored { hashes: vec![hash], block_size: 2, medium: text("GPU"), ..Stored::default() }
}

fn short() -> Batch {
    let stored = Stored { token_ids: vec![5], block_size: 16, ..stored(EngineHash::Int(1)) };
    let events = vec![Event::Stored(stored), Event::Cleared];
    Batch { ts: 1.5, events, data_parallel_rank: Some(0) }
}

fn full() -> Batch {
    let keys = ["ad", "salt"].map(|key| ExtraKey::Text(key.to_owned())).to_vec();
    let stored = Stored {
        hashes: vec![name(0), name(100)],
        parent: Some(EngineHash::Int((1 << 63) + 5)),
        token_ids: vec![1, 200, 70_000, 705_032_704],
        block_size: 2,
        lora_id: Some(7),
        medium: text("CPU"),
        lora_name: text("ad"),
        extra_keys: Some(vec![Some(keys), None]),
        group_idx: Some(1),
        spec_kind: text("full_attention"),
        sliding_window: Some(4_096),
        locality: text("LOCAL"),
    };
    let removed = Removed {
        hashes: vec![name(100), EngineHash::Int(-3)],
        medium: text("GPU"),
        group_idx: Some(1),
        locality: text("REMOTE"),
    };
    let events = vec![Event::Stored(stored), Event::Removed(removed)];
    Batch { ts: 1_764.25, events, data_parallel_rank: Some(3) }
}

fn arrays() -> Batch {
    let stored = Stored { parent: Some(name(100)), token_ids: vec![9, 8], ..stored(name(0)) };
    let removed = Removed { hashes: vec![name(0)], medium: text("GPU"), ..Removed::default() };
    let events = vec![Event::Stored(stored), Event::Removed(removed), Event::Cleared];
    Batch { ts: 2.0, events, data_parallel_rank: Some(0) }
}

#[test]
fn recorded_batches_are_read_and_written_byte_for_byte() {
    let forms = [Form::Map, Form::Map, Form::Array];
    for ((hex, batch), form) in
        [(SHORT, short()), (FULL, full()), (ARRAYS, arrays())].into_iter().zip(forms)
    {
        let recorded = bytes(hex);
        assert_eq!(decode(&recorded), Ok((batch.clone(), 0)), "{form:?}");
        assert_eq!(encode(&batch, form), recorded, "{form:?}");
    }
}

#[test]
fn what_is_not_known_is_skipped() {
    let keys = vec![Some(vec![ExtraKey::Other, ExtraKey::Other])];
    let hash = EngineHash::Int(5);
    let stored = Stored { token_ids: vec![1, 2], extra_keys: Some(keys), ..stored(hash) };
    let events = vec![Event::Stored(stored)];
    let batch = Batch { ts: 1.0, events, data_parallel_rank: None };
    // The two keys are one in the recorded bytes, which is an array and a text of bytes.
    assert_eq!(decode(&bytes(LATER)), Ok((batch, 0)));
    // [1, [{"type": "NewEvent", "x": [[]]}, ["Other", 1]], 0, "more"]
    let mut unknown = vec![0x94, 1, 0x92, 0x82, 0xa4];
    unknown.extend(b"type\xa8NewEvent\xa1x\x91\x90\x92\xa5Other\x01\x00\xa4more");
    let batch = Batch { ts: 1.0, events: Vec::new(), data_parallel_rank: Some(0) };
    assert_eq!(decode(&unknown), Ok((batch, 2)));
}

#[test]
fn a_batch_may_be_a_map_and_a_name_may_come_last() {
    let mut map = vec![0x82, 0xa6];
    map.extend(
        b"events\x91\x83\xacblock_hashes\x91\x07\xa6medium\xc0\xa4type\xacBlockRemoved\xa2ts\x09",
    );
    let removed = Removed { hashes: vec![EngineHash::Int(7)], ..Removed::default() };
    let events = vec![Event::Removed(removed)];
    assert_eq!(decode(&map), Ok((Batch { ts: 9.0, events, data_parallel_rank: None }, 0)));
}

#[test]
fn hostile_bytes_are_one_error_and_cost_little() {
    let mut deep = vec![0x94, 1, 0x90, 0];
    deep.extend(vec![0x91; 1 << 20]);
    assert_eq!(decode(&deep), Err(DecodeError::Short), "a million arrays in each other");
    for head in [[0xdd, 0xff, 0xff, 0xff, 0xff], [0xdf, 0xff, 0xff, 0xff, 0xff]] {
        assert_eq!(decode(&head), Err(DecodeError::Short), "a length of 4 GiB");
        assert_eq!(decode(&[&[0x93, 1][..], &head].concat()), Err(DecodeError::Short));
    }
    // Four million hashes of one byte each would be 128 MiB.
    let mut many = vec![0x93, 1, 0x91, 0x93, 0xac];
    many.extend(b"BlockRemoved\xdd\x00\x40\x00\x00");
    many.extend(vec![1; 1 << 22]);
    many.extend([0xc0, 0xc0]);
    assert_eq!(decode(&many), Err(DecodeError::TooMuch));
    assert_eq!(decode(&[]), Err(DecodeError::Short));
    assert_eq!(decode(&[0xc1]), Err(DecodeError::Marker));
    assert_eq!(decode(&[&bytes(SHORT)[..], &[0]].concat()), Err(DecodeError::Trailing(1)));
    let missing = DecodeError::Missing { event: "batch", field: "events" };
    assert_eq!(decode(&[0x91, 1]), Err(missing));
    let text = decode(&[0x93, 1, 0x91, 0x80]).unwrap_err().to_string();
    assert_eq!(text, "an event has no name");
}

#[test]
fn a_field_of_another_type_is_named() {
    let mut wrong = vec![0x93, 1, 0x91, 0x93, 0xac];
    wrong.extend(b"BlockRemoved\x91\xa1x\xc0\xc0");
    let why = "block_hashes: expected a number or 1 to 64 bytes";
    assert_eq!(decode(&wrong).unwrap_err().to_string(), why);
}

fn hash() -> impl Strategy<Value = EngineHash> {
    prop_oneof![
        any::<u64>().prop_map(|number| EngineHash::Int(number.into())),
        any::<i64>().prop_map(|number| EngineHash::Int(number.into())),
        vec(any::<u8>(), 1..65).prop_map(|bytes| EngineHash::Bytes(bytes.into())),
    ]
}

fn word() -> impl Strategy<Value = Option<String>> {
    option::of("[a-z]{0,40}")
}

fn event() -> impl Strategy<Value = Event> {
    let keys = option::of(vec("[a-z]{0,70}".prop_map(ExtraKey::Text), 0..3));
    let what = (vec(hash(), 0..20), option::of(hash()), vec(any::<u32>(), 0..40), any::<u32>());
    let lora = (option::of(any::<i64>()), word(), word());
    let rest = (
        option::of(vec(keys, 0..20)),
        option::of(any::<u32>()),
        word(),
        option::of(any::<u32>()),
        word(),
    );
    let stored = (what, lora, rest).prop_map(|(what, lora, rest)| {
        let (hashes, parent, token_ids, block_size) = what;
        let (lora_id, medium, lora_name) = lora;
        let (extra_keys, group_idx, spec_kind, sliding_window, locality) = rest;
        Event::Stored(Stored {
            hashes,
            parent,
            token_ids,
            block_size,
            lora_id,
            medium,
            lora_name,
            extra_keys,
            group_idx,
            spec_kind,
            sliding_window,
            locality,
        })
    });
    let removed = (vec(hash(), 0..20), word(), option::of(any::<u32>()), word());
    let removed = removed.prop_map(|(hashes, medium, group_idx, locality)| {
        Event::Removed(Removed { hashes, medium, group_idx, locality })
    });
    prop_oneof![stored, removed, Just(Event::Cleared)]
}

proptest! {
    #[test]
    fn a_batch_is_read_as_it_was_written(
        ts in any::<f64>().prop_filter("NaN is not equal to itself", |ts| !ts.is_nan()),
        events in vec(event(), 0..20),
        data_parallel_rank in option::of(any::<u32>()),
    ) {
        let batch = Batch { ts, events, data_parallel_rank };
        for form in [Form::Map, Form::Array] {
            prop_assert_eq!(decode(&encode(&batch, form)), Ok((batch.clone(), 0)));
        }
    }

    #[test]
    fn damaged_bytes_never_panic(
        events in vec(event(), 0..5),
        cut in any::<prop::sample::Index>(),
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = encode(&Batch { ts: 0.0, events, data_parallel_rank: None }, Form::Map);
        for (place, byte) in flips {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let _ = decode(&bytes);
        prop_assert!(decode(&bytes[..cut.index(bytes.len())]).is_err() || bytes.len() > 1);
    }
}
