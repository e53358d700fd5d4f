//! The filters and objectives of this crate by name.

use serde::Deserialize;

use super::{FilterEntry, ObjectiveEntry, settings};
use crate::filter::{DropZeroVariance, DynamicGroupScalingConfig, KeepAll, TopKConfig};
use crate::objective::SyncGrpoConfig;
use crate::{GroupFilter, Objective, Result, inventory};

/// The settings of a filter that has none: any key is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoSettings {}

fn without_settings(filter: impl GroupFilter + 'static, table: &toml::Table) -> Result<Box<dyn GroupFilter>> {
    let NoSettings {} = settings("filter", table)?;
    Ok(Box::new(filter))
}

inventory::submit! { FilterEntry::new("keep_all", |table, _| without_settings(KeepAll, table)) }
inventory::submit! { FilterEntry::new("drop_zero_variance", |table, _| without_settings(DropZeroVariance, table)) }
inventory::submit! {
    FilterEntry::new("top_k", |table, _| Ok(Box::new(settings::<TopKConfig>("filter", table)?.init()?)))
}
inventory::submit! {
    FilterEntry::new("dgs", |table, _| Ok(Box::new(settings::<DynamicGroupScalingConfig>("filter", table)?.init()?)))
}

fn objective(preset: &str, table: &toml::Table) -> Result<Box<dyn Objective>> {
    Ok(Box::new(SyncGrpoConfig::of(preset, table)?.init()?))
}

inventory::submit! { ObjectiveEntry::new("sync_grpo", |table, _| objective("sync_grpo", table)) }
inventory::submit! { ObjectiveEntry::new("grpo", |table, _| objective("grpo", table)) }
inventory::submit! { ObjectiveEntry::new("dr_grpo", |table, _| objective("dr_grpo", table)) }
inventory::submit! { ObjectiveEntry::new("dapo", |table, _| objective("dapo", table)) }
inventory::submit! { ObjectiveEntry::new("gspo", |table, _| objective("gspo", table)) }
