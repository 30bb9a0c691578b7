//! The recipes of `docs/build-systems.md`, run as they stand there: they build, they build nothing twice, and they build again what a
//! change makes necessary.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::child::{self, Scratch};
use crate::command::Ended;
use crate::compile_options::with_tool;
use crate::support::root;

/// A tool, the file that it reads, commands to build, and what they make.
struct Recipe {
    tool: &'static str,
    file: &'static str,
    configure: &'static [&'static str],
    build: &'static [&'static str],
    outputs: &'static [&'static str],
}

const RECIPES: [Recipe; 5] = [
    Recipe {
        tool: "make",
        file: "Makefile",
        configure: &[],
        build: &["make"],
        outputs: &["plugin.aot", "libplugin.a"],
    },
    Recipe {
        tool: "ninja",
        file: "build.ninja",
        configure: &[],
        build: &["ninja"],
        outputs: &["plugin.aot", "libplugin.a"],
    },
    Recipe {
        tool: "cmake",
        file: "CMakeLists.txt",
        configure: &["cmake", "-S", ".", "-B", "out", "-G", "Unix Makefiles"],
        build: &["cmake", "--build", "out"],
        outputs: &["out/plugin.aot", "out/libplugin.a"],
    },
    Recipe {
        tool: "cmake",
        file: "CMakeLists.txt",
        configure: &["cmake", "-S", ".", "-B", "out", "-G", "Ninja"],
        build: &["cmake", "--build", "out"],
        outputs: &["out/plugin.aot", "out/libplugin.a"],
    },
    Recipe {
        tool: "meson",
        file: "meson.build",
        configure: &["meson", "setup", "out"],
        build: &["meson", "compile", "-C", "out"],
        outputs: &["out/plugin.aot"],
    },
];

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |recipe: &'static Recipe| {
        let generator = recipe.configure.last().filter(|_| recipe.tool == "cmake");
        let name = format!(
            "recipes::{}{}",
            recipe.tool,
            generator.map_or(String::new(), |g| format!("::{g}"))
        );
        Trial::ignorable_test(name, move || with_tool(recipe.tool, || run(recipe)))
    };
    const { &RECIPES }.iter().map(trial).collect()
}

/// The text of the file called `name` in the page.
fn in_the_page(name: &str) -> Result<String> {
    let page = fs::read_to_string(root().join("docs/build-systems.md"))?;
    let marker = format!("<!-- file: {name} -->\n```");
    let (_, rest) = page.split_once(&marker).with_context(|| format!("no {name} in the page"))?;
    let (_, rest) = rest.split_once('\n').context("a block")?;
    let (block, _) = rest.split_once("```").context("the end of the block")?;
    Ok(block.to_owned())
}

fn run(recipe: &Recipe) -> Result<()> {
    let generator = recipe.configure.last().unwrap_or(&"").replace(' ', "-");
    let scratch = Scratch::new(&format!("recipe-{}-{generator}", recipe.tool));
    let module = r#"(module $plugin (func (export "two") (result i32) (i32.const 2)))"#;
    let source = scratch.write("plugin.wat", module);
    scratch.write(recipe.file, in_the_page(recipe.file)?);
    // A command `aotc` that counts how often it is called.
    let bin = scratch.path("bin");
    fs::create_dir(&bin)?;
    let log = scratch.write("log", "");
    let script = bin.join("aotc");
    let real = child::aotc();
    let (variable, value) = real.get_envs().next().context("how the command is started")?;
    let text = format!(
        "#!/bin/sh\necho called >> '{}'\n{}='{}' exec '{}' \"$@\"\n",
        log.display(),
        variable.display(),
        value.context("a value")?.display(),
        real.get_program().display()
    );
    fs::write(&script, text)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    let path = format!("{}:{}", bin.display(), std::env::var("PATH")?);
    let command = |words: &[&str]| -> Result<()> {
        let Some((tool, arguments)) = words.split_first() else { return Ok(()) };
        let mut command = Command::new(tool);
        command.args(arguments).current_dir(scratch.root()).env("PATH", &path);
        // What this test was started with is not for what it starts.
        for variable in ["MAKEFLAGS", "MFLAGS", "MAKELEVEL"] {
            command.env_remove(variable);
        }
        Ended::new(command.output()?).with_code(0).with_context(|| words.join(" ")).map(drop)
    };
    let calls = || -> Result<usize> { Ok(fs::read_to_string(&log)?.lines().count()) };
    command(recipe.configure)?;
    command(recipe.build)?;
    let first = calls()?;
    ensure!(first > 0, "nothing was compiled");
    let contents = || -> Result<Vec<Vec<u8>>> {
        recipe.outputs.iter().map(|name| Ok(fs::read(scratch.path(name))?)).collect()
    };
    let before = contents()?;
    ensure!(before[0].starts_with(b"\x7fELF"));
    command(recipe.build)?;
    ensure!(calls()? == first, "compiled again without need");
    fs::write(&source, module.replace("const 2", "const 3"))?;
    let later = SystemTime::now() + Duration::from_secs(2);
    fs::File::open(&source)?.set_modified(later)?;
    command(recipe.build)?;
    ensure!(calls()? == 2 * first, "{} calls, not {}", calls()?, 2 * first);
    let after = contents()?;
    ensure!(before.iter().zip(&after).all(|(before, after)| before != after), "it is the old one");
    Ok(())
}
