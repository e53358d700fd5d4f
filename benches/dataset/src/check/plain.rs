//! Data sets of photographs without facts: names and photographs are checked.

use super::{Checker, Half};
use crate::json::quoted;
use crate::layout::CLASSES;
use crate::name::{RULE, is_name};
use crate::{Layout, Result, plain};

impl Checker<'_> {
    pub(super) fn plain(&mut self, layout: Layout) -> Result<()> {
        let (concepts, classes) = plain::read(self.root, layout)?;
        self.summary.concepts = concepts.len();
        for concept in &concepts {
            let at = (concept.folder.as_str(), "");
            if !is_name(&concept.name) {
                self.problem(at, RULE, quoted(&concept.name), "rename the folder");
            }
            if concept.train.is_empty() {
                self.problem(at, "photographs for training", "none", "add photographs, or remove the folder");
            }
            if classes.is_some() && concept.class.as_ref().is_none_or(String::is_empty) {
                let fix = format!("add the line `{},<class>` to {CLASSES}", concept.name);
                self.problem(at, format!("its class in {CLASSES}"), "none", fix);
            }
            self.photographs("", &concept.train, Half::Train);
            self.photographs("", &concept.test, Half::Test);
            for file in &concept.negatives {
                self.picture(file);
            }
        }
        for (name, (_, line)) in classes.iter().flatten() {
            if !concepts.iter().any(|concept| concept.name == *name) {
                let fix = "add the folder, or remove the line";
                let got = format!("{name:?}, which has no folder");
                self.problem((CLASSES, &format!("line {line}")), "the name of a folder", got, fix);
            }
        }
        if classes.is_none() && layout == Layout::DreamBench {
            let fix = "add it: lines `name,class`";
            self.warn((CLASSES, ""), "what the concepts are", "no such file", fix);
        }
        Ok(())
    }
}
