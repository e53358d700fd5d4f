//! The checks, in the order in which they run.

mod compare;
mod control;
mod creation;
mod file;
mod images;
mod invariance;
mod items;
mod leaks;
mod memory;
mod process;
mod threads;
mod versions;

use crate::job::Target;
use crate::subject::Subject;
use crate::{Job, Outcome, bridged, instance};

/// A check.
#[derive(Debug)]
pub struct Check {
    /// Its name: lower case letters, digits and `-`.
    pub name: &'static str,
    /// The rule that it checks.
    pub rule: &'static str,
    run: Run,
}

#[derive(Debug)]
enum Run {
    /// Of the plugin as a whole; libraries only.
    Library(fn(&Job) -> Outcome),
    /// Of the plugin as a whole; bridged ones only.
    Command(fn(&Job) -> Outcome),
    /// Of each expert, through the C interface; libraries only.
    Raw(fn(&Job) -> Outcome),
    /// Of each expert, by what it answers; libraries and bridged ones.
    Behaviour(fn(&dyn Subject) -> Outcome),
}

/// All checks.
pub const ALL: &[Check] = &[
    library("one-symbol", "one exported symbol begins with cpt_: cpt_plugin_v1_get", file::one_symbol),
    library("load", "loads, with magic, version, size, functions and manifest in order", file::load),
    Check { name: "hello", rule: "the process starts and says what it is", run: Run::Command(bridged::hello) },
    library("unknown-expert", "create refuses an expert that is not in the manifest", creation::unknown_expert),
    behaviour("create", "starts with the given settings, and again", creation::create),
    raw("malformed-settings", "create refuses settings that are no JSON object", creation::malformed_settings),
    raw("newer-host", "larger structs and a larger minor version change no score", versions::newer_host),
    raw("larger-strides", "items and images further apart change no score", versions::larger_strides),
    behaviour("no-items", "a call of no items is done and answers nothing", items::no_items),
    behaviour(
        "many-items",
        "calls of 1, 2, 3 and 33 items are done: each status is written, and each value of a scored item",
        items::many_items,
    ),
    behaviour("empty-text", "items of empty texts harm nothing", items::empty_text),
    behaviour("embedded-nul", "texts that contain NULs harm nothing", items::embedded_nul),
    raw("invalid-utf8", "texts that are not UTF-8 fail or are scored, and change no other item", items::invalid_utf8),
    behaviour("small-images", "images of 1x1 and of one row or column harm nothing", images::small),
    behaviour("plain-images", "images of one colour, of two and of a gradient have finite scores", images::plain),
    behaviour("image-strides", "padded rows and pixels change no score", images::strides),
    raw("unknown-format", "a pixel format that is not known fails its item", images::unknown_format),
    raw("read-only-inputs", "what the host passes is not written to", memory::read_only_inputs),
    raw("guarded-inputs", "nothing is read after the end of a text, an image or an array", memory::guarded_inputs),
    raw("guarded-outputs", "nothing is written outside values and status", memory::guarded_outputs),
    behaviour("hostile-items", "nonsense ends in a status or an error, and the next call is as before", items::hostile),
    behaviour("bad-item", "a bad item changes no other item", invariance::bad_item),
    behaviour("permutation", "scores do not depend on the order of items", invariance::permutation),
    behaviour("batch-size", "scores do not depend on the other items of the call", invariance::batch_size),
    behaviour(
        "deterministic",
        "the same call has the same scores, to the last bit, in a new instance too",
        invariance::deterministic,
    ),
    behaviour("judges", "scores do not depend on a half of the loop that the manifest leaves out", invariance::judges),
    behaviour("range", "scores are finite and inside the manifest's range", invariance::range),
    behaviour("cancel", "a call that is asked to stop returns", control::cancel),
    behaviour("deadline", "a call that has run out of time returns", control::deadline),
    raw("leak-instances", "1,000 times create and destroy take no memory, files or threads", leaks::instances),
    raw("leak-calls", "1,000 calls take no memory, files or threads", leaks::calls),
    raw("threads", "create, score and destroy work on different threads", threads::moved),
    raw("concurrent", "instances that work at the same time score as one that works alone", threads::concurrent),
    raw("process", "working directory, environment, signal handlers, masks and locale stay", process::stays),
    raw("stdout", "nothing is written to standard output", process::stdout),
    raw("floating-point", "the rounding mode and subnormal numbers stay", process::floating_point),
];

const fn library(name: &'static str, rule: &'static str, run: fn(&Job) -> Outcome) -> Check {
    Check { name, rule, run: Run::Library(run) }
}

const fn raw(name: &'static str, rule: &'static str, run: fn(&Job) -> Outcome) -> Check {
    Check { name, rule, run: Run::Raw(run) }
}

const fn behaviour(name: &'static str, rule: &'static str, run: fn(&dyn Subject) -> Outcome) -> Check {
    Check { name, rule, run: Run::Behaviour(run) }
}

impl Check {
    /// The check called `name`.
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|check| check.name == name)
    }

    /// Whether it is made once for each expert.
    pub fn is_per_expert(&self) -> bool {
        !matches!(self.run, Run::Library(_) | Run::Command(_))
    }

    /// Whether it finds out what the plugin says of itself.
    pub(crate) fn introduces(&self) -> bool {
        matches!(self.name, "load" | "hello")
    }

    /// Whether it is made of libraries.
    pub fn is_for_libraries(&self) -> bool {
        !matches!(self.run, Run::Command(_))
    }

    /// Whether it is made of what stands behind a command.
    pub fn is_for_commands(&self) -> bool {
        matches!(self.run, Run::Command(_) | Run::Behaviour(_))
    }

    /// Whether it is made of `target`.
    pub(crate) fn applies_to(&self, target: &Target) -> bool {
        match target {
            Target::Library(_) => self.is_for_libraries(),
            Target::Command(_) => self.is_for_commands(),
        }
    }

    /// Makes the check, in this process.
    pub(crate) fn run(&self, job: &Job) -> Outcome {
        match (&self.run, &job.target) {
            (Run::Library(run) | Run::Command(run) | Run::Raw(run), _) => run(job),
            (Run::Behaviour(run), Target::Library(_)) => run(&instance::Raw::open(job)?),
            (Run::Behaviour(run), Target::Command(_)) => run(&bridged::Bridge::open(job)?),
        }
    }
}
