//! The fields that are read without decoding a message are those of the decoded message, also if its
//! fields are out of order, repeated, in pieces or unknown.

use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use warmpath_proto::raw::{self, Bytes, Peek, Plain};
use warmpath_proto::vllm::{
    GenerateRequest, GenerateResponse, SequenceOutput, TokenIds, generate_request::Prompt,
};

type Encoded = BoxedStrategy<Vec<u8>>;

fn varint(number: u32) -> Encoded {
    prop_oneof![0..4u64, any::<u64>()]
        .prop_map(move |value| {
            let mut bytes = Vec::new();
            encode_key(number, WireType::Varint, &mut bytes);
            encode_varint(value, &mut bytes);
            bytes
        })
        .boxed()
}

fn delimited(number: u32, inner: impl Strategy<Value = Vec<u8>> + 'static) -> Encoded {
    inner
        .prop_map(move |inner| {
            let mut bytes = Vec::new();
            encode_key(number, WireType::LengthDelimited, &mut bytes);
            encode_varint(inner.len() as u64, &mut bytes);
            bytes.extend(inner);
            bytes
        })
        .boxed()
}

fn text(number: u32) -> Encoded {
    delimited(number, "[a-zé]{0,9}".prop_map(String::into_bytes))
}

fn packed(number: u32) -> Encoded {
    let ids = vec(any::<u32>(), 0..9).prop_map(|ids| {
        let mut bytes = Vec::new();
        ids.iter().for_each(|&id| encode_varint(u64::from(id), &mut bytes));
        bytes
    });
    delimited(number, ids)
}

/// A field with an unknown number, in every wire type.
fn unknown() -> Encoded {
    let number = || prop_oneof![Just(30u32), Just(1_000), Just((1 << 29) - 1)];
    let fixed = |wire_type, width| {
        (number(), vec(any::<u8>(), width)).prop_map(move |(number, value)| {
            let mut bytes = Vec::new();
            encode_key(number, wire_type, &mut bytes);
            bytes.extend(value);
            bytes
        })
    };
    let group = (number(), varint(3)).prop_map(|(number, inner)| {
        let mut bytes = Vec::new();
        encode_key(number, WireType::StartGroup, &mut bytes);
        bytes.extend(inner);
        encode_key(number, WireType::EndGroup, &mut bytes);
        bytes
    });
    prop_oneof![
        number().prop_flat_map(varint),
        number().prop_flat_map(|number| delimited(number, vec(any::<u8>(), 0..20))),
        fixed(WireType::SixtyFourBit, 8),
        fixed(WireType::ThirtyTwoBit, 4),
        group,
    ]
    .boxed()
}

/// Any number of these, in any order.
fn some_of(fields: Vec<Encoded>) -> Encoded {
    vec(proptest::strategy::Union::new(fields), 0..8).prop_map(|fields| fields.concat()).boxed()
}

fn answer() -> Encoded {
    let finish = some_of(vec![varint(1), varint(2), varint(9), varint(3), text(5), unknown()]);
    let outputs = some_of(vec![
        varint(1),
        text(2),
        varint(3),
        packed(4),
        varint(4),
        delimited(8, finish),
        unknown(),
    ]);
    let prompt = some_of(vec![varint(1), packed(2), unknown()]);
    some_of(vec![
        delimited(1, prompt),
        delimited(2, outputs.clone()),
        delimited(2, outputs),
        unknown(),
    ])
}

fn question() -> Encoded {
    let ids = || delimited(4, some_of(vec![packed(1), varint(1), unknown()]));
    let kv = some_of(vec![varint(1), text(2), unknown()]);
    some_of(vec![text(1), text(2), text(3), ids(), ids(), delimited(10, kv), varint(12), unknown()])
}

fn agrees(bytes: &[u8], whole: &GenerateResponse) {
    let mut peek = Peek::of(bytes).expect("a message that prost decodes");
    let outputs = whole.outputs.as_ref();
    assert_eq!(peek.num_tokens(), outputs.map_or(0, |outputs| outputs.num_tokens));
    let ids = outputs.map_or(&[][..], |outputs| &outputs.token_ids);
    match peek.all_ids() {
        Some(found) => assert_eq!(found[..], *ids),
        None => assert!(
            outputs.is_some_and(|o| !o.text.is_empty() || ids.len() != o.num_tokens as usize)
                || Peek::of(bytes).is_ok_and(|peek| peek.has_text()),
        ),
    }
    let finish = outputs.and_then(|outputs| outputs.finish_info.as_ref());
    let expected = finish.map(|finish| (finish.finish_reason(), finish.num_cached_tokens));
    let found = peek.finish().map(|finish| (finish.finish_reason(), finish.num_cached_tokens));
    assert_eq!(found, expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn without_its_ids_a_part_is_the_same(bytes in answer()) {
        let mut whole = GenerateResponse::decode(&*bytes).expect("an unusual but valid message");
        let without = raw::without_ids(&bytes).expect("a valid message");
        if let Some(outputs) = &mut whole.outputs {
            outputs.token_ids.clear();
        }
        prop_assert_eq!(GenerateResponse::decode(without).expect("a valid message"), whole);
    }

    /// A plain part is read and changed as any other one.
    #[test]
    fn a_plain_part_is_a_part_like_others(
        num_tokens in 0..200u32, token_ids in vec(any::<u32>(), 0..40), more in answer(), mix in any::<bool>()
    ) {
        let outputs = SequenceOutput { num_tokens, token_ids, ..Default::default() };
        let mut bytes = GenerateResponse { outputs: Some(outputs), ..Default::default() }.encode_to_vec();
        if mix {
            bytes.extend(more);
        }
        if let Some(plain) = Plain::of(&bytes) {
            let mut peek = Peek::of(&bytes).expect("a valid message");
            prop_assert_eq!(plain.num_tokens, peek.num_tokens());
            prop_assert_eq!(plain.without_ids(), raw::without_ids(&bytes).expect("a valid message"));
            prop_assert_eq!(plain.ids, peek.all_ids());
            prop_assert_eq!(peek.finish(), None);
        }
    }

    #[test]
    fn a_peek_agrees_with_the_whole(bytes in answer()) {
        let whole = GenerateResponse::decode(&*bytes).expect("an unusual but valid message");
        agrees(&bytes, &whole);
    }

    #[test]
    fn a_peek_agrees_with_valid_messages_among_noise(
        answer in answer(), noise in vec(any::<u8>(), 0..12), cut in any::<prop::sample::Index>()
    ) {
        let at = cut.index(answer.len() + 1);
        let torn = [&answer[..at], &noise].concat();
        for bytes in [&answer[..at], &noise, &torn] {
            if let Ok(whole) = GenerateResponse::decode(bytes) {
                agrees(bytes, &whole);
            }
        }
    }

    #[test]
    fn an_upstream_request_differs_in_the_changed_fields_only(bytes in question()) {
        let message = Bytes::from(bytes);
        let mut request = raw::request(&message).expect("an unusual but valid message");
        let expected = changed(request.clone());
        let Some(Prompt::TokenIds(TokenIds { ids })) = request.prompt.take() else { return Ok(()) };
        let upstream = raw::upstream(&changed(request), &message, &ids);
        prop_assert_eq!(GenerateRequest::decode(upstream).expect("a valid message"), expected);
    }
}

/// The changes that a router makes.
fn changed(mut request: GenerateRequest) -> GenerateRequest {
    request.request_id = "ours".to_owned();
    request.kv.get_or_insert_default().cache_salt = "salt".to_owned();
    request
}

#[test]
fn a_prompt_is_copied_and_not_encoded_again() {
    // The ids 5 and 6, each in one byte more than needed.
    let odd = [0x22, 0x06, 0x0a, 0x04, 0x85, 0x00, 0x86, 0x00];
    let unknown = [0xf0, 0x01, 0x07];
    let message = Bytes::from([&unknown[..], &odd].concat());
    let mut request = raw::request(&message).unwrap();
    let Some(Prompt::TokenIds(TokenIds { ids })) = request.prompt.take() else { panic!("ids") };
    assert_eq!(ids, [5, 6]);
    let upstream = raw::upstream(&request, &message, &ids);
    assert_eq!(upstream, odd[..], "without the unknown field");
    let twice = Bytes::from([odd, odd].concat());
    let upstream = raw::upstream(&request, &twice, &[5, 6, 5, 6]);
    let Some(Prompt::TokenIds(TokenIds { ids })) = raw::request(&upstream).unwrap().prompt else {
        panic!("ids")
    };
    assert_eq!(ids, [5, 6, 5, 6]);
}

#[test]
fn an_invalid_message_is_an_error() {
    // outputs.num_tokens as text, outputs cut off, a field with number 0.
    for bytes in [&[0x12, 0x03, 0x1a, 0x01, b'x'][..], &[0x12, 0x09, 0x18], &[0x00, 0x01]] {
        assert!(Peek::of(bytes).is_err(), "{bytes:?}");
        assert!(GenerateResponse::decode(bytes).is_err(), "{bytes:?}");
    }
}
