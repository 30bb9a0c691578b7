//! Generated headers: their text, that compilers take them, and a program that uses every kind of import and export.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;

use super::{STANDARDS, check_golden, compile, compiler, trial, trial_with, work_folder};
use crate::capi::{compare, installed, succeeded};
use crate::child;
use crate::support::root;

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("header::golden", golden),
        trial("header::any_names_compile", any_names_compile),
        trial_with("header::clang_takes_them", &["clang"], clang_takes_them),
        trial("header::everything::c99", || everything(("cc", "c", "c99"))),
        trial("header::everything::c++11", || everything(("c++", "c++", "c++11"))),
        trial("header::everything::c++17", || everything(("c++", "c++", "c++17"))),
        trial("header::another_module_is_refused", another_module_is_refused),
        trial("header::mistakes_are_compile_errors", mistakes_are_compile_errors),
    ]
}

fn folder() -> PathBuf {
    root().join("fixtures/header")
}

/// The header of a module, as it is shown in documents.
fn golden() -> Result<()> {
    let work = work_folder("golden")?;
    compile(&root().join("fixtures/build_step/plugin.wat"), &work, &[])?;
    check_golden(&folder().join("plugin.h"), &fs::read_to_string(work.join("plugin.h"))?)
}

/// Modules whose names are no identifiers, or mean something else.
fn modules() -> [PathBuf; 4] {
    let build_step = root().join("fixtures/build_step");
    [
        build_step.join("alone.wat"),
        build_step.join("names.wat"),
        folder().join("hostile.wat"),
        folder().join("everything.wat"),
    ]
}

/// A source that includes the headers of all [`modules`], twice, behind headers that define macros.
fn including(work: &Path) -> Result<PathBuf> {
    let mut source = String::new();
    for header in ["assert.h", "errno.h", "setjmp.h", "stdarg.h", "stdio.h"] {
        source.push_str(&format!("#include <{header}>\n"));
    }
    for module in modules() {
        compile(&module, work, &[])?;
        let stem = module.file_stem().and_then(OsStr::to_str).expect("a name");
        source.push_str(&format!("#include \"{stem}.h\"\n#include \"{stem}.h\"\n"));
    }
    source.push_str("int main(void) { return 0; }\n");
    let path = work.join("including.c");
    fs::write(&path, source)?;
    Ok(path)
}

fn any_names_compile() -> Result<()> {
    let work = work_folder("names")?;
    let source = including(&work)?;
    for standard in STANDARDS {
        let mut command = compiler(standard);
        command.arg("-I").arg(root().join("capi/include"));
        succeeded(command.args(["-O2", "-c"]).arg(&source).arg("-o").arg(work.join("out.o")))?;
    }
    Ok(())
}

fn clang_takes_them() -> Result<()> {
    let work = work_folder("names-clang")?;
    let source = including(&work)?;
    for (_, language, standard) in STANDARDS {
        let standard = if standard == "gnu++20" { "gnu++17" } else { standard };
        let mut command = compiler(("clang", language, standard));
        command.arg("-I").arg(root().join("capi/include")).arg("-fsyntax-only");
        succeeded(command.arg(&source))?;
    }
    Ok(())
}

/// The program that uses everything, with the sanitizers of the compiler.
fn everything(standard: (&'static str, &'static str, &'static str)) -> Result<()> {
    let work = work_folder(&format!("everything-{}", standard.2))?;
    let object = compile(&folder().join("everything.wat"), &work, &[])?;
    let source = folder().join("everything.c");
    let built = work.join("everything");
    link(standard, &source, &[&object], &built)?;
    compare(&source, &succeeded(&mut Command::new(built))?)
}

/// Links `source`, the headers beside the first object included, with objects and the static library.
fn link(
    standard: (&str, &str, &str),
    source: &Path,
    objects: &[&Path],
    built: &Path,
) -> Result<()> {
    let prefix = installed()?;
    let mut command = compiler(standard);
    command.arg("-I").arg(prefix.join("include")).arg("-I").arg(root().join("fixtures/capi"));
    command.arg("-I").arg(built.parent().expect("a folder"));
    command.args(["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]);
    command.arg(source).args(["-x", "none"]).args(objects);
    command.arg(prefix.join("lib/libaotc.a")).args(["-ldl", "-lm", "-o"]).arg(built);
    succeeded(&mut command)?;
    Ok(())
}

/// A header says no to instances and symbols of other modules.
fn another_module_is_refused() -> Result<()> {
    let work = work_folder("another")?;
    let mut objects = Vec::new();
    for module in ["one.wat", "other.wat"] {
        objects.push(compile(&folder().join(module), &work, &[])?);
    }
    let source = folder().join("another.c");
    let built = work.join("another");
    link(("cc", "c", "c11"), &source, &[&objects[0], &objects[1]], &built)?;
    compare(&source, &succeeded(&mut Command::new(built))?)
}

/// A mistake in a program, and what the compiler says of it.
type Mistake = (&'static str, &'static str);

const MISTAKES: [Mistake; 6] = [
    ("plugin_add(&plugin, 1, &sum)", "too few arguments to function"),
    ("plugin_add(&plugin, 1, 2, &wide)", "incompatible pointer type"),
    ("plugin_subtract(&plugin, 1, 2, &sum)", "implicit declaration of function"),
    ("plugin_new(store, module, &plugin)", "too few arguments to function"),
    ("(imports.log = wrong_log, NULL)", "incompatible pointer type"),
    ("(imports.limits = NULL)", "has no member named"),
];

fn mistakes_are_compile_errors() -> Result<()> {
    let work = work_folder("mistakes")?;
    compile(&root().join("fixtures/build_step/plugin.wat"), &work, &[])?;
    let source = work.join("mistake.c");
    let compile = |call: &str| -> Result<String> {
        let text = format!(
            "#include \"plugin.h\"\n\
             aotc_error_t* wrong_log(void*, const aotc_caller_t*, int64_t, int32_t);\n\
             aotc_error_t* use(plugin_t plugin, plugin_imports_t imports, wasm_store_t* store, wasm_module_t* module) {{\n\
             int32_t sum; int64_t wide; (void)imports; (void)store; (void)module; (void)wide; (void)sum;\n\
             return {call};\n}}\n"
        );
        fs::write(&source, text)?;
        let mut command = compiler(("cc", "c", "c11"));
        command.args(["-fsyntax-only", "-I"]).arg(root().join("capi/include")).arg(&source);
        let output = command.env("LC_ALL", "C").output()?;
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let stderr = compile("plugin_add(&plugin, 1, 2, &sum)")?;
    ensure!(stderr.is_empty(), "without a mistake: {stderr}");
    for (call, expected) in MISTAKES {
        let stderr = compile(call)?;
        ensure!(stderr.contains(expected), "{call}: no `{expected}` in\n{stderr}");
        ensure!(stderr.contains("mistake.c:5:"), "{call}: no line in\n{stderr}");
    }
    // Text that is no module gives no header.
    let output = child::aotc()
        .args(["compile", "--emit", "header", "-o", "-"])
        .arg(root().join("fixtures/errors/type_mismatch.wat"))
        .output()?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success() && output.stdout.is_empty(), "a header of a broken module");
    ensure!(stderr.contains("type_mismatch.wat:"), "{stderr}");
    Ok(())
}
