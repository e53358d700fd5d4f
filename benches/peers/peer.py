"""PyTorch's half of the comparison; run.py runs both halves.

    python3 benches/peers/peer.py rollout|text|update|step --folder DIR --variant V

Prints one JSON object: seconds and user CPU seconds of each repeat, peak memory, and numbers that must equal the other
half's.
"""

import argparse
import json
import os
import time
from pathlib import Path

import torch

import rollout
import step
from showo import Showo
from update import Update

COMPARED = 200


def spread(values):
    values = values.float().flatten()
    return values[:: values.numel() // COMPARED][:COMPARED].tolist()


def memory_mib(field):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024


def wait(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def repeats(args, device, work):
    """Seconds and user CPU seconds of each repeat, after one that is not counted."""
    work()
    times = []
    for _ in range(args.repeats):
        wait(device)
        started, user = time.perf_counter(), os.times().user
        work()
        wait(device)
        times.append([time.perf_counter() - started, os.times().user - user])
    return times


def run_rollout(args, showo, inputs):
    with torch.inference_mode():
        rows, mask = rollout.start(showo, inputs["prompts"])
        check = spread(rollout.guided(showo, rows, mask, args.guidance, sliced=True))
        prompts = inputs["prompts"]
        work = lambda: rollout.rollout(showo, prompts, args.timesteps, args.guidance, args.variant)
        return {"check": check, "repeats": repeats(args, showo.device, work)}


def run_text(args, showo, inputs):
    question, group = inputs["question"], len(inputs["prompts"])
    with torch.inference_mode():
        context = torch.tensor([question], device=showo.device)
        hidden = showo.hidden(context, showo.mmu_mask(len(question)))
        check = spread(showo.phi.lm_head(hidden[:, -1]))
        work = lambda: rollout.text(showo, question, group, args.new_tokens, args.variant)
        return {"check": check, "repeats": repeats(args, showo.device, work)}


def run_update(args, showo, inputs):
    reference = Showo(args.folder, "reference.safetensors", args.device, args.dtype)
    record = json.loads((Path(args.folder) / "group.json").read_text())
    update = Update(showo, reference, inputs, args.timesteps, args.guidance)
    update.learn_from(record, inputs["answers"])
    before = memory_mib("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    check = []

    def work():
        loss = update.accumulate(args.variant)
        norm = update.apply()
        if not check:
            check.extend([float(loss), float(norm)])

    times = repeats(args, showo.device, work)
    peak = memory_mib("VmHWM") - before
    if showo.device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(showo.device) / 2**20
    return {"check": check, "peak_mib": peak, "before_mib": before, "repeats": times}


def run_step(args, showo, inputs):
    file = Path(args.folder) / "reference.safetensors"
    reference = Showo(args.folder, file.name, args.device, args.dtype) if file.exists() else showo
    update = Update(showo, reference, inputs, args.timesteps, args.guidance)
    with torch.inference_mode():
        rows, mask = rollout.start(showo, inputs["prompts"])
        check = spread(rollout.guided(showo, rows, mask, args.guidance, sliced=True))
    step.step(showo, update, inputs, args)
    phases = [step.step(showo, update, inputs, args) for _ in range(args.repeats)]
    times = [[sum(one.values()), 0.0] for one in phases]
    return {"check": check, "repeats": times, "phases": phases}


WORK = {"rollout": run_rollout, "text": run_text, "update": run_update, "step": run_step}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", choices=WORK)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--variant", required=True)
    parser.add_argument("--device", default="cpu", help="cpu or cuda:N")
    parser.add_argument("--dtype", default="f32", choices=["f32", "bf16"])
    parser.add_argument("--timesteps", type=int, default=12)
    parser.add_argument("--guidance", type=float, default=5.0)
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--waves", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    showo = Showo(args.folder, "model.safetensors", args.device, args.dtype)
    inputs = json.loads((Path(args.folder) / "inputs.json").read_text())
    print(json.dumps({"work": args.work, "variant": args.variant, **WORK[args.work](args, showo, inputs)}))


if __name__ == "__main__":
    main()
