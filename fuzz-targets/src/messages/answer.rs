//! A part of an answer, as a worker sends it.

use prost::Message;
use warmpath_proto::raw::{self, Bytes, Peek, Plain, Resumed};
use warmpath_proto::vllm::finish_info::FinishReason;
use warmpath_proto::vllm::{FinishInfo, GenerateResponse, PromptInfo, SequenceOutput};
use warmpath_proto::{tiers, transfer};

/// What a router reads of a part without decoding it is what prost reads. Errors in fields that it skips
/// are not found, so it may take a part that prost refuses, but not the other way round.
pub fn run(message: &Bytes) {
    let resumed = Resumed { before: 7, prompt: 100, wants_ids: false };
    let Ok(mut whole) = GenerateResponse::decode(message.clone()) else {
        if let Ok(peek) = Peek::of(message) {
            let _ = raw::without_ids(message);
            peek.finish();
        }
        assert!(resumed.part(message.clone()).is_err(), "a part that cannot be decoded");
        return;
    };
    let mut peek = Peek::of(message).expect("a message that prost decodes");
    let outputs = whole.outputs.clone().unwrap_or_default();
    assert_eq!(peek.num_tokens(), outputs.num_tokens);
    // A text that a later field replaces by none counts as one too: then the ids are not used.
    assert!(peek.has_text() || outputs.text.is_empty(), "a text was not seen");
    let without = raw::without_ids(message).expect("a valid message");
    if let Some(plain) = Plain::of(message) {
        assert_eq!(plain.without_ids(), without);
        assert_eq!(plain, Plain { num_tokens: peek.num_tokens(), ids: peek.clone().all_ids() });
        assert_eq!(peek.clone().finish(), None);
    }
    if let Some(ids) = peek.all_ids() {
        assert_eq!(ids[..], outputs.token_ids);
        assert_eq!(ids.len(), outputs.num_tokens as usize);
        assert!(outputs.text.is_empty());
    } else if !peek.has_text() {
        assert_ne!(outputs.token_ids.len(), outputs.num_tokens as usize, "ids were not used");
    }
    let finish = peek.finish();
    let expected = outputs.finish_info.as_ref();
    assert_eq!(finish.is_some(), expected.is_some());
    if let (Some(finish), Some(expected)) = (finish, expected) {
        assert_eq!(finish.finish_reason, expected.finish_reason);
        assert_eq!(finish.num_cached_tokens, expected.num_cached_tokens);
        // A number in it may be no number, which equals nothing.
        let shown = |params: &Option<transfer::Struct>| format!("{params:?}");
        assert_eq!(shown(&finish.kv_transfer_params), shown(&expected.kv_transfer_params));
        if let Some(mut params) = finish.kv_transfer_params {
            transfer::is_held(&params);
            transfer::reached_at(&mut params, "http://127.0.0.1:1");
            let _ = transfer::of(&params);
            transfer::moved_of(&params);
            tiers::from_wire(&params);
        }
    }
    resumed.part(message.clone()).expect("a valid message");
    if let Some(outputs) = &mut whole.outputs {
        outputs.token_ids.clear();
    }
    let without = GenerateResponse::decode(without).expect("a valid message");
    assert_eq!(format!("{without:?}"), format!("{whole:?}"));
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut params = transfer::compute();
    transfer::held(&mut params, "engine", "r-1", Some("127.0.0.1"), 7_000);
    let mut finish_info = FinishInfo {
        num_output_tokens: 3,
        num_cached_tokens: Some(16),
        kv_transfer_params: Some(params),
        ..FinishInfo::default()
    };
    finish_info.set_finish_reason(FinishReason::Length);
    let outputs = SequenceOutput {
        token_ids: vec![1, 300, 70_000],
        num_tokens: 3,
        finish_info: Some(finish_info),
        ..SequenceOutput::default()
    };
    let text = SequenceOutput { text: "é".to_owned(), num_tokens: 1, ..SequenceOutput::default() };
    let part = |outputs| GenerateResponse { outputs: Some(outputs), ..Default::default() };
    let prompt = GenerateResponse {
        prompt_info: Some(PromptInfo { num_prompt_tokens: 5, ..PromptInfo::default() }),
        ..GenerateResponse::default()
    };
    let mut finish_info = FinishInfo {
        num_output_tokens: u32::MAX,
        num_cached_tokens: Some(u32::MAX),
        ..FinishInfo::default()
    };
    finish_info.set_finish_reason(FinishReason::Stop);
    let finish_info = Some(finish_info);
    let most = SequenceOutput { num_tokens: u32::MAX, finish_info, ..SequenceOutput::default() };
    let (first, second) = (part(outputs).encode_to_vec(), part(text).encode_to_vec());
    let both = [&first[..], &second].concat();
    vec![
        part(most).encode_to_vec(),
        first,
        second,
        both,
        prompt.encode_to_vec(),
        raw::complete(9).to_vec(),
    ]
}
