"""What `benches/gpu/run.sh` runs, once everything is built: each stage by itself, so that one that fails leaves the others' numbers.

Writes gpu.json (everything) and gpu.md (tables for benches/RESULTS.md) into --out. Exits with 1 when a stage failed.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
POLICIES = {"showo": "policies/showo/tests/fixtures/showo_tiny", "janus": "policies/janus/tests/fixtures/janus_tiny"}
TOWERS = ["bert", "ernie", "clip", "dinov2", "blip2", "captioner", "mtcnn", "facenet"]
# Keys of a run's metrics that measure the machine.
CLOCKS = ("time/", "throughput/", "memory/")


class Memory:
    """Memory in use on the card in MiB, polled while a command runs; of the process where there is no nvidia-smi."""

    def __init__(self, device):
        self.index = device.split(":")[1] if ":" in device else "0"
        self.nvidia = device.startswith("cuda")

    def now(self, pid):
        if self.nvidia:
            query = ["nvidia-smi", "-i", self.index, "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
            return float(subprocess.run(query, stdout=subprocess.PIPE, text=True, check=True).stdout)
        status = Path(f"/proc/{pid}/status").read_text()
        return next(float(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS:"))


class Day:
    def __init__(self, args):
        self.args, self.memory = args, Memory(args.device)
        self.out = Path(args.out)
        self.out.mkdir(parents=True, exist_ok=True)
        self.results = {"device": args.device, "machine": machine(args.device), "stages": {}}

    def program(self, name):
        if self.args.bin:
            return str(Path(self.args.bin) / name)
        return str(ROOT / "target/release/examples" / name)

    def call(self, command, seconds=None):
        """Exit status, standard output, seconds, and memory over time."""
        started, memory = time.perf_counter(), []
        log = open(self.out / "log.txt", "a")
        log.write(f"\n$ {' '.join(map(str, command))}\n")
        log.flush()
        process = subprocess.Popen(list(map(str, command)), cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True)
        done = threading.Event()

        def poll():
            while not done.wait(0.5):
                try:
                    memory.append((time.perf_counter() - started, self.memory.now(process.pid)))
                except (OSError, StopIteration, subprocess.CalledProcessError):
                    pass

        watch = threading.Thread(target=poll, daemon=True)
        watch.start()
        try:
            output, _ = process.communicate(timeout=seconds or self.args.limit)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
        done.set()
        watch.join()
        return process.returncode, output, time.perf_counter() - started, memory

    def stage(self, name, work):
        if self.args.stages and name not in self.args.stages:
            return
        print(f"== {name}", flush=True)
        started = time.perf_counter()
        try:
            found = work()
        except Exception as error:  # one stage must not take the others with it
            found = {"failed": f"{type(error).__name__}: {error}"}
        found["seconds"] = round(time.perf_counter() - started, 1)
        print(f"-- {name}: {found['seconds']} s{' FAILED: ' + found['failed'] if 'failed' in found else ''}", flush=True)
        self.results["stages"][name] = found
        self.write()

    def write(self):
        (self.out / "gpu.json").write_text(json.dumps(self.results, indent=1) + "\n")
        (self.out / "gpu.md").write_text(markdown(self.results))

    # The stages.

    def parity(self):
        rows, wrong = [], []
        for dtype in ["f32", "bf16"]:
            for what in [*POLICIES, *TOWERS]:
                folder = POLICIES.get(what, f"rewards/encoders/tests/fixtures/{what}")
                kind = [] if what == "janus" else ["--dtype", dtype]
                if what == "janus" and dtype != "f32":
                    continue
                status, output, seconds, _ = self.call(
                    [self.program("parity"), what, folder, "--device", self.args.device, *kind]
                )
                lines = output.splitlines()
                summary = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {"quantities": [], "failed": ["no summary"]}
                worst = max((q["max_rel_error"] for q in summary["quantities"]), default=None)
                rows.append(
                    {"what": what, "dtype": dtype, "quantities": len(summary["quantities"]), "failed": summary["failed"],
                     "worst_relative_error": worst, "seconds": round(seconds, 1)}
                )
                if status:
                    wrong.append(f"{what} {dtype}")
        return {"rows": rows, **({"failed": ", ".join(wrong)} if wrong else {})}

    def job(self, folder, steps, more=()):
        config = ROOT / "examples/sync_r1.toml"
        sets = ["evaluation.kind=none", f"trainer.steps={steps}", f"run.output='{folder}'", *more]
        if self.args.small:
            sets += ["trainer.tasks_per_step=1", "trainer.group_size=2", "trainer.images_per_answer=1", "data.answer_share=0"]
            # A software driver takes minutes to compile the towers' kernels.
            sets += ["placement.rewards=flex", "sampler.image.timesteps=2", "objective.denoising_steps=1"]
        command = [self.program("sync_r1"), "--json", "--config", config, "--device", self.args.device]
        for key in sets:
            command += ["--set", key]
        return command

    def growth(self):
        """Memory over the steps of a run: its slope in MiB per 100 steps after the first quarter."""
        steps = 4 if self.args.small else 200
        with tempfile.TemporaryDirectory() as folder:
            status, output, seconds, memory = self.call(self.job(folder, steps))
        if status:
            raise RuntimeError(f"the run ended with {status}; see log.txt")
        after = [(at, mib) for at, mib in memory if at > seconds / 4]
        slope = statistics.linear_regression(*zip(*after)).slope if len(after) > 2 else 0.0
        per_step = seconds / steps
        return {"steps": steps, "seconds_per_step": per_step, "peak_mib": max((mib for _, mib in memory), default=None),
                "slope_mib_per_100_steps": slope * per_step * 100}

    def resume(self):
        """Four steps, and the last two of them again from the checkpoint in the middle: the same metrics up to the device's rounding."""
        with tempfile.TemporaryDirectory() as folder:
            more = ["trainer.checkpoint_every=2", "trainer.keep_last=2", "run.name=resumed"]
            self.succeed(self.job(folder, 4, more))
            run = next(Path(folder).glob("resumed*"))
            whole = metrics(run / "metrics.jsonl")
            shutil.rmtree(run / "checkpoints/step-000004")
            for file in ["after.json", "report.html"]:
                (run / file).unlink(missing_ok=True)
            self.succeed([*self.job(folder, 4, more), "--resume"])
            again = metrics(run / "metrics.jsonl")
        if [len(whole), len(again)] != [4, 4]:
            raise RuntimeError(f"expected 4 steps of each, got {[len(whole), len(again)]}")
        worst = max(relative(a, b) for a, b in zip(whole[2:], again[2:]))
        return {"largest_relative_difference": worst, **({"failed": f"differs by {worst:.1e}"} if worst > 1e-3 else {})}

    def succeed(self, command):
        status, *_ = self.call(command)
        if status:
            raise RuntimeError(f"the run ended with {status}; see log.txt")

    def peers(self):
        """A step of Sync-GRPO and an update beside PyTorch's loop on the same device, from the same weights."""
        size = "bench" if self.args.small else "real"
        found = {}
        for work in ["step", "update"]:
            file = self.out / f"{work}.json"
            command = [sys.executable, "benches/peers/run.py", "--device", self.args.device, "--dtype", "bf16", "--size", size]
            command += ["--timesteps", "50", "--works", work, "--rounds", "1", "--repeats", "2", "--json", file]
            if self.args.bin:
                command += ["--program", Path(self.args.bin) / "peers"]
            status, output, _, _ = self.call(command)
            found[work] = {"table": output, "equal": status == 0}
            if file.exists():
                found[work]["numbers"] = json.loads(file.read_text())
        if not all(work.get("numbers") for work in found.values()):
            raise RuntimeError("a half did not run; see log.txt")
        return found

    def towers(self):
        command = [sys.executable, "benches/peers/towers.py", "--device", self.args.device, "--rounds", "1"]
        if self.args.bin:
            command += ["--program", Path(self.args.bin) / "towers"]
        status, output, _, _ = self.call(command)
        return {"table": output, **({"failed": "see log.txt"} if status else {})}


def machine(device):
    found = {"system": platform.platform(), "cores": os.cpu_count()}
    if device.startswith("cuda"):
        query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
        found["gpu"] = subprocess.run(query, stdout=subprocess.PIPE, text=True).stdout.strip()
    return found


def metrics(file):
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    return [{key: value for key, value in row.items() if not key.startswith(CLOCKS)} for row in rows]


def relative(a, b):
    """Largest relative difference of two rows of numbers."""
    numbers = [key for key in a if isinstance(a[key], (int, float)) and isinstance(b.get(key), (int, float))]
    return max(abs(a[key] - b[key]) / max(abs(a[key]), abs(b[key]), 1e-6) for key in numbers)


def markdown(results):
    stages, lines = results["stages"], [f"Device `{results['device']}`, {json.dumps(results['machine'])}", ""]
    if rows := stages.get("parity", {}).get("rows"):
        lines += ["| parity | dtype | quantities | failed | worst relative error | s |", "|---|---|---|---|---|---|"]
        for row in rows:
            worst = "-" if row["worst_relative_error"] is None else f"{row['worst_relative_error']:.1e}"
            failed = ", ".join(row["failed"]) or "-"
            lines.append(f"| {row['what']} | {row['dtype']} | {row['quantities']} | {failed} | {worst} | {row['seconds']} |")
        lines.append("")
    for name in ["growth", "resume"]:
        if name in stages:
            lines += [f"- {name}: " + ", ".join(f"{key} {value}" for key, value in stages[name].items())]
    for name in ["peers", "towers"]:
        found = stages.get(name, {})
        tables = [found["table"]] if "table" in found else [one["table"] for one in found.values() if isinstance(one, dict)]
        for table in tables:
            lines += ["", "```text", table.rstrip(), "```"]
        if "failed" in found:
            lines.append(f"- {name}: failed: {found['failed']}")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", required=True)
    parser.add_argument("--small", action="store_true", help="sizes that a software driver manages")
    parser.add_argument("--without-torch", action="store_true", help="leaves out what PyTorch stands beside")
    parser.add_argument("--bin", help="folder of executables built elsewhere: parity, sync_r1, peers, towers")
    parser.add_argument("--out", default=str(ROOT / "benches/gpu/results"))
    parser.add_argument("--limit", type=float, default=3600, help="seconds after which a command is ended")
    parser.add_argument("--stages", nargs="+", choices=["parity", "growth", "resume", "peers", "towers"])
    args = parser.parse_args()
    day = Day(args)
    day.stage("parity", day.parity)
    day.stage("growth", day.growth)
    day.stage("resume", day.resume)
    if not args.without_torch:
        day.stage("peers", day.peers)
        day.stage("towers", day.towers)
    failed = [name for name, stage in day.results["stages"].items() if "failed" in stage]
    print(f"written: {day.out / 'gpu.json'}, {day.out / 'gpu.md'}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
