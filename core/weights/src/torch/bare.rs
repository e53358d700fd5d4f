//! `torch.save(tensor, path)`: one tensor in no dictionary, which burn's reader does not take.
//!
//! The file is copied with a dictionary round the tensor, which burn's reader takes. So there is one interpreter of pickles, and
//! its limits hold here as well.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::Path;

use tempfile::NamedTempFile;
use zip::read::{ArchiveOffset, Config};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// The name that a tensor without one gets.
pub(crate) const NAME: &str = "tensor";
/// The pickle of one tensor is far shorter.
const LONGEST_PICKLE: u64 = 1 << 20;

/// A copy of the zip file at `path` whose pickle is that of the dictionary `{"tensor": what path holds}`. Entries are copied as they
/// are, checksums included, or written `anew`, without the extra fields and descriptors that not every reader takes.
pub(super) fn in_dictionary(path: &Path, anew: bool) -> io::Result<NamedTempFile> {
    // It begins where the file begins: looking for another beginning fails on some files of 1 to 2 KiB.
    let config = Config { archive_offset: ArchiveOffset::Known(0) };
    let mut archive = ZipArchive::with_config(config, BufReader::new(File::open(path)?))?;
    let mut copy = ZipWriter::new(NamedTempFile::new()?);
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for at in 0..archive.len() {
        let entry = archive.by_index_raw(at)?;
        let (name, size) = (entry.name()?.into_owned(), entry.size());
        if name.ends_with("data.pkl") {
            drop(entry);
            let pickle = dictionary_of(&pickle(&mut archive, at)?)?;
            copy.start_file(name, stored)?;
            copy.write_all(&pickle)?;
        } else if anew {
            drop(entry);
            copy.start_file(name, stored.large_file(size >= u64::from(u32::MAX)))?;
            io::copy(&mut archive.by_index(at)?, &mut copy)?;
        } else {
            copy.raw_copy_file(entry)?;
        }
    }
    Ok(copy.finish()?)
}

fn pickle<R: Read + Seek>(archive: &mut ZipArchive<R>, at: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    archive.by_index(at)?.take(LONGEST_PICKLE + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 <= LONGEST_PICKLE {
        true => Ok(bytes),
        false => Err(io::Error::other(format!("expected a pickle of at most {LONGEST_PICKLE} bytes, got more"))),
    }
}

/// `EMPTY_DICT`, the name as a string, what `pickle` makes, `SETITEM` and `STOP`.
fn dictionary_of(pickle: &[u8]) -> io::Result<Vec<u8>> {
    let value = pickle.strip_suffix(b".").ok_or_else(|| io::Error::other("the pickle has no end"))?;
    let mut whole = b"}X".to_vec();
    whole.extend_from_slice(&(NAME.len() as u32).to_le_bytes());
    whole.extend_from_slice(NAME.as_bytes());
    whole.extend_from_slice(value);
    whole.extend_from_slice(b"s.");
    Ok(whole)
}
