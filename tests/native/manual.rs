//! The section of `docs/c-api.md` about linking: its files and commands, as they stand there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use super::{trial_with, work_folder};
use crate::capi::{installed, succeeded};
use crate::child;
use crate::support::root;

pub(super) fn trials() -> Vec<Trial> {
    vec![trial_with("manual", &["cmake", "make", "pkg-config"], manual)]
}

/// The section, without what is before and behind it.
fn section() -> Result<String> {
    let page = fs::read_to_string(root().join("docs/c-api.md"))?;
    let (_, rest) = page
        .split_once("## Linking a module into a C or C++ program\n")
        .context("no section about linking")?;
    let (section, _) = rest.split_once("\n## ").context("the end of the section")?;
    Ok(section.to_owned())
}

/// A block of code: what its first line says, the file that it is, if it is one, and its text.
struct Block {
    language: String,
    file: Option<String>,
    text: String,
}

fn blocks(section: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut file = None;
    let mut lines = section.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("<!-- file: ").and_then(|it| it.strip_suffix(" -->"))
        {
            file = Some(name.to_owned());
        } else if let Some(language) = line.strip_prefix("```") {
            let text = lines.by_ref().take_while(|line| *line != "```");
            let text = text.map(|line| format!("{line}\n")).collect();
            blocks.push(Block { language: language.to_owned(), file: file.take(), text });
        }
    }
    blocks
}

fn manual() -> Result<()> {
    let work = work_folder("manual")?;
    let bin = work.join("bin");
    fs::create_dir(&bin)?;
    fs::write(bin.join("aotc"), aotc_script()?)?;
    fs::set_permissions(bin.join("aotc"), fs::Permissions::from_mode(0o755))?;
    let path = format!("{}:{}", bin.display(), std::env::var("PATH")?);

    let blocks = blocks(&section()?);
    let of = |language: &'static str| {
        blocks.iter().filter(move |block| block.language == language).map(|block| &block.text)
    };
    for block in &blocks {
        if let Some(file) = &block.file {
            fs::write(work.join(file), &block.text)?;
        }
    }
    let expected = of("text").next().context("no output")?;
    let mut runs = 0;
    for commands in of("sh") {
        let mut shell = Command::new("sh");
        shell.args(["-eu", "-c", commands]).current_dir(&work).env("PATH", &path);
        shell.env("PREFIX", installed()?).env("LC_ALL", "C");
        // What this test was started with is not for what it starts.
        for variable in ["MAKEFLAGS", "MFLAGS", "MAKELEVEL"] {
            shell.env_remove(variable);
        }
        let output = succeeded(&mut shell)?;
        let printed = String::from_utf8(output.stdout)?;
        let programs = commands.lines().filter(|line| line.contains("./")).count();
        ensure!(programs > 0, "nothing is run: {commands}");
        ensure!(printed.matches(&**expected).count() == programs, "{commands}:\n{printed}");
        runs += programs;
    }
    ensure!(runs >= 4, "only {runs} programs");
    Ok(())
}

/// A command that is this binary in its part as the compiler.
fn aotc_script() -> Result<String> {
    let real = child::aotc();
    let (variable, value) = real.get_envs().next().context("how the command is started")?;
    let (variable, value) = (variable.display(), value.context("a value")?.display());
    let program = real.get_program().display();
    Ok(format!("#!/bin/sh\n{variable}='{value}' exec '{program}' \"$@\"\n"))
}
