"""Loads an exported Show-o with PyTorch and transformers, and compares its logits with the engine's.

    cargo run --release --example export -- --logits OUT   (in f32: with --dtype the engine computes in that type)
    pip install torch transformers safetensors; python benches/peers/load_export.py OUT

The decoder is transformers' PhiForCausalLM with normalised queries and keys, which is what Show-o's own phi.py is.
Concepts are inserted from their .pt files the way UniCTokens does. Exit status 1 when the logits differ by more than
1e-4 of the largest.
"""

import json
import pathlib
import sys

import torch
from safetensors.torch import load_file
from transformers import PhiConfig, PhiForCausalLM

folder = pathlib.Path(sys.argv[1])
config = json.loads((folder / "config.json").read_text())
state = load_file(folder / "pytorch_model.safetensors")
dtypes = {str(v.dtype) for v in state.values()}
state = {k.removeprefix("showo."): v.float() for k, v in state.items() if k.startswith("showo.")}
assert state["lm_head.weight"].shape[0] == config["vocab_size"], "rows of the head against vocab_size"
assert config["mask_token_id"] == config["vocab_size"] - 1

# Text, special tokens, then the concepts, then image codes and mask.
text = config["vocab_size"] - config["codebook_size"] - 1
parts = {"embed": "model.embed_tokens.weight", "lm_head_weight": "lm_head.weight", "lm_head_bias": "lm_head.bias"}
for concept in config["concept_files"]:
    for part, name in parts.items():
        rows = torch.load(folder / concept["files"] / f"epoch_{concept['epoch']}_{part}.pt", weights_only=True)
        state[name] = torch.cat([state[name][:text], rows.float(), state[name][text:]])
    text += len(rows)

phi = config["phi"]
same = ["hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "layer_norm_eps", "hidden_act",
        "max_position_embeddings", "qk_layernorm"]
rope = {"rope_type": "default", "rope_theta": phi["rope_theta"], "partial_rotary_factor": phi["partial_rotary_factor"]}
model = PhiForCausalLM(PhiConfig(vocab_size=len(state["lm_head.bias"]), rope_parameters=rope, **{k: phi[k] for k in same}))
model.load_state_dict(state, strict=True)
model.eval()

engine = load_file(folder / "logits.safetensors")
with torch.no_grad():
    logits = model(input_ids=engine["ids"], use_cache=False).logits
assert logits.shape == engine["logits"].shape, (logits.shape, engine["logits"].shape)
off, largest = (logits - engine["logits"].float()).abs().max().item(), logits.abs().max().item()
same_top = (logits.argmax(-1) == engine["logits"].argmax(-1)).all().item()
print(f"{sum(v.numel() for v in state.values())} parameters ({', '.join(dtypes)}), {len(config['concept_files'])} concepts, "
      f"{logits.shape[1]} positions of {logits.shape[2]} logits: largest difference {off:.2e}, largest logit {largest:.3f}, "
      f"same first choice everywhere: {same_top}")
sys.exit(0 if off <= 1e-4 * largest else 1)
