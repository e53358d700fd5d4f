//! A run's metrics over OpenTelemetry's protocol (OTLP over HTTP, in JSON), as its collectors, Prometheus and Grafana take them.

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use counterpoint::metrics::Metrics;
use counterpoint::{Error, ErrorKind, Event, Observer, Result};
use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{MetricExporter, Protocol, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider, Temporality};

/// What the metrics are of.
const SERVICE: &str = "counterpoint";
/// The pause after a step that could not be sent.
const PAUSE: Duration = Duration::from_secs(5);
/// How long the end of a run waits for what is still to be sent.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Sends every step of a run as gauges, one export a step, from a thread of its own: a collector that is slow or gone costs the run nothing.
///
/// Each finite number of the step is a gauge of its name, `step` is one too, and the resource says `service.name` (`counterpoint`, unless
/// `OTEL_SERVICE_NAME` says else) and `run`. What a collector does not take for now is sent again later; at the end it is waited for half
/// a minute, and then said to be missing there: `metrics.jsonl` has it all the same.
#[derive(Debug)]
pub struct Telemetry {
    /// None once it has ended.
    steps: Option<Sender<(u64, Metrics)>>,
    /// Until when the end of the run is waited for.
    until: Arc<OnceLock<Instant>>,
    thread: Option<JoinHandle<()>>,
}

impl Telemetry {
    /// The metrics of the run called `name` to `endpoint`, such as `http://localhost:4318/v1/metrics`; without one to where
    /// OpenTelemetry's own variables lead (`OTEL_EXPORTER_OTLP_ENDPOINT` and its kin, headers among them). Nothing is sent yet.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for an endpoint that is none; [`ErrorKind::Io`] when there can be no further thread.
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
        let (sender, receiver) = channel();
        let until: Arc<OnceLock<Instant>> = Arc::default();
        let last = Arc::clone(&until);
        let thread = std::thread::Builder::new().name("counterpoint-otlp".to_owned());
        let thread = thread.spawn(move || deliver(&provider, &receiver, &last));
        let thread =
            thread.map_err(|e| Error::new(ErrorKind::Io, "cannot start a thread for metrics").with_source(e))?;
        Ok(Self { steps: Some(sender), until, thread: Some(thread) })
    }

    /// Sends the metrics of a step that has just ended, without waiting for it to arrive.
    pub fn send(&self, step: u64, metrics: &Metrics) {
        if let Some(steps) = &self.steps {
            // Where nobody takes them any more.
            let _unwanted = steps.send((step, metrics.clone()));
        }
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

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.until.get_or_init(|| Instant::now() + PATIENCE);
        self.steps = None;
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

/// The thread's side.
fn deliver(provider: &SdkMeterProvider, steps: &Receiver<(u64, Metrics)>, until: &OnceLock<Instant>) {
    let meter = provider.meter(SERVICE);
    for (step, metrics) in steps {
        loop {
            meter.u64_gauge("step").build().record(step, &[]);
            for (name, value) in metrics.iter().filter(|(_, value)| value.is_finite()) {
                meter.f64_gauge(allowed(name)).build().record(value, &[]);
            }
            let Err(error) = provider.force_flush() else { break };
            if until.get().is_some_and(|until| Instant::now() >= *until) {
                let count = 1 + steps.try_iter().count();
                tracing::warn!(%error, "OpenTelemetry's collector did not take the last {count} steps; metrics.jsonl has them");
                return;
            }
            tracing::debug!(%error, "OpenTelemetry's collector did not take step {step}; sent again later");
            std::thread::sleep(PAUSE);
        }
    }
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
