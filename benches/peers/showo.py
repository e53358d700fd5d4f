"""Show-o's decoder by transformers' Phi, from the files that the Rust half writes."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import PhiConfig, PhiForCausalLM

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


class Showo:
    """Decoder, sizes and token ids."""

    def __init__(self, folder, file="model.safetensors", device="cpu", dtype="f32"):
        folder = Path(folder)
        self.config = json.loads((folder / "config.json").read_text())
        phi = self.config["phi"]
        sizes = PhiConfig(
            vocab_size=self.config["vocab_size"],
            hidden_size=phi["hidden_size"],
            intermediate_size=phi["intermediate_size"],
            num_hidden_layers=phi["num_hidden_layers"],
            num_attention_heads=phi["num_attention_heads"],
            max_position_embeddings=phi["max_position_embeddings"],
            hidden_act=phi["hidden_act"],
            layer_norm_eps=phi["layer_norm_eps"],
            qk_layernorm=phi["qk_layernorm"],
            rope_parameters={
                "rope_type": "default",
                "rope_theta": phi["rope_theta"],
                "partial_rotary_factor": phi["partial_rotary_factor"],
            },
            bos_token_id=None,
            eos_token_id=None,
            attn_implementation="sdpa",
        )
        self.device, self.dtype = torch.device(device), DTYPES[dtype]
        with torch.device("meta"):
            self.phi = PhiForCausalLM(sizes)
        weights = load_file(folder / file, device=str(self.device))
        weights = {name.removeprefix("showo."): value.to(self.dtype) for name, value in weights.items()}
        self.phi.load_state_dict(weights, assign=True)
        # What is no parameter is not in the file.
        rotary = type(self.phi.model.rotary_emb)(sizes)
        self.phi.model.rotary_emb = rotary.to(self.device)
        self.phi.eval()

        special = self.config["special_token_ids"]
        self.pad, self.soi, self.eoi, self.t2i = (special[name] for name in ("pad", "soi", "eoi", "t2i"))
        self.bos, self.eos = self.config["bos_id"], self.config["eos_id"]
        self.mask, self.offset = self.config["mask_token_id"], self.config["image_token_offset"]
        self.codes, self.tokens = self.config["codebook_size"], self.config["num_vq_tokens"]
        self.prefix = self.config["max_seq_length"] + 1

    def t2i_rows(self, prompts):
        """`pad.. t2i bos text eos soi mask.. eoi`, `[B, L]`."""
        rows = []
        for text in prompts:
            ids = [self.t2i, self.bos, *text][: self.prefix - 1] + [self.eos]
            ids = [self.pad] * (self.prefix - len(ids)) + ids
            rows.append([*ids, self.soi, *[self.mask] * self.tokens, self.eoi])
        return torch.tensor(rows, device=self.device)

    def additive(self, allowed):
        """0 where allowed, the smallest number elsewhere, `[B, 1, L, L]`."""
        mask = torch.zeros(allowed.shape, dtype=self.dtype, device=self.device)
        return mask.masked_fill(~allowed, torch.finfo(self.dtype).min).unsqueeze(1).contiguous()

    def t2i_mask(self, rows):
        """Text is causal and does not see the padding; the image sees text and itself in full."""
        length = rows.shape[1]
        query, key = torch.arange(length, device=self.device).view(-1, 1), torch.arange(length, device=self.device)
        start = (rows == self.pad).sum(1).view(-1, 1, 1)
        in_image = query >= self.prefix
        text = (key <= query) & ((query < start) | (key >= start))
        return self.additive(torch.where(in_image, key >= start, text))

    def mmu_mask(self, length):
        """Causal; the image is seen in full by all, `[1, 1, L, L]`."""
        query, key = torch.arange(length, device=self.device).view(-1, 1), torch.arange(length, device=self.device)
        return self.additive(((key <= query) | (key <= self.tokens + 2)).unsqueeze(0))

    def hidden(self, rows, mask, **cache):
        return self.phi.model(input_ids=rows, attention_mask=mask, use_cache=bool(cache), **cache).last_hidden_state

    def image_logits(self, hidden):
        """The head's rows of the image codes, at the image's positions."""
        hidden = hidden[:, self.prefix + 1 : self.prefix + 1 + self.tokens]
        rows = slice(self.offset, self.offset + self.codes)
        head = self.phi.lm_head
        return torch.nn.functional.linear(hidden, head.weight[rows], head.bias[rows])
