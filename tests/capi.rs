//! The C API: the programs of `fixtures/capi`, built by the C compiler against the installed library and run, and
//! its headers compared with what the library defines.
//!
//! A program is a `.c` or `.cc` file, and its module the `.wat` file beside it. It gets the path of the artifact,
//! and its output is what its last comment says. `linked` and `bound` have their modules in the program; the module of `lines`
//! was made by a compiler.

mod headers;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};
use libtest_mimic::Trial;

use crate::child;
use crate::support::{in_ci, root};

type Test = fn() -> Result<()>;

/// How a program gets the library.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Link {
    Static,
    Shared,
    /// As [`Link::Static`], with the sanitizers of the C compiler: they see leaks and wrong deletions in the
    /// library, too.
    Sanitized,
}

/// The programs whose modules are linked into them.
const LINKED: [&str; 2] = ["bound", "linked"];

/// The program whose module has lines of its source.
const LINES: &str = "lines";

pub(crate) fn trials() -> Vec<Trial> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return Vec::new();
    }
    let mut trials = Vec::new();
    for program in programs() {
        for (link, name) in [(Link::Sanitized, "sanitized"), (Link::Shared, "shared")] {
            let program = program.clone();
            let name = format!("capi::{name}::{}", stem(&program));
            trials.push(Trial::test(name, move || failed(run_program(&program, link))));
        }
    }
    let tests: [(&str, Test); 5] = [
        ("headers_are_what_the_library_has", headers::functions),
        ("headers_stand_alone", headers::stand_alone),
        ("valgrind_finds_nothing", check_memory),
        ("sanitizer_finds_a_leak", find_leak),
        ("pkg_config", pkg_config),
    ];
    let trial =
        |(name, test): (&str, Test)| Trial::test(format!("capi::{name}"), move || failed(test()));
    trials.extend(tests.into_iter().map(trial));
    trials
}

pub(crate) fn failed(result: Result<()>) -> Result<(), libtest_mimic::Failed> {
    result.map_err(|error| format!("{error:#}").into())
}

fn folder() -> PathBuf {
    root().join("fixtures/capi")
}

fn programs() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder()).expect("the folder of the programs");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let is_program =
        |path: &PathBuf| matches!(path.extension().and_then(OsStr::to_str), Some("c" | "cc"));
    let mut programs: Vec<PathBuf> = paths.filter(is_program).collect();
    programs.sort();
    programs
}

fn stem(path: &Path) -> &str {
    path.file_stem().and_then(OsStr::to_str).expect("a file with a name")
}

pub(crate) fn succeeded(command: &mut Command) -> Result<Output> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{command:?}: {}\n{stdout}{stderr}", output.status);
    Ok(output)
}

/// The library as `capi/install` leaves it, made once.
pub(crate) fn installed() -> Result<&'static Path> {
    static INSTALLED: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let installed = INSTALLED.get_or_init(|| {
        let prefix = root().join("target/capi");
        let mut install = Command::new(root().join("capi/install"));
        // What this test was built with is not for what it builds.
        for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
            install.env_remove(variable);
        }
        install.env("CARGO", env!("CARGO")).env("CARGO_NET_OFFLINE", "true");
        install.env("CARGO_TARGET_DIR", root().join("target"));
        let done = succeeded(install.arg("--debug").arg(&prefix));
        done.map(|_| prefix).map_err(|error| format!("{error:#}"))
    });
    installed.as_deref().map_err(|error| anyhow!("{error}"))
}

/// Where what is built is put.
fn output_folder() -> Result<PathBuf> {
    let folder = root().join("target/capi/programs");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Compiles the module of a program to an image, or to an object if it is to be linked. Options stand in the
/// module's first line.
fn compile(program: &Path) -> Result<PathBuf> {
    let module = match stem(program) {
        LINES => root().join("fixtures/lines/lines.wasm"),
        _ => program.with_extension("wat"),
    };
    let bytes = fs::read(&module)?;
    let text = String::from_utf8_lossy(&bytes);
    let first = text.lines().next().unwrap_or_default();
    let options = first.strip_prefix(";; aotc compile").unwrap_or_default();
    let is_linked = LINKED.contains(&stem(program));
    let (emit, extension) = if is_linked { ("obj", "o") } else { ("image", "aot") };
    // Tests of one program may run at the same time.
    static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let artifact = output_folder()?.join(format!("{}-{number}.{extension}", stem(program)));
    let mut aotc = child::aotc();
    aotc.args(["compile", "--emit", emit]).args(options.split_whitespace());
    succeeded(aotc.arg(&module).arg("-o").arg(&artifact))?;
    Ok(artifact)
}

/// The compiler for a program, with the options that all programs are compiled with.
fn compiler(program: &Path) -> Command {
    let is_c = program.extension() == Some(OsStr::new("c"));
    let mut compiler = Command::new(if is_c { "cc" } else { "c++" });
    compiler.args([
        if is_c { "-std=c11" } else { "-std=c++17" },
        "-g",
        "-Wall",
        "-Wextra",
        "-Werror",
    ]);
    compiler.args(["-pedantic", "-pthread"]).arg("-I").arg(folder());
    compiler
}

/// A program, and the command that runs it.
fn build(program: &Path, link: Link) -> Result<(PathBuf, Option<PathBuf>)> {
    let prefix = installed()?;
    let artifact = compile(program)?;
    let built = artifact.with_extension(match link {
        Link::Static => "static",
        Link::Shared => "shared",
        Link::Sanitized => "sanitized",
    });
    let mut compiler = compiler(program);
    compiler.arg("-I").arg(prefix.join("include")).arg(program).arg("-o").arg(&built);
    let is_linked = LINKED.contains(&stem(program));
    if is_linked {
        compiler.arg(&artifact);
    }
    match link {
        Link::Static => compiler.arg(prefix.join("lib/libaotc.a")).args(["-ldl", "-lm"]),
        Link::Sanitized => {
            compiler.args(["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]);
            compiler.arg(prefix.join("lib/libaotc.a")).args(["-ldl", "-lm"])
        }
        Link::Shared => {
            let library = prefix.join("lib");
            compiler.arg("-L").arg(&library).arg("-laotc").arg("-Wl,-rpath").arg(library)
        }
    };
    succeeded(&mut compiler)?;
    Ok((built, (!is_linked).then_some(artifact)))
}

/// What the program's last comment says that it prints.
fn expected(program: &Path) -> Result<String> {
    let source = fs::read_to_string(program)?;
    let (_, comment) = source.rsplit_once("/* prints:\n").context("no comment `prints:`")?;
    let (expected, rest) = comment.split_once("*/").context("no end of the last comment")?;
    ensure!(rest.trim().is_empty(), "something stands behind the last comment");
    Ok(expected.to_owned())
}

fn run_program(program: &Path, link: Link) -> Result<()> {
    let (built, artifact) = build(program, link)?;
    let output = succeeded(Command::new(&built).args(artifact))?;
    compare(program, &output)
}

/// Compares what a program printed with its last comment, which `BLESS=1` replaces.
pub(crate) fn compare(program: &Path, output: &Output) -> Result<()> {
    let printed = String::from_utf8_lossy(&output.stdout);
    if std::env::var_os("BLESS").is_some() {
        let source = fs::read_to_string(program)?;
        let before = source.rsplit_once("\n/* prints:\n").map_or(&*source, |(before, _)| before);
        fs::write(program, format!("{}\n\n/* prints:\n{printed}*/\n", before.trim_end()))?;
    }
    let expected = expected(program)?;
    ensure!(printed == expected, "expected:\n{expected}printed:\n{printed}");
    Ok(())
}

/// The programs that are run under valgrind, which also sees what the library reads and writes. They are those
/// that are about owners. WebAssembly does not fault in them, and their modules come from bytes: valgrind stumbles
/// over ELF files that are mapped to be written to.
const CHECKED: [&str; 5] = ["callback.c", "finalize.c", "hostref.c", "multi.c", "reflect.c"];

fn check_memory() -> Result<()> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        ensure!(!in_ci(), "there is no valgrind");
        eprintln!("skipped: there is no valgrind");
        return Ok(());
    }
    for name in CHECKED {
        let program = folder().join(name);
        let (built, artifact) = build(&program, Link::Static)?;
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--quiet", "--error-exitcode=99", "--leak-check=full"]);
        valgrind.args(["--show-leak-kinds=definite", "--errors-for-leak-kinds=definite"]);
        let output = succeeded(valgrind.arg(&built).args(artifact))?;
        compare(&program, &output)?;
    }
    Ok(())
}

/// A program that does not delete what it owns is noticed.
fn find_leak() -> Result<()> {
    let source = fs::read_to_string(folder().join("hello.c"))?;
    let delete = "wasm_extern_vec_delete(&exports);";
    ensure!(source.contains(delete), "hello.c does not delete its exports");
    let leaking = output_folder()?.join("hello.c");
    fs::write(&leaking, source.replace(delete, "exports.data = NULL;"))?;
    fs::copy(folder().join("hello.wat"), leaking.with_extension("wat"))?;
    let (built, artifact) = build(&leaking, Link::Sanitized)?;
    let output = Command::new(built).args(artifact).output()?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success(), "no error");
    ensure!(stderr.contains("LeakSanitizer: detected memory leaks"), "{stderr}");
    Ok(())
}

/// A program that is built with what pkg-config says, against the shared library and against the static one.
fn pkg_config() -> Result<()> {
    if Command::new("pkg-config").arg("--version").output().is_err() {
        ensure!(!in_ci(), "there is no pkg-config");
        eprintln!("skipped: there is no pkg-config");
        return Ok(());
    }
    let prefix = installed()?;
    let flags = |options: &[&str]| -> Result<Vec<String>> {
        let mut command = Command::new("pkg-config");
        command.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"));
        let output = succeeded(command.args(["--cflags", "--libs"]).args(options).arg("aotc"))?;
        Ok(String::from_utf8(output.stdout)?.split_whitespace().map(str::to_owned).collect())
    };
    let program = folder().join("hello.c");
    let artifact = compile(&program)?;
    let library = prefix.join("lib");
    let built = output_folder()?.join("pkg-config");
    let variants: [(&[&str], &[&str]); 2] =
        [(&[], &[]), (&["--static"], &["-Wl,-Bstatic", "-Wl,-Bdynamic"])];
    for (options, bounds) in variants {
        let mut compiler = compiler(&program);
        compiler.arg(&program).arg("-o").arg(&built);
        for flag in flags(options)? {
            match (&*flag, bounds) {
                ("-laotc", [before, after]) => compiler.args([*before, "-laotc", *after]),
                _ => compiler.arg(flag),
            };
        }
        succeeded(&mut compiler)?;
        let mut run = Command::new(&built);
        if bounds.is_empty() {
            run.env("LD_LIBRARY_PATH", &library);
        }
        compare(&program, &succeeded(run.arg(&artifact))?)?;
    }
    Ok(())
}
