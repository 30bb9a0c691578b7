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
    let bazel = Trial::ignorable_test("recipes::bazel", || with_tool("bazel", bazel));
    const { &RECIPES }.iter().map(trial).chain([bazel]).collect()
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

/// Bazel runs commands where they can write nothing but outputs, and says itself how many it ran.
fn bazel() -> Result<()> {
    let scratch = Scratch::new("recipe-bazel");
    let module = r#"(module $plugin (func (export "two") (result i32) (i32.const 2)))"#;
    scratch.write("plugin.wat", module);
    scratch.write("WORKSPACE", "");
    fs::create_dir(scratch.path("tools"))?;
    for file in ["BUILD", "aotc.bzl", "tools/BUILD"] {
        scratch.write(file, in_the_page(file)?);
    }
    let real = child::aotc();
    let (variable, value) = real.get_envs().next().context("how the command is started")?;
    let value = value.context("a value")?;
    let (variable, value) = (variable.display(), value.display());
    let program = real.get_program().display();
    let script = scratch
        .write("tools/aotc", format!("#!/bin/sh\n{variable}='{value}' exec '{program}' \"$@\"\n"));
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    // How many commands were run in a sandbox, or else without one.
    let build = || -> Result<usize> {
        let mut command = Command::new("bazel");
        command.arg(format!("--output_user_root={}", scratch.path("out").display()));
        command.args(["--batch", "build", "--color=no", "--curses=no", "//:plugin", "//:small"]);
        let ended = Ended::new(command.current_dir(scratch.root()).output()?);
        ended.with_code(0)?;
        let line = ended.stderr.lines().find(|line| line.contains(" internal"));
        let line = line.with_context(|| format!("no summary: {}", ended.stderr))?;
        let parts = line.split([':', ',']).map(|part| part.trim().trim_end_matches('.'));
        let counts = parts.filter(|part| part.ends_with("-sandbox") || part.ends_with(" local"));
        Ok(counts.filter_map(|part| part.split(' ').next()?.parse::<usize>().ok()).sum())
    };
    let outputs = || -> Result<Vec<Vec<u8>>> {
        let names = ["plugin.aot", "libplugin.a", "libsmall.a"];
        let paths = names.map(|name| scratch.path("bazel-bin").join(name));
        paths.iter().map(|path| Ok(fs::read(path)?)).collect()
    };
    ensure!(build()? == 2, "each rule compiles once");
    let before = outputs()?;
    ensure!(before[0].starts_with(b"\x7fELF"));
    ensure!(build()? == 0, "compiled again without need");
    scratch.write("plugin.wat", module.replace("const 2", "const 3"));
    ensure!(build()? == 2, "each rule compiles again");
    let after = outputs()?;
    ensure!(before.iter().zip(&after).all(|(before, after)| before != after), "it is the old one");
    Ok(())
}
