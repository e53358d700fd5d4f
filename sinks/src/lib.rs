//! Where the metrics of a run go besides its own folder: an [MLflow](https://mlflow.org) tracking server.
//!
//! [`Tracking`] speaks MLflow's documented REST interface (2.0); [`Mlflow`] is an [`Observer`](counterpoint::Observer) that sends
//! every step from a thread of its own, so that a server that is slow or gone costs the run nothing.

mod mlflow;
mod tracking;

pub use mlflow::Mlflow;
pub use tracking::{Status, Tracking};
