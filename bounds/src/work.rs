//! The prompt tokens that some worker must compute.

use crate::prefixes::Prefixes;
use std::ops::Range;

/// For each request, in order of arrival: the tokens of its prompt that are computed for it at least, if each block is
/// computed once, for the first request that has it. `prompt_tokens`: of each request.
///
/// Any worker may compute a block. That happens after the arrival of the first request that has it, and before the first
/// token of any of them. So a bound on means may count it for that request.
pub fn least(prefixes: &Prefixes, block_size: u32, prompt_tokens: &[u32]) -> Vec<Vec<Range<u32>>> {
    let mut known = vec![false; prefixes.nodes()];
    for request in 0..prefixes.len() {
        let free = prefixes.answer(request).chain(prefixes.computed(request));
        free.for_each(|node| known[node as usize] = true);
    }
    let in_tokens = |blocks: Range<u32>| blocks.start * block_size..blocks.end * block_size;
    let least = |(request, tokens): (usize, &u32)| {
        let whole = prefixes.prompt_blocks(request) * block_size;
        let mut parts = Vec::new();
        parts.push(whole.min(*tokens)..*tokens);
        parts.extend(prefixes.computed(request).map(|node| prefixes.range(node)).map(in_tokens));
        for node in prefixes.reusable(request) {
            if !std::mem::replace(&mut known[node as usize], true) {
                parts.push(in_tokens(prefixes.range(node)));
            }
        }
        parts
    };
    prompt_tokens.iter().enumerate().map(least).collect()
}
