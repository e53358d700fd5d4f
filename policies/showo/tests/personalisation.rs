//! Personalisation against torch, and on photographs.
#![allow(clippy::unwrap_used)]

mod common;
mod official;

use std::sync::Arc;

use common::{assert_close, floats};
use counterpoint::{DecayScope, Learner, OptimizerConfig, image};
use counterpoint_showo::personalisation::{
    Asked, Base, Captioned, EpochLosses, Lessons, MaskedImage, Personalisation, Stage, StageConfig, answer_loss,
    image_loss,
};
use counterpoint_showo::{Concept, ConceptTokens, Precision, ShowoPolicy, Trainable};
use counterpoint_weights::WeightFiles;
use official::Folder;

const SOFT: usize = 24;

fn expected(name: &str) -> (Vec<usize>, Vec<f32>) {
    let file = official::fixtures().join("personalisation/expected.safetensors");
    let data = WeightFiles::open(&file).unwrap().read(name).unwrap();
    (data.shape().to_vec(), data.convert::<f32>().try_into_vec::<f32>().unwrap())
}

fn ids(name: &str) -> Vec<Vec<u32>> {
    let (shape, values) = expected(name);
    values.chunks(shape[1]).map(|row| row.iter().map(|&id| id as u32).collect()).collect()
}

/// The images and conversations of the fixture, in this model's tokens.
fn batch(policy: &ShowoPolicy) -> (Vec<MaskedImage>, Vec<[Vec<u32>; 3]>) {
    let text = policy.text_tokenizer().unwrap();
    let captions = [text.encode("A photo of <bo>.").unwrap(), Vec::new()];
    let images = captions.into_iter().zip(ids("codes")).zip(ids("hidden"));
    let images = images.map(|((caption, codes), hidden)| MaskedImage {
        caption,
        codes,
        hidden: hidden.into_iter().map(|flag| flag == 1).collect(),
    });
    let asked = [("Is <bo> in this image?", "Yes, <bo> is on the grass."), ("What is this?", "A dog.")];
    let conversations = asked.iter().zip(ids("mmu_codes")).map(|((question, answer), codes)| {
        [codes, text.encode_question(question).unwrap(), text.encode_answer(answer).unwrap()]
    });
    (images.collect(), conversations.collect())
}

#[test]
fn losses_gradients_and_steps_are_those_of_torch() {
    let folder = Folder::published();
    let policy = folder.with_bo().load_for(&Folder::device(), Precision::F32, &Trainable::ConceptTokens).unwrap();
    let config = policy.config().clone();
    let (images, conversations) = batch(&policy);
    let conversations: Vec<_> = conversations.iter().map(|[c, q, a]| (&c[..], &q[..], &a[..])).collect();
    let mut policy = policy;
    let learner = policy.module_learner();
    let mut optimizer = OptimizerConfig::default();
    (optimizer.weight_decay, optimizer.decay_scope) = (1e-3, DecayScope::All);
    learner.configure(&optimizer);
    for step in 0..3 {
        let image = image_loss(learner.module(), &config, &images).unwrap();
        let answer = answer_loss(learner.module(), &config, &conversations).unwrap();
        assert_close("image loss", &floats(image.clone()), &expected(&format!("loss_t2i.{step}")).1, 1e-5);
        assert_close("answer loss", &floats(answer.clone()), &expected(&format!("loss_mmu.{step}")).1, 1e-5);
        learner.accumulate(image * 0.8 + answer * 0.2).unwrap();
        if step == 0 {
            let width = config.phi.hidden_size;
            for (ours, theirs) in
                [("embed_tokens", "embed"), ("head_weight", "lm_head_weight"), ("head_bias", "lm_head_bias")]
            {
                let gradient = learner.gradient(&format!("concept_tokens.0.{ours}")).unwrap();
                let gradient = match ours {
                    // Linear weights are transposed in PyTorch.
                    "head_weight" => gradient.reshape([width, SOFT + 1]).transpose().reshape([-1]),
                    _ => gradient,
                };
                assert_close(theirs, &floats(gradient), &expected(&format!("gradient.{theirs}")).1, 1e-4);
            }
        }
        learner.apply(1e-3, 1.0).unwrap();
    }
    let after = ConceptTokens::of(&policy.merged(), &config, "bo").unwrap();
    for (name, rows) in
        [("embed", after.embed), ("lm_head_weight", after.lm_head_weight), ("lm_head_bias", after.lm_head_bias)]
    {
        let (rows, torch) = (rows.try_into_vec::<f32>().unwrap(), expected(&format!("after.{name}")).1);
        // AdamW's first steps are of the size of the rate, whatever the gradient's: a sign that is noise moves a whole step.
        let off = rows.iter().zip(&torch).filter(|(a, b)| (*a - *b).abs() > 2e-5).count();
        assert!(off * 100 <= rows.len(), "{name}: {off} of {} differ", rows.len());
    }
}

/// Eight photographs of something round and eight of something else.
fn lessons() -> Lessons {
    let photo = |round: bool, k: u32| {
        let side = 40 + k;
        Arc::new(image::RgbImage::from_fn(side, side + 7, |x, y| {
            let inside = match round {
                true => (x as i32 - 20).pow(2) + (y as i32 - 20).pow(2) < 200,
                false => x.abs_diff(20 + k) < 9,
            };
            if inside { image::Rgb([220, 90, 20 + 10 * k as u8]) } else { image::Rgb([10, 60, 90]) }
        }))
    };
    let photographs: Vec<_> = (0..8).map(|k| photo(true, k)).collect();
    let asked = |image: &Arc<image::RgbImage>, answer: &str| Asked {
        image: image.clone(),
        question: "Is <miso> here?".into(),
        answer: answer.into(),
    };
    let yes = photographs.iter().map(|image| asked(image, "Yes."));
    let no = (0..8).map(|k| asked(&photo(false, k), "No."));
    Lessons {
        class: "cat".into(),
        captioned: photographs
            .iter()
            .map(|image| Captioned { image: image.clone(), caption: "A photo of <miso>.".into() })
            .collect(),
        asked: yes.chain(no).collect(),
        photographs,
    }
}

fn small(understanding: usize, generation: usize, perception: usize) -> Concept {
    Concept { name: "miso".into(), understanding, generation, perception }
}

fn quick() -> StageConfig {
    StageConfig {
        epochs: 3,
        learning_rate: 2e-2,
        perceived: 3,
        perceived_steps: 4,
        perceived_at: 2,
        ..StageConfig::of(Stage::Understanding)
    }
}

#[test]
fn three_stages_teach_a_concept_and_move_nothing_else() {
    let folder = Folder::published();
    let files = counterpoint_showo::ModelFiles::in_folder(&folder.path("")).unwrap();
    let base = Base::load(&files, &Folder::device(), Precision::F32).unwrap();
    let lessons = lessons();
    let mut tokens: Option<ConceptTokens> = None;
    for (stage, concept) in [
        (Stage::Understanding, small(4, 0, 0)),
        (Stage::Generation, small(4, 2, 0)),
        (Stage::Perception, small(4, 2, 2)),
    ] {
        let start = base.begin(stage, &quick(), concept.clone(), &lessons, tokens.clone(), 1).unwrap();
        let begun = start.clone();
        let mut training = Personalisation::new(&base, stage, &quick(), start, &lessons, 1).unwrap();
        let losses: Vec<_> = (0..9).map(|_| training.train_epoch().unwrap()).collect();
        // A stage begins where another has ended: of what is drawn anew in every epoch, the mean of three says something.
        let of = |epoch: &EpochLosses| if stage == Stage::Generation { epoch.image } else { Some(epoch.answer) };
        let mean = |epochs: &[EpochLosses]| epochs.iter().filter_map(of).sum::<f64>() / epochs.len() as f64;
        assert!(mean(&losses[6..]) < mean(&losses[..3]), "{stage:?}: {losses:?}");
        assert_eq!(losses[0].image.is_some(), stage != Stage::Understanding);

        // The base is what it was, to the bit.
        let (config, model) = training.model();
        let without = model.merged().without_concepts(config).unwrap().1;
        let paths = ["a.safetensors", "b.safetensors"].map(|name| folder.path(name));
        without.save(&paths[0]).unwrap();
        counterpoint_showo::Showo::load(base.config(), &files.weights, &Folder::device())
            .unwrap()
            .save(&paths[1])
            .unwrap();
        let [ours, theirs] = paths.map(|path| common::tensors(&path));
        assert_eq!(ours, theirs, "{stage:?}");

        let learned = training.tokens().unwrap();
        let width = base.config().phi.hidden_size;
        let rows = |tokens: &ConceptTokens| {
            let values = tokens.embed.clone().try_into_vec::<f32>().unwrap();
            values.chunks(width).map(<[f32]>::to_vec).collect::<Vec<_>>()
        };
        let moved: Vec<bool> = rows(&begun).iter().zip(rows(&learned)).map(|(a, b)| *a != b).collect();
        match stage {
            // The name and the tokens of the stage alone.
            Stage::Perception => assert_eq!(moved, [true, false, false, false, false, false, false, true, true]),
            _ => assert!(moved.iter().all(|moved| *moved), "{stage:?}: {moved:?}"),
        }
        tokens = Some(learned);
    }
}

#[test]
fn a_stage_goes_on_from_what_it_wrote_bit_for_bit() {
    let folder = Folder::published();
    let files = counterpoint_showo::ModelFiles::in_folder(&folder.path("")).unwrap();
    let base = Base::load(&files, &Folder::device(), Precision::F32).unwrap();
    let lessons = lessons();
    let start = base.begin(Stage::Joint, &quick(), small(3, 2, 0), &lessons, None, 5).unwrap();
    let new = || Personalisation::new(&base, Stage::Joint, &quick(), start.clone(), &lessons, 5).unwrap();
    let mut whole = new();
    whole.train_epoch().unwrap();
    whole.save(&folder.path("")).unwrap();
    let last = whole.train_epoch().unwrap();

    let mut resumed = new();
    resumed.load(&folder.path(""), 1).unwrap();
    assert_eq!(resumed.train_epoch().unwrap(), last);
    assert_eq!(resumed.tokens().unwrap().embed, whole.tokens().unwrap().embed);
}

#[test]
fn what_cannot_be_learned_is_said() {
    let folder = Folder::published();
    let files = counterpoint_showo::ModelFiles::in_folder(&folder.path("")).unwrap();
    let base = Base::load(&files, &Folder::device(), Precision::F32).unwrap();
    let mut lessons = lessons();
    let begin = |stage, lessons: &Lessons| base.begin(stage, &quick(), small(3, 2, 0), lessons, None, 5);
    let error = begin(Stage::Generation, &lessons).unwrap_err().to_string();
    assert!(error.contains("goes on from another"), "{error}");
    let start = begin(Stage::Joint, &lessons).unwrap();
    let settings = StageConfig { condition_dropout: 1.5, ..quick() };
    let error =
        Personalisation::new(&base, Stage::Joint, &settings, start.clone(), &lessons, 5).err().unwrap().to_string();
    assert!(error.contains("condition_dropout") && error.contains("1.5"), "{error}");
    lessons.captioned.clear();
    let error = Personalisation::new(&base, Stage::Joint, &quick(), start, &lessons, 5).err().unwrap().to_string();
    assert!(error.contains("<miso>") || error.contains("concept miso"), "{error}");
    lessons.photographs.clear();
    let error = begin(Stage::Joint, &lessons).unwrap_err();
    assert!(format!("{error:#}").contains("photographs"), "{error:#}");
}

#[test]
fn a_concept_may_have_its_name_alone() {
    let folder = Folder::published();
    let files = counterpoint_showo::ModelFiles::in_folder(&folder.path("")).unwrap();
    let base = Base::load(&files, &Folder::device(), Precision::F32).unwrap();
    let lessons = lessons();
    let start = base.begin(Stage::Joint, &quick(), small(0, 0, 0), &lessons, None, 5).unwrap();
    assert_eq!(start.embed.shape()[0], 1);
    let mut training = Personalisation::new(&base, Stage::Joint, &quick(), start.clone(), &lessons, 5).unwrap();
    training.train_epoch().unwrap();
    assert_ne!(training.tokens().unwrap().embed, start.embed);
}
