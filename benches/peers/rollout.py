"""Guided MaskGIT rollouts and reasoning text."""

import math

import torch
from transformers import DynamicCache


def gumbel(like):
    noise = torch.rand_like(like).clamp_min(1e-20)
    return -torch.log((-torch.log(noise)).clamp_min(1e-20))


def guided(showo, rows, mask, guidance, sliced):
    """Guided logits of the image codes, `[B, N, K]`, in f32; `rows` holds conditional and unconditional halves."""
    hidden = showo.hidden(rows, mask)
    if sliced:
        logits = showo.image_logits(hidden)
    else:
        # As the public code: the whole vocabulary at every position, of which a part is used.
        logits = showo.phi.lm_head(hidden)
    conditional, unconditional = logits.chunk(2)
    logits = (1 + guidance) * conditional - guidance * unconditional
    if not sliced:
        span = slice(showo.prefix + 1, showo.prefix + 1 + showo.tokens)
        logits = logits[:, span, showo.offset : showo.offset + showo.codes]
    return logits.float()


def start(showo, prompts):
    """Rows of both halves with a masked image, and their mask."""
    rows = showo.t2i_rows([*prompts, *[[] for _ in prompts]])
    return rows, showo.t2i_mask(rows)


def paint(showo, prompts, steps, guidance, variant, until=None, state=None, record=None):
    """Codes `[B, N]` of images after `until` of `steps` steps, and the state to go on from."""
    if state is None:
        rows, mask = start(showo, prompts)
        codes = torch.full((len(prompts), showo.tokens), showo.codes, device=showo.device)
        state = {"step": 0, "temperature": 1.0, "rows": rows, "mask": mask, "codes": codes}
    rows, codes, batch = state["rows"], state["codes"], len(prompts)
    if variant == "prefix":
        # Not what the public code does: the text is read once.
        cache = DynamicCache(config=showo.phi.config)
        past = showo.prefix
        showo.hidden(rows[:, :past], state["mask"][:, :, :past, :past].contiguous(), past_key_values=cache)
    span = slice(showo.prefix + 1, showo.prefix + 1 + showo.tokens)
    for step in range(state["step"], until or steps):
        if variant == "prefix":
            logits = prefix_guided(showo, rows, state["mask"], guidance, cache)
        else:
            logits = guided(showo, rows, state["mask"], guidance, sliced=variant == "sliced")
        probs = logits.softmax(-1)
        drawn = torch.multinomial(probs.view(-1, showo.codes), 1).view(batch, showo.tokens)
        undecided = codes == showo.codes
        chosen = torch.where(undecided, drawn, codes)
        picked = probs.gather(-1, chosen.unsqueeze(-1)).squeeze(-1)
        if record is not None:
            record.append((chosen, picked.log(), undecided))
        ratio = (step + 1) / steps
        kept_open = math.floor(showo.tokens * math.cos(ratio * math.pi / 2))
        state["temperature"] *= 1 - ratio
        confidence = picked.clamp_min(1e-20).log() + state["temperature"] * gumbel(picked)
        confidence = confidence.masked_fill(~undecided, torch.finfo(confidence.dtype).max)
        count = (undecided.sum(-1, keepdim=True) - 1).clamp_max(kept_open).clamp_min(1)
        cut = confidence.sort(-1).values.gather(1, count)
        codes = torch.where(confidence < cut, showo.codes, chosen)
        ids = torch.where(codes == showo.codes, showo.mask, codes + showo.offset)
        rows[:batch, span] = ids
        rows[batch:, span] = ids
        state["step"] = step + 1
    state["codes"] = codes
    return chosen, state


def prefix_guided(showo, rows, mask, guidance, cache):
    """As `guided`, with the keys and values of the text that never changes; `cache` is left as it was."""
    past = showo.prefix
    hidden = showo.hidden(rows[:, past:], mask[:, :, past:].contiguous(), past_key_values=cache)
    cache.crop(past - rows.shape[1])
    span, codes = slice(1, 1 + showo.tokens), slice(showo.offset, showo.offset + showo.codes)
    head = showo.phi.lm_head
    logits = torch.nn.functional.linear(hidden[:, span], head.weight[codes], head.bias[codes])
    conditional, unconditional = logits.chunk(2)
    return ((1 + guidance) * conditional - guidance * unconditional).float()


def rollout(showo, prompts, steps, guidance, variant):
    if variant == "one":
        # As the public code: one candidate after the other.
        return torch.cat([paint(showo, [prompt], steps, guidance, variant)[0] for prompt in prompts])
    return paint(showo, prompts, steps, guidance, variant)[0]


def draw(logits):
    return torch.multinomial(logits.float().softmax(-1), 1)


def text(showo, question, group, count, variant):
    """`count` tokens for each of `group` candidates, `[group, count]`."""
    context = torch.tensor([question], device=showo.device)
    head = showo.phi.lm_head
    if variant in ("one", "one_last"):
        # As the public code: one candidate after the other, the whole sequence for each token.
        rows = []
        for _ in range(group):
            row = context
            for _ in range(count):
                hidden = showo.hidden(row, showo.mmu_mask(row.shape[1]))
                logits = head(hidden)[:, -1] if variant == "one" else head(hidden[:, -1])
                row = torch.cat([row, draw(logits)], 1)
            rows.append(row)
        return torch.cat(rows)[:, len(question) :]
    rows = context.repeat(group, 1)
    if variant == "batched":
        for _ in range(count):
            hidden = showo.hidden(rows, showo.mmu_mask(rows.shape[1]))
            rows = torch.cat([rows, draw(head(hidden[:, -1]))], 1)
        return rows[:, len(question) :]
    if variant != "cached":
        raise ValueError(f"unknown variant {variant}")
    # Not what the public code does: the prompt is read once, its keys and values are shared.
    cache = DynamicCache(config=showo.phi.config)
    hidden = showo.hidden(context, showo.mmu_mask(len(question)), past_key_values=cache)
    cache.batch_repeat_interleave(group)
    logits = head(hidden[:, -1]).repeat(group, 1)
    tokens = [draw(logits)]
    for _ in range(count - 1):
        hidden = showo.hidden(tokens[-1], None, past_key_values=cache)
        tokens.append(draw(head(hidden[:, -1])))
    return torch.cat(tokens, 1)
