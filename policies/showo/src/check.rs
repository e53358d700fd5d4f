//! Whether tasks can be worked on as they are meant, before the first step.

use std::collections::BTreeMap;

use counterpoint::{Error, Result, Task};

use crate::{ShowoPolicy, TextTokenizer, prompting};

/// Refuses tasks about concepts that are no tokens of the policy, and those whose question is too long for it. Warns of base
/// prompts that are, and of characters that its tokenizer cannot write.
pub(crate) fn check(policy: &ShowoPolicy, tasks: &[Task]) -> Result<()> {
    let (Ok(text), false) = (policy.text_tokenizer(), tasks.is_empty()) else { return Ok(()) };
    concepts(text, tasks)?;
    lengths(policy, text, tasks)?;
    unnamed(tasks);
    let all: String = tasks.iter().flat_map(|task| [task.question.as_str(), &task.base_prompt, answer(task)]).collect();
    let lost = text.unwritable(&all);
    if !lost.is_empty() {
        let lost = lost.iter().map(|c| format!("`{c}`")).collect::<Vec<_>>().join(" ");
        tracing::warn!("data: the policy's tokenizer cannot write {lost}; it reads the texts without them");
    }
    Ok(())
}

fn answer(task: &Task) -> &str {
    task.params.get("answer").and_then(serde_json::Value::as_str).unwrap_or_default()
}

/// Every concept of the tasks is one token.
fn concepts(text: &TextTokenizer, tasks: &[Task]) -> Result<()> {
    let param = |task: &Task, key: &str| task.params.get(key).and_then(serde_json::Value::as_str).map(str::to_owned);
    let named = tasks.iter().filter_map(|task| Some((param(task, "concept")?, param(task, "noun"))));
    let named: BTreeMap<String, Option<String>> = named.collect();
    let missing: Vec<(&str, Option<&str>)> = named
        .iter()
        .filter(|(token, _)| text.concept_id(token).is_err())
        .map(|(token, noun)| (token.trim_start_matches('<').trim_end_matches('>'), noun.as_deref()))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let line = |(name, noun): &(&str, Option<&str>)| {
        let words = noun.map(|noun| format!(", words = [{noun:?}]")).unwrap_or_default();
        format!("    {{ name = {name:?}{words} }},\n")
    };
    let names = missing.iter().map(|(name, _)| format!("<{name}>")).collect::<Vec<_>>().join(", ");
    Err(Error::data(format!(
        "expected a token of the policy for every concept of the data, got none for {names}; add to [policy] of the config, \
         with `files` and `epoch` where they were personalised before:\n\nconcepts = [\n{}]\n",
        missing.iter().map(line).collect::<String>()
    )))
}

/// Warns of base prompts that do not name their concept: what is painted can then be anything. (Two spellings that look alike,
/// such as `é` as one character and as two, are not the same name.)
fn unnamed(tasks: &[Task]) {
    let concept = |task: &Task| task.params.get("concept").and_then(serde_json::Value::as_str).map(str::to_owned);
    let nameless = tasks.iter().filter(|task| concept(task).is_some_and(|name| !task.base_prompt.contains(&name)));
    let nameless: Vec<&Task> = nameless.collect();
    if let Some(first) = nameless.first() {
        tracing::warn!(
            "data: {} of {} base prompts do not name their concept, such as {:?} of {}",
            nameless.len(),
            tasks.len(),
            first.base_prompt,
            concept(first).unwrap_or_default()
        );
    }
}

/// Every question fits the model. Warns of base prompts that leave no room for a reasoning: samplers say what becomes of
/// prompts that do not fit.
fn lengths(policy: &ShowoPolicy, text: &TextTokenizer, tasks: &[Task]) -> Result<()> {
    let config = policy.config();
    let codes = vec![0; config.num_vq_tokens];
    let (mut long, mut longest): (usize, Option<(usize, &Task)>) = (0, None);
    for task in tasks {
        let question = text.encode_question(&task.question)?;
        prompting::mmu_prompt(config, &codes, &question).map_err(|e| {
            let concept = task.params.get("concept").and_then(serde_json::Value::as_str).unwrap_or("task");
            e.at(format!("{concept} (task {}), the question {:?}", task.id, task.question))
        })?;
        let cut = prompting::cut_t2i(config, &text.encode_prompt(&task.base_prompt)?);
        if cut > 0 {
            long += 1;
            longest = longest.filter(|(most, _)| *most >= cut).or(Some((cut, task)));
        }
    }
    if let Some((cut, task)) = longest {
        tracing::warn!(
            "data: {long} of {} base prompts do not fit the {} tokens that the policy reads of a prompt; of {:?} it leaves out \
             {cut}. Shorten them, or give concepts fewer soft tokens (policy.concepts: understanding, generation)",
            tasks.len(),
            config.t2i_prompt_length(),
            task.base_prompt,
        );
    }
    Ok(())
}
