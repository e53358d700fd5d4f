//! What a reader finds in a file.

use std::collections::BTreeMap;

use burn::store::burn_pack::Tensor as Source;

use crate::layout::Layout;

/// What one file holds; the numbers are still in it.
pub(crate) struct Contents {
    pub(crate) tensors: Vec<Source>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) layout: Layout,
    pub(crate) notes: Vec<String>,
}
