//! What a child logs, and what it writes to standard error, is in the host's log under the expert's name.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::fmt::Debug;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use support::{bridged, quick, value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Every event as a line: level, target, fields.
struct Lines;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 += &format!(" {field}={value:?}");
    }
}

impl Subscriber for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(format!("{} {}", event.metadata().level(), event.metadata().target()));
        event.record(&mut line);
        LINES.lock().unwrap().push(line.0);
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn the_log_has_what_a_child_says() {
    tracing::subscriber::set_global_default(Lines).unwrap();
    let mut expert = bridged(quick());
    value(&mut expert, "log");
    value(&mut expert, "print");
    let expected = [
        "WARN counterpoint::plugin message=moody warns expert=\"moody\"",
        "INFO counterpoint::plugin message=CPTF this goes nowhere expert=\"moody\"",
    ];
    let start = Instant::now();
    loop {
        let lines = LINES.lock().unwrap();
        if expected.iter().all(|line| lines.iter().any(|l| l == line)) {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(5), "{lines:?}");
        drop(lines);
        std::thread::sleep(Duration::from_millis(5));
    }
}
