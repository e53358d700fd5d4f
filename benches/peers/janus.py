"""Janus beside transformers on the CPU: the same random weights, images of a group written with guidance, an update, and codes to pixels.

    pip install -r benches/peers/requirements.txt transformers
    python3 benches/peers/janus.py

Builds, makes the weights with transformers, runs both halves in turn, prints medians and ratios. Exits with 1 when the two halves do not
compute the same log-probabilities and pixels.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent.parent
GROUP, PROMPT, WEIGHT = 8, 24, 5.0
# Of an image: (192 / 16)^2; transformers takes the side from the vision tower, whatever the tokenizer says.
CODES = 144
DECODED = 2


def make(folder):
    """Weights and inputs of the bench size: 256 wide, 6 layers, 8 heads, 1024 codes, images of 144 codes; the image tokenizer is as wide and deep
    as the published one."""
    from transformers import JanusConfig, JanusForConditionalGeneration

    text = dict(
        model_type="llama", vocab_size=2048, hidden_size=256, intermediate_size=704, num_hidden_layers=6, num_attention_heads=8,
        num_key_value_heads=8, max_position_embeddings=512, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        tie_word_embeddings=False,
    )
    vision = dict(
        hidden_size=64, num_hidden_layers=1, num_attention_heads=4, image_size=192, patch_size=16, projection_dim=256, depth=2,
        num_image_tokens=CODES, mlp_ratio=2.0,
    )
    vq = dict(
        embed_dim=8, num_embeddings=1024, latent_channels=256, base_channels=128, channel_multiplier=[1, 1, 2, 2, 4], num_res_blocks=2,
        num_patches=12, num_hidden_layers=2, projection_dim=256, image_token_embed_dim=256, double_latent=False,
    )
    config = JanusConfig(text_config=text, vision_config=vision, vq_config=vq, image_token_id=5, tie_word_embeddings=False)
    assert config.vq_config.num_patches**2 == CODES, "both halves are to write the same number of codes"
    torch.manual_seed(0)
    model = JanusForConditionalGeneration(config).eval()
    model.save_pretrained(folder)
    generator = torch.Generator().manual_seed(1)
    draw = lambda *shape, below: torch.randint(10, below, shape, generator=generator).tolist()
    inputs = {
        "prompt": [1, *draw(PROMPT - 2, below=2048), 6],
        "codes": draw(GROUP, CODES, below=1024),
        "advantages": torch.randn(GROUP, generator=generator).tolist(),
    }
    (Path(folder) / "inputs.json").write_text(json.dumps(inputs))


class Torch:
    def __init__(self, folder):
        from transformers import JanusForConditionalGeneration

        self.model = JanusForConditionalGeneration.from_pretrained(folder).float().eval()
        self.inputs = json.loads((Path(folder) / "inputs.json").read_text())
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-6, fused=True)

    def rows(self):
        prompt = torch.tensor([self.inputs["prompt"]] * GROUP)
        unconditional = prompt.clone()
        unconditional[:, 1:-1] = 0
        return torch.cat([prompt, unconditional])

    @torch.inference_mode()
    def write(self):
        """One code after the other for all of the group, with a cache, as generate() does it."""
        model = self.model.model
        embeds, past = model.get_input_embeddings()(self.rows()), None
        for _ in range(CODES):
            out = model.language_model(inputs_embeds=embeds, past_key_values=past, use_cache=True)
            past = out.past_key_values
            conditional, unconditional = model.generation_head(out.last_hidden_state[:, -1]).chunk(2)
            logits = unconditional + WEIGHT * (conditional - unconditional)
            code = torch.multinomial(torch.softmax(logits, -1), 1).repeat(2, 1)
            embeds = self.model.prepare_embeddings_for_image_generation(code)

    def log_probs(self):
        """Of the recorded codes, conditional."""
        model = self.model.model
        codes = torch.tensor(self.inputs["codes"])
        prompt = model.get_input_embeddings()(torch.tensor([self.inputs["prompt"]] * GROUP))
        embeds = torch.cat([prompt, self.model.prepare_embeddings_for_image_generation(codes[:, :-1])], 1)
        hidden = model.language_model(inputs_embeds=embeds, use_cache=False).last_hidden_state
        logits = model.generation_head(hidden[:, PROMPT - 1 :])
        return torch.log_softmax(logits, -1).gather(2, codes.unsqueeze(2)).squeeze(2)

    def update(self):
        """GRPO's loss from the recorded group, and an AdamW step."""
        scores = self.log_probs()
        advantages = torch.tensor(self.inputs["advantages"]).view(-1, 1)
        loss = -((scores - scores.detach()).exp() * advantages).mean()
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()


    @torch.inference_mode()
    def decode(self):
        """Pixels of the first images' codes."""
        return self.model.decode_image_tokens(torch.tensor(self.inputs["codes"][:DECODED]))


def timed(work, repeats):
    work()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return times


def theirs(folder, repeats):
    half = Torch(folder)
    with torch.inference_mode():
        check = half.log_probs().flatten()[::7].tolist()
    pixels = half.decode()
    # Channels may be last.
    pixels = (pixels if pixels.shape[1] == 3 else pixels.permute(0, 3, 1, 2)).flatten()[::997].tolist()
    works = {work: timed(getattr(half, work), repeats) for work in ["write", "update", "decode"]}
    print(json.dumps({"check": check, "pixels": pixels, **works}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=2, help="per round, after one that is not timed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--theirs", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.theirs:
        return theirs(args.theirs, args.repeats)
    build = ["cargo", "build", "--release", "--workspace", "--bench", "janus", "--message-format", "json"]
    output = subprocess.run(build, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    messages = [json.loads(line) for line in output.splitlines()]
    ours = next(m["executable"] for m in messages if m.get("target", {}).get("name") == "janus" and m.get("executable"))
    env = dict(os.environ, RAYON_NUM_THREADS=str(args.threads), OMP_NUM_THREADS=str(args.threads))
    run = lambda command: json.loads(subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])
    with tempfile.TemporaryDirectory() as folder:
        make(folder)
        halves = {
            "ours": [ours, folder, str(args.repeats)],
            "transformers": [sys.executable, __file__, "--theirs", folder, "--threads", str(args.threads), "--repeats", str(args.repeats)],
        }
        results = {name: [] for name in halves}
        for _ in range(args.rounds):
            for name, command in halves.items():
                results[name].append(run(command))
    def apart(what):
        a, b = (results[name][0][what] for name in halves)
        return max(abs(x - y) for x, y in zip(a, b, strict=True))

    for work in ["write", "update", "decode"]:
        seconds = {name: [s for one in results[name] for s in one[work]] for name in halves}
        medians = {name: statistics.median(values) for name, values in seconds.items()}
        spread = {name: f"{min(values):.2f}-{max(values):.2f}" for name, values in seconds.items()}
        print(f"{work}: {medians} ({spread}), ours is {medians['transformers'] / medians['ours']:.2f} times as fast")
    print(f"log-probabilities differ by at most {apart('check'):.1e} nats, pixels by {apart('pixels'):.1e} of a range of 2")
    sys.exit(0 if max(apart("check"), apart("pixels")) < 1e-3 else 1)


if __name__ == "__main__":
    main()
