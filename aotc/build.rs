//! Builds what executables begin with, the runner, so that the command has it in itself: with the feature `exe`.
//!
//! ```text
//!   ../runner --cargo, profile `runner`--> runners/.../aotc-runner --> OUT_DIR/runner.dynamic
//!                                    '--  with the C library in it  -> OUT_DIR/runner.static
//! ```
//!
//! The folder `runners` is beside the artifacts of the build that this is part of. Builds of it with other features find there
//! what is made already.
//!
//! A runner that was not built is an empty file.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// What the runner is made of.
const SOURCES: [&str; 10] = [
    "Cargo.lock",
    "Cargo.toml",
    "abi/Cargo.toml",
    "abi/src",
    "loader/Cargo.toml",
    "loader/src",
    "runner/Cargo.toml",
    "runner/src",
    "wasi/Cargo.toml",
    "wasi/src",
];

/// Variables that tell of this build, and are not for another: they start with these.
const OF_THIS_BUILD: [&str; 10] = [
    "CARGO_BUILD_",
    "CARGO_CFG_",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_FEATURE_",
    "CARGO_MANIFEST_",
    "CARGO_PKG_",
    "CARGO_PROFILE_",
    "CARGO_TARGET_DIR",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTFLAGS",
];

/// How a runner finds the C library.
#[derive(Clone, Copy)]
enum Libc {
    Dynamic,
    Static,
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(variable("OUT_DIR"));
    let is_wanted = env::var_os("CARGO_FEATURE_EXE").is_some();
    // The form of executables is ELF, and what makes it can be tested on Linux only.
    let is_possible =
        variable("CARGO_CFG_TARGET_OS") == "linux" && variable("CARGO_CFG_TARGET_ARCH") == "x86_64";
    for (libc, name) in [(Libc::Dynamic, "runner.dynamic"), (Libc::Static, "runner.static")] {
        let runner = if is_wanted && is_possible { build(libc, &out) } else { None };
        let runner = runner.unwrap_or_default();
        fs::write(out.join(name), runner).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

/// Builds the runner; `None` if this machine cannot.
fn build(libc: Libc, out: &Path) -> Option<Vec<u8>> {
    let root = Path::new(&variable("CARGO_MANIFEST_DIR")).join("..");
    let root = root.canonicalize().expect("the folder above this package");
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    let target = variable("TARGET");
    // OUT_DIR is PROFILE/build/PACKAGE/out.
    let folder = out.ancestors().nth(3).unwrap_or(out).join("runners");
    // Both runners have the same name there: it is taken before another build makes the other.
    let _lock = lock(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut command = Command::new(variable("CARGO"));
    for (name, _) in env::vars_os() {
        if OF_THIS_BUILD.iter().any(|start| name.to_string_lossy().starts_with(start)) {
            command.env_remove(name);
        }
    }
    command
        .args(["rustc", "--locked", "--quiet", "--profile", "runner", "--bin", "aotc-runner"])
        .args(["--target", &target])
        .arg("--manifest-path")
        .arg(root.join("runner/Cargo.toml"))
        .arg("--target-dir")
        .arg(&folder)
        .env("CARGO_ENCODED_RUSTFLAGS", without_paths(&root));
    match libc {
        Libc::Dynamic => {}
        // Only the last step is another: what is linked is the same.
        Libc::Static => drop(command.args(["--", "-Ctarget-feature=+crt-static"])),
    }
    let output = command.output().expect("cargo can be started");
    let message = String::from_utf8_lossy(&output.stderr);
    match (output.status.success(), libc) {
        (true, _) => Some(read(&folder.join(target).join("runner/aotc-runner"))),
        (false, Libc::Dynamic) => panic!(
            "the runner of executables cannot be built; `--no-default-features --features cli` leaves them out\n{message}"
        ),
        (false, Libc::Static) => {
            println!(
                "cargo::warning=no static executables: the runner cannot be linked statically; is there a static C library?"
            );
            None
        }
    }
}

/// Lets one build at a time use the folder.
fn lock(folder: &Path) -> io::Result<fs::File> {
    fs::create_dir_all(folder)?;
    let lock = fs::File::create(folder.join(".aotc-lock"))?;
    lock.lock()?;
    Ok(lock)
}

/// Flags that keep the paths of this machine out of the runner.
fn without_paths(root: &Path) -> String {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(env::home_dir()?.join(".cargo")));
    let sources = home.map(|home| (home.join("registry/src"), "crates"));
    let renamed = sources.into_iter().chain([(root.to_owned(), "aotc")]);
    let flags: Vec<String> = renamed
        .map(|(path, name)| format!("--remap-path-prefix={}={name}", path.display()))
        .collect();
    flags.join("\x1f")
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|error| panic!("cargo sets {name}: {error}"))
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
