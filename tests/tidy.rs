//! What holds of the sources: who depends on whom, where unsafe code is, that the documents name what
//! exists, that every instruction is translated.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::{Failed, Trial};

use crate::support::root;

/// The crates that are the product.
const CRATES: &[&str] = &["abi", "aotc", "capi", "loader", "runner", "wasi"];

/// Files with unsafe code. Each has a contract in its header.
const UNSAFE_FILES: &[&str] = &[
    "capi/src/artifact.rs",
    "capi/src/bound.rs",
    "capi/src/c_library.rs",
    "capi/src/command.rs",
    "capi/src/engine.rs",
    "capi/src/error.rs",
    "capi/src/extern_.rs",
    "capi/src/foreign.rs",
    "capi/src/frame.rs",
    "capi/src/func.rs",
    "capi/src/global.rs",
    "capi/src/host.rs",
    "capi/src/instance.rs",
    "capi/src/linked.rs",
    "capi/src/linker.rs",
    "capi/src/memory.rs",
    "capi/src/module.rs",
    "capi/src/object.rs",
    "capi/src/pooling.rs",
    "capi/src/store.rs",
    "capi/src/table.rs",
    "capi/src/tiny.rs",
    "capi/src/trap.rs",
    "capi/src/types.rs",
    "capi/src/value.rs",
    "capi/src/vector.rs",
    "capi/src/wasi.rs",
    "loader/src/bound.rs",
    "loader/src/builtins.rs",
    "loader/src/call.rs",
    "loader/src/creator.rs",
    "loader/src/fiber.rs",
    "loader/src/func/direct.rs",
    "loader/src/func/direct_func.rs",
    "loader/src/func/host.rs",
    "loader/src/func/raw.rs",
    "loader/src/image.rs",
    "loader/src/instance/heap_slot.rs",
    "loader/src/instance/pool.rs",
    "loader/src/instance/slot.rs",
    "loader/src/memory.rs",
    "loader/src/module/artifact.rs",
    "loader/src/module/file.rs",
    "loader/src/module/library.rs",
    "loader/src/module/mod.rs",
    "loader/src/module/registry.rs",
    "loader/src/store/epoch.rs",
    "loader/src/store/hooks.rs",
    "loader/src/store/opaque.rs",
    "loader/src/sync.rs",
    "loader/src/sys/adapters.rs",
    "loader/src/sys/arch/aarch64.rs",
    "loader/src/sys/arch/riscv64.rs",
    "loader/src/sys/arch/x86_64.rs",
    "loader/src/sys/cpu/x86_64.rs",
    "loader/src/sys/dirty.rs",
    "loader/src/sys/frames.rs",
    "loader/src/sys/gate.rs",
    "loader/src/sys/keys.rs",
    "loader/src/sys/mapping.rs",
    "loader/src/sys/no_keys.rs",
    "loader/src/sys/raise.rs",
    "loader/src/sys/signals.rs",
    "loader/src/sys/stack.rs",
    "loader/src/sys/stub/memory.rs",
    "loader/src/sys/stub/stack.rs",
    "loader/src/sys/stub/thread.rs",
    "loader/src/sys/thread.rs",
    "loader/src/vmctx.rs",
    "runner/src/note.rs",
    "runner/src/own.rs",
];

/// All that the loader depends on.
const LOADER_DEPENDENCIES: &[&str] =
    &["anyhow", "aotc-abi", "corosensei", "goblin", "libc", "libloading", "rustix"];

/// The proposals of which every instruction is translated, as `wasmparser` calls them.
const PROPOSALS: [&str; 6] =
    ["mvp", "sign_extension", "saturating_float_to_int", "bulk_memory", "reference_types", "simd"];

/// Instructions of these proposals that are not valid under the features that are accepted.
const UNSUPPORTED: [&str; 1] = ["TypedSelectMulti"];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("tidy::crates_depend_downwards", crates_depend_downwards),
        Trial::test("tidy::compiler_without_command_has_no_loader", compiler_has_no_loader),
        Trial::test("tidy::unsafe_code_is_where_it_is_listed", unsafe_is_listed),
        Trial::test("tidy::documents_name_what_exists", documents_name_what_exists),
        Trial::test("tidy::every_instruction_is_translated", every_instruction_is_translated),
        Trial::test("tidy::every_file_has_a_header", every_file_has_a_header),
        Trial::test("tidy::nothing_is_left_over", nothing_is_left_over),
    ]
}

/// Fails with `problems`, if there are any.
fn none(problems: Vec<String>) -> Result<(), Failed> {
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n").into()) }
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines of a section of a manifest: each the key and the rest.
fn section(manifest: &str, name: &str) -> Vec<(String, String)> {
    let header = format!("[{name}]");
    let lines = manifest.lines().skip_while(|line| *line != header).skip(1);
    lines
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.starts_with('#') && line.contains('='))
        .map(|line| {
            let end = line.find(['.', ' ', '=']).unwrap_or(line.len());
            (line[..end].to_owned(), line[end..].to_owned())
        })
        .collect()
}

fn dependencies(name: &str) -> Vec<(String, String)> {
    section(&read(format!("{name}/Cargo.toml")), "dependencies")
}

fn crates_depend_downwards() -> Result<(), Failed> {
    let names = |name: &str| -> BTreeSet<String> {
        dependencies(name).into_iter().map(|(name, _)| name).collect()
    };
    let mut problems = Vec::new();
    if !names("abi").is_empty() {
        problems.push(format!("abi depends on {:?}", names("abi")));
    }
    if names("loader") != LOADER_DEPENDENCIES.iter().map(|&name| name.to_owned()).collect() {
        problems.push(format!("loader depends on {:?}", names("loader")));
    }
    for of in ["capi", "wasi"] {
        if names(of).iter().any(|name| name == "aotc" || name.starts_with("cranelift")) {
            problems.push(format!("{of} depends on the compiler"));
        }
    }
    for of in CRATES {
        let wasmtime = names(of).into_iter().filter(|name| name.starts_with("wasmtime"));
        problems.extend(wasmtime.map(|name| format!("{of} depends on {name}")));
    }
    none(problems)
}

/// The loader and all that comes with it are there for the command alone.
fn compiler_has_no_loader() -> Result<(), Failed> {
    let manifest = read("aotc/Cargo.toml");
    let mut problems = Vec::new();
    for (name, rest) in section(&manifest, "dependencies") {
        let for_command = name.starts_with("aotc-") && name != "aotc-abi";
        if for_command && !rest.contains("optional = true") {
            problems.push(format!("aotc depends on {name} also without the command"));
        }
    }
    let sources = sources("aotc/src").into_iter();
    let library = sources.filter(|path| !path.starts_with("aotc/src/cli"));
    for path in library {
        let code = code(&read(&path));
        if ["aotc_loader", "aotc_runner", "aotc_wasi", "anyhow", "clap"]
            .iter()
            .any(|name| has_word(&code, name))
        {
            problems
                .push(format!("{}: the library uses what the command depends on", path.display()));
        }
    }
    none(problems)
}

/// The Rust files below `folder`, from the root of the repository.
fn sources(folder: impl AsRef<Path>) -> Vec<PathBuf> {
    let folder = folder.as_ref();
    let entries = fs::read_dir(root().join(folder))
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.expect("a folder's entry");
        let path = folder.join(entry.file_name());
        if entry.path().is_dir() {
            files.extend(sources(path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn product_sources() -> impl Iterator<Item = PathBuf> {
    CRATES.iter().flat_map(|name| sources(format!("{name}/src")))
}

/// `source` without comments and without what stands in quotes.
fn code(source: &str) -> String {
    let mut code = String::new();
    let mut rest = source.chars().peekable();
    while let Some(c) = rest.next() {
        match (c, rest.peek().copied()) {
            ('/', Some('/')) => while rest.next_if(|&c| c != '\n').is_some() {},
            ('"', _) => loop {
                match rest.next() {
                    Some('\\') => drop(rest.next()),
                    Some('"') | None => break,
                    Some(_) => {}
                }
            },
            // Of character literals only these matter; a lifetime looks like the start of one.
            ('\'', Some('"')) => drop(rest.next()),
            _ => code.push(c),
        }
    }
    code
}

/// Whether `word` is in `text`, not as a part of a longer word.
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].ends_with(is_part) && !text[at + word.len()..].starts_with(is_part)
    })
}

fn unsafe_is_listed() -> Result<(), Failed> {
    let found: BTreeSet<String> = product_sources()
        .filter(|path| has_word(&code(&read(path)), "unsafe"))
        .map(|path| path.display().to_string())
        .collect();
    let listed = UNSAFE_FILES.iter().map(|&name| name.to_owned()).collect();
    let new = found.difference(&listed).map(|path| format!("{path}: unsafe code, but not listed"));
    let gone = listed.difference(&found).map(|path| format!("{path}: listed, but no unsafe code"));
    none(new.chain(gone).collect())
}

fn documents_name_what_exists() -> Result<(), Failed> {
    let at_root = ["ARCHITECTURE.md", "README.md"].map(PathBuf::from);
    let mut documents: Vec<_> =
        at_root.into_iter().filter(|path| root().join(path).exists()).collect();
    documents.extend(markdown("docs"));
    documents.extend(markdown("docs/decisions"));
    documents.extend(markdown("fixtures"));
    let mut problems = Vec::new();
    for document in documents {
        let text = read(&document);
        let folder = document.parent().expect("a file is in a folder");
        let named = named_paths(&text).map(|path| (path, root().join(path)));
        let linked = linked_paths(&text).map(|path| (path, root().join(folder).join(path)));
        let missing = named.chain(linked).filter(|(_, path)| !path.exists());
        problems.extend(missing.map(|(path, _)| format!("{}: no `{path}`", document.display())));
    }
    none(problems)
}

fn markdown(folder: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(root().join(folder)) else { return Vec::new() };
    let names = entries.map(|entry| Path::new(folder).join(entry.expect("an entry").file_name()));
    names.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

/// What stands in backticks and begins with a folder of the repository, or is a file of its root.
fn named_paths(text: &str) -> impl Iterator<Item = &str> {
    // Every other piece between backticks; fences are an odd number of them on both sides.
    let quoted = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    quoted.filter(|quoted| {
        let first = quoted.split('/').next().unwrap_or_default();
        let plain = !quoted.contains([' ', '<', '*', '{', '(', ':']);
        let is_file =
            ["md", "toml", "rs"].iter().any(|extension| first.ends_with(&format!(".{extension}")));
        let in_folder = quoted.contains('/') && first != "target" && root().join(first).is_dir();
        let named_at_root = !quoted.contains('/') && is_file && root().join(first).exists();
        plain && !first.is_empty() && (in_folder || named_at_root)
    })
}

/// The targets of links to files.
fn linked_paths(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()).filter(|target| {
        !target.is_empty() && !target.contains("://") && !target.contains(char::is_whitespace)
    })
}

/// Every operator of `wasmparser`: its proposal and its name.
fn operators() -> Vec<(&'static str, &'static str)> {
    macro_rules! names {
        ($(@$proposal:ident $op:ident $({ $($arg:ident: $ty:ty),* })? => $visit:ident ($($ann:tt)*))*) => {
            vec![$((stringify!($proposal), stringify!($op))),*]
        };
    }
    wasmparser::for_each_operator!(names)
}

fn every_instruction_is_translated() -> Result<(), Failed> {
    let translate: String =
        sources("aotc/src/translate").iter().map(|path| code(&read(path))).collect();
    let handled = |name: &str| {
        has_word(&translate, &format!("O::{name}"))
            || has_word(&translate, &format!("Operator::{name}"))
    };
    let mut problems = Vec::new();
    for (proposal, name) in operators() {
        let listed = UNSUPPORTED.contains(&name);
        if PROPOSALS.contains(&proposal) && handled(name) == listed {
            let is =
                if listed { "listed as unsupported, but translated" } else { "not translated" };
            problems.push(format!("{name} ({proposal}): {is}"));
        }
    }
    none(problems)
}

fn every_file_has_a_header() -> Result<(), Failed> {
    let without = product_sources().filter(|path| !read(path).starts_with("//! "));
    none(without.map(|path| format!("{}: no `//!` at the top", path.display())).collect())
}

fn nothing_is_left_over() -> Result<(), Failed> {
    let mut problems = Vec::new();
    for path in product_sources() {
        let source = read(&path);
        let code = code(&source);
        let found = ["dbg", "todo", "unimplemented"]
            .iter()
            .filter(|name| code.contains(&format!("{name}!")));
        problems.extend(found.map(|name| format!("{}: {name}!", path.display())));
        if source.contains("FIXME") || source.contains("XXX") {
            problems.push(format!("{}: FIXME", path.display()));
        }
    }
    none(problems)
}
