//! Copies of zip files, for burn's reader where it does not take the file itself. So there is one interpreter of pickles, and its
//! limits hold for every file.

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

/// The zip file at `path`, written anew. The library looks for the beginning of the archive and takes the second header of the
/// directory for the first where the first is as long as what zip64 adds to the end: where the first name has 30 bytes, as in
/// `epoch_15_lm_head_bias/data.pkl`. The archive begins where the file does.
pub(super) fn anew(path: &Path) -> io::Result<NamedTempFile> {
    copied(path, false)
}

/// `torch.save(tensor, path)` is one tensor in no dictionary, which the reader does not take: the zip file at `path` with the pickle
/// of the dictionary `{"tensor": what path holds}`.
pub(super) fn in_dictionary(path: &Path) -> io::Result<NamedTempFile> {
    copied(path, true)
}

/// A copy of the zip file at `path`, the bytes of its entries and their checksums as they are.
fn copied(path: &Path, in_dictionary: bool) -> io::Result<NamedTempFile> {
    let begin = Config { archive_offset: ArchiveOffset::Known(0) };
    let mut archive = ZipArchive::with_config(begin, BufReader::new(File::open(path)?))?;
    let mut copy = ZipWriter::new(NamedTempFile::new()?);
    for at in 0..archive.len() {
        let entry = archive.by_index_raw(at)?;
        let name = entry.name()?.into_owned();
        if !in_dictionary || !name.ends_with("data.pkl") {
            copy.raw_copy_file(entry)?;
            continue;
        }
        drop(entry);
        let pickle = dictionary_of(&pickle(&mut archive, at)?)?;
        copy.start_file(name, SimpleFileOptions::default().compression_method(CompressionMethod::Stored))?;
        copy.write_all(&pickle)?;
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
