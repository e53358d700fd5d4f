//! What a plugin logs in the child, as `log` frames, and those as events of the host's log.

use std::fmt::{Debug, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::child::Output;
use crate::message::FromChild;

/// Where a plugin's events go.
pub const TARGET: &str = "counterpoint::plugin";

/// Puts a `log` frame into the host's log; a level that is not known is `info`.
pub fn emit(expert: &str, level: &str, message: &str) {
    match level {
        "error" => tracing::error!(target: TARGET, expert, "{message}"),
        "warn" => tracing::warn!(target: TARGET, expert, "{message}"),
        "debug" => tracing::debug!(target: TARGET, expert, "{message}"),
        "trace" => tracing::trace!(target: TARGET, expert, "{message}"),
        _ => tracing::info!(target: TARGET, expert, "{message}"),
    }
}

/// The child's log: every event is sent to the host.
pub struct Forward {
    output: Arc<Output>,
    spans: AtomicU64,
}

impl Forward {
    pub fn new(output: Arc<Output>) -> Self {
        Self { output, spans: AtomicU64::new(1) }
    }
}

impl Subscriber for Forward {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::DEBUG
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        // Without a host there is nobody to tell.
        let _untold = self.output.send(&FromChild::Log { level, message: text.message + &text.fields }, &[]);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(self.spans.fetch_add(1, Ordering::Relaxed).max(1))
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// An event's message and its other fields. The host knows the expert.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _infallible = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            "expert" => Ok(()),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
