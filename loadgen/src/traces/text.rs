//! The bytes of a file as text: plain or gzipped, read piece by piece with bounds. A file without an
//! end, or one that unfolds to far more than its size, ends in an error before it fills the memory.

use std::cell::Cell;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;
use std::rc::Rc;

/// A longer line would need too much memory when it is parsed.
pub const MAX_LINE: usize = 32 << 20;
/// A larger trace would not fit in memory.
const MAX_BYTES: u64 = 4 << 30;
/// Traces in JSON unfold to some 10 times their size. Small files may be anything.
const MAX_RATIO: u64 = 300;
const SMALL: u64 = 16 << 20;
const ZERO: &str = "a zero byte, expected a text";
/// What an error says of a file that ends too early.
pub const CUT: &str = "cut off";

/// A file that is being read.
pub struct Text {
    reader: Box<dyn BufRead>,
    /// Bytes of the file that were read. None: it is not gzipped.
    packed: Option<Rc<Cell<u64>>>,
    unpacked: u64,
}

/// Counts what is read through it.
struct Counted<R> {
    inner: R,
    bytes: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes.set(self.bytes.get() + read as u64);
        Ok(read)
    }
}

impl Text {
    pub fn open(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let mut plain = BufReader::with_capacity(1 << 16, file);
        let start = plain.fill_buf().map_err(|error| error.to_string())?;
        if !start.starts_with(&[0x1f, 0x8b]) {
            return Ok(Self { reader: Box::new(plain), packed: None, unpacked: 0 });
        }
        let bytes = Rc::new(Cell::new(0));
        let counted = Counted { inner: plain, bytes: Rc::clone(&bytes) };
        let decoder = flate2::bufread::MultiGzDecoder::new(BufReader::new(counted));
        let reader = Box::new(BufReader::with_capacity(1 << 16, decoder));
        Ok(Self { reader, packed: Some(bytes), unpacked: 0 })
    }

    /// The next bytes, which must be text. Empty: the end of the file.
    fn piece(&mut self) -> Result<&[u8], String> {
        if self.unpacked > MAX_BYTES {
            return Err(format!("more than {MAX_BYTES} bytes, expected a smaller file"));
        }
        if let Some(packed) = &self.packed
            && self.unpacked > SMALL
            && self.unpacked / MAX_RATIO > packed.get()
        {
            return Err(format!(
                "gzip: unpacks to more than {MAX_RATIO} times its size, expected a trace"
            ));
        }
        let is_packed = self.packed.is_some();
        let piece = self.reader.fill_buf().map_err(|error| match is_packed {
            true if error.kind() == ErrorKind::UnexpectedEof => {
                format!("gzip: {CUT}, expected a whole archive")
            }
            true => format!("gzip: {error}, expected a whole archive"),
            false => error.to_string(),
        })?;
        Ok(piece)
    }

    fn consume(&mut self, bytes: usize) {
        self.reader.consume(bytes);
        self.unpacked += bytes as u64;
    }

    /// Whether it begins as a list of objects.
    pub fn is_list(&mut self) -> Result<bool, String> {
        let piece = self.piece()?;
        let piece = piece.strip_prefix("\u{feff}".as_bytes()).unwrap_or(piece);
        let mut signs = piece.iter().filter(|byte| !byte.is_ascii_whitespace());
        Ok(signs.next() == Some(&b'[') && matches!(signs.next(), Some(b'{' | b']')))
    }

    /// The next line, without its end. None: there is none.
    pub fn line(&mut self) -> Result<Option<Line>, String> {
        let mut bytes = Vec::new();
        loop {
            let piece = self.piece()?;
            if piece.is_empty() {
                let line = Line { text: utf8(bytes)?, is_ended: false };
                return Ok(Some(line).filter(|line| !line.text.is_empty()));
            }
            let end = piece.iter().position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(piece.len());
            if piece[..taken].contains(&0) {
                return Err(ZERO.to_owned());
            }
            bytes.extend_from_slice(&piece[..taken]);
            self.consume(taken + usize::from(end.is_some()));
            if bytes.len() > MAX_LINE {
                return Err(format!("longer than {MAX_LINE} bytes, expected one request a line"));
            }
            if end.is_some() {
                return Ok(Some(Line { text: utf8(bytes)?, is_ended: true }));
            }
        }
    }

    /// The next object of a JSON list, without line breaks. None: the list has ended. Call it first at
    /// the list's opening bracket.
    pub fn object(&mut self) -> Result<Option<String>, String> {
        let mut bytes: Vec<u8> = Vec::new();
        let (mut depth, mut in_string, mut is_escaped) = (0_u32, false, false);
        loop {
            let piece = self.piece()?;
            if piece.is_empty() {
                return Err(format!("{CUT}, expected the end of the list: ]"));
            }
            let mut taken = 0;
            let mut found = None;
            for &byte in piece {
                taken += 1;
                if depth == 0 {
                    match byte {
                        b'{' => depth = 1,
                        b']' => found = Some(false),
                        b'[' | b',' | 0xef | 0xbb | 0xbf => continue,
                        _ if byte.is_ascii_whitespace() => continue,
                        0 => return Err(ZERO.to_owned()),
                        _ => return Err("not an object, expected a list of objects".to_owned()),
                    }
                } else if in_string {
                    in_string = byte != b'"' || is_escaped;
                    is_escaped = byte == b'\\' && !is_escaped;
                } else {
                    match byte {
                        b'"' => in_string = true,
                        0 => return Err(ZERO.to_owned()),
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' => depth -= 1,
                        _ => {}
                    }
                    if depth == 0 {
                        found = Some(true);
                    }
                }
                if found != Some(false) {
                    bytes.push(if matches!(byte, b'\n' | b'\r') { b' ' } else { byte });
                }
                if found.is_some() {
                    break;
                }
            }
            self.consume(taken);
            if bytes.len() > MAX_LINE {
                return Err(format!("longer than {MAX_LINE} bytes, expected a shorter object"));
            }
            match found {
                Some(true) => return utf8(bytes).map(Some),
                Some(false) => return Ok(None),
                None => {}
            }
        }
    }
}

/// A line of a file.
pub struct Line {
    pub text: String,
    /// Whether a line break follows it.
    pub is_ended: bool,
}

fn utf8(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())
}
