//! Janus as the samplers see it: text continuation and code-by-code images on the current parameters.

use burn::tensor::{Device, Int, Tensor};
use counterpoint::{Error, Result, Task};
use counterpoint_policy_common::picture;
use counterpoint_policy_common::replay::distinct;
use counterpoint_policy_common::tokens::{index, to_tensor};
use counterpoint_samplers::{CodeModel, CodeScores, TextModel, UnifiedModel};
use image::RgbImage;

use crate::picture::seen;
use crate::policy::JanusPolicy;
use crate::replay::Prompts;
use crate::{Janus, KvCache};

/// Sequences while tokens or codes are being written.
pub struct Sequences {
    model: Janus,
    past: KvCache,
    /// Which tokens of each may be attended.
    attended: Vec<Vec<bool>>,
    guidance: f32,
}

impl Sequences {
    /// States of what is embedded, which follows what was there.
    fn forward(&mut self, embedded: Tensor<3>) -> Tensor<3> {
        let length = embedded.dims()[1];
        for row in &mut self.attended {
            let all = self.past.len() + length;
            row.resize(all, true);
        }
        self.model.forward(embedded, &self.attended, &mut self.past)
    }

    /// Scores of the code after the last of these states.
    fn code_scores(&self, hidden: Tensor<3>) -> CodeScores {
        let [rows, length, _] = hidden.dims();
        let logits = self.model.code_logits(hidden.narrow(1, length - 1, 1)).squeeze_dim::<2>(1);
        if self.guidance == 0.0 {
            return logits.into();
        }
        let half = rows / 2;
        let (conditional, unconditional) = (logits.clone().narrow(0, 0, half), logits.narrow(0, half, half));
        let guided = conditional.clone() * (1.0 + self.guidance) - unconditional * self.guidance;
        CodeScores { guided, conditional }
    }

    fn text_scores(&self, hidden: Tensor<3>) -> Tensor<2> {
        let length = hidden.dims()[1];
        self.model.text_logits(hidden.narrow(1, length - 1, 1)).squeeze_dim(1)
    }
}

impl TextModel for JanusPolicy {
    type Cache = Sequences;

    fn prefill(&self, context: &[u32], copies: usize) -> Result<(Sequences, Tensor<2>)> {
        let Some((&image, question)) = context.split_first().filter(|(_, question)| !question.is_empty()) else {
            return Err(Error::contract("expected an image's number and a question, got less"));
        };
        let scorer = self.detached();
        let features = scorer.read(if image > 0 { std::slice::from_ref(&image) } else { &[] })?;
        let images = features.map(|features| (features, &[0][..]));
        let embedded = scorer.model.embed_text(&[question.to_vec()], images)?;
        let mut text = Sequences {
            model: scorer.model,
            past: KvCache::default(),
            attended: vec![vec![true; question.len()]],
            guidance: 0.0,
        };
        let hidden = text.forward(embedded);
        let scores = text.text_scores(hidden).repeat_dim(0, copies);
        text.past = text.past.select(&vec![0; copies], &self.text_device());
        text.attended = vec![text.attended[0].clone(); copies];
        Ok((text, scores))
    }

    fn advance(&self, text: &mut Sequences, tokens: Tensor<2, Int>) -> Tensor<2> {
        let embedded = text.model.embed_tokens(tokens);
        let hidden = text.forward(embedded);
        text.text_scores(hidden)
    }

    fn keep(&self, text: &mut Sequences, rows: &[usize]) {
        text.past = text.past.select(rows, &self.text_device());
        text.attended = rows.iter().map(|&row| text.attended[row].clone()).collect();
    }

    fn text_device(&self) -> Device {
        self.own_device().clone()
    }

    fn stop_tokens(&self) -> &[u32] {
        std::slice::from_ref(&self.ids.eos)
    }
}

impl CodeModel for JanusPolicy {
    type Writing = Sequences;

    fn codes_per_image(&self) -> usize {
        self.config().image_tokens()
    }

    fn code_device(&self) -> Device {
        self.own_device().clone()
    }

    fn begin(&self, prompts: &[&[u32]], written: &[&[u32]], guidance: f32) -> Result<(Sequences, CodeScores)> {
        let (contexts, of) = distinct(prompts.iter().copied());
        let mut prompts = Prompts::new(&contexts, of, self.ids.pad)?;
        let mut codes: Vec<Vec<u32>> = written.iter().map(|codes| codes.to_vec()).collect();
        if guidance > 0.0 {
            prompts = prompts.with_unconditional(&self.ids);
            codes.extend_from_within(..);
        }
        let Prompts { rows, attended, of } = prompts;
        let (model, device) = (self.scored(), self.own_device());
        let embedded = model.embed_text(&rows, None)?;
        let mut writing = Sequences { model, past: KvCache::default(), attended, guidance };
        let mut hidden = writing.forward(embedded).select(0, index(&of, device));
        self.keep(&mut writing, &of);
        if codes.first().is_some_and(|codes| !codes.is_empty()) {
            let embedded = writing.model.embed_codes(to_tensor(&codes, device));
            hidden = writing.forward(embedded);
        }
        let scores = writing.code_scores(hidden);
        Ok((writing, scores))
    }

    fn write(&self, writing: &mut Sequences, codes: Tensor<2, Int>) -> CodeScores {
        let copies = if writing.guidance > 0.0 { 2 } else { 1 };
        let embedded = writing.model.embed_codes(codes.repeat_dim(0, copies));
        let hidden = writing.forward(embedded);
        writing.code_scores(hidden)
    }
}

impl UnifiedModel for JanusPolicy {
    /// The number of the task's image, 0 for none, and the question's ids.
    fn question(&self, task: &Task) -> Result<Vec<u32>> {
        let number = match &task.image {
            Some(image) => {
                let see = || seen(image, self.config().vision_config.image_size, self.own_device());
                self.shown.picture(image, see)?
            }
            None => 0,
        };
        Ok([vec![number], self.text_tokenizer()?.question(&task.question, number > 0)?].concat())
    }

    fn generation_prompt(&self, prompt: &str) -> Result<Vec<u32>> {
        self.text_tokenizer()?.prompt(prompt)
    }

    fn text(&self, ids: &[u32]) -> Result<String> {
        self.text_tokenizer()?.decode(ids)
    }

    fn images(&self, codes: &[&[u32]]) -> Result<Vec<RgbImage>> {
        let rows: Vec<Vec<u32>> = codes.iter().map(|row| row.to_vec()).collect();
        picture::images(self.image_tokenizer().decode(to_tensor(&rows, self.own_device()))?)
    }
}
