//! The program that is started for work in a child process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Error, ErrorKind, Result, Sealed};

/// The first argument of a program that is started as a child.
pub const CHILD: &str = "counterpoint-plugin-child";
/// Environment variable with the path of a program that is started for children.
pub const RUNNER: &str = "COUNTERPOINT_PLUGIN_CHILD";

/// Whether this program looks at [`CHILD`] before it does anything else.
static HOOKED: AtomicBool = AtomicBool::new(false);

/// Says that this program's `main` began with a call that handles [`CHILD`]: only then may it be started again as a child.
///
/// `counterpoint_bridge::run_if_child` does it; nothing else needs to.
pub fn this_program_runs_children() {
    HOOKED.store(true, Ordering::Release);
}

/// A program that can be started for work in a child process: a first look at a plugin, or an expert that runs apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runner {
    program: PathBuf,
}

impl Runner {
    /// The program at `path`, such as the binary `counterpoint-plugin-child`.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { program: path.into() }
    }

    /// The first there is of: the program that the environment variable [`RUNNER`] names, this program when its `main` begins
    /// with `counterpoint_bridge::run_if_child()`, and `counterpoint-plugin-child` in the folder of this program.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] that names the three when there is none.
    pub fn find() -> Result<Self> {
        if let Some(path) = std::env::var_os(RUNNER) {
            return Ok(Self::at(path));
        }
        let this = std::env::current_exe()
            .map_err(|e| Error::new(ErrorKind::Config, "cannot find this program's own file").with_source(e))?;
        if HOOKED.load(Ordering::Acquire) {
            return Ok(Self::at(this));
        }
        let beside = this.with_file_name(format!("{CHILD}{}", std::env::consts::EXE_SUFFIX));
        if beside.is_file() {
            return Ok(Self::at(beside));
        }
        Err(Error::new(
            ErrorKind::Config,
            format!(
                "no program to start for plugins in a child process; begin this program's main with \
                 counterpoint_bridge::run_if_child(), set {RUNNER} to the path of {CHILD} (cargo install counterpoint-bridge), \
                 or put that beside {}",
                this.display()
            ),
        ))
    }

    /// The program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// A command that starts it as a child for `work`.
    pub fn command(&self, work: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(CHILD).arg(work);
        command
    }

    /// A command that starts it as a child for `work` on `plugin`, which it is given as it was read.
    ///
    /// # Errors
    /// As [`Sealed::pass_on`].
    pub fn command_on(&self, work: &str, plugin: &Sealed) -> Result<Command> {
        let mut command = self.command(work);
        command.arg(plugin.path()).args(plugin.pass_on()?.map(|descriptor| descriptor.to_string()));
        Ok(command)
    }
}
