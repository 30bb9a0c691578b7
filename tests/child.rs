//! Tests that need a process of their own: the test binary, started again for one task.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::Duration;

use crate::{malformed, seccomp, traps};

/// Names the task.
const VARIABLE: &str = "AOTC_TEST_TASK";

/// The command under test.
const AOTC: &str = "aotc";
/// The same, by a user whom file permissions concern.
const AOTC_UNPRIVILEGED: &str = "aotc-unprivileged";

/// Does what this process was started for, if it was started by [`task`] or [`aotc`].
pub(crate) fn run() -> Option<ExitCode> {
    let name = std::env::var(VARIABLE).ok()?;
    match &*name {
        AOTC => return Some(aotc::cli::main()),
        AOTC_UNPRIVILEGED => {
            drop_privileges();
            return Some(aotc::cli::main());
        }
        _ => {}
    }
    let tasks = [&seccomp::TASKS[..], &malformed::TASKS, &traps::TASKS].concat();
    let (_, task) = tasks.into_iter().find(|task| task.0 == name).expect("a task of this name");
    task();
    Some(ExitCode::SUCCESS)
}

/// This binary, about to do the task `name` with `arguments`.
pub(crate) fn task(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("the path of this test"));
    command.env(VARIABLE, name);
    command
}

/// The command `aotc`, as it is in this binary.
pub(crate) fn aotc() -> Command {
    let mut command = task(AOTC);
    command.arg0("aotc");
    command
}

/// The command `aotc`, run by a user whom file permissions concern.
pub(crate) fn aotc_unprivileged() -> Command {
    let mut command = task(AOTC_UNPRIVILEGED);
    command.arg0("aotc");
    command
}

/// Runs `command` with `input` as its standard input.
pub(crate) fn with_input(command: &mut Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = not_busy(|| command.spawn()).expect("the program can be started");
    let mut stdin = child.stdin.take().expect("piped");
    // A child that does not read its input closes it.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().expect("the child ends")
}

/// Starts a program that may just have been written: as long as another test's child, on its way to its own program, has the
/// file open for writing, it cannot be executed.
pub(crate) fn not_busy<T>(mut start: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match start() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(Duration::from_millis(1));
            }
            started => return started,
        }
    }
}

fn drop_privileges() {
    const NOBODY: u32 = 65534;
    // SAFETY: plain calls, before there are threads.
    unsafe {
        if libc::geteuid() == 0 {
            assert_eq!(libc::setgroups(0, std::ptr::null()), 0);
            assert_eq!(libc::setgid(NOBODY), 0);
            assert_eq!(libc::setuid(NOBODY), 0);
        }
    }
}

/// A directory for one test, which every user may enter; removed in the end.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let folder = format!("aotc-test-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(folder);
        std::fs::create_dir_all(&path).expect("a directory for temporary files");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).expect("its owner");
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, contents).expect("a new file");
        path
    }

    pub(crate) fn root(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
