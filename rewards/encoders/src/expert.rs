//! What the experts have in common: settings that name published files, a cache and a device, and the way from them to a
//! reward. [`expert!`](crate::expert!) registers one for configs; [`plugin`](crate::plugin) exports it from a plugin.

use std::path::PathBuf;

use counterpoint::registry::{BuildContext, RewardEntry, settings};
use counterpoint::{Error, Reward, device};
use counterpoint_weights::hub::Locate as _;
use serde::de::DeserializeOwned;

// What the code that the macro writes needs.
#[doc(hidden)]
pub use burn::tensor::Device;
#[doc(hidden)]
pub use counterpoint::{Result, inventory};
#[doc(hidden)]
pub use counterpoint_weights::hub::Files;

/// Settings of an expert; [`expert!`](crate::expert!) implements it.
pub trait ExpertConfig: DeserializeOwned {
    /// The kind by which a config asks for it, the name in errors, and that of the plugin's expert.
    const NAME: &'static str;

    /// What the settings make.
    type Reward: Reward + 'static;

    /// Each setting that is a path, with the published files that are there; a folder of one's own, such as a cache, has none.
    fn paths(&mut self) -> Vec<(&mut PathBuf, Option<&'static Files>)>;

    /// Loads what the settings name; it computes on `default` unless they name another device.
    ///
    /// # Errors
    /// When a file is missing or damaged, the files do not belong together, or a setting is out of range.
    fn load(&self, default: &Device) -> Result<Self::Reward>;
}

/// Makes settings those of an expert and registers it: its name, the settings and what their `init` makes, the settings that say where
/// files are with the files, and the setting that is a folder of one's own, if there is one.
///
/// ```ignore
/// expert!("der", DerConfig => Der, { weights: FILES }, cache);
/// ```
#[macro_export]
macro_rules! expert {
    ($name:literal, $config:ident => $reward:ident, { $($place:ident: $files:ident),+ } $(, $cache:ident)?) => {
        impl $crate::expert::ExpertConfig for $config {
            const NAME: &'static str = $name;

            type Reward = $reward;

            fn paths(&mut self) -> Vec<(&mut std::path::PathBuf, Option<&'static $crate::expert::Files>)> {
                let published = [$((&mut self.$place, Some(&$files))),+].into_iter();
                published$(.chain(self.$cache.as_mut().map(|own| (own, None))))?.collect()
            }

            fn load(&self, default: &$crate::expert::Device) -> $crate::expert::Result<$reward> {
                self.init(default)
            }
        }

        $crate::expert::inventory::submit! { $crate::expert::entry::<$config>() }
    };
}

/// The registration of an expert.
#[doc(hidden)]
pub const fn entry<C: ExpertConfig>() -> RewardEntry {
    RewardEntry::new(C::NAME, |table, context| Ok(Box::new(build::<C>(settings(C::NAME, table)?, context)?)))
}

/// The reward of `config`, whose paths are the context's.
///
/// # Errors
/// When published files cannot be found, and those of [`ExpertConfig::load`].
pub fn build<C: ExpertConfig>(mut config: C, context: &BuildContext) -> Result<C::Reward> {
    for (path, files) in config.paths() {
        *path = match files {
            Some(files) => context.locate(&*path, files)?,
            None => context.resolve(path),
        };
    }
    config.load(&context.device)
}

/// Where the expert `C` computes, by its settings: on the device called `name`, else on `default`; and they are checked to ask for
/// batches that can be.
///
/// # Errors
/// When `batch` is 0, or there is no such device.
pub fn device<C: ExpertConfig>(batch: usize, name: Option<&str>, default: &Device) -> Result<Device> {
    if batch == 0 {
        return Err(Error::config(format!("{}: expected batch of 1 or more, got 0", C::NAME)));
    }
    device::named_or(name, default)
}
