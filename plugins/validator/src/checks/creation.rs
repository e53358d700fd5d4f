//! What create is asked.

use crate::instance::Raw;
use crate::job::pass;
use crate::layout::Layout;
use crate::subject::Subject;
use crate::{Job, Outcome};

pub(super) fn create(subject: &dyn Subject) -> Outcome {
    drop(subject.start()?);
    drop(subject.start()?);
    pass("")
}

pub(super) fn unknown_expert(job: &Job) -> Outcome {
    let raw = Raw::open(job)?;
    for name in ["cpt-no-such-expert", ""] {
        if raw.create(name, b"{}", &Layout::default()).is_ok() {
            return Err(format!("expected create to refuse the unknown expert `{name}`, got CPT_OK"));
        }
    }
    pass("")
}

pub(super) fn malformed_settings(job: &Job) -> Outcome {
    let raw = Raw::open(job)?;
    let texts: [&[u8]; 5] = [b"not JSON", b"[1, 2]", b"{\"unfinished\": ", b"\"text\"", b"\xFF\xFE"];
    for text in texts {
        if raw.create(&raw.manifest.name, text, &Layout::default()).is_ok() {
            let text = String::from_utf8_lossy(text);
            return Err(format!("expected create to refuse the settings `{text}`, got CPT_OK"));
        }
    }
    raw.instance().map_err(|e| format!("after refusing malformed settings: {e}"))?;
    pass("")
}
