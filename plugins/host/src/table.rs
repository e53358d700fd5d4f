//! Reading a plugin's table, of whatever minor version.
#![allow(unsafe_code)]

use std::mem::{MaybeUninit, size_of};

use counterpoint_abi::{CPT_ABI_MAJOR, CPT_ABI_MINOR, CPT_MAGIC, CPT_PLUGIN_V1_SIZE_0, cpt_plugin_v1};

use crate::{Error, ErrorKind, MANIFEST_LIMIT, Manifest, Result};

/// Most bytes that a table may claim: a larger size is damage, not a later version.
const SIZE_LIMIT: u32 = 1 << 16;

/// The table at `table`: what it has of the fields that this host knows, the rest zero.
///
/// # Safety
/// `table` is null or points to a table whose first 16 bytes are readable, and when magic and major version are right, to
/// `struct_size` readable bytes.
pub(crate) unsafe fn read_table(table: *const cpt_plugin_v1) -> Result<cpt_plugin_v1> {
    // SAFETY: the caller's promise; a table of zeros is a valid value of this type.
    unsafe { read_grown(table) }
}

/// [`read_table`] for a table of any length that begins with `cpt_plugin_v1`'s fields of minor version 0.
///
/// # Safety
/// As [`read_table`]; zeros are a valid value of `T`.
unsafe fn read_grown<T: Copy>(table: *const T) -> Result<T> {
    let damaged = |message: String| Error::new(ErrorKind::Load, message);
    if table.is_null() {
        return Err(damaged("expected a table, got a null pointer".to_owned()));
    }
    // SAFETY: the first 16 bytes are readable whatever the version.
    let [magic, major, minor, size] = unsafe { table.cast::<[u32; 4]>().read_unaligned() };
    if magic != CPT_MAGIC {
        return Err(damaged(format!("expected a table that begins with {CPT_MAGIC:#010x}, got {magic:#010x}")));
    }
    if major != CPT_ABI_MAJOR {
        let message = format!(
            "expected a plugin for interface {CPT_ABI_MAJOR}.x, got one for {major}.{minor}; this host speaks \
             {CPT_ABI_MAJOR}.{CPT_ABI_MINOR}: build the plugin with a header of major version {CPT_ABI_MAJOR}, or use a newer host"
        );
        return Err(Error::new(ErrorKind::Version, message));
    }
    if !(CPT_PLUGIN_V1_SIZE_0..=SIZE_LIMIT).contains(&size) {
        let message = format!("expected a table of {CPT_PLUGIN_V1_SIZE_0} bytes or more, got one that says {size}");
        return Err(damaged(message));
    }
    let mut read = MaybeUninit::<T>::zeroed();
    let known = (size as usize).min(size_of::<T>());
    // SAFETY: `size` bytes are readable at `table`, and `known` is neither more than them nor than `T` has.
    unsafe { std::ptr::copy_nonoverlapping(table.cast::<u8>(), read.as_mut_ptr().cast::<u8>(), known) };
    // SAFETY: zeros are valid, and so is what the plugin put into the fields.
    Ok(unsafe { read.assume_init() })
}

/// The manifest of `table`.
///
/// # Safety
/// The table's manifest is null or points to as many readable bytes as it says.
pub(crate) unsafe fn read_manifest(table: &cpt_plugin_v1, place: &str) -> Result<Manifest> {
    let bad = |message: String| Error::new(ErrorKind::Manifest, format!("{place}: {message}"));
    let size = usize::try_from(table.manifest.size).unwrap_or(usize::MAX);
    if table.manifest.data.is_null() || size > MANIFEST_LIMIT {
        return Err(bad(format!(
            "expected a manifest of at most {MANIFEST_LIMIT} bytes in the table, got {size} or none"
        )));
    }
    // SAFETY: not null, and the caller promises that the bytes are there.
    let text = unsafe { std::slice::from_raw_parts(table.manifest.data, size) };
    let manifest = Manifest::parse(text, place)?;
    let (said, is) = (manifest.abi, (table.major, table.minor));
    if (said.major, said.minor) != is {
        let message =
            format!("abi: expected the table's own version {}.{}, got {}.{}", is.0, is.1, said.major, said.minor);
        return Err(bad(message));
    }
    Ok(manifest)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use counterpoint_abi::cpt_str;

    use super::*;

    const TABLE: cpt_plugin_v1 = cpt_plugin_v1 {
        magic: CPT_MAGIC,
        major: CPT_ABI_MAJOR,
        minor: CPT_ABI_MINOR,
        struct_size: size_of::<cpt_plugin_v1>() as u32,
        capabilities: 7,
        manifest: cpt_str { data: std::ptr::null(), size: 0 },
        create: None,
        score: None,
        destroy: None,
        extension: None,
    };

    /// The table of a later minor version.
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Grown {
        table: cpt_plugin_v1,
        more: [u64; 3],
    }

    fn read(table: &cpt_plugin_v1) -> Result<cpt_plugin_v1> {
        // SAFETY: a whole table.
        unsafe { read_table(table) }
    }

    #[test]
    fn a_longer_table_is_read_as_far_as_it_is_known() {
        let mut later = Grown { table: TABLE, more: [u64::MAX; 3] };
        later.table.minor = 9;
        later.table.struct_size = size_of::<Grown>() as u32;
        assert_eq!(read(&later.table).unwrap().capabilities, 7);
    }

    #[test]
    fn what_a_shorter_table_does_not_have_is_zero_also_after_the_table_grew() {
        // A plugin of minor version 0: where its table ends, something else follows in memory.
        let mut early = Grown { table: TABLE, more: [u64::MAX; 3] };
        early.table.minor = 0;
        early.table.struct_size = CPT_PLUGIN_V1_SIZE_0;
        // SAFETY: as many bytes as the table says are there; zeros are valid.
        let read = unsafe { read_grown(&raw const early) }.unwrap();
        assert!(read.table.extension.is_none());
        assert_eq!((read.table.capabilities, read.more), (7, [0; 3]));
    }

    #[test]
    fn tables_that_are_none_or_of_another_version_are_refused() {
        let kind = |change: fn(&mut cpt_plugin_v1)| {
            let mut table = TABLE;
            change(&mut table);
            let error = read(&table).unwrap_err();
            (error.kind(), error.to_string())
        };
        assert_eq!(kind(|t| t.magic = 1).0, ErrorKind::Load);
        assert_eq!(kind(|t| t.struct_size = 63).0, ErrorKind::Load);
        assert_eq!(kind(|t| t.struct_size = u32::MAX).0, ErrorKind::Load);
        let (version, message) = kind(|t| (t.major, t.minor) = (2, 5));
        assert_eq!(version, ErrorKind::Version);
        assert!(message.contains("got one for 2.5") && message.contains("this host speaks 1.1"), "{message}");
        // SAFETY: null is allowed.
        assert_eq!(unsafe { read_table(std::ptr::null()) }.unwrap_err().kind(), ErrorKind::Load);
    }
}
