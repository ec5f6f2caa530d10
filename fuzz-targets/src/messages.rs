//! Messages of every service: read without decoding as with it, converted into the core's types, and given
//! to what the services give them to.

mod admin;
mod answer;
mod pool;
mod question;
mod siblings;
mod watch;

use crate::seeds::tagged;
use warmpath_proto::raw::Bytes;

type Read = fn(&Bytes);
type Kind = (Read, fn() -> Vec<Vec<u8>>);

/// The kinds of messages, each with its examples.
const KINDS: [Kind; 8] = [
    (answer::run, answer::seeds),
    (question::run, question::seeds),
    (watch::run, watch::seeds),
    (pool::run, pool::seeds),
    (admin::explanation, admin::explanations),
    (admin::lists, admin::list_seeds),
    (admin::questions, admin::question_seeds),
    (siblings::run, siblings::seeds),
];

/// The first byte says which kind of message it is. The rest is the message, or several.
pub fn run(bytes: &[u8]) {
    let Some((&kind, message)) = bytes.split_first() else { return };
    let (read, _) = KINDS[usize::from(kind) % KINDS.len()];
    read(&Bytes::copy_from_slice(message));
}

pub fn seeds() -> Vec<Vec<u8>> {
    let of = |(kind, (_, messages)): (usize, &Kind)| -> Vec<Vec<u8>> {
        messages().iter().map(|message| tagged(kind as u8, message)).collect()
    };
    KINDS.iter().enumerate().flat_map(of).collect()
}
