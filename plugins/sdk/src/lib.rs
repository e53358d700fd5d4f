//! For authors of reward plugins: implement [`Expert`], write [`export_rewards!`], build a `cdylib`.
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib"]
//! ```
//!
//! The sdk stands between the expert and the C interface (`counterpoint_plugin.h`):
//!
//! - malformed items (bytes that are not UTF-8, images that overlap themselves) fail one by one and never reach the expert;
//! - a value that is not finite, or outside the range that the expert declares, fails its item;
//! - a panic fails the call, with its place, and the instance is never called again;
//! - nothing that one side allocates is freed by the other.
//!
//! A plugin is tested without a host with [`testing`]. `plugins/template/rust` is a plugin to copy.

mod batch;
mod description;
mod error;
mod expert;
mod host;
mod image;
mod panics;
mod raw;
mod setup;
mod shim;
mod table;
pub mod testing;

pub use batch::{Batch, Item};
pub use description::{Description, Judges, Need};
pub use error::Error;
pub use expert::{Expert, Score};
pub use host::Level;
pub use image::{Image, Pixels};
pub use setup::Setup;

pub use serde_json;

use shim::Plugin;

/// What the code that [`export_rewards!`] writes needs; nothing for people.
#[doc(hidden)]
pub mod private {
    pub use std::sync::OnceLock;

    pub use counterpoint_abi::cpt_plugin_v1;

    pub use crate::shim::{Entry, Plugin};
    pub use crate::table::{check_names, get};
}

/// Exports the experts of a plugin: `export_rewards!(Sharpness, Contrast);`, once, in a crate of type `cdylib`.
///
/// The plugin has the name and the version of the crate, and promises what all of its experts promise. Names that no manifest may
/// have, or that are there twice, do not compile, nor does a crate with `panic = "abort"`, whose panics could not be caught:
///
/// ```compile_fail,E0080
/// # use counterpoint_sdk::{Batch, Description, Error, Expert, Score, Setup, export_rewards};
/// # struct Length;
/// # impl Expert for Length {
/// const NAME: &'static str = "Length of the answer";
/// #     fn describe() -> Description { Description::new("") }
/// #     fn create(_: &Setup<'_>) -> Result<Self, Error> { Ok(Self) }
/// #     fn score(&mut self, batch: &Batch<'_>) -> Result<Vec<Score>, Error> { batch.each(|_| Ok(Score::Value(0.0))) }
/// # }
/// # export_rewards!(Length);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! export_rewards {
    ($($expert:ty),+ $(,)?) => {
        #[cfg(panic = "abort")]
        ::core::compile_error!(
            "a plugin has to catch its panics: remove `panic = \"abort\"` from the profile in Cargo.toml"
        );

        const _: () = {
            struct Exported;

            impl $crate::private::Plugin for Exported {
                const NAME: &'static str = ::core::env!("CARGO_PKG_NAME");
                const VERSION: &'static str = ::core::env!("CARGO_PKG_VERSION");
                const EXPERTS: &'static [$crate::private::Entry] = &[$($crate::private::Entry::of::<$expert>()),+];
            }

            $crate::private::check_names(&[$(<$expert as $crate::Expert>::NAME),+]);

            #[allow(unsafe_code)]
            #[unsafe(no_mangle)]
            pub extern "C-unwind" fn cpt_plugin_v1_get() -> *const $crate::private::cpt_plugin_v1 {
                static TABLE: $crate::private::OnceLock<::core::option::Option<$crate::private::cpt_plugin_v1>> =
                    $crate::private::OnceLock::new();
                $crate::private::get::<Exported>(&TABLE)
            }
        };
    };
}
