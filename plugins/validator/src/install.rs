//! Puts a plugin that passed into place, with its sidecar manifest.

use std::fs;
use std::path::{Path, PathBuf};

use counterpoint_host::{Manifest, Sidecar};
use tempfile::NamedTempFile;

use crate::Target;

/// The plugin's file as it was before the checks.
pub(crate) struct Source {
    path: PathBuf,
    bytes: Vec<u8>,
    command: Option<Vec<String>>,
}

impl Source {
    /// The file of `target`: the library, or the last argument of the command that is a file.
    pub fn of(target: &Target) -> Result<Self, String> {
        let (path, command) = match target {
            Target::Library(path) => (path.clone(), None),
            Target::Command(words) => {
                let at = (1..words.len()).rev().find(|i| Path::new(&words[*i]).is_file());
                let at = at.ok_or("expected a file among the command's arguments, which the sidecar manifest is of")?;
                let mut command = words.clone();
                command[at] = "{file}".into();
                (PathBuf::from(&words[at]), Some(command))
            }
        };
        let bytes = fs::read(&path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
        Ok(Self { path, bytes, command })
    }

    /// Copies it into `folder`, or leaves it where it is, and writes the sidecar. Returns where it is now.
    ///
    /// The file comes first: until its sidecar is there, a host refuses it.
    pub fn install(&self, folder: Option<&Path>, manifest: &Manifest) -> Result<PathBuf, String> {
        let to = match folder {
            Some(folder) => {
                let name = self.path.file_name().ok_or("expected a plugin with a file name")?;
                let to = folder.join(name);
                self.copy(folder, &to).map_err(|e| format!("cannot write {}: {e}", to.display()))?;
                to
            }
            None => self.path.clone(),
        };
        let mut sidecar = Sidecar::of(&to, manifest).map_err(|e| e.to_string())?;
        sidecar.command.clone_from(&self.command);
        let now = fs::read(&to).map_err(|e| format!("cannot read {}: {e}", to.display()))?;
        if now != self.bytes {
            return Err(format!("{} changed during the checks: check it again", to.display()));
        }
        sidecar.write(&to).map_err(|e| e.to_string())?;
        Ok(to)
    }

    fn copy(&self, folder: &Path, to: &Path) -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        let part = NamedTempFile::new_in(folder)?;
        fs::write(part.path(), &self.bytes)?;
        fs::set_permissions(part.path(), fs::metadata(&self.path)?.permissions())?;
        part.persist(to)?;
        Ok(())
    }
}
