//! What is to be composed.

use counterpoint::{Key, Result, Streams, Task, TaskSource};

use crate::policy::NOTES;

/// Melodies that begin with a random note, written as its number.
pub struct Openings;

impl TaskSource for Openings {
    fn task(&self, step: u64, cursor: u64, streams: &Streams) -> Result<Task> {
        let note = streams.stream(Key::task(step, cursor), "opening", 0).below(NOTES);
        Ok(Task::new(cursor, note.to_string()))
    }
}
