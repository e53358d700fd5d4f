//! The filters and objectives of this crate by name.

use serde::Deserialize;

use super::{FilterEntry, ObjectiveEntry, settings};
use crate::filter::{DropZeroVariance, DynamicGroupScalingConfig, KeepAll, TopKConfig};
use crate::objective::SyncGrpoConfig;
use crate::{Error, GroupFilter, Objective, Result, inventory};

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

/// A preset with the keys of `table` in place of its own.
fn objective(preset: SyncGrpoConfig, table: &toml::Table) -> Result<Box<dyn Objective>> {
    let mut merged = toml::Table::try_from(preset)
        .map_err(|e| Error::config("cannot represent the objective's preset").with_source(e))?;
    merged.extend(table.clone());
    Ok(Box::new(settings::<SyncGrpoConfig>("objective", &merged)?.init()?))
}

inventory::submit! { ObjectiveEntry::new("sync_grpo", |table, _| objective(SyncGrpoConfig::default(), table)) }
inventory::submit! { ObjectiveEntry::new("grpo", |table, _| objective(SyncGrpoConfig::grpo(), table)) }
inventory::submit! { ObjectiveEntry::new("dr_grpo", |table, _| objective(SyncGrpoConfig::dr_grpo(), table)) }
inventory::submit! { ObjectiveEntry::new("dapo", |table, _| objective(SyncGrpoConfig::dapo(), table)) }
inventory::submit! { ObjectiveEntry::new("gspo", |table, _| objective(SyncGrpoConfig::gspo(), table)) }
