//! Real programs: what one prints when compiled by `aotc` is what it prints when compiled natively,
//! byte for byte.
//!
//! `fixtures/programs/build.py` builds both into `target/programs`. Where its tools are missing the
//! tests are ignored, unless `CI` is `true`: then they fail.
#![allow(unsafe_code, reason = "a linked module is found by a symbol's address")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};
use aotc::{Emit, Options};
use aotc_abi::symbol::descriptor_symbol;
use aotc_abi::target::{BoundsStyle, TrapStyle};
use aotc_loader::{Engine, Linker, Module, Store};
use aotc_wasi::{FsPerms, InputStream, MemoryOutputPipe, ProcExit, WasiCtx};
use libloading::Library;
use libtest_mimic::{Completion, Trial};
use serde_json::Value;

use crate::child;
use crate::support::{in_ci, root};

/// All programs, and why those that are not tested are not.
const PROGRAMS: [(&str, Option<&str>); 13] = [
    ("bzip2", None),
    ("fib", None),
    ("lua", None),
    ("lua-errors", Some("exceptions are not supported yet")),
    ("matrix", None),
    ("nbody", None),
    ("objects", None),
    ("sieve", None),
    ("simd", None),
    ("sqlite", None),
    ("strings", None),
    ("words", None),
    ("zstd", None),
];

/// How a module gets into the process.
#[derive(Clone, Copy, Debug)]
enum Door {
    /// As an image that the loader maps.
    Image,
    /// As an object that a linker has put into a library.
    Linked,
}

/// More than any program prints for its quick size.
const OUTPUT_BYTES_MAX: usize = 1 << 20;
/// With which `build.py` says that a tool is missing.
const EXIT_NO_TOOL: i32 = 3;

pub(crate) fn trials() -> Vec<Trial> {
    let explicit = Options {
        trap_style: TrapStyle::Explicit,
        bounds_style: BoundsStyle::Explicit,
        ..Options::default()
    };
    let ways = [
        ("image", Door::Image, Options::default()),
        ("linked", Door::Linked, Options::default()),
        ("explicit", Door::Image, explicit),
    ];
    let mut trials = vec![Trial::ignorable_test("programs::all_are_listed", || {
        tested(|built| all_are_listed(&built.description))
    })];
    for (way, door, options) in ways {
        for (name, unsupported) in PROGRAMS {
            let (test, options) = (format!("programs::{way}::{name}"), options.clone());
            let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(test.replace("::", "-"));
            trials.push(Trial::ignorable_test(test, move || match unsupported {
                Some(reason) => Ok(Completion::ignored_with(reason)),
                None => tested(|built| same_output(built, name, door, &options, &folder)),
            }));
        }
    }
    trials
}

/// The programs, built once by whichever test is first.
struct Built {
    root: PathBuf,
    /// `programs.json`.
    description: Value,
}

/// Why there is nothing to test.
enum NotBuilt {
    NoTool(String),
    Failed(String),
}

/// Runs a test of the programs, if they can be built; it may find that it has nothing to test.
fn tested(
    test: impl FnOnce(&Built) -> Result<Completion>,
) -> Result<Completion, libtest_mimic::Failed> {
    static BUILT: OnceLock<Result<Built, NotBuilt>> = OnceLock::new();
    match BUILT.get_or_init(build) {
        Ok(built) => test(built).map_err(|error| format!("{error:?}").into()),
        Err(NotBuilt::NoTool(reason)) if !in_ci() => Ok(Completion::ignored_with(reason)),
        Err(NotBuilt::NoTool(reason) | NotBuilt::Failed(reason)) => Err(reason.into()),
    }
}

fn build() -> Result<Built, NotBuilt> {
    let script = root().join("fixtures/programs/build.py");
    let out = root().join("target/programs");
    let output = match Command::new("python3").arg(&script).arg("--out").arg(&out).output() {
        Ok(output) => output,
        Err(error) => return Err(NotBuilt::NoTool(format!("python3: {error}"))),
    };
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.code() {
        Some(0) => {}
        Some(EXIT_NO_TOOL) => return Err(NotBuilt::NoTool(message)),
        _ => return Err(NotBuilt::Failed(message)),
    }
    let text = fs::read_to_string(out.join("programs.json"))
        .map_err(|error| NotBuilt::Failed(format!("programs.json: {error}")))?;
    let description = serde_json::from_str(&text)
        .map_err(|error| NotBuilt::Failed(format!("programs.json: {error}")))?;
    Ok(Built { root: out, description })
}

/// A program that is built is tested, or stands in [`PROGRAMS`] with a reason.
fn all_are_listed(description: &Value) -> Result<Completion> {
    let names = |list: &str| {
        let list = description[list].as_array().into_iter().flatten();
        list.filter_map(|program| program["name"].as_str())
    };
    let mut found: Vec<&str> = names("programs").chain(names("left_out")).collect();
    found.sort_unstable();
    found.dedup();
    let listed: Vec<&str> = PROGRAMS.iter().map(|(name, _)| *name).collect();
    ensure!(found == listed, "build.py knows {found:?}, the tests {listed:?}");
    Ok(Completion::Completed)
}

/// What a program is started with.
struct Run<'a> {
    name: &'a str,
    size: &'a str,
    stdin: PathBuf,
    /// An empty folder, which it may write to and leaves empty.
    folder: PathBuf,
}

fn same_output(
    built: &Built,
    name: &str,
    door: Door,
    options: &Options,
    folder: &Path,
) -> Result<Completion> {
    let of_name = |list: &str| {
        let list = built.description[list].as_array().into_iter().flatten();
        list.into_iter().find(|program| program["name"] == name)
    };
    if let Some(left_out) = of_name("left_out") {
        let reason = left_out["reason"].as_str().unwrap_or_default();
        ensure!(!in_ci(), "`{name}` was not built: {reason}");
        return Ok(Completion::ignored_with(reason));
    }
    let program = of_name("programs").with_context(|| format!("`{name}` was not built"))?;
    let text = |field: &str| program[field].as_str().with_context(|| format!("no `{field}`"));
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    let run = Run {
        name,
        size: program["quick"][0].as_str().context("no `quick`")?,
        stdin: match program["stdin"].as_str() {
            Some(path) => built.root.join(path),
            None => PathBuf::from("/dev/null"),
        },
        folder: folder.join("run"),
    };
    fs::create_dir_all(&run.folder)?;
    let expected = run_native(&built.root.join(text("native")?), &run)?;
    let wasm = fs::read(built.root.join(text("wasm")?))?;
    let engine = Engine::default();
    let options = Options { name: Some(name.to_owned()), ..options.clone() };
    let found = match door {
        Door::Image => {
            let image = folder.join("image");
            fs::write(&image, aotc::compile(&wasm, Emit::Image, &options)?)?;
            run_module(&engine, &Module::open(&engine, &image)?, &run)?
        }
        Door::Linked => {
            let object = aotc::compile(&wasm, Emit::Object, &options)?;
            let library = link(&object, folder)?;
            let symbol = descriptor_symbol(name);
            // SAFETY: the library has nothing in it but what the object has: no code that runs when it is loaded, and
            // a descriptor under that symbol. It stays loaded until the module is dropped.
            let module = unsafe {
                let descriptor = library.get::<*const u8>(symbol.as_bytes())?.try_as_raw_ptr();
                Module::from_linked(&engine, descriptor.context("a null descriptor")?.cast())?
            };
            let output = run_module(&engine, &module, &run)?;
            drop(module);
            drop(library);
            output
        }
    };
    ensure!(
        found == expected,
        "expected {}\nfound {}",
        String::from_utf8_lossy(&expected),
        String::from_utf8_lossy(&found)
    );
    ensure!(fs::read_dir(&run.folder)?.next().is_none(), "files are left in the folder");
    fs::remove_dir_all(folder)?;
    Ok(Completion::Completed)
}

/// Tests a program as the executables that `make` makes of its module: with options, the bytes of one.
pub(crate) fn as_executable(
    name: &str,
    make: impl Fn(&Path, &[&str]) -> Result<Vec<u8>>,
) -> Result<Completion, libtest_mimic::Failed> {
    use std::os::unix::fs::PermissionsExt;
    tested(|built| {
        let programs = built.description["programs"].as_array().into_iter().flatten();
        let program = programs.into_iter().find(|program| program["name"] == name);
        let program = program.with_context(|| format!("`{name}` was not built"))?;
        let text = |field: &str| program[field].as_str().with_context(|| format!("no `{field}`"));
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("exe-{name}"));
        let stdin = match program["stdin"].as_str() {
            Some(path) => built.root.join(path),
            None => PathBuf::from("/dev/null"),
        };
        let size = program["quick"][0].as_str().context("no `quick`")?;
        let run = Run { name, size, stdin, folder: folder.join("run") };
        fs::create_dir_all(&run.folder)?;
        let expected = run_native(&built.root.join(text("native")?), &run)?;
        for options in [&["--dir", "."][..], &["--dir", ".", "--static"]] {
            let executable = folder.join("executable");
            fs::write(&executable, make(&built.root.join(text("wasm")?), options)?)?;
            fs::set_permissions(&executable, fs::Permissions::from_mode(0o755))?;
            // Run as the native one is.
            ensure!(run_native(&executable, &run)? == expected, "{options:?}: another output");
        }
        fs::remove_dir_all(folder)?;
        Ok(Completion::Completed)
    })
}

/// Runs the native program, and gives what it prints.
fn run_native(program: &Path, run: &Run<'_>) -> Result<Vec<u8>> {
    let mut command = Command::new(program);
    command.arg(run.size).current_dir(&run.folder).stdin(File::open(&run.stdin)?);
    let output = child::not_busy(|| command.output())?;
    ensure!(output.status.success() && output.stderr.is_empty(), "native: {output:?}");
    Ok(output.stdout)
}

/// Runs a compiled program, and gives what it prints.
fn run_module(engine: &Engine, module: &Module, run: &Run<'_>) -> Result<Vec<u8>> {
    let mut linker = Linker::new(engine);
    aotc_wasi::add_to_linker(&mut linker, |wasi: &mut WasiCtx| wasi)?;
    let (stdout, stderr) =
        (MemoryOutputPipe::new(OUTPUT_BYTES_MAX), MemoryOutputPipe::new(OUTPUT_BYTES_MAX));
    let wasi = WasiCtx::builder()
        .args([run.name, run.size])
        .stdin(InputStream::from(File::open(&run.stdin)?))
        .stdout(stdout.clone())
        .stderr(stderr.clone())
        .preopened_dir(&run.folder, ".", FsPerms::ReadWrite)?
        .build();
    let mut store = Store::new(engine, wasi);
    let instance = linker.instantiate(&mut store, module)?;
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
    if let Err(error) = start.call(&mut store, ()) {
        match error.downcast_ref::<ProcExit>() {
            Some(ProcExit(0)) => {}
            _ => return Err(error),
        }
    }
    let errors = stderr.contents();
    ensure!(errors.is_empty(), "standard error: {}", String::from_utf8_lossy(&errors));
    Ok(stdout.contents())
}

/// Links an object into a library of its own, and opens that.
fn link(object: &[u8], folder: &Path) -> Result<Library> {
    let (path, library) = (folder.join("module.o"), folder.join("module.so"));
    fs::write(&path, object)?;
    let output = Command::new("cc")
        .args(["-shared", "-nostdlib", "-Wl,-z,text", "-Wl,--fatal-warnings", "-o"])
        .args([&library, &path])
        .output()?;
    if !output.status.success() {
        bail!("cc: {}", String::from_utf8_lossy(&output.stderr));
    }
    // SAFETY: it has been made here of an object that `aotc` compiled, without initialisers.
    Ok(unsafe { Library::new(&library) }?)
}
