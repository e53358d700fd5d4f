//! Where a file lies.

use std::path::Path;

/// The folder that the file at `path` lies in: `.` for a bare name. [`Path::parent`] gives the empty path there, which is
/// the name of no folder and which most calls refuse.
///
/// ```
/// use std::path::Path;
///
/// assert_eq!(counterpoint::folder_of(Path::new("runs/a.toml")), Path::new("runs"));
/// assert_eq!(counterpoint::folder_of(Path::new("a.toml")), Path::new("."));
/// ```
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => path,
    }
}
