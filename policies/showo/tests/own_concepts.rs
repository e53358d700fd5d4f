//! Concepts that somebody brings: names, tokens, prompts that do not fit, and what is said before the first step.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use counterpoint::{Candidate, ErrorKind, Key, Policy, Streams, Task, TypedSampler};
use counterpoint_samplers::{Overflow, Reasoning, UnifiedConfig, UnifiedModel};
use counterpoint_showo::{Concept, ConceptTokens, FreshConcept, ModelFiles, ShowoPolicy};

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/tiny")
}

fn photographs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/unictokens/tests/fixtures/concepts/concept/train")
}

fn with(names: &[&str], images: &[&str]) -> ShowoPolicy {
    let mut files = ModelFiles::in_folder(&tiny()).unwrap();
    for name in names {
        let concept = Concept { name: (*name).to_owned(), understanding: 2, generation: 1, perception: 0 };
        let images = images.iter().map(|image| photographs().join(image)).collect();
        files.fresh.push(FreshConcept { concept, words: Some(vec!["ball".to_owned()]), images, seed: 0 });
    }
    files.load(&Device::flex()).unwrap()
}

fn task(concept: &str, question: &str, prompt: &str) -> Task {
    let params = serde_json::json!({"concept": concept, "noun": "coffee cup", "answer": "park red ball."});
    Task::new(3, question).with_base_prompt(prompt).with_params(params)
}

#[test]
fn names_with_spaces_apostrophes_capitals_and_umlauts_are_one_token_each() {
    let names = ["Mia O'Zöe", "ÄRA", "kona-2"];
    let policy = with(&names, &[]);
    let text = policy.text_tokenizer().unwrap();
    for name in names {
        let token = format!("<{name}>");
        let id = text.concept_id(&token).unwrap();
        assert!(policy.config().concept_ids(name).unwrap().contains(&(id as usize)), "{name}");
        let ids = text.encode(&format!("a photo of {token}.")).unwrap();
        assert_eq!(ids.iter().filter(|i| **i == id).count(), 1);
        assert!(text.decode(&ids).unwrap().contains(&token), "the name stays in what is said");
    }
    for bad in ["", "a>b", "a/b", " a", "a\nb"] {
        let error = policy.config().with_concepts(&[Concept::new(bad)]).unwrap_err();
        assert!(error.kind() == ErrorKind::Config && error.to_string().contains("concept name"), "{bad:?}: {error}");
    }
}

#[test]
fn soft_tokens_stand_once_in_a_prompt() {
    let policy = with(&["mo"], &[]);
    let text = policy.text_tokenizer().unwrap();
    let first = policy.config().concept_ids("mo").unwrap().start as u32;
    let softs = |ids: &[u32]| ids.iter().filter(|id| (first + 1..first + 4).contains(id)).count();
    let prompt = "a photo of <mo>. <mo> in the park.";
    assert_eq!((softs(&text.encode(prompt).unwrap()), softs(&text.encode_prompt(prompt).unwrap())), (6, 3));
    // So do those of concepts that are in the vocabulary and not in the config.
    let ada = "a photo of <ada>. <ada> in the park.";
    let (all, once) = (text.encode(ada).unwrap(), text.encode_prompt(ada).unwrap());
    assert_eq!(all.len(), once.len() + 2);
    assert_eq!(all[..once.len() - 6], once[..once.len() - 6]);
}

#[test]
fn concepts_without_a_token_are_listed_with_the_lines_that_add_them() {
    let policy = with(&["mo"], &[]);
    let task = |concept: &str| task(concept, "what is it?", "a photo.");
    policy.check(&[task("<mo>"), task("<ada>")]).unwrap();
    let error = policy.check(&[task("<mo>"), task("<Zoë>"), task("<bo>")]).unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(text.contains("none for <Zoë>, <bo>;"), "{text}");
    assert!(text.contains("    { name = \"bo\", words = [\"coffee cup\"] },\n"), "{text}");
    // The lines are what the config takes.
    let lines = &text[text.find("concepts = [").unwrap()..];
    assert_eq!(lines.parse::<toml::Table>().unwrap()["concepts"].as_array().unwrap().len(), 2);
}

#[test]
fn a_question_that_is_too_long_is_refused_and_named() {
    let policy = with(&["mo"], &[]);
    let error = policy.check(&[task("<mo>", &"park red ball. ".repeat(300), "a photo.")]).unwrap_err().to_string();
    assert!(error.contains("<mo> (task 3), the question") && error.contains("max_position_embeddings"), "{error}");
    policy.check(&[task("<mo>", "what is it?", &"park red ball. ".repeat(30))]).unwrap();
    assert_eq!(policy.text_tokenizer().unwrap().unwritable("a café? Quiz!"), ['!', 'Q', 'z', 'é']);
}

#[test]
fn a_concept_begins_from_what_its_photographs_show() {
    let rows = |images: &[&str]| {
        let policy = with(&["mo"], images);
        let decoder = policy.decoder().clone();
        ConceptTokens::of(&decoder, policy.config(), "mo").unwrap().embed.try_into_vec::<f32>().unwrap()
    };
    let (cat, again, cup) = (rows(&["miso/0.jpg"]), rows(&["miso/0.jpg"]), rows(&["kona/0.jpg"]));
    assert_eq!(cat, again);
    assert_ne!(cat, cup);
    // Name, then as many stretches of the image as there are soft tokens: the name is their mean.
    let width = cat.len() / 4;
    let both = rows(&["miso/0.jpg", "kona/0.jpg"]);
    for i in 0..width {
        let mean = (0..3).map(|k| cat[(1 + k) * width + i] as f64 * [21.0, 21.0, 22.0][k]).sum::<f64>() / 64.0;
        assert!((f64::from(cat[i]) - mean).abs() < 1e-5, "{} {mean}", cat[i]);
        assert!((both[i] - (cat[i] + cup[i]) / 2.0).abs() < 1e-5);
    }
}

#[test]
fn a_prompt_that_does_not_fit_is_cut_and_counted_withheld_or_an_error() {
    let policy = with(&["mo"], &[]);
    let rollouts = |prompt: &str, overflow| {
        let mut config = UnifiedConfig { overflow, ..UnifiedConfig::default() };
        (config.text.max_new_tokens, config.image.timesteps, config.image.checkpoint_step) = (4, 2, 1);
        let mut sampler = config.init::<ShowoPolicy>().unwrap();
        let task = task("<mo>", "what is it?", prompt);
        let candidate = Candidate::new(Streams::new(1), Key { step: 0, task: 0, candidate: 0 });
        let drafts = TypedSampler::draft(&mut sampler, &policy, &task, &[candidate], false)?;
        TypedSampler::finish(&mut sampler, &policy, &task, drafts)
    };
    let long = "a photo of <mo> in the park, the park, the park, the park, the park, the park.";
    let fits = rollouts("a photo.", Overflow::Error).unwrap().remove(0);
    assert_eq!(
        (fits.metrics.as_slice(), fits.sample.withheld),
        (&[("prompt/cut", 0.0), ("answer/truncated", 1.0)][..], None)
    );
    let cut = rollouts(long, Overflow::Cut).unwrap().remove(0);
    assert_eq!(
        (cut.metrics.as_slice(), cut.sample.withheld),
        (&[("prompt/cut", 1.0), ("answer/truncated", 1.0)][..], None)
    );
    let abstained = rollouts(long, Overflow::Abstain).unwrap().remove(0);
    assert!(abstained.sample.withheld.unwrap().contains("do not fit"));
    let error = rollouts(long, Overflow::Error).unwrap_err();
    assert!(error.kind() == ErrorKind::Data && error.to_string().contains("tokens too many"), "{error}");
}

#[test]
fn a_reasoning_may_end_with_its_first_sentence() {
    let policy = with(&[], &[]);
    let texts = |reasoning| {
        let mut config = UnifiedConfig { reasoning, ..UnifiedConfig::default() };
        (config.text.max_new_tokens, config.image.timesteps, config.image.checkpoint_step) = (12, 2, 1);
        let mut sampler = config.init::<ShowoPolicy>().unwrap();
        let task = Task::new(0, "information about <ada>: park red ball. lake blue kite. which fits: in the woods.");
        let key = |candidate| Key { step: 0, task: 0, candidate };
        let candidates: Vec<_> = (0..12).map(|i| Candidate::new(Streams::new(2), key(i))).collect();
        let drafts = TypedSampler::draft(&mut sampler, &policy, &task, &candidates, false).unwrap();
        let rollouts = TypedSampler::finish(&mut sampler, &policy, &task, drafts).unwrap();
        rollouts.into_iter().map(|r| (r.sample.response, r.trajectory.segments[0].chosen.clone())).collect::<Vec<_>>()
    };
    let (whole, first) = (texts(Reasoning::EndOfText), texts(Reasoning::FirstSentence));
    let mut ended = 0;
    for ((response, tokens), (short, fewer)) in whole.iter().zip(&first) {
        assert_eq!(tokens[..fewer.len()], fewer[..], "the same words up to there");
        assert!(response.starts_with(short.as_str()), "{response:?} {short:?}");
        if fewer.len() < tokens.len() {
            ended += 1;
            assert!(short.ends_with(['.', '?']) && policy.text(fewer).unwrap().trim() == short, "{short:?}");
        }
    }
    assert!(ended > 0, "{whole:?}");
}
