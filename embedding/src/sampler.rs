//! Draws melodies note by note, all candidates in one batch.

use counterpoint::{Candidate, Draft, Error, Result, Rollout, Sample, Segment, Stream, Task, Trajectory, TypedSampler};

use crate::policy::{Composer, LENGTH, NOTES};

/// Draws from a [`Composer`]. A melody is so short that a draft is a finished one.
pub struct Improviser;

impl TypedSampler<Composer> for Improviser {
    type Draft = Rollout;

    fn draft(
        &mut self,
        composer: &Composer,
        task: &Task,
        all: &[Candidate],
        previews: bool,
    ) -> Result<Vec<Draft<Rollout>>> {
        let opening: u32 = task.question.parse().map_err(|e| {
            Error::data(format!("task {}: expected the opening note, got `{}`", task.id, task.question)).with_source(e)
        })?;
        let model = composer.model();
        // Each candidate has its own stream: what it plays does not depend on who plays along.
        let mut streams: Vec<Stream> = all.iter().map(|candidate| candidate.stream("note", 0)).collect();
        let mut notes = vec![vec![opening]; all.len()];
        let mut scores = vec![Vec::with_capacity(LENGTH); all.len()];
        for _ in 0..LENGTH {
            let last: Vec<u32> = notes.iter().filter_map(|melody| melody.last().copied()).collect();
            let rows = model.after(&last).try_into_vec_as::<f32>();
            let rows = rows.map_err(|e| Error::contract("cannot read the scores from the device").with_source(e))?;
            for (i, row) in rows.chunks(NOTES).enumerate() {
                let note = draw(row, streams[i].uniform());
                notes[i].push(note as u32);
                scores[i].push(row[note]);
            }
        }
        let draft = |(&candidate, (melody, scores)): (&Candidate, (Vec<u32>, Vec<f32>))| {
            let number = candidate.key.candidate;
            let text = melody.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
            let sample = Sample::new(task, number, task.question.clone(), text, None);
            let segment = Segment::text(vec![opening], melody[1..].to_vec(), scores);
            let preview = previews.then(|| sample.clone());
            let rollout = Rollout::new(Trajectory::new(number, vec![segment]), sample);
            Draft::new(candidate, rollout, 1, 0).with_preview(preview)
        };
        Ok(all.iter().zip(notes.into_iter().zip(scores)).map(draft).collect())
    }

    fn finish(&mut self, _: &Composer, _: &Task, drafts: Vec<Draft<Rollout>>) -> Result<Vec<Rollout>> {
        Ok(drafts.into_iter().map(|draft| draft.state).collect())
    }
}

/// The note at which the cumulative probability reaches `uniform`.
fn draw(log_probs: &[f32], uniform: f32) -> usize {
    let mut cumulative = 0.0;
    let below = log_probs.iter().take_while(|l| {
        cumulative += l.exp();
        cumulative < uniform
    });
    below.count().min(log_probs.len() - 1)
}
