//! What one guest has from the host, and how an embedder says what that is.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::fs::OpenOptions;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use rustix::fs::OFlags;

use crate::arguments::Strings;
use crate::clocks::Clocks;
use crate::directory::Directory;
use crate::fd_table::{Descriptor, FdTable, Object};
use crate::streams::{InputStream, OutputStream};
use crate::types::{FdFlags, Rights};

/// The state of WASI for one guest: its arguments, environment, open files and clocks. It lives in the store's data,
/// where [`add_to_linker`](crate::add_to_linker) is told how to find it.
pub struct WasiCtx {
    pub(crate) arguments: Strings,
    pub(crate) environment: Strings,
    pub(crate) descriptors: FdTable,
    pub(crate) clocks: Clocks,
}

impl WasiCtx {
    /// Begins a context that gives the guest nothing.
    pub fn builder() -> WasiCtxBuilder {
        WasiCtxBuilder::new()
    }
}

impl fmt::Debug for WasiCtx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasiCtx")
            .field("arguments", &self.arguments)
            .field("environment", &self.environment)
            .finish_non_exhaustive()
    }
}

/// What a guest may do beneath a preopened directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FsPerms {
    /// Read files and directories. Attempts to change something are `EROFS`.
    ReadOnly,
    /// Read, write, create, rename and remove.
    ReadWrite,
}

/// Collects what a [`WasiCtx`] gives to the guest. What is not mentioned is empty: no arguments, no environment, no
/// directories, an empty standard input, and outputs that go nowhere.
#[derive(Default)]
pub struct WasiCtxBuilder {
    arguments: Strings,
    environment: Strings,
    stdin: InputStream,
    stdout: OutputStream,
    stderr: OutputStream,
    directories: Vec<Directory>,
}

impl fmt::Debug for WasiCtxBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasiCtxBuilder")
            .field("arguments", &self.arguments)
            .field("environment", &self.environment)
            .finish_non_exhaustive()
    }
}

impl WasiCtxBuilder {
    /// A context that gives the guest nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an argument. The first one is the program's name.
    pub fn arg(&mut self, argument: impl AsRef<OsStr>) -> &mut Self {
        self.arguments.push(&[argument.as_ref().as_bytes()]);
        self
    }

    /// Adds arguments.
    pub fn args(&mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        for argument in arguments {
            self.arg(argument);
        }
        self
    }

    /// Adds the arguments of this process, its name included.
    pub fn inherit_args(&mut self) -> &mut Self {
        self.args(env::args_os())
    }

    /// Adds an environment variable.
    pub fn env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.environment.push(&[name.as_ref().as_bytes(), b"=", value.as_ref().as_bytes()]);
        self
    }

    /// Adds environment variables.
    pub fn envs(
        &mut self,
        variables: impl IntoIterator<Item = (impl AsRef<OsStr>, impl AsRef<OsStr>)>,
    ) -> &mut Self {
        for (name, value) in variables {
            self.env(name, value);
        }
        self
    }

    /// Adds the environment variables of this process.
    pub fn inherit_env(&mut self) -> &mut Self {
        self.envs(env::vars_os())
    }

    /// Sets the standard input.
    pub fn stdin(&mut self, stream: impl Into<InputStream>) -> &mut Self {
        self.stdin = stream.into();
        self
    }

    /// Sets the standard output.
    pub fn stdout(&mut self, stream: impl Into<OutputStream>) -> &mut Self {
        self.stdout = stream.into();
        self
    }

    /// Sets the standard error.
    pub fn stderr(&mut self, stream: impl Into<OutputStream>) -> &mut Self {
        self.stderr = stream.into();
        self
    }

    /// Lets the guest read the standard input of this process.
    pub fn inherit_stdin(&mut self) -> &mut Self {
        self.stdin(InputStream::inherit())
    }

    /// Lets the guest write to the standard output of this process.
    pub fn inherit_stdout(&mut self) -> &mut Self {
        self.stdout(OutputStream::inherit_stdout())
    }

    /// Lets the guest write to the standard error of this process.
    pub fn inherit_stderr(&mut self) -> &mut Self {
        self.stderr(OutputStream::inherit_stderr())
    }

    /// Gives the guest all three standard streams of this process.
    pub fn inherit_stdio(&mut self) -> &mut Self {
        self.inherit_stdin().inherit_stdout().inherit_stderr()
    }

    /// Opens a directory of the host for the guest, which finds it as `guest_path`. Everything beneath it is the
    /// guest's, as far as `permissions` go; nothing else of the host's files is.
    ///
    /// # Errors
    ///
    /// When `host_path` is not a directory that can be opened.
    pub fn preopened_dir(
        &mut self,
        host_path: impl AsRef<Path>,
        guest_path: impl AsRef<str>,
        permissions: FsPerms,
    ) -> anyhow::Result<&mut Self> {
        let host_path = host_path.as_ref();
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::DIRECTORY.bits().cast_signed())
            .open(host_path)
            .with_context(|| format!("failed to open directory `{}`", host_path.display()))?;
        self.directories.push(Directory::preopened(file, permissions, guest_path.as_ref()));
        Ok(self)
    }

    /// Makes the context. The builder is as new afterwards.
    ///
    /// # Panics
    ///
    /// When more than 2^32 directories are preopened.
    pub fn build(&mut self) -> WasiCtx {
        let Self { arguments, environment, stdin, stdout, stderr, directories } =
            std::mem::take(self);
        let streams = [stdin.into_descriptor(), stdout.into_descriptor(), stderr.into_descriptor()];
        let directories = directories.into_iter().map(|directory| Descriptor {
            object: Object::Directory(directory),
            rights: Rights::DIRECTORY,
            rights_inheriting: Rights::DIRECTORY_INHERITING,
            flags: FdFlags::empty(),
        });
        let mut descriptors = FdTable::default();
        for descriptor in streams.into_iter().chain(directories) {
            descriptors
                .insert(descriptor)
                .expect("there are fewer descriptors than numbers for them");
        }
        WasiCtx { arguments, environment, descriptors, clocks: Clocks::start() }
    }
}
