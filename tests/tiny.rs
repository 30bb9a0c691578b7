//! The loader's tiny profile: what it is made of, programs in Rust and in C with nothing under them, and how large they are.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};
use libtest_mimic::Trial;

use crate::child;
use crate::support::root;

type Test = (&'static str, fn() -> Result<()>);

pub(crate) fn trials() -> Vec<Trial> {
    let tests: [Test; 6] = [
        ("depends_on_two_crates", depends_on_two_crates),
        ("program", program),
        ("addition", addition),
        ("addition_in_c", addition_in_c),
        ("c_api", c_api),
        ("readme_has_the_table", readme_has_the_table),
    ];
    let trial = |(name, test): Test| {
        Trial::test(format!("tiny::{name}"), move || {
            test().map_err(|error| format!("{error:#}").into())
        })
    };
    tests.into_iter().map(trial).collect()
}

fn cargo() -> Command {
    plain(Path::new(env!("CARGO")))
}

/// A command that builds something.
fn plain(command: &Path) -> Command {
    let mut command = Command::new(command);
    // What this test was built with is not for what it builds.
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        command.env_remove(variable);
    }
    command.env("CARGO_NET_OFFLINE", "true");
    command
}

fn succeeded(output: &Output) -> Result<()> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}\n{stderr}", output.status);
    Ok(())
}

fn depends_on_two_crates() -> Result<()> {
    let arguments = ["tree", "-p", "aotc-loader", "--no-default-features", "--edges", "normal"];
    let output = cargo()
        .args(arguments)
        .args(["--prefix", "none", "--format", "{p}"])
        .current_dir(root())
        .output()?;
    succeeded(&output)?;
    let stdout = String::from_utf8(output.stdout)?;
    let names: BTreeSet<&str> = stdout.lines().filter_map(|line| line.split(' ').next()).collect();
    ensure!(names == ["anyhow", "aotc-abi", "aotc-loader"].into(), "found {names:?}");
    Ok(())
}

/// What the program prints.
const PRINTED: &str = "\
2 + 3 = 5
hello from wasm
later
hello from wasm
later
trap: wasm trap: uninitialized element (1 frames)
trap: wasm trap: undefined element (1 frames)
error: code 7 (1 frames)
3
trap: wasm trap: integer divide by zero (1 frames)
trap: wasm trap: integer overflow (1 frames)
0
trap: wasm trap: out of bounds memory access (1 frames)
trap: wasm trap: out of bounds memory access (1 frames)
1
-1
0
trap: wasm trap: call stack exhausted (64 frames)
the host was called 4 times
";

/// Largest program without symbols, in bytes: a loader that grows is noticed here.
const STRIPPED_BYTES_MAX: u64 = 256 << 10;

fn program() -> Result<()> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return Ok(());
    }
    let program = build()?.join("tiny");
    let output = Command::new(&program).env_clear().output()?;
    succeeded(&output)?;
    let stdout = String::from_utf8(output.stdout)?;
    let (printed, heap) = stdout.split_at_checked(PRINTED.len()).context(stdout.clone())?;
    ensure!(printed == PRINTED, "{stdout}");
    ensure!(heap.starts_with("at most ") && heap.lines().count() == 1, "{stdout}");

    stands_alone(&program)?;
    ensure!(readelf("-sW", &program)?.contains("aotc_module_guest"), "the module has no symbol");
    let stripped = stripped_bytes(&program)?;
    ensure!(stripped <= STRIPPED_BYTES_MAX, "{stripped} bytes without symbols");
    Ok(())
}

/// Nothing is loaded with the program, and nothing of a C library is in it.
fn stands_alone(program: &Path) -> Result<()> {
    let headers = readelf("-lW", program)?;
    ensure!(headers.contains("type is EXEC"), "{headers}");
    for absent in ["INTERP", "DYNAMIC", "TLS"] {
        ensure!(!headers.contains(absent), "a segment {absent}: {headers}");
    }
    let symbols = readelf("-sW", program)?;
    let undefined: Vec<&str> = symbols
        .lines()
        .filter(|line| line.contains(" UND ") && line.split_whitespace().count() > 7)
        .collect();
    ensure!(undefined.is_empty(), "undefined symbols: {undefined:?}");
    for libc in ["__libc_start_main", "__libc_malloc", "printf", "mmap"] {
        let named = symbols.lines().any(|line| line.split_whitespace().last() == Some(libc));
        ensure!(!named, "{libc} is in the program");
    }
    Ok(())
}

/// Most code of a program that adds two numbers, in bytes, without the module and its `main`: the loader, and what it uses of
/// Rust's library.
const TEXT_BYTES_MAX: u64 = 100_000;

fn addition() -> Result<()> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return Ok(());
    }
    adds(&build()?.join("add"))
}

/// The program adds, alone and with little code.
fn adds(program: &Path) -> Result<()> {
    let output = Command::new(program).env_clear().output()?;
    succeeded(&output)?;
    ensure!(output.stdout == b"2 + 3 = 5\n", "{}", String::from_utf8_lossy(&output.stdout));
    stands_alone(program)?;
    let text = text_bytes(program)? - own_bytes(program)?;
    ensure!(text <= TEXT_BYTES_MAX, "{text} bytes of code");
    // Without its symbols it is the same program.
    stripped_bytes(program)?;
    let output = Command::new(program.with_extension("stripped")).output()?;
    ensure!(output.stdout == b"2 + 3 = 5\n", "{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

/// Size of the module's code and of `main`, in bytes.
fn own_bytes(program: &Path) -> Result<u64> {
    let symbols = readelf("-sW", program)?;
    let mut bytes = 0;
    for line in symbols.lines().filter(|line| line.contains(" FUNC ")) {
        // Number, value, size, type, binding, visibility, section, name.
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (Some(size), Some(name)) = (fields.get(2), fields.get(7)) else { continue };
        if name.starts_with("add::") || ["main", "_start"].contains(name) {
            bytes += size.parse::<u64>()?;
        }
    }
    ensure!(bytes > 0, "the module's functions have no symbols");
    Ok(bytes)
}

/// What the tiny library may ask of a C library, and what compilers ask of their own.
const C_LIBRARY: [&str; 11] = [
    "abort", "bcmp", "calloc", "free", "malloc", "memcmp", "memcpy", "memmove", "memset",
    "realloc", "strlen",
];
const OF_COMPILERS: [&str; 2] = ["__compilerrt_abort_impl", "__udivti3"];

/// Installs the tiny library, once.
fn installed() -> Result<&'static Path> {
    static INSTALLED: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let install = || {
        let prefix = root().join("target/capi-tiny");
        let mut install = plain(&root().join("capi/install"));
        install.env("CARGO", env!("CARGO")).env("CARGO_TARGET_DIR", root().join("target"));
        let output = install.arg("--tiny").arg(&prefix).output()?;
        succeeded(&output)?;
        Ok(prefix)
    };
    let installed =
        INSTALLED.get_or_init(|| install().map_err(|error: anyhow::Error| format!("{error:#}")));
    installed.as_deref().map_err(|error| anyhow!("{error}"))
}

/// Compiles a module to an object and a header beside it, both called after it.
fn compile(module: &Path, folder: &Path) -> Result<PathBuf> {
    let name = module.file_stem().context("a file with a name")?;
    let object = folder.join(name).with_extension("o");
    let outputs = [("obj", object.clone()), ("header", folder.join(name).with_extension("h"))];
    for (emit, out) in outputs {
        let mut aotc = child::aotc();
        aotc.args(["compile", "--emit", emit, "--traps", "explicit", "--name"]).arg(name);
        succeeded(&aotc.arg("-o").arg(out).arg(module).output()?)?;
    }
    Ok(object)
}

fn addition_in_c() -> Result<()> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return Ok(());
    }
    let prefix = installed()?;
    let asked = Command::new("nm").arg("-u").arg(prefix.join("lib/libaotc_tiny.a")).output()?;
    let asked = String::from_utf8(asked.stdout)?;
    let asked: BTreeSet<&str> =
        asked.lines().filter_map(|line| line.trim().strip_prefix("U ")).collect();
    let known: BTreeSet<&str> = C_LIBRARY.into_iter().chain(OF_COMPILERS).collect();
    let defined = readelf("-sW", &prefix.join("lib/libaotc_tiny.a"))?;
    let defined: BTreeSet<&str> = defined
        .lines()
        .filter(|line| !line.contains(" UND "))
        .filter_map(|line| line.split_whitespace().last())
        .collect();
    let more: Vec<&&str> =
        asked.difference(&known).filter(|name| !defined.contains(**name)).collect();
    ensure!(more.is_empty(), "the library asks for {more:?}");
    ensure!(C_LIBRARY.iter().all(|name| asked.contains(name)), "the library asks for {asked:?}");

    let folder = prefix.join("programs");
    fs::create_dir_all(&folder)?;
    let object = compile(&root().join("fixtures/tiny/add.wat"), &folder)?;
    let build = |libc: &str, out: &Path| -> Result<()> {
        let mut build = Command::new(root().join("fixtures/tiny/c/build"));
        build.env("LIBC", libc).args([&object, &folder, prefix, out]);
        succeeded(&build.output()?)
    };
    let (bare, on_libc) = (folder.join("add"), folder.join("add-on-libc"));
    build("none", &bare)?;
    adds(&bare)?;
    build("static", &on_libc)?;
    let output = Command::new(on_libc).output()?;
    succeeded(&output)?;
    ensure!(output.stdout == b"2 + 3 = 5\n", "{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

/// The program of the C API whose module is linked into it, on the tiny library: host functions, limits, resets, traps.
fn c_api() -> Result<()> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return Ok(());
    }
    let prefix = installed()?;
    let folder = prefix.join("programs");
    fs::create_dir_all(&folder)?;
    let object = compile(&root().join("fixtures/capi/linked.wat"), &folder)?;
    let source = root().join("fixtures/capi/linked.c");
    let (program, library) = (folder.join("linked"), prefix.join("lib/libaotc_tiny.a"));
    let mut cc = Command::new("cc");
    cc.args(["-std=c11", "-g", "-Wall", "-Wextra", "-Werror", "-pedantic", "-DAOTC_TINY", "-I"]);
    cc.arg(prefix.join("include")).args([&source, &object, &library]).arg("-o").arg(&program);
    succeeded(&cc.output()?)?;
    let output = Command::new(program).output()?;
    succeeded(&output)?;
    let text = fs::read_to_string(source)?;
    let (_, expected) = text.rsplit_once("/* prints:\n").context("no comment `prints:`")?;
    let printed = String::from_utf8(output.stdout)?;
    ensure!(expected.trim_end().strip_suffix("*/") == Some(&printed), "{printed}");
    Ok(())
}

/// The table of the features has the rows that the script makes.
fn readme_has_the_table() -> Result<()> {
    let output = Command::new(root().join(".ci/sizes")).arg("--rows").output()?;
    succeeded(&output)?;
    let expected = String::from_utf8(output.stdout)?;
    let readme = fs::read_to_string(root().join("README.md"))?;
    let (_, table) = readme.split_once("<!-- .ci/sizes --write -->").context("no table")?;
    let (table, _) =
        table.split_once("<!-- end of .ci/sizes -->").context("no end of the table")?;
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let rows: Vec<String> = rows.map(|name| format!("`{name}")).collect();
    let expected: Vec<&str> = expected.lines().collect();
    ensure!(rows == expected, "README.md has {rows:?}, the script {expected:?}: .ci/sizes --write");
    Ok(())
}

/// Builds the programs with the command under test, into the folder that this gives.
fn build() -> Result<PathBuf> {
    let target = root().join("target/tiny");
    // The command is this binary, started again by the build script.
    let mut command = cargo();
    command.envs(child::aotc().get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command
        .args(["build", "--release", "--locked"])
        .current_dir(root().join("fixtures/tiny"))
        .env("AOTC", child::aotc().get_program())
        .env("CARGO_TARGET_DIR", &target)
        .output()?;
    succeeded(&output)?;
    Ok(target.join("release"))
}

fn readelf(option: &str, file: &Path) -> Result<String> {
    let output = Command::new("readelf").arg(option).arg(file).output().context("readelf")?;
    succeeded(&output)?;
    Ok(String::from_utf8(output.stdout)?)
}

/// The size of the code.
fn text_bytes(file: &Path) -> Result<u64> {
    let output = Command::new("size").arg("-A").arg(file).output().context("size")?;
    succeeded(&output)?;
    let sections = String::from_utf8(output.stdout)?;
    let text = sections.lines().find_map(|line| line.strip_prefix(".text "));
    let text = text.and_then(|rest| rest.split_whitespace().next()).context(sections.clone())?;
    Ok(text.parse()?)
}

/// The size of the file without symbols.
fn stripped_bytes(file: &Path) -> Result<u64> {
    let stripped = file.with_extension("stripped");
    let output = Command::new("strip").arg("-o").arg(&stripped).arg(file).output()?;
    succeeded(&output)?;
    Ok(std::fs::metadata(stripped)?.len())
}
