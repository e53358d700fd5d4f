"""A Sync-GRPO update from a recorded group."""

import torch
from torch.nn.functional import log_softmax

CLIP, BETA, A_UND, A_GEN = 0.2, 0.01, 0.4, 0.6


class Update:
    def __init__(self, showo, reference, inputs, steps, guidance):
        self.showo, self.reference, self.guidance = showo, reference, guidance
        self.group, self.steps = len(inputs["prompts"]), steps
        self.question = torch.tensor([inputs["question"]], device=showo.device).repeat(self.group, 1)
        self.rows = showo.t2i_rows([*inputs["prompts"], *[[] for _ in inputs["prompts"]]])
        self.mask = showo.t2i_mask(self.rows)
        parameters = list(showo.phi.parameters())
        self.optimizer = torch.optim.AdamW(
            parameters, lr=1e-6, betas=(0.9, 0.999), weight_decay=1e-3, fused=True
        )

    def learn_from(self, record, answers):
        """What was recorded in advance."""
        device, shape = self.showo.device, (self.group, self.steps, self.showo.tokens)
        self.chosen = torch.tensor(record["chosen"], device=device).view(shape)
        self.undecided = torch.tensor(record["undecided"], device=device).view(shape)
        self.old = torch.tensor(record["image_log_probs"], device=device).view(shape)
        self.advantages = torch.tensor(record["advantages"], dtype=torch.float32, device=device).view(-1, 1)
        self.answers = torch.tensor(answers, device=device)
        self.old_text = torch.tensor(record["text_log_probs"], device=device)

    def image_log_probs(self, model, step):
        """Log-probabilities of one denoising step's choices under guided logits, `[G, N]`."""
        showo = self.showo
        chosen, undecided = self.chosen[:, step], self.undecided[:, step]
        ids = torch.where(undecided, showo.mask, chosen + showo.offset)
        rows = self.rows.clone()
        span = slice(showo.prefix + 1, showo.prefix + 1 + showo.tokens)
        rows[:, span] = ids.repeat(2, 1)
        conditional, unconditional = model.image_logits(model.hidden(rows, self.mask)).chunk(2)
        logits = (1 + self.guidance) * conditional - self.guidance * unconditional
        return log_softmax(logits.float(), -1).gather(-1, chosen.unsqueeze(-1)).squeeze(-1)

    def text_log_probs(self, model):
        """Log-probabilities of the answers, `[G, 16]`."""
        rows = torch.cat([self.question, self.answers[:, :-1]], 1)
        hidden = model.hidden(rows, self.showo.mmu_mask(rows.shape[1]))
        logits = model.phi.lm_head(hidden[:, self.question.shape[1] - 1 :])
        return log_softmax(logits.float(), -1).gather(-1, self.answers.unsqueeze(-1)).squeeze(-1)

    def loss(self, current, old, reference, weight):
        ratio = (current - old).exp()
        surrogate = torch.min(ratio * self.advantages, ratio.clamp(1 - CLIP, 1 + CLIP) * self.advantages)
        difference = reference - current
        kl = difference.exp() - difference - 1
        return -(surrogate - BETA * kl).sum() * weight / self.group

    def part(self, step):
        """The loss of one denoising step, or of the text for None."""
        if step is None:
            with torch.no_grad():
                reference = self.text_log_probs(self.reference)
            return self.loss(self.text_log_probs(self.showo), self.old_text, reference, A_UND)
        with torch.no_grad():
            reference = self.image_log_probs(self.reference, step)
        return self.loss(self.image_log_probs(self.showo, step), self.old[:, step], reference, A_GEN)

    def accumulate(self, variant):
        parts = [None, *range(self.steps)]
        if variant == "whole":
            loss = sum(self.part(step) for step in parts)
            loss.backward()
            return loss.detach()
        total = 0
        for step in parts:
            loss = self.part(step)
            loss.backward()
            total += loss.detach()
        return total

    def apply(self):
        norm = torch.nn.utils.clip_grad_norm_(self.showo.phi.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return norm
