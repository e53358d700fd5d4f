//! How the tensors of a file are laid out.

/// Whose layout the tensors have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Linear weights `[out, in]`, norms with `weight` and `bias`.
    Torch,
    /// Linear weights `[in, out]`, norms with `gamma` and `beta`.
    Burn,
}

/// The key of a file's metadata that says which layout its tensors have, where it is not that of the format.
pub(crate) const LAYOUT: &str = "counterpoint.layout";
