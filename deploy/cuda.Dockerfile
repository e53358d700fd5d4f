# The recipes on NVIDIA GPUs; the build fetches LLVM:
#
#     docker build -f deploy/cuda.Dockerfile -t counterpoint:cuda .
#     docker run --rm --gpus all -v "$PWD/runs:/runs" counterpoint:cuda sync_r1 --device cuda:0 --set run.output=/runs
FROM nvidia/cuda:13.0.1-devel-ubuntu24.04 AS build
RUN apt-get update && apt-get install -y --no-install-recommends build-essential ca-certificates curl && rm -rf /var/lib/apt/lists/*
ENV CARGO_HOME=/opt/cargo RUSTUP_HOME=/opt/rustup PATH=/opt/cargo/bin:$PATH
RUN curl -sSf https://sh.rustup.rs | sh -s -- -y --no-modify-path --profile minimal --default-toolchain 1.95
WORKDIR /counterpoint
COPY . .
RUN cargo build --release --locked -p counterpoint-examples --examples --features cuda,fusion,autotune

FROM nvidia/cuda:13.0.1-devel-ubuntu24.04
# Recipes find their configs, models and data where they were built; kernels are compiled when they first run, with CUDA's headers.
COPY . /counterpoint
COPY --from=build /counterpoint/target/release/examples/ /usr/local/bin/
RUN find /usr/local/bin -name '*-*' -o -name '*.d' | xargs rm -f
WORKDIR /counterpoint
ENV NO_COLOR=1
ENTRYPOINT ["/usr/bin/env"]
CMD ["sync_r1"]
