//! Frames: how both sides put a JSON header and raw bytes on a pipe. `PROTOCOL.md` is the contract.

use std::io::{ErrorKind as Cause, Read};
use std::sync::{Arc, Mutex, PoisonError};

use counterpoint_host::{Error, ErrorKind, Result};

/// The first four bytes of every frame.
pub const MAGIC: [u8; 4] = *b"CPTF";
/// Bytes before the header: the magic, the header's length (`u32`), the body's length (`u64`), little endian.
pub const PREFIX: usize = 16;
/// Most bytes that a header may have.
pub const HEADER_LIMIT: usize = 16 << 20;
/// Most bytes that a body may have, whatever limit is set.
pub const BODY_LIMIT: u64 = 1 << 40;
/// Tensors start at multiples of this many bytes of the body.
pub const ALIGNMENT: usize = 8;
/// Bytes that are asked of the allocator before any came.
const FIRST_STEP: usize = 1 << 20;

/// One frame as it came.
#[derive(Debug)]
pub struct Frame {
    /// JSON, not parsed yet.
    pub header: Vec<u8>,
    /// Tensors.
    pub body: Body,
}

/// The bytes after a header, aligned to [`ALIGNMENT`]. The memory goes back to the [`Decoder`] when it is dropped.
#[derive(Debug, Default)]
pub struct Body {
    words: Vec<u64>,
    size: usize,
    home: Spare,
}

/// The memory of the last body, for the next.
type Spare = Arc<Mutex<Vec<u64>>>;

impl Body {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.size]
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        *self.home.lock().unwrap_or_else(PoisonError::into_inner) = std::mem::take(&mut self.words);
    }
}

/// A frame's prefix and header: what goes before a body of `body` bytes.
///
/// # Errors
/// [`ErrorKind::Call`] when the header is longer than [`HEADER_LIMIT`].
pub fn encode(header: &impl serde::Serialize, body: u64) -> Result<Vec<u8>> {
    let mut bytes = vec![0; PREFIX];
    serde_json::to_writer(&mut bytes, header)
        .map_err(|e| Error::new(ErrorKind::Call, "cannot write a frame's header").with_source(e))?;
    let size = bytes.len() - PREFIX;
    if size > HEADER_LIMIT {
        let message =
            format!("expected texts of at most {HEADER_LIMIT} bytes in a call, got {size}; score fewer items");
        return Err(Error::new(ErrorKind::Call, message));
    }
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..8].copy_from_slice(&(size as u32).to_le_bytes());
    bytes[8..16].copy_from_slice(&body.to_le_bytes());
    Ok(bytes)
}

/// What a [`Decoder`] has after a step.
#[derive(Debug)]
pub enum Step {
    /// A whole frame.
    Frame(Frame),
    /// Nothing more to read at present; only of a reader that does not block.
    Pending,
    /// The other side closed the pipe, so many bytes (0 between two frames) before a frame was whole.
    End {
        /// Bytes.
        missing: usize,
    },
}

/// Takes frames from a reader, piece by piece.
///
/// Lengths are checked before anything is allocated, and memory grows only as bytes come: a frame that claims gigabytes and
/// brings none costs a megabyte.
#[derive(Debug)]
pub struct Decoder {
    body_limit: u64,
    prefix: [u8; PREFIX],
    header: Vec<u8>,
    body: Body,
    /// Bytes of the frame that came, its prefix included.
    have: usize,
    spare: Spare,
}

impl Decoder {
    /// A decoder that refuses bodies of more than `body_limit` bytes.
    pub fn new(body_limit: u64) -> Self {
        let spare = Spare::default();
        let body_limit = body_limit.min(BODY_LIMIT);
        Self { body_limit, prefix: [0; PREFIX], header: Vec::new(), body: Body::default(), have: 0, spare }
    }

    /// Refuses bodies of more than `bytes` from now on.
    pub fn set_body_limit(&mut self, bytes: u64) {
        self.body_limit = bytes.min(BODY_LIMIT);
    }

    /// Reads on until a frame is whole, `reader` would block, or it ends.
    ///
    /// # Errors
    /// [`ErrorKind::Contract`] on a wrong magic, or a length over its limit; [`ErrorKind::Io`] when reading fails. The
    /// decoder is of no use afterwards.
    pub fn step(&mut self, reader: &mut impl Read) -> Result<Step> {
        loop {
            let (header, body) = self.lengths()?;
            let (header_end, end) = (PREFIX + header, PREFIX + header + body);
            if self.have == end {
                self.have = 0;
                self.body.size = body;
                let body = std::mem::take(&mut self.body);
                return Ok(Step::Frame(Frame { header: std::mem::take(&mut self.header), body }));
            }
            let free = if self.have < PREFIX {
                &mut self.prefix[self.have..]
            } else if self.have < header_end {
                let at = self.have - PREFIX;
                self.header.resize(header.min((2 * at).max(FIRST_STEP)), 0);
                &mut self.header[at..]
            } else {
                self.room(self.have - header_end, body)
            };
            match reader.read(free) {
                Ok(0) if self.have == 0 => return Ok(Step::End { missing: 0 }),
                Ok(0) => return Ok(Step::End { missing: end - self.have }),
                Ok(n) => self.have += n,
                Err(e) if e.kind() == Cause::WouldBlock => return Ok(Step::Pending),
                Err(e) if e.kind() == Cause::Interrupted => {}
                Err(e) => return Err(Error::new(ErrorKind::Io, "cannot read from the pipe").with_source(e)),
            }
        }
    }

    /// Lengths of header and body; zeros before the prefix is whole.
    fn lengths(&self) -> Result<(usize, usize)> {
        if self.have < PREFIX {
            return Ok((0, 0));
        }
        let [m0, m1, m2, m3, h0, h1, h2, h3, body @ ..] = self.prefix;
        if [m0, m1, m2, m3] != MAGIC {
            let message = format!(
                "expected a frame that starts with {:?}, got {:?}; only frames may be written to standard output",
                MAGIC.escape_ascii().to_string(),
                self.prefix.escape_ascii().to_string()
            );
            return Err(Error::new(ErrorKind::Contract, message));
        }
        let header = u32::from_le_bytes([h0, h1, h2, h3]) as usize;
        let body = u64::from_le_bytes(body);
        if header > HEADER_LIMIT {
            let message = format!("expected a frame's header of at most {HEADER_LIMIT} bytes, got {header}");
            return Err(Error::new(ErrorKind::Contract, message));
        }
        if body > self.body_limit {
            let message = format!("expected a frame's body of at most {} bytes, got {body}", self.body_limit);
            return Err(Error::new(ErrorKind::Contract, message));
        }
        Ok((header, body as usize))
    }

    /// Room for more bytes of a body of `size`, of which `at` came.
    fn room(&mut self, at: usize, size: usize) -> &mut [u8] {
        if at == 0 && self.body.words.is_empty() {
            self.body.words = std::mem::take(&mut *self.spare.lock().unwrap_or_else(PoisonError::into_inner));
            self.body.home = Arc::clone(&self.spare);
        }
        if at == self.body.words.len() * ALIGNMENT {
            self.body.words.resize(size.min((2 * at).max(FIRST_STEP)).div_ceil(ALIGNMENT), 0);
        }
        let end = size.min(self.body.words.len() * ALIGNMENT);
        &mut bytemuck::cast_slice_mut(&mut self.body.words)[at..end]
    }
}
