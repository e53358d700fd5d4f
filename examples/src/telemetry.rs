//! Metrics to an OpenTelemetry collector, where the environment names one as OpenTelemetry's own clients read it.

use counterpoint::Result;
use counterpoint_sinks::Telemetry;

/// The observer of the run called `name`, where `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT` is set.
///
/// # Errors
/// As [`Telemetry::new`].
pub fn telemetry(name: &str) -> Result<Option<Telemetry>> {
    let variables = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"];
    let is_set = variables.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    is_set.then(|| Telemetry::new(None, name)).transpose()
}
