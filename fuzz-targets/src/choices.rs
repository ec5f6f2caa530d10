//! Bytes as a row of choices.

/// Takes choices from bytes. After the last byte every choice is 0.
#[derive(Debug)]
pub struct Choices<'a>(pub &'a [u8]);

impl Choices<'_> {
    pub const fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    /// A number below `most`, which is at least 1. It takes one byte, or two where one is not enough.
    pub fn below(&mut self, most: u32) -> u32 {
        let wide = u32::from(self.byte());
        let wide = if most > 256 { wide << 8 | u32::from(self.byte()) } else { wide };
        wide % most.max(1)
    }

    /// One of the items, of which there is at least one.
    pub fn of<'i, T>(&mut self, items: &'i [T]) -> &'i T {
        &items[self.below(items.len() as u32) as usize]
    }
}
