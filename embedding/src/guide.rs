//! The chapters of the guide, as documentation tests.

macro_rules! chapters {
    ($($name:ident: $file:literal,)*) => {$(
        #[doc = include_str!(concat!("../../docs/src/", $file))]
        mod $name {}
    )*};
}

chapters! {
    quick_start: "quick_start.md",
    the_loop: "loop.md",
    command: "command.md",
    config: "config.md",
    own_data: "own_data.md",
    evaluation: "evaluation.md",
    janus: "janus.md",
    learning: "learning.md",
    showo: "showo.md",
    devices: "devices.md",
    clusters: "clusters.md",
    embedding: "embedding.md",
    policy: "policy.md",
    sampler: "sampler.md",
    filter: "filter.md",
    objective: "objective.md",
    reward: "reward.md",
    experts: "experts.md",
    plugins: "plugins.md",
    plugin_rust: "plugin_rust.md",
    plugin_c: "plugin_c.md",
    plugin_python: "plugin_python.md",
    plugin_abi: "plugin_abi.md",
    runs: "runs.md",
    results: "results.md",
    systems: "systems.md",
}
