//! What wasm2c, of the package `wabt`, and `cc -O2` make of a module.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::sizes::Size;
use crate::tools;

/// Where packages put what the C code includes.
const INCLUDE: [&str; 2] = ["/usr/share/wabt/wasm2c", "/usr/include"];

/// The size of the object; or why there is none, in a few words.
pub(crate) fn size(folder: &Path, name: &str, wasm: &Path) -> Result<Result<Size, &'static str>> {
    let source = folder.join(format!("{name}.wasm2c.c"));
    let object = source.with_extension("o");
    let Some(translated) = tools::run(Command::new("wasm2c").arg(wasm).arg("-o").arg(&source))?
    else {
        return Ok(Err("no wasm2c"));
    };
    if !translated.status.success() {
        return Ok(Err("refused"));
    }
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-w", "-c", "-o"]).arg(&object).arg(&source);
    compiler.args(INCLUDE.map(|folder| format!("-I{folder}")));
    let Some(compiled) = tools::run(&mut compiler)? else { return Ok(Err("no cc")) };
    let messages = String::from_utf8_lossy(&compiled.stderr);
    ensure!(compiled.status.success(), "cc cannot compile `{}`: {messages}", source.display());
    Ok(Ok(Size::of_object(&std::fs::read(&object)?)?))
}
