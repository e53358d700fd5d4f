//! Where the metrics of a run go besides its own folder: an [MLflow](https://mlflow.org) tracking server, an
//! [OpenTelemetry](https://opentelemetry.io) collector.
//!
//! [`Tracking`] speaks MLflow's documented REST interface (2.0). [`Mlflow`] and `Telemetry` are [`Observer`](counterpoint::Observer)s that
//! send every step from a thread of their own, so that a server that is slow or gone costs the run nothing.
//!
//! # Features
//!
//! - `opentelemetry`: `Telemetry`.

mod delivery;
mod mlflow;
#[cfg(feature = "opentelemetry")]
mod telemetry;
mod tracking;

pub use mlflow::Mlflow;
#[cfg(feature = "opentelemetry")]
pub use telemetry::Telemetry;
pub use tracking::{Status, Tracking};
