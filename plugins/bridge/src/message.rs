//! What the frames' headers say. `PROTOCOL.md` is the contract.
//!
//! Keys that are not known are ignored: those of a later minor version are no error.

use std::borrow::Cow;

use counterpoint_host::{Error, ErrorKind, Result, State};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version of the protocol that is spoken here.
pub const PROTOCOL: Version = Version { major: 1, minor: 1 };

/// A version of the protocol: the major one has to be the same on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
}

/// From the host to the child.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ToChild<'a> {
    /// Make an instance.
    Create {
        expert: Cow<'a, str>,
        settings: Cow<'a, Value>,
        base: Cow<'a, str>,
        /// Bytes of the largest body that will come.
        body_limit: u64,
    },
    /// Score these items, whose pixels are in the body.
    Score {
        id: u64,
        seed: u64,
        /// Nanoseconds that the call may take, for the expert to plan by.
        deadline_ns: Option<u64>,
        #[serde(borrow)]
        items: Vec<WireItem<'a>>,
    },
    /// End the call early.
    Cancel { id: u64 },
    /// There is nothing more to do.
    Bye {},
}

/// What is for the thread that takes the frames, and not for the one that is busy with a call.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Urgent {
    Create {
        body_limit: u64,
    },
    Cancel {
        id: u64,
    },
    #[serde(other)]
    Other,
}

/// From the child to the host.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FromChild {
    /// The first frame.
    Hello { protocol: Version, program: String, manifest: Value, capabilities: u64 },
    /// The instance is there, and promises more or less than the plugin as a whole.
    Created {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        capabilities: Option<u64>,
    },
    /// What was asked failed as a whole.
    Error { id: Option<u64>, error: String, message: String },
    /// What became of the items; the values are in the body.
    Scores { id: u64, states: Vec<State>, values: Tensor },
    /// To be logged.
    Log { level: String, message: String },
}

impl FromChild {
    /// What the frame is called.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "hello",
            Self::Created { .. } => "created",
            Self::Error { .. } => "error",
            Self::Scores { .. } => "scores",
            Self::Log { .. } => "log",
        }
    }
}

/// A header as a message.
///
/// # Errors
/// [`ErrorKind::Contract`] when it is none.
pub fn parse<'a, M: Deserialize<'a>>(header: &'a [u8]) -> Result<M> {
    serde_json::from_slice(header)
        .map_err(|e| Error::new(ErrorKind::Contract, "expected a frame's header as in PROTOCOL.md").with_source(e))
}

/// One sample.
#[derive(Debug, Serialize, Deserialize)]
pub struct WireItem<'a> {
    #[serde(borrow)]
    pub prompt: Cow<'a, str>,
    #[serde(borrow)]
    pub response: Cow<'a, str>,
    #[serde(borrow)]
    pub class_name: Cow<'a, str>,
    /// JSON text; empty when there are none.
    #[serde(borrow)]
    pub params: Cow<'a, str>,
    pub candidate: u64,
    pub image: Option<Tensor>,
    pub references: Vec<Tensor>,
}

/// Where numbers are in the body, and what they are: the last axis is the innermost, and there are no gaps.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tensor {
    pub dtype: Dtype,
    pub shape: Vec<u64>,
    /// Bytes from the start of the body, a multiple of 8.
    pub offset: u64,
}

/// What a number is; little endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dtype {
    U8,
    F32,
    F64,
}

impl Dtype {
    /// Bytes of a number.
    pub fn size(self) -> u64 {
        match self {
            Self::U8 => 1,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

impl Tensor {
    /// Its bytes within `body`.
    ///
    /// # Errors
    /// [`ErrorKind::Contract`] when it does not lie inside.
    pub fn bytes<'b>(&self, body: &'b [u8]) -> Result<&'b [u8]> {
        let size = self.shape.iter().try_fold(self.dtype.size(), |size, n| size.checked_mul(*n));
        let inside = size.and_then(|size| Some(self.offset as usize..self.offset.checked_add(size)? as usize));
        inside.and_then(|inside| body.get(inside)).ok_or_else(|| {
            let message = format!("expected a tensor within a body of {} bytes, got {self:?}", body.len());
            Error::new(ErrorKind::Contract, message)
        })
    }
}

/// Kinds of errors by the names that they have in an `error` frame.
const ERRORS: [(&str, ErrorKind); 10] = [
    ("config", ErrorKind::Config),
    ("create", ErrorKind::Create),
    ("call", ErrorKind::Call),
    ("panic", ErrorKind::Panic),
    ("cancelled", ErrorKind::Cancelled),
    ("deadline", ErrorKind::Deadline),
    ("contract", ErrorKind::Contract),
    ("load", ErrorKind::Load),
    ("manifest", ErrorKind::Manifest),
    ("version", ErrorKind::Version),
];

/// The kind called `name`; a name that is not known is a failed call.
pub fn error_kind(name: &str) -> ErrorKind {
    ERRORS.iter().find(|(known, _)| *known == name).map_or(ErrorKind::Call, |(_, kind)| *kind)
}

/// The name of `kind`; kinds without one are failed calls.
pub fn error_name(kind: ErrorKind) -> &'static str {
    ERRORS.iter().find(|(_, known)| *known == kind).map_or("call", |(name, _)| name)
}
