//! Named numbers of each step, and the `metrics.jsonl` that they are appended to.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::{Error, Result, file};

const STEP: &str = "step";
const NON_FINITE: &str = "non_finite";
const NOTES: &str = "notes";

/// Beginnings of the names that are measured by the wall clock and so differ from run to run.
const TIMINGS: [&str; 2] = ["time/", "throughput/"];
const OVERLAP: &str = "time/overlap";

/// End of the name of a reward's spread within groups.
pub(crate) const GROUP_STD: &str = "group_std";

/// The named numbers of one step, in alphabetical order, and notes on what cannot be a number.
///
/// Where there is nothing to take a mean of, there is no metric.
///
/// | name | what |
/// |---|---|
/// | `reward`, `reward_std` | mean and standard deviation of the total reward over all candidates that have one, redraws included |
/// | `rewards/<name>/mean`, `.../std`, `.../abstained`, `.../failed` | of one reward over the same; the last two are counts |
/// | `answer/truncated` | share of finished candidates whose answer ended at the limit of the sampler and not by itself |
/// | `prompt/cut` | share of compound prompts that did not fit the model whole, over all finished candidates (samplers of models that read prompts of a limited length) |
/// | `rewards/<name>/group_std` | of one reward, mean over groups of the standard deviation within a group, of those with two values or more, redraws included: what it has to teach; near 0 for 10 steps it is warned of |
/// | `frac_reward_zero_std` | share of groups whose rewards are all equal, of the last draw of each that has two rewards or more |
/// | `groups_dropped` | groups that nothing is learned from |
/// | `advantage_std` | standard deviation of the advantages |
/// | `loss`, `grad_norm` | loss, and L2 norm of the gradient before scaling: means over the updates from the batch |
/// | `grad_norm/understanding`, `grad_norm/generation` | where each half has an optimizer of its own: of its gradient; `grad_norm` is then the root of the sum of both squares |
/// | `kl` | mean KL estimate against the reference over decisions and updates, nats; absent where the objective has no reference |
/// | `ratio_mean`, `ratio_max` | probability ratio of the current policy to that before the first update from the batch |
/// | `clip_ratio/low`, `clip_ratio/high` | share of decisions whose ratio was clipped, over all updates |
/// | `entropy` | mean entropy in the first update from the batch, nats: that of the policy that sampled |
/// | `importance_mean` | mean truncated importance weight of the decisions; absent without [`ImportanceCap`](crate::config::ImportanceCap) |
/// | `gate/max`, `gate/p99`, `gate/mean` | in the first update alone: largest difference, 99 % quantile and mean of the differences between the log-probabilities of sampling and replay, nats; of the kind of segment where they are largest |
/// | `kl`, `ratio_mean`, `ratio_max`, `clip_ratio/...`, `entropy`, `importance_mean` followed by `/understanding` or `/generation` | the same over the decisions of one half alone |
/// | `frac_without_sibling` | with several images per answer, share of candidates whose image has no other of the same answer left to be compared with |
/// | `signal/understanding`, `signal/generation` | every `trainer.signal_every` steps: unbiased estimate of the squared norm of the expected gradient of that half; single ones may be negative |
/// | `signal/.../noise`, `signal/.../cosine`, `signal/.../batch` | variance of the step's gradient around it; cosine of the gradients of two halves of the step; candidates in a step for which signal and noise would be equal, where the signal is above 0: for a whole run divide the means instead |
/// | `lr`, `lr/generation` | learning rate of the step; that of images, where they have their own |
/// | `dgs/threshold` | of Dynamic Group Scaling, after the last group |
/// | `dgs/pass_rate`, `dgs/attempts` | means over groups: share of a group's drafts that were admitted, and waves of drafts, redraws included |
/// | `dgs/steps_kept`, `dgs/steps_dropped`, `dgs/steps_saved` | sums over groups of sampling steps, as in [`Ledger`](crate::rollouts::Ledger) |
/// | `skipped` | 1 when the step was skipped for non-finite numbers |
/// | `time/rollout`, `time/reward`, `time/update` | seconds: drawing, without the wait for rewards; what rewards took, previews included; updating |
/// | `time/overlap` | seconds that count twice above, where rewards may be computed beside the next rollout; with `trainer.staleness` those of a rollout that went on beside the step before |
/// | `time/wait` | with `trainer.staleness`: seconds in which the step, its update done, waited for the groups of the next one |
/// | `throughput/samples_per_s` | finished candidates per second of the step's wall time |
///
/// The wall time of a step is `time/rollout` + `time/reward` + `time/update` + `time/wait` - `time/overlap`:
/// [`seconds`](Metrics::seconds).
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    numbers: BTreeMap<String, f64>,
    notes: Vec<String>,
}

impl Metrics {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `name`, which is not to be `step`, `non_finite` or `notes`: a log refuses those.
    pub fn insert(&mut self, name: impl Into<String>, value: f64) {
        self.numbers.insert(name.into(), value);
    }

    /// Adds all numbers and notes of `other`.
    pub fn extend(&mut self, other: Self) {
        self.numbers.extend(other.numbers);
        self.notes.extend(other.notes);
    }

    /// Notes something, once: why a group was left out, what a reward failed on.
    pub fn note(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }

    /// The notes, in the order in which they were made.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The number called `name`.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.numbers.get(name).copied()
    }

    /// All of them, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.numbers.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// Seconds that the step took: the sum of what is under `time/`, as far as it is finite and above 0, where
    /// `time/overlap` counts as negative.
    pub fn seconds(&self) -> f64 {
        let phases = self.iter().filter(|(name, _)| name.starts_with(TIMINGS[0]));
        let phases = phases.filter(|(_, seconds)| seconds.is_finite() && *seconds > 0.0);
        phases.map(|(name, seconds)| if name == OVERLAP { -seconds } else { seconds }).sum()
    }

    /// The same without what the wall clock measured (`time/`, `throughput/`): what is left of a resumed run equals that
    /// of an uninterrupted one.
    pub fn without_timings(mut self) -> Self {
        self.numbers.retain(|name, _| !TIMINGS.iter().any(|t| name.starts_with(t)));
        self
    }
}

/// Bit for bit, so that NaN equals NaN.
impl PartialEq for Metrics {
    fn eq(&self, other: &Self) -> bool {
        let bits = |m: &Self| m.iter().map(|(name, value)| (name.to_owned(), value.to_bits())).collect::<Vec<_>>();
        bits(self) == bits(other) && self.notes == other.notes
    }
}

/// Mean and population standard deviation; `None` for no values.
pub(crate) fn mean_std(values: &[f64]) -> Option<(f64, f64)> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
    (!values.is_empty()).then(|| (mean, variance.sqrt()))
}

/// One line: a flat object. JSON has no NaN and no infinity: they become `null`, and
/// `non_finite` says which they were. `notes` is a list of texts.
#[derive(Debug, PartialEq)]
struct Line<M> {
    step: u64,
    metrics: M,
}

impl Serialize for Line<&Metrics> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(STEP, &self.step)?;
        for (name, value) in self.metrics.iter() {
            map.serialize_entry(name, &Some(value).filter(|v| v.is_finite()))?;
        }
        let non_finite: BTreeMap<_, _> =
            self.metrics.iter().filter(|(_, v)| !v.is_finite()).map(|(name, v)| (name, v.to_string())).collect();
        if !non_finite.is_empty() {
            map.serialize_entry(NON_FINITE, &non_finite)?;
        }
        if !self.metrics.notes.is_empty() {
            map.serialize_entry(NOTES, &self.metrics.notes)?;
        }
        map.end()
    }
}

impl Line<Metrics> {
    fn parse(line: &str) -> Result<Self, String> {
        let Value::Object(object) = serde_json::from_str(line).map_err(|e| e.to_string())? else {
            return Err("expected an object".to_owned());
        };
        let step = object.get(STEP).and_then(Value::as_u64).ok_or("expected an integer `step`")?;
        let mut metrics = Metrics::new();
        for (name, value) in &object {
            let number = match value {
                _ if name == STEP || name == NON_FINITE => continue,
                Value::Array(notes) if name == NOTES => {
                    notes.iter().filter_map(Value::as_str).for_each(|note| metrics.note(note));
                    continue;
                }
                Value::Null => object.get(NON_FINITE).and_then(|n| n.get(name)?.as_str()?.parse().ok()),
                other => other.as_f64(),
            };
            metrics.insert(name, number.ok_or_else(|| format!("expected a number as `{name}`, got {value}"))?);
        }
        Ok(Self { step, metrics })
    }
}

/// Appends one line of JSON per step to a file.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    file: File,
    /// Bytes of whole lines in the file.
    length: u64,
}

impl MetricsLog {
    /// Starts an empty log at `path`, in place of one that may be there.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) when the file cannot be made.
    pub fn create(path: &Path) -> Result<Self> {
        Self::replace(path, "")
    }

    /// Goes on with the log at `path` before `step`: the lines of `step` and later ones, which the resumed run writes
    /// again, are removed. So is a last line that a kill cut short. Without a file it starts an empty one.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) with the number of a damaged line, [`ErrorKind::Io`](crate::ErrorKind::Io)
    /// when the file cannot be read or written. The file is then unchanged.
    pub fn resume(path: &Path, step: u64) -> Result<Self> {
        let text = read(path)?.unwrap_or_default();
        let kept = lines(path, &text)?.into_iter().filter(|(_, line)| line.step < step);
        let kept: String = kept.flat_map(|(line, _)| [line, "\n"]).collect();
        Self::replace(path, &kept)
    }

    /// Step and metrics of every line of the log at `path`, a last one that was cut short left out.
    ///
    /// # Errors
    /// As [`resume`](Self::resume), and [`ErrorKind::Io`](crate::ErrorKind::Io) when there is no file.
    pub fn read(path: &Path) -> Result<Vec<(u64, Metrics)>> {
        let missing = || Error::io("cannot read", path, io::ErrorKind::NotFound.into());
        let text = read(path)?.ok_or_else(missing)?;
        Ok(lines(path, &text)?.into_iter().map(|(_, line)| (line.step, line.metrics)).collect())
    }

    /// Appends the line of `step`, counted from 0. A file that was removed while it was being written is put back, lines and
    /// all, which is warned of.
    ///
    /// # Errors
    /// [`ErrorKind::Contract`](crate::ErrorKind::Contract) when a metric has one of the reserved names,
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) when somebody else wrote to the file,
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) when the file cannot be written, such as on a full disk; it is then as before.
    pub fn append(&mut self, step: u64, metrics: &Metrics) -> Result<()> {
        if let Some(name) = [STEP, NON_FINITE, NOTES].into_iter().find(|name| metrics.get(name).is_some()) {
            return Err(Error::contract(format!("expected metrics by other names than `{name}`; it is reserved")));
        }
        let mut line = serde_json::to_string(&Line { step, metrics }).map_err(|e| self.cannot_write(e.into()))?;
        line.push('\n');
        self.find()?;
        if let Err(error) = self.file.write_all(line.as_bytes()) {
            // Half a line that cannot be taken back is passed over by `resume` and `read`.
            let _ = self.file.set_len(self.length).and_then(|()| self.file.seek(SeekFrom::Start(self.length)));
            return Err(self.cannot_write(error));
        }
        self.length += line.len() as u64;
        Ok(())
    }

    /// Makes sure that the file at the path is the one that is written to.
    fn find(&mut self) -> Result<()> {
        let length = match fs::metadata(&self.path) {
            Ok(about) => about.len(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let mut text = String::new();
                self.file
                    .seek(SeekFrom::Start(0))
                    .and_then(|_| self.file.read_to_string(&mut text))
                    .map_err(|e| self.cannot_write(e))?;
                tracing::warn!(file = %self.path.display(), "was removed while it was being written; put back");
                *self = Self::replace(&self.path, &text)?;
                self.length
            }
            Err(e) => return Err(self.cannot_write(e)),
        };
        if length == self.length {
            return Ok(());
        }
        Err(Error::data(format!(
            "{}: expected the {} bytes that this run wrote, got {length}: somebody else writes to it; move that file away \
             and resume the run",
            self.path.display(),
            self.length
        )))
    }

    /// Makes what was appended durable. To be called before a checkpoint is committed, so that a log is never behind it.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io).
    pub fn sync(&mut self) -> Result<()> {
        self.file.sync_all().map_err(|e| self.cannot_write(e))
    }

    fn cannot_write(&self, error: io::Error) -> Error {
        Error::io("cannot write", &self.path, error)
    }

    /// Replaces the file by one that holds `text`, in one go, and opens it for appending.
    fn replace(path: &Path, text: &str) -> Result<Self> {
        file::remove_unfinished(path)?;
        file::replace(path, text.as_bytes())?;
        let file =
            OpenOptions::new().read(true).append(true).open(path).map_err(|e| Error::io("cannot write", path, e))?;
        Ok(Self { path: path.to_owned(), file, length: text.len() as u64 })
    }
}

fn read(path: &Path) -> Result<Option<String>> {
    match fs::read(path) {
        // A damaged byte is then found by the line that it is in.
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("cannot read", path, e)),
    }
}

/// Every line with what it says; steps must increase.
fn lines<'a>(path: &Path, text: &'a str) -> Result<Vec<(&'a str, Line<Metrics>)>> {
    let complete = text.rfind('\n').map_or("", |end| &text[..=end]);
    let mut found: Vec<(&str, Line<Metrics>)> = Vec::new();
    for (i, line) in complete.lines().enumerate() {
        let damaged = |what: String| {
            Error::data(format!("{}:{}: damaged line: {what}; mend or move the file", path.display(), i + 1))
        };
        if line.contains('\u{fffd}') {
            return Err(damaged("expected UTF-8".to_owned()));
        }
        let parsed = Line::parse(line).map_err(damaged)?;
        if let Some((_, last)) = found.last().filter(|(_, last)| last.step >= parsed.step) {
            return Err(damaged(format!("expected a step after {}, got {}", last.step, parsed.step)));
        }
        found.push((line, parsed));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::ErrorKind;

    fn step(step: u64) -> Metrics {
        let mut metrics = Metrics::new();
        metrics.insert("reward", 0.1 * step as f64 / 3.0);
        metrics.insert("kl", if step == 2 { f64::NAN } else { 1e-7 });
        metrics.insert("time/update", 1.5);
        metrics
    }

    fn run(log: &mut MetricsLog, steps: std::ops::Range<u64>) {
        for s in steps {
            log.append(s, &step(s)).unwrap();
        }
    }

    fn file() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/metrics.jsonl");
        (dir, path)
    }

    #[test]
    fn a_resumed_log_equals_that_of_an_uninterrupted_run() {
        let (_dir, path) = file();
        let mut log = MetricsLog::create(&path).unwrap();
        run(&mut log, 0..6);
        log.sync().unwrap();
        let whole = fs::read(&path).unwrap();
        assert_eq!(MetricsLog::read(&path).unwrap(), (0..6).map(|s| (s, step(s))).collect::<Vec<_>>());

        for cut in [0, 1, 40] {
            fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            run(&mut MetricsLog::resume(&path, 3).unwrap(), 3..6);
            assert_eq!(fs::read(&path).unwrap(), whole);
        }
        run(&mut MetricsLog::create(&path).unwrap(), 0..1);
        assert_eq!(MetricsLog::read(&path).unwrap(), [(0, step(0))]);
    }

    #[test]
    fn non_finite_numbers_are_null_with_a_note() {
        let mut metrics = Metrics::new();
        metrics.insert("kl", f64::NAN);
        metrics.insert("lr", 1e-6);
        metrics.insert("ratio_max", f64::INFINITY);
        metrics.insert("reward", f64::NEG_INFINITY);
        let line = serde_json::to_string(&Line { step: 1, metrics: &metrics }).unwrap();
        assert_eq!(
            line,
            r#"{"step":1,"kl":null,"lr":1e-6,"ratio_max":null,"reward":null,"non_finite":{"kl":"NaN","ratio_max":"inf","reward":"-inf"}}"#
        );
        assert_eq!(Line::parse(&line).unwrap(), Line { step: 1, metrics });
    }

    #[test]
    fn a_damaged_line_is_refused_by_its_number_and_the_file_left_alone() {
        let (_dir, path) = file();
        run(&mut MetricsLog::create(&path).unwrap(), 0..4);
        let whole = fs::read_to_string(&path).unwrap();
        let second = whole.lines().nth(1).unwrap();
        for bad in ["{\"step\":1,", "[1]", "{\"reward\":1}", "{\"step\":1,\"kl\":null}", "{\"step\":0}", "\u{fffd}", ""]
        {
            let damaged = whole.replace(second, bad);
            fs::write(&path, &damaged).unwrap();
            let error = MetricsLog::resume(&path, 3).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Data);
            assert!(error.to_string().contains("metrics.jsonl:2: damaged line"), "{bad}: {error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_log_that_is_removed_is_put_back_and_one_that_somebody_else_wrote_to_is_said() {
        let (_dir, path) = file();
        let mut log = MetricsLog::create(&path).unwrap();
        run(&mut log, 0..3);
        fs::remove_file(&path).unwrap();
        run(&mut log, 3..5);
        assert_eq!(MetricsLog::read(&path).unwrap(), (0..5).map(|s| (s, step(s))).collect::<Vec<_>>());

        fs::write(&path, "{\"step\":9}\n").unwrap();
        let error = log.append(5, &step(5)).unwrap_err();
        assert!(error.kind() == ErrorKind::Data && error.to_string().contains("got 11"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"step\":9}\n", "it is somebody else's");
    }

    #[test]
    fn timings_can_be_left_out() {
        let mut metrics = step(1);
        metrics.insert("throughput/samples_per_s", 3.0);
        metrics.insert("time/rollout", 2.0);
        metrics.insert("time/reward", f64::NAN);
        assert_eq!(metrics.seconds(), 3.5);
        metrics.insert("time/overlap", 0.5);
        assert_eq!(metrics.seconds(), 3.0);
        let left = metrics.without_timings();
        assert_eq!(left.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["kl", "reward"]);
    }

    #[test]
    fn reserved_names_are_refused() {
        let (_dir, path) = file();
        let mut metrics = step(1);
        metrics.insert("step", 3.0);
        let error = MetricsLog::create(&path).unwrap().append(1, &metrics).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Contract);
    }
}
