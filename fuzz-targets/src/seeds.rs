//! Parts of seeds.

/// Bytes behind a first byte that says how they are read.
pub fn tagged(tag: u8, bytes: &[u8]) -> Vec<u8> {
    [&[tag], bytes].concat()
}
