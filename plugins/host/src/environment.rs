//! The environment of children: what a plugin needs to find its way, and no token of a hub, a cloud or a judge.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is passed on, besides the families below.
const NAMES: &[&str] = &[
    "ASAN_OPTIONS",
    "CONDA_PREFIX",
    "DYLD_LIBRARY_PATH",
    "HF_HOME",
    "HF_HUB_OFFLINE",
    "HOME",
    "LANG",
    "LD_LIBRARY_PATH",
    "LOGNAME",
    "NO_COLOR",
    "PATH",
    "RUST_BACKTRACE",
    "SHELL",
    "TERM",
    "TMPDIR",
    "TRANSFORMERS_OFFLINE",
    "TZ",
    "USER",
    "VIRTUAL_ENV",
];
/// Beginnings of names that are passed on: languages, threads, devices, folders.
const FAMILIES: &[&str] = &[
    "COUNTERPOINT_",
    "CUDA_",
    "HIP_",
    "LC_",
    "LLVM_",
    "MKL_",
    "NVIDIA_",
    "OMP_",
    "OPENBLAS_",
    "PYTHON",
    "PYTORCH_",
    "ROCR_",
    "TORCH_",
    "XDG_",
];
/// Parts of names that no family covers.
const SECRETS: &[&str] = &["KEY", "PASS", "SECRET", "TOKEN", "CREDENTIAL"];

/// Takes from `command` what it would inherit of this process's environment, but for what is needed to find programs, libraries,
/// packages, devices and folders, what the command sets itself, and `more`: names, or beginnings of names followed by `*`.
pub fn contain(command: &mut Command, more: &[String]) {
    let own: BTreeSet<OsString> = command.get_envs().map(|(name, _)| name.to_owned()).collect();
    for (name, _) in std::env::vars_os() {
        if !own.contains(&name) && !name.to_str().is_some_and(|name| is_passed_on(name, more)) {
            command.env_remove(name);
        }
    }
}

/// Where the program called so is among the folders of PATH.
pub fn in_path(program: impl AsRef<Path>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(&program)).find(|program| program.is_file())
}

fn is_passed_on(name: &str, more: &[String]) -> bool {
    let asked = |asked: &String| asked.strip_suffix('*').map_or(name == asked, |family| name.starts_with(family));
    let is_secret = SECRETS.iter().any(|part| name.contains(part));
    let in_family = FAMILIES.iter().any(|family| name.starts_with(family));
    NAMES.contains(&name) || (in_family && !is_secret) || more.iter().any(asked)
}

#[cfg(test)]
mod tests {
    use super::is_passed_on;

    #[test]
    fn what_a_plugin_needs_is_passed_on_and_secrets_are_not() {
        let more = ["MINE".to_owned(), "OURS_*".to_owned()];
        for name in ["PATH", "PYTHONPATH", "LC_ALL", "CUDA_VISIBLE_DEVICES", "COUNTERPOINT_LOG", "MINE", "OURS_TOKEN"] {
            assert!(is_passed_on(name, &more), "{name}");
        }
        let secret = ["HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "OPENAI_API_KEY", "COUNTERPOINT_JUDGE_KEY", "TORCH_TOKEN"];
        for name in secret.iter().chain(&["GITHUB_TOKEN", "DATABASE_URL", "MINES", "SSH_AUTH_SOCK", "LD_PRELOAD"]) {
            assert!(!is_passed_on(name, &more), "{name}");
        }
    }
}
