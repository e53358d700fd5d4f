#!/usr/bin/env bash
# All that is to be known of a machine with a GPU, in one command: parity, memory, speed beside PyTorch, growth, resume.
#
#     benches/gpu/run.sh cuda:0                 # builds with --features cuda,autotune,fusion; makes a virtual environment with PyTorch
#     benches/gpu/run.sh wgpu --small --without-torch
#
# Leaves gpu.json and gpu.md in benches/gpu/results (--out); further options: benches/gpu/run.py --help.
set -euo pipefail
cd "$(dirname "$0")/../.."
device=${1:?usage: benches/gpu/run.sh DEVICE [OPTIONS]}
shift
kind=${device%%:*}
features=${COUNTERPOINT_FEATURES:-$kind,autotune,fusion}
python=python3
case " $* " in
*" --bin "*) ;;
*)
    cargo build --release -p counterpoint-examples --features "$features" --example parity --example sync_r1
    cargo build --release -p counterpoint-benches --features "$features" --benches
    ;;
esac
case " $* " in
*" --without-torch "*) ;;
*)
    if ! python3 -c 'import torch, transformers, safetensors' 2>/dev/null; then
        python3 -m venv target/gpu-python
        python=target/gpu-python/bin/python
        "$python" -m pip install --quiet -r benches/peers/requirements.txt transformers
    fi
    ;;
esac
exec "$python" benches/gpu/run.py --device "$device" "$@"
