//! Torch's storage classes and their elements.

use burn::tensor::{BoolStore, DType};

const STORAGES: [(&str, DType); 10] = [
    ("torch.DoubleStorage", DType::F64),
    ("torch.FloatStorage", DType::F32),
    ("torch.HalfStorage", DType::F16),
    ("torch.BFloat16Storage", DType::BF16),
    ("torch.LongStorage", DType::I64),
    ("torch.IntStorage", DType::I32),
    ("torch.ShortStorage", DType::I16),
    ("torch.CharStorage", DType::I8),
    ("torch.ByteStorage", DType::U8),
    ("torch.BoolStorage", DType::Bool(BoolStore::Native)),
];

/// The elements of a storage class, which is named with its module.
pub(super) fn dtype_of(class: &str) -> Option<DType> {
    STORAGES.iter().find(|(name, _)| *name == class).map(|(_, dtype)| *dtype)
}

/// The storage class, without its module, that holds `dtype`.
pub(super) fn storage_of(dtype: DType) -> Option<&'static str> {
    STORAGES.iter().find(|(_, other)| *other == dtype).and_then(|(name, _)| name.strip_prefix("torch."))
}
