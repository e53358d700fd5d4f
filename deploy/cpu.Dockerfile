# The recipes on the CPU:
#
#     docker build -f deploy/cpu.Dockerfile -t counterpoint .
#     docker run --rm -v "$PWD/runs:/runs" counterpoint sync_r1 --set run.output=/runs
FROM rust:1.95-slim-bookworm AS build
WORKDIR /counterpoint
COPY . .
RUN cargo build --release --locked -p counterpoint-examples --examples

FROM debian:bookworm-slim
# Recipes find their configs, models and data where they were built.
COPY . /counterpoint
COPY --from=build /counterpoint/target/release/examples/ /usr/local/bin/
RUN find /usr/local/bin -name '*-*' -o -name '*.d' | xargs rm -f
WORKDIR /counterpoint
ENV NO_COLOR=1
# Signals reach the recipe itself, as there is no shell between.
ENTRYPOINT ["/usr/bin/env"]
CMD ["sync_r1"]
