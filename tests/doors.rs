//! Parts of the official suite through the other doors: modules that are linked into this program,
//! modules that the operating system's linker opens, and modules in libraries for other operating
//! systems, which are mapped by hand.
#![allow(unsafe_code, reason = "both doors trust what they are given")]

use std::collections::HashMap;
use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use aotc::cli::wast::{Door, image_door, run_text};
use aotc::{Emit, Options};
use aotc_loader::{Engine, Module};
use libtest_mimic::{Completion, Failed, Trial};

use crate::foreign::{Foreign, LIBRARIES};
use crate::spec;
use crate::support::in_ci;

/// The table that `build.rs` made: the bytes of each module, and its symbol.
mod table {
    include!(concat!(env!("OUT_DIR"), "/linked.rs"));
}

/// The scripts whose modules are linked.
const SCRIPTS: &str = include_str!("../fixtures/linked/scripts.txt");

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![Trial::test("doors::linked_is_used", linked_is_used)];
    for (folder, features, file) in spec::files() {
        let path = format!("{folder}/{}", file.name());
        if !SCRIPTS.lines().any(|script| script == path) {
            continue;
        }
        let text = file.raw();
        let options = Options { features, threads: NonZero::new(1), ..Options::default() };
        let linked_options = options.clone();
        trials.push(Trial::test(format!("doors::linked::{path}"), move || {
            run(text, &|engine, wasm| linked_door(engine, wasm, &linked_options))
        }));
        for library in &LIBRARIES {
            let options = options.clone();
            let name = format!("doors::{}::{path}", library.os);
            trials.push(Trial::ignorable_test(name, move || {
                if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
                    return Ok(Completion::ignored_with("no module is linked here"));
                }
                if !in_ci() && !library.has_linker() {
                    return Ok(Completion::ignored_with("the linker is not installed"));
                }
                run(text, &|engine, wasm| foreign_door(library, engine, wasm, &options))?;
                Ok(Completion::Completed)
            }));
        }
        let temporary = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("doors-dlopen-{}", path.replace('/', "-")));
        trials.push(Trial::test(format!("doors::dlopen::{path}"), move || {
            let _ = fs::remove_dir_all(&temporary);
            fs::create_dir_all(&temporary)?;
            let count = AtomicU32::new(0);
            run(text, &|engine, wasm| {
                let number = count.fetch_add(1, Ordering::Relaxed);
                dlopen_door(engine, wasm, &options, &temporary.join(format!("{number}.so")))
            })?;
            Ok(fs::remove_dir_all(&temporary)?)
        }));
    }
    trials
}

fn run(text: &str, door: &Door<'_>) -> Result<(), Failed> {
    let outcome = run_text(text, door);
    if outcome.failures.is_empty() { Ok(()) } else { Err(outcome.failures.join("\n").into()) }
}

/// Takes the module from this program; only those that must be refused are not in it.
fn linked_door(engine: &Engine, wasm: &[u8], options: &Options) -> Result<Module> {
    match linked(wasm) {
        // SAFETY: the symbol of an object that `build.rs` compiled and the linker put into this program.
        Some(descriptor) => unsafe { Module::from_linked(engine, descriptor) },
        None => image_door(engine, wasm, options),
    }
}

/// Takes the module from a library for another operating system; only those that must be refused are not in it.
fn foreign_door(
    library: &Foreign,
    engine: &Engine,
    wasm: &[u8],
    options: &Options,
) -> Result<Module> {
    let modules: Vec<&[u8]> = table::linked().into_iter().map(|(bytes, _)| bytes).collect();
    match library.module(engine, &modules, wasm)? {
        Some(module) => Ok(module),
        None => image_door(engine, wasm, options),
    }
}

/// The descriptor of the module with these bytes.
fn linked(wasm: &[u8]) -> Option<*const u8> {
    static BY_BYTES: OnceLock<HashMap<&[u8], usize>> = OnceLock::new();
    let by_bytes = BY_BYTES.get_or_init(|| {
        table::linked()
            .into_iter()
            .map(|(bytes, place)| (bytes, place.expose_provenance()))
            .collect()
    });
    by_bytes.get(wasm).map(|&place| std::ptr::with_exposed_provenance(place))
}

/// Compiles to an image in a file and has it opened as a shared library.
fn dlopen_door(engine: &Engine, wasm: &[u8], options: &Options, path: &Path) -> Result<Module> {
    let image = aotc::compile(wasm, Emit::Image, options)?;
    fs::write(path, image).with_context(|| format!("cannot write {}", path.display()))?;
    // SAFETY: the file was made here, and nobody else knows of it.
    unsafe { Module::dlopen(engine, path) }
}

/// The link door would pass if nothing were linked.
fn linked_is_used() -> Result<(), Failed> {
    let linked = table::linked().len();
    let expected = if cfg!(all(target_arch = "x86_64", target_os = "linux")) { 400 } else { 0 };
    if linked >= expected { Ok(()) } else { Err(format!("only {linked} modules").into()) }
}
