"""Reward towers beside transformers' and facenet-pytorch's on the same weights and inputs: batch 1 and 16, in turn, medians and ratios.

    pip install -r benches/peers/requirements.txt
    python3 benches/peers/towers.py                            # random weights of the real sizes, CPU, 2 threads
    python3 benches/peers/towers.py --minilm DIR               # with the real weights of a MiniLM
    python3 benches/peers/towers.py --towers facenet mtcnn --photo FILE   # pip install --no-deps facenet-pytorch torchvision

Exits with 1 when the two halves do not compute the same numbers.
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

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TOWERS = ["minilm", "dinov2", "clip-image", "clip-text"]
FACES = ["facenet", "mtcnn"]
BATCHES = [1, 16]
COMPARED = 200
TOLERANCE = 1e-4


def build():
    command = ["cargo", "build", "--release", "-p", "counterpoint-benches", "--bench", "towers", "--message-format", "json"]
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in output.splitlines():
        message = json.loads(line)
        if message.get("target", {}).get("name") == "towers" and message.get("executable"):
            return message["executable"]
    sys.exit("cargo named no executable for the bench `towers`")


def model(tower):
    """Transformers' module of the real size with random weights."""
    import torch
    from transformers import BertConfig, BertModel, CLIPConfig, CLIPModel, Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    if tower == "minilm":
        return BertModel(BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536))
    if tower == "dinov2":
        return Dinov2Model(Dinov2Config(hidden_size=384, num_attention_heads=6, patch_size=14, image_size=518))
    return CLIPModel(CLIPConfig())


def face_model(tower):
    """facenet-pytorch's module: FaceNet with random weights, MTCNN with its own."""
    import torch
    from facenet_pytorch import MTCNN, InceptionResnetV1

    torch.manual_seed(0)
    return MTCNN(select_largest=False) if tower == "mtcnn" else InceptionResnetV1().eval()


def load(tower, folder):
    if tower in FACES:
        return face_model(tower)
    from transformers import BertModel, CLIPModel, Dinov2Model

    kind = {"minilm": BertModel, "dinov2": Dinov2Model}.get(tower, CLIPModel)
    return kind.from_pretrained(folder).eval()


def write_faces(tower, folder, photo):
    """Weights and inputs of a tower for faces."""
    import facenet_pytorch
    import numpy
    import shutil
    import torch
    from PIL import Image
    from safetensors.torch import save_file

    # Apart from the inputs: the other half takes whatever weights are in the folder.
    weights = folder / "weights"
    weights.mkdir()
    if tower == "mtcnn":
        for name in ["pnet.pt", "rnet.pt", "onet.pt"]:
            shutil.copy(Path(facenet_pytorch.__file__).parent / "data" / name, weights)
        if not photo:
            sys.exit("mtcnn: expected a photograph, got none: name one with --photo")
        picture = torch.from_numpy(numpy.asarray(Image.open(photo).convert("RGB").resize((512, 512))).copy())
        pictures = picture.repeat(max(BATCHES), 1, 1, 1)
    else:
        torch.save(face_model(tower).state_dict(), weights / "facenet.pt")
        torch.manual_seed(1)
        pictures = torch.randint(0, 256, (max(BATCHES), 160, 160, 3), dtype=torch.uint8)
    save_file({"pictures": pictures.long()}, folder / "inputs.safetensors")


def write(tower, folder, real):
    """Weights, unless `real` has some, and inputs."""
    import shutil

    import torch
    from safetensors.torch import save_file

    if real:
        for file in ["config.json", "model.safetensors"]:
            shutil.copy(Path(real) / file, folder)
    else:
        model(tower).save_pretrained(folder)
    torch.manual_seed(1)
    rows = max(BATCHES)
    inputs = {"pixel_values": torch.randn(rows, 3, 224, 224)}
    if tower == "minilm":
        # Sentences of 32 tokens, every second one shorter.
        mask = torch.ones(rows, 32, dtype=torch.long)
        mask[1::2, 20:] = 0
        inputs = {"input_ids": torch.randint(1000, 30000, (rows, 32)), "attention_mask": mask}
    if tower == "clip-text":
        ids = torch.randint(0, 49000, (rows, 77))
        ids[:, 0], ids[:, 20:] = 49406, 49407
        inputs = {"input_ids": ids}
    save_file(inputs, folder / "inputs.safetensors")


def peer(args):
    """PyTorch's half: prints one JSON object."""
    import numpy
    import torch
    from safetensors.torch import load_file

    torch.set_num_threads(args.threads)
    tower = load(args.tower, args.folder).to(args.device)
    inputs = {
        name: rows[: args.batch].to(args.device) for name, rows in load_file(Path(args.folder) / "inputs.safetensors").items()
    }

    def embed():
        if args.tower == "facenet":
            return tower((inputs["pictures"].permute(0, 3, 1, 2).float() - 127.5) / 128)
        if args.tower == "mtcnn":
            found = [tower.detect(picture.numpy().astype("uint8"))[0] for picture in inputs["pictures"]]
            return torch.from_numpy(numpy.concatenate(found).astype("float32"))
        if args.tower == "minilm":
            hidden = tower(**inputs).last_hidden_state
            mask = inputs["attention_mask"].unsqueeze(-1).float()
            mean = (hidden * mask).sum(1) / mask.sum(1)
            return torch.nn.functional.normalize(mean, dim=1)
        if args.tower == "dinov2":
            return tower(**inputs).last_hidden_state
        one = tower.get_image_features if args.tower == "clip-image" else tower.get_text_features
        features = one(**inputs)
        features = getattr(features, "pooler_output", features)
        return torch.nn.functional.normalize(features, dim=1)

    repeats = []
    with torch.inference_mode():
        check = embed().flatten()
        for _ in range(args.repeats):
            started, user = time.perf_counter(), os.times().user
            embed().cpu()
            repeats.append([time.perf_counter() - started, os.times().user - user])
    step = max(check.numel() // COMPARED, 1)
    print(json.dumps({"repeats": repeats, "check": check[::step][:COMPARED].tolist()}))


def call(command, args):
    env = dict(os.environ, RAYON_NUM_THREADS=str(args.threads), OMP_NUM_THREADS=str(args.threads))
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(args, program, tower, folder):
    """Rounds of both halves in turn for each batch; True when the numbers are equal."""
    equal = True
    for batch in args.batches:
        common = ["--tower", tower, "--folder", str(folder), "--batch", str(batch), "--repeats", str(args.repeats)]
        halves = {
            "ours": [program, *common, "--device", "flex" if args.device == "cpu" else args.device],
            "torch": [sys.executable, __file__, "--peer", *common, "--threads", str(args.threads), "--device", args.device],
        }
        seconds = {name: [] for name in halves}
        user = {name: [] for name in halves}
        checks = {}
        for _ in range(args.rounds):
            for name, command in halves.items():
                result = call(command, args)
                seconds[name] += [wall for wall, _ in result["repeats"]]
                user[name] += [user for _, user in result["repeats"]]
                checks[name] = result["check"]
        ours, torch = (statistics.median(seconds[name]) for name in ["ours", "torch"])
        scale = sum(map(abs, checks["torch"])) / len(checks["torch"])
        worst = max(abs(a - b) for a, b in zip(checks["ours"], checks["torch"], strict=True)) / scale
        equal &= worst < TOLERANCE
        least = min(seconds["torch"]) / min(seconds["ours"])
        cpu = statistics.median(user["torch"]) / max(statistics.median(user["ours"]), 0.01)
        print(f"{tower:11} batch {batch:2}: ours {ours * 1e3:8.1f} ms, torch {torch * 1e3:8.1f} ms, ratio {torch / ours:.2f}"
              f" (least {least:.2f}, CPU time {cpu:.2f}), difference {worst:.1e}", flush=True)
    return equal


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--towers", nargs="+", default=TOWERS, choices=TOWERS + FACES)
    parser.add_argument("--batches", nargs="+", type=int, default=BATCHES)
    parser.add_argument("--minilm", help="folder with config.json and model.safetensors of a real MiniLM")
    parser.add_argument("--photo", help="a photograph with faces, for `mtcnn`, which sees it in 512 x 512 pixels")
    parser.add_argument("--device", default="cpu", help="cpu or cuda:N")
    parser.add_argument("--program", help="the bench `towers`, built already")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=5, help="per round, after one that is not timed")
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--tower", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        return peer(args)
    program = args.program or build()
    equal = True
    for tower in args.towers:
        with tempfile.TemporaryDirectory() as temporary:
            if tower in FACES:
                write_faces(tower, Path(temporary), args.photo)
            else:
                write(tower, Path(temporary), args.minilm if tower == "minilm" else None)
            equal &= compare(args, program, tower, Path(temporary))
    sys.exit(0 if equal else 1)


if __name__ == "__main__":
    main()
