//! The parts of msgpack that vLLM's events use. A reader never allocates by a length that it was told: a
//! length is checked against the bytes that are left.

use crate::error::DecodeError;

/// A msgpack value that begins here, without what is inside.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Head<'a> {
    Nil,
    Bool,
    /// Any integer of msgpack.
    Int(i128),
    Float(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    /// So many values follow.
    Array(usize),
    /// So many pairs follow.
    Map(usize),
    Extension,
}

/// What a batch may take in memory once it is read, in bytes. A value of one byte may become 40 of them.
const MOST_KEPT: usize = 64 << 20;

/// Reads values from bytes.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// Bytes of memory that may still be kept.
    room: usize,
}

impl<'a> Reader<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, room: MOST_KEPT }
    }

    /// So many bytes of memory are needed for what was read.
    pub fn keep(&mut self, bytes: usize) -> Result<(), DecodeError> {
        self.room = self.room.checked_sub(bytes).ok_or(DecodeError::TooMuch)?;
        Ok(())
    }

    /// Bytes that were not read yet.
    pub const fn left(&self) -> usize {
        self.rest.len()
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(DecodeError::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    /// A big-endian number of `N` bytes, at most 8.
    fn number<const N: usize>(&mut self) -> Result<u64, DecodeError> {
        let bytes = self.take(N)?;
        Ok(bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    fn length<const N: usize>(&mut self) -> Result<usize, DecodeError> {
        usize::try_from(self.number::<N>()?).map_err(|_| DecodeError::Short)
    }

    fn text(&mut self, length: usize) -> Result<Head<'a>, DecodeError> {
        let text = std::str::from_utf8(self.take(length)?);
        text.map(Head::Text).map_err(|_| DecodeError::Text)
    }

    fn bytes(&mut self, length: usize) -> Result<Head<'a>, DecodeError> {
        self.take(length).map(Head::Bytes)
    }

    fn extension(&mut self, length: usize) -> Result<Head<'a>, DecodeError> {
        self.take(length.saturating_add(1)).map(|_| Head::Extension)
    }

    /// The values of an array have at least one byte each, the pairs of a map two.
    fn array(&self, length: usize) -> Result<Head<'a>, DecodeError> {
        (length <= self.left()).then_some(Head::Array(length)).ok_or(DecodeError::Short)
    }

    fn map(&self, pairs: usize) -> Result<Head<'a>, DecodeError> {
        (pairs <= self.left() / 2).then_some(Head::Map(pairs)).ok_or(DecodeError::Short)
    }

    /// Reads the start of the next value. What is inside of an array or a map follows.
    pub fn head(&mut self) -> Result<Head<'a>, DecodeError> {
        let [marker] = *self.take(1)? else { return Err(DecodeError::Short) };
        Ok(match marker {
            0x00..=0x7f => Head::Int(i128::from(marker)),
            0x80..=0x8f => self.map(usize::from(marker & 0x0f))?,
            0x90..=0x9f => self.array(usize::from(marker & 0x0f))?,
            0xa0..=0xbf => self.text(usize::from(marker & 0x1f))?,
            0xc0 => Head::Nil,
            0xc1 => return Err(DecodeError::Marker),
            0xc2 | 0xc3 => Head::Bool,
            0xc4 => {
                let length = self.length::<1>()?;
                self.bytes(length)?
            }
            0xc5 => {
                let length = self.length::<2>()?;
                self.bytes(length)?
            }
            0xc6 => {
                let length = self.length::<4>()?;
                self.bytes(length)?
            }
            0xc7 => {
                let length = self.length::<1>()?;
                self.extension(length)?
            }
            0xc8 => {
                let length = self.length::<2>()?;
                self.extension(length)?
            }
            0xc9 => {
                let length = self.length::<4>()?;
                self.extension(length)?
            }
            0xca => Head::Float(f64::from(f32::from_bits(self.number::<4>()? as u32))),
            0xcb => Head::Float(f64::from_bits(self.number::<8>()?)),
            0xcc => Head::Int(i128::from(self.number::<1>()?)),
            0xcd => Head::Int(i128::from(self.number::<2>()?)),
            0xce => Head::Int(i128::from(self.number::<4>()?)),
            0xcf => Head::Int(i128::from(self.number::<8>()?)),
            0xd0 => Head::Int(i128::from(self.number::<1>()? as i8)),
            0xd1 => Head::Int(i128::from(self.number::<2>()? as i16)),
            0xd2 => Head::Int(i128::from(self.number::<4>()? as i32)),
            0xd3 => Head::Int(i128::from(self.number::<8>()? as i64)),
            0xd4..=0xd8 => self.extension(1 << (marker - 0xd4))?,
            0xd9 => {
                let length = self.length::<1>()?;
                self.text(length)?
            }
            0xda => {
                let length = self.length::<2>()?;
                self.text(length)?
            }
            0xdb => {
                let length = self.length::<4>()?;
                self.text(length)?
            }
            0xdc => {
                let length = self.length::<2>()?;
                self.array(length)?
            }
            0xdd => {
                let length = self.length::<4>()?;
                self.array(length)?
            }
            0xde => {
                let pairs = self.length::<2>()?;
                self.map(pairs)?
            }
            0xdf => {
                let pairs = self.length::<4>()?;
                self.map(pairs)?
            }
            0xe0..=0xff => Head::Int(i128::from(marker as i8)),
        })
    }

    /// Reads past one value and all that is inside. It does not recurse, so depth costs nothing.
    pub fn skip(&mut self) -> Result<(), DecodeError> {
        let mut values = 1u64;
        while values > 0 {
            values -= 1;
            match self.head()? {
                Head::Array(length) => values += length as u64,
                Head::Map(pairs) => values += 2 * pairs as u64,
                _ => {}
            }
        }
        Ok(())
    }
}

/// Writes values in their shortest form, as msgspec does.
#[derive(Default, Debug)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    pub fn nil(&mut self) {
        self.0.push(0xc0);
    }

    pub fn float(&mut self, number: f64) {
        self.0.push(0xcb);
        self.0.extend(number.to_be_bytes());
    }

    /// Numbers outside of what msgpack can hold are written as the nearest one that it can.
    pub fn int(&mut self, number: i128) {
        match number {
            0..=0x7f => self.0.push(number as u8),
            0x80..=0xff => self.marked::<1>(0xcc, number as u64),
            0x100..=0xffff => self.marked::<2>(0xcd, number as u64),
            0x1_0000..=0xffff_ffff => self.marked::<4>(0xce, number as u64),
            0x1_0000_0000.. => {
                self.marked::<8>(0xcf, u64::try_from(number).unwrap_or(u64::MAX));
            }
            -0x20..=-1 => self.0.push(number as i8 as u8),
            -0x80..=-0x21 => self.marked::<1>(0xd0, number as u64),
            -0x8000..=-0x81 => self.marked::<2>(0xd1, number as u64),
            -0x8000_0000..=-0x8001 => self.marked::<4>(0xd2, number as u64),
            _ => self.marked::<8>(0xd3, i64::try_from(number).unwrap_or(i64::MIN) as u64),
        }
    }

    pub fn text(&mut self, text: &str) {
        match text.len() {
            length @ 0..=0x1f => self.0.push(0xa0 | length as u8),
            length => self.length([Some(0xd9), Some(0xda), Some(0xdb)], length),
        }
        self.0.extend(text.as_bytes());
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.length([Some(0xc4), Some(0xc5), Some(0xc6)], bytes.len());
        self.0.extend(bytes);
    }

    pub fn array(&mut self, length: usize) {
        match length {
            0..=0xf => self.0.push(0x90 | length as u8),
            _ => self.length([None, Some(0xdc), Some(0xdd)], length),
        }
    }

    pub fn map(&mut self, pairs: usize) {
        match pairs {
            0..=0xf => self.0.push(0x80 | pairs as u8),
            _ => self.length([None, Some(0xde), Some(0xdf)], pairs),
        }
    }

    /// The head of a map with a length of two bytes, however short it is.
    pub fn long_map(&mut self, pairs: u16) {
        self.marked::<2>(0xde, pairs.into());
    }

    /// A length after the marker for 1, 2 or 4 bytes.
    fn length(&mut self, markers: [Option<u8>; 3], length: usize) {
        match (markers, length) {
            ([Some(one), ..], 0..=0xff) => self.marked::<1>(one, length as u64),
            ([_, Some(two), _], 0..=0xffff) => self.marked::<2>(two, length as u64),
            ([.., four], _) => self.marked::<4>(four.unwrap_or(0xc1), length as u64),
        }
    }

    /// A marker and the last `N` bytes of a number.
    fn marked<const N: usize>(&mut self, marker: u8, number: u64) {
        self.0.push(marker);
        self.0.extend(&number.to_be_bytes()[8 - N..]);
    }
}
