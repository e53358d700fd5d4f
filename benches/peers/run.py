"""The engine beside PyTorch: builds, writes random weights, runs both halves in turn, prints medians and ratios.

    pip install -r benches/peers/requirements.txt
    python3 benches/peers/run.py                                          # CPU, 2 threads, bench size
    python3 benches/peers/run.py --device cuda:0 --dtype bf16 --size real --timesteps 50 --works step

Exits with 1 when the two halves do not compute the same numbers.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# PyTorch's variants of each work; those in parentheses are not the public code's algorithm and stand for information.
VARIANTS = {
    "rollout": ["one", "batched", "sliced", "(prefix)"],
    "text": ["one", "one_last", "batched", "(cached)"],
    "update": ["whole", "per_step"],
    "step": ["sliced", "(prefix)"],
}
TOLERANCE = {"f32": 1e-4, "bf16": 5e-2}


def build(args):
    command = ["cargo", "build", "--release", "--bench", "peers", "--message-format", "json"]
    for package in ["showo", "examples", "benches"]:
        command += ["-p", f"counterpoint-{package}"]
    if args.device.startswith("cuda"):
        command += ["--features", "counterpoint-benches/cuda,counterpoint-benches/autotune,counterpoint-benches/fusion"]
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in output.splitlines():
        message = json.loads(line)
        if message.get("target", {}).get("name") == "peers" and message.get("executable"):
            return message["executable"]
    sys.exit("cargo named no executable for the bench `peers`")


def call(command, args):
    env = dict(os.environ, RAYON_NUM_THREADS=str(args.threads), OMP_NUM_THREADS=str(args.threads))
    stop, peaks = threading.Event(), []
    watch = threading.Thread(target=gpu_peak, args=(args.device, stop, peaks))
    if args.device != "cpu":
        watch.start()
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    stop.set()
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
    result = json.loads(done.stdout.splitlines()[-1])
    if args.device != "cpu":
        # The same measure for both halves: all that is in use on the card, allocators' reserves included.
        watch.join()
        result["peak_mib"] = max(peaks, default=0.0)
    return result


def gpu_peak(device, stop, peaks):
    """The largest memory in use on the card, polled."""
    index = device.split(":")[1] if ":" in device else "0"
    query = ["nvidia-smi", "-i", index, "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    while not stop.wait(0.2):
        peaks.append(float(subprocess.run(query, stdout=subprocess.PIPE, text=True, check=True).stdout))


def difference(ours, theirs):
    """Largest difference, as a share of the mean magnitude."""
    scale = sum(map(abs, theirs)) / len(theirs)
    return max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) / scale


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", nargs="+", default=["rollout", "text", "update"], choices=list(VARIANTS))
    parser.add_argument("--size", default="bench", choices=["bench", "real"])
    parser.add_argument("--device", default="cpu", help="cpu or cuda:N")
    parser.add_argument("--dtype", default="f32", choices=["f32", "bf16"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=2, help="per round, after one that is not timed")
    parser.add_argument("--group", type=int, default=9)
    parser.add_argument("--timesteps", type=int, default=12)
    parser.add_argument("--chunk", type=int, default=8, help="sequences per replay chunk of ours")
    parser.add_argument("--folder", help="where the weights are; a temporary folder by default")
    parser.add_argument("--json", help="file for all numbers")
    parser.add_argument("--program", help="the bench `peers`, built already")
    args = parser.parse_args()
    ours = args.program or build(args)
    with tempfile.TemporaryDirectory() as temporary:
        compare(args, ours, args.folder or temporary)


def compare(args, program, folder):
    common = ["--folder", folder, "--timesteps", str(args.timesteps), "--dtype", args.dtype]
    engine = [*common, "--group", str(args.group), "--chunk", str(args.chunk)]
    engine += ["--device", "flex" if args.device == "cpu" else args.device]
    if not (Path(folder) / "model.safetensors").exists():
        call([program, "write", *engine, "--size", args.size], args)
    if "update" in args.works:
        call([program, "record", *engine], args)
    repeats = ["--repeats", str(args.repeats)]
    torch = [sys.executable, str(HERE / "peer.py")]
    results = {}
    for round_ in range(args.rounds):
        for work in args.works:
            results.setdefault((work, "ours"), []).append(call([program, work, *engine, *repeats], args))
            for variant in VARIANTS[work]:
                command = [*torch, work, *common, *repeats, "--device", args.device, "--variant", variant.strip("()")]
                command += ["--threads", str(args.threads)]
                results.setdefault((work, variant), []).append(call(command, args))
        print(f"round {round_ + 1} of {args.rounds} done", file=sys.stderr)
    equal = all([report(work, results, args) for work in args.works])
    if args.json:
        Path(args.json).write_text(json.dumps({" ".join(key): value for key, value in results.items()}, indent=1))
    sys.exit(0 if equal else 1)


def report(work, results, args):
    def column(variant, at):
        return [one[at] for run in results[work, variant] for one in run["repeats"]]

    def peak(variant):
        return statistics.median(run.get("peak_mib") or 0 for run in results[work, variant])

    print(f"\n{work}: median and least seconds, user CPU seconds, peak memory above the loaded models; ratios to ours")
    print(f"{'':14}{'wall':>8}{'least':>8}{'user':>8}{'MiB':>9}{'wall':>8}{'least':>7}{'user':>7}{'memory':>8}  difference")
    equal = True
    base = None
    for variant in ["ours", *VARIANTS[work]]:
        wall, user = column(variant, 0), column(variant, 1)
        numbers = [statistics.median(wall), min(wall), statistics.median(user), peak(variant)]
        base = base or numbers
        ratios = [a / b if b else float("nan") for a, b in zip(numbers, base)]
        worst = difference(results[work, "ours"][0]["check"], results[work, variant][0]["check"])
        equal &= worst < TOLERANCE[args.dtype]
        row = "".join(f"{n:>{w}.{d}f}" for n, w, d in zip(numbers, (8, 8, 8, 9), (2, 2, 2, 0)))
        row += "".join(f"{r:>{w}.2f}" for r, w in zip(ratios, (8, 7, 7, 8)))
        print(f"{variant:14}{row}  {worst:.1e}")
    phases = {variant: [p for run in results[work, variant] for p in run.get("phases", [])] for variant in ["ours", *VARIANTS[work]]}
    for variant, rows in phases.items():
        if rows:
            medians = {phase: statistics.median(row[phase] for row in rows) for phase in rows[0]}
            print(f"  {variant}: " + ", ".join(f"{phase} {seconds:.2f} s" for phase, seconds in medians.items()))
    public = [variant for variant in VARIANTS[work] if not variant.startswith("(")]
    best = min(public, key=lambda variant: statistics.median(column(variant, 0)))
    ratio = statistics.median(column(best, 0)) / statistics.median(column("ours", 0))
    print(f"ours is {ratio:.2f} times as fast as PyTorch's best variant, {best}")
    if not equal:
        print("the numbers of the two halves differ", file=sys.stderr)
    return equal


if __name__ == "__main__":
    main()
