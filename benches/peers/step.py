"""A whole Sync-GRPO step with Dynamic Group Scaling, phase by phase.

Waves of G drafts are drawn, each with its reasoning text; the G best of all are finished and learned from. Scores and
rewards are stand-ins made from the image codes, as in the Rust half.
"""

import time

import torch

import rollout
from update import Update

TEXT = {"sliced": "batched", "prefix": "cached"}


class Laps:
    def __init__(self, device):
        self.device, self.seconds = device, {}
        self.last = time.perf_counter()

    def lap(self, phase):
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        self.seconds[phase] = self.seconds.get(phase, 0.0) + now - self.last
        self.last = now


def stand_in(codes, size):
    """A number in [0, 1] that differs between images, `[B]`."""
    return codes.float().mean(-1) / size


def step(showo, update, inputs, args):
    """Seconds of each phase."""
    laps = Laps(showo.device)
    prompts, question = inputs["prompts"], inputs["question"]
    group, checkpoint = len(prompts), max(args.timesteps // 5, 1)
    paint = lambda **how: rollout.paint(showo, prompts, args.timesteps, args.guidance, args.variant, **how)
    with torch.inference_mode():
        texts, states, records, scores = [], [], [], []
        for _ in range(args.waves):
            texts.append(rollout.text(showo, question, group, args.new_tokens, TEXT[args.variant]))
            laps.lap("text")
            record = []
            preview, state = paint(until=checkpoint, record=record)
            states.append(state)
            records.append(record)
            laps.lap("draft")
            scores.append(stand_in(preview, showo.codes))
            laps.lap("score")
        best = torch.cat(scores).topk(group).indices
        pick = lambda parts: torch.cat(parts)[best]

        def halves(name):
            pairs = [state[name].chunk(2) for state in states]
            return torch.cat([pick([pair[half] for pair in pairs]) for half in (0, 1)])

        state = {**states[0], "rows": halves("rows"), "mask": halves("mask")}
        state["codes"] = pick([one["codes"] for one in states])
        record = [tuple(pick([r[i][part] for r in records]) for part in range(3)) for i in range(checkpoint)]
        del states, records
        rest = []
        images, state = paint(state=state, record=rest)
        record += rest
        laps.lap("finish")
        rewards = stand_in(images, showo.codes)
        answers = pick(texts)
        chosen, old, undecided = (torch.stack(part, 1) for part in zip(*record))
        laps.lap("score")
    # Inference tensors cannot be saved for the backward pass; copies can.
    update.chosen, update.old, update.undecided = chosen.clone(), old.clone(), undecided.clone()
    update.answers, update.rows, update.mask = answers.clone(), state["rows"].clone(), state["mask"].clone()
    update.advantages = (rewards - rewards.mean()).clone().unsqueeze(1)
    with torch.no_grad():
        update.old_text = update.text_log_probs(showo)
    update.accumulate("per_step")
    laps.lap("replay")
    update.apply()
    laps.lap("optimizer")
    return laps.seconds
