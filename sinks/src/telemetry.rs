//! A run's metrics over OpenTelemetry's protocol (OTLP over HTTP, in JSON), as its collectors, Prometheus and Grafana take them.

use std::ops::ControlFlow;
use std::time::Duration;

use async_trait::async_trait;
use counterpoint::metrics::Metrics;
use counterpoint::{Error, Event, Observer, Result};
use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{MetricExporter, Protocol, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider, Temporality};

use crate::delivery::{Delivery, Receives, Sent, Step};

/// What the metrics are of.
const SERVICE: &str = "counterpoint";
/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Sends every step of a run as gauges, one export a step, from a thread of its own: a collector that is slow or gone costs the run nothing.
///
/// Each finite number of the step is a gauge of its name, `step` is one too, and the resource says `service.name` (`counterpoint`, unless
/// `OTEL_SERVICE_NAME` says else) and `run`. What a collector does not take for now is sent again later; at the end it is waited for half
/// a minute, and then said to be missing there: `metrics.jsonl` has it all the same.
#[derive(Debug)]
pub struct Telemetry(Delivery);

impl Telemetry {
    /// The metrics of the run called `name` to `endpoint`, such as `http://localhost:4318/v1/metrics`; without one to where
    /// OpenTelemetry's own variables lead (`OTEL_EXPORTER_OTLP_ENDPOINT` and its kin, headers among them). Nothing is sent yet.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) for an endpoint that is none; [`Io`](counterpoint::ErrorKind::Io) when there can be no
    /// further thread.
    pub fn new(endpoint: Option<&str>, name: &str) -> Result<Self> {
        let config = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false);
        let client = Client(config.build().new_agent());
        let exporter = MetricExporter::builder().with_http().with_http_client(client).with_protocol(Protocol::HttpJson);
        let exporter = match endpoint {
            Some(endpoint) => exporter.with_endpoint(endpoint),
            None => exporter,
        };
        // What a step does not have is not sent again.
        let exporter = exporter.with_temporality(Temporality::Delta).build().map_err(|e| {
            let place = endpoint.unwrap_or("OTEL_EXPORTER_OTLP_ENDPOINT");
            Error::config(format!("{place}: expected where OpenTelemetry's metrics go to")).with_source(e)
        })?;
        // It is told when to send.
        let reader = PeriodicReader::builder(exporter).with_interval(Duration::from_secs(86_400)).build();
        let mut resource = Resource::builder().with_attribute(KeyValue::new("run", name.to_owned()));
        if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name(SERVICE);
        }
        let provider = SdkMeterProvider::builder().with_reader(reader).with_resource(resource.build()).build();
        Delivery::to(provider).map(Self)
    }

    /// Sends the metrics of a step that has just ended, without waiting for it to arrive.
    pub fn send(&self, step: u64, metrics: &Metrics) {
        self.0.send(step, metrics);
    }
}

impl Observer for Telemetry {
    fn event(&mut self, event: &Event<'_>) -> Result<ControlFlow<()>> {
        if let Event::Step(report) = event {
            self.send(report.step, &report.metrics);
        }
        Ok(ControlFlow::Continue(()))
    }
}

impl Receives for SdkMeterProvider {
    fn name(&self) -> String {
        "OpenTelemetry's collector".to_owned()
    }

    fn send(&mut self, step: &Step) -> Sent {
        let meter = self.meter(SERVICE);
        meter.u64_gauge("step").build().record(step.number, &[]);
        for (name, value) in step.metrics.iter().filter(|(_, value)| value.is_finite()) {
            meter.f64_gauge(allowed(name)).build().record(value, &[]);
        }
        self.force_flush().map_or_else(|error| Sent::Later(error.to_string()), |()| Sent::Taken)
    }

    fn end(&mut self, _done: u64) {}
}

/// A name as OpenTelemetry has it: letters, digits and `_.-/`.
fn allowed(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "_.-/".contains(c) { c } else { '_' }).collect()
}

/// HTTP by the client that the rest of the crate has.
#[derive(Debug)]
struct Client(ureq::Agent);

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> std::result::Result<Response<Bytes>, HttpError> {
        let (parts, mut body) = self.0.run(request.map(|bytes| bytes.to_vec()))?.into_parts();
        Ok(Response::from_parts(parts, body.read_to_vec()?.into()))
    }
}
