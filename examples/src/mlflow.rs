//! Metrics to an MLflow server, where the environment names one as MLflow's own clients read it.

use counterpoint::Result;
use counterpoint::config::RunConfig;
use counterpoint_sinks::{Mlflow, Tracking};

use crate::RunFolder;

/// The observer of a run in `folder`, where `MLFLOW_TRACKING_URI` is set; `MLFLOW_TRACKING_TOKEN` and `MLFLOW_EXPERIMENT_NAME` (default:
/// `counterpoint`) count too.
///
/// # Errors
/// As [`Mlflow::new`].
pub fn mlflow(folder: &RunFolder, config: &RunConfig) -> Result<Option<Mlflow>> {
    let given = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let Some(address) = given("MLFLOW_TRACKING_URI") else { return Ok(None) };
    let server = Tracking::at(&address, given("MLFLOW_TRACKING_TOKEN"))?;
    let experiment = given("MLFLOW_EXPERIMENT_NAME").unwrap_or_else(|| "counterpoint".to_owned());
    let (name, table, steps) = (&config.run.name, config.to_table()?, config.trainer.steps);
    Mlflow::new(server, folder.path(), &experiment, name, &table, steps).map(Some)
}
