//! What a run leaves behind for people: a report as one HTML file, and TensorBoard event files.
//!
//! [`Report`] gathers a run's metrics, images, tables, config and machine and writes them as one file that opens
//! offline, on a phone and in dark mode. [`tensorboard::EventFile`] has the same metrics for TensorBoard, while the run goes on.
//!
//! ```
//! use counterpoint::metrics::Metrics;
//! use counterpoint_report::tensorboard::EventFile;
//! use counterpoint_report::{Report, Table, machine};
//!
//! # fn main() -> counterpoint::Result<()> {
//! # let folder = tempfile::tempdir().unwrap();
//! # let folder = folder.path();
//! let mut step = Metrics::new();
//! step.insert("reward", 0.7);
//! let history = [(0, step)]; // or `MetricsLog::read(path)?`
//! Report::new("sync_r1")
//!     .history(&history)
//!     .table(Table::new("Held-out half", ["", "before", "after"]).row(["colour", "18 %", "34 %"]))
//!     .config("[run]\nseed = 0\n")
//!     .facts(machine())
//!     .write(&folder.join("report.html"))?;
//! EventFile::new(folder, std::time::SystemTime::now(), &history)?;
//! # Ok(())
//! # }
//! ```

mod arm;
mod chart;
mod curves;
mod gallery;
mod machine;
mod notes;
mod page;
mod plot;
mod report;
mod series;
mod summary;
mod table;
pub mod tensorboard;

pub use arm::Arm;
pub use gallery::{Answer, Cell, Gallery, Verdict};
pub use machine::machine;
pub use report::{Check, Report};
pub use table::Table;
