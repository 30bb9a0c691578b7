//! Incremental compilation: whatever is in the folder, the bytes are those of a full compilation.

use std::fmt::Write as _;
use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Barrier;

use anyhow::{Context, Result, ensure};
use aotc::{Compiled, Emit, Options, Reuse};
use libtest_mimic::{Completion, Failed, Trial};

use crate::child::{self, Scratch};
use crate::command::{Ended, aotc, text};
use crate::support::{in_ci, root};

type Test = (&'static str, fn() -> Result<()>);

pub(crate) fn trials() -> Vec<Trial> {
    let tests: [Test; 9] = [
        ("unchanged", unchanged),
        ("a_changed_function_is_compiled_alone", a_changed_function_is_compiled_alone),
        ("edits", edits),
        ("options_do_not_mix", options_do_not_mix),
        ("damage", damage),
        ("folders_that_cannot_be_used", folders_that_cannot_be_used),
        ("two_at_a_time", two_at_a_time),
        ("old_files_are_removed", old_files_are_removed),
        ("build_step", build_step),
    ];
    let trial = |(name, test): Test| {
        Trial::test(format!("incremental::{name}"), move || {
            test().map_err(|error| Failed::from(format!("{error:#}")))
        })
    };
    let mut trials: Vec<Trial> = tests.into_iter().map(trial).collect();
    trials.push(Trial::ignorable_test("incremental::program", || {
        match fs::read(root().join("target/programs/wasm/lua.wasm")) {
            Ok(wasm) => program(&wasm)
                .map(|()| Completion::Completed)
                .map_err(|error| Failed::from(format!("{error:#}"))),
            Err(_) if !in_ci() => {
                Ok(Completion::ignored_with("the fixture programs are not built"))
            }
            Err(_) => Err("the fixture programs are not built".into()),
        }
    }));
    trials
}

const EMITS: [Emit; 2] = [Emit::Image, Emit::Object];

fn compile(source: &[u8], options: &Options, folder: Option<&Path>) -> Result<Compiled> {
    let options = Options { incremental: folder.map(Path::to_owned), ..options.clone() };
    Ok(aotc::compile_all(source, &EMITS, &options)?)
}

/// Compiles with the folder and without, and compares; what was reused.
fn compared(source: &[u8], options: &Options, folder: &Path) -> Result<Reuse> {
    let expected = compile(source, options, None)?;
    let found = compile(source, options, Some(folder))?;
    ensure!(expected.reuse.is_none());
    ensure!(expected.artifacts == found.artifacts, "the artifacts differ: {:?}", found.reuse);
    found.reuse.context("a folder was given")
}

/// Functions of a module that is edited.
#[derive(Clone)]
struct Source {
    functions: Vec<u32>,
    imports: u32,
    globals: u32,
}

impl Source {
    fn new() -> Self {
        Self { functions: (0..40).collect(), imports: 1, globals: 1 }
    }

    /// The module: function bodies depend on their numbers, some call others or use a global.
    fn text(&self) -> Vec<u8> {
        let mut text = String::from("(module $edited\n");
        for import in 0..self.imports {
            let _ =
                writeln!(text, "(import \"env\" \"f{import}\" (func (param i32) (result i32)))");
        }
        text.push_str("(memory (export \"memory\") 1)\n");
        for global in 0..self.globals {
            let _ = writeln!(text, "(global $g{global} (mut i32) (i32.const {global}))");
        }
        let count = self.functions.len() as u32;
        for (index, number) in self.functions.iter().enumerate() {
            let callee = number % count + self.imports;
            let global = number % self.globals;
            let _ = writeln!(
                text,
                "(func (export \"e{index}\") (param i32) (result i32)
                   (global.set $g{global} (i32.add (local.get 0) (i32.const {number})))
                   (if (i32.lt_u (local.get 0) (i32.const {number}))
                     (then (return (call {callee} (i32.div_u (global.get $g{global}) (local.get 0))))))
                   (i32.store offset={number} (local.get 0) (i32.mul (local.get 0) (i32.const 3)))
                   (i32.load offset={number} (i32.const 8)))"
            );
        }
        text.push(')');
        text.into_bytes()
    }
}

fn unchanged() -> Result<()> {
    let scratch = Scratch::new("incremental-unchanged");
    let folder = scratch.path("made/for/it");
    let source = Source::new().text();
    let first = compared(&source, &Options::default(), &folder)?;
    ensure!(first.reused == 0 && first.compiled > 40 && first.problem.is_none(), "{first:?}");
    for threads in [1, 3] {
        let options = Options { threads: NonZero::new(threads), ..Options::default() };
        let second = compared(&source, &options, &folder)?;
        ensure!(second.compiled == 0 && second.reused == first.compiled, "{second:?}");
    }
    ensure!(fs::read_dir(&folder)?.count() == 1, "nothing is left beside the file");
    Ok(())
}

fn a_changed_function_is_compiled_alone() -> Result<()> {
    let scratch = Scratch::new("incremental-changed");
    let mut source = Source::new();
    compared(&source.text(), &Options::default(), scratch.root())?;
    // Longer constants move everything behind it.
    source.functions[5] = 40_000_005;
    let reuse = compared(&source.text(), &Options::default(), scratch.root())?;
    ensure!(reuse.compiled == 1, "{reuse:?}");
    // Another import changes every function's number, and no function that uses no import.
    source.imports += 1;
    let reuse = compared(&source.text(), &Options::default(), scratch.root())?;
    ensure!(reuse.reused > 0, "{reuse:?}");
    // A folder keeps what the last compilation needed.
    source.functions[5] = 5;
    source.imports -= 1;
    let reuse = compared(&source.text(), &Options::default(), scratch.root())?;
    ensure!(reuse.compiled > 0, "{reuse:?}");
    Ok(())
}

/// Random edits in a row, with the same folder.
fn edits() -> Result<()> {
    let scratch = Scratch::new("incremental-edits");
    for seed in 1..=3 {
        let mut random = Random(seed);
        let mut source = Source::new();
        for step in 0..25 {
            let at = random.below(source.functions.len() as u64) as usize;
            match random.below(9) {
                0 => source.functions.insert(at, random.below(1 << 20) as u32),
                1 if source.functions.len() > 2 => drop(source.functions.remove(at)),
                2 => source.imports = 1 + random.below(3) as u32,
                3 => source.globals = 1 + random.below(12) as u32,
                4 => source.functions.swap(0, at),
                _ => source.functions[at] = random.below(1 << 28) as u32,
            }
            let explicit = random.below(4) == 0;
            let options = match explicit {
                true => aotc::cli::parse_options("--traps explicit --fuel")?,
                false => Options::default(),
            };
            let reuse = compared(&source.text(), &options, scratch.root())
                .with_context(|| format!("seed {seed}, step {step}"))?;
            ensure!(reuse.problem.is_none(), "seed {seed}, step {step}: {reuse:?}");
        }
    }
    Ok(())
}

/// A generator of numbers: splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % limit
    }
}

fn options_do_not_mix() -> Result<()> {
    let scratch = Scratch::new("incremental-options");
    let source = Source::new().text();
    let options = [
        "",
        "-O 0",
        "-O s",
        "--cpu x86-64-v2",
        "--traps explicit",
        "--bounds explicit",
        "--fuel",
        "--epochs",
        "--no-address-map",
        "--keep-exports e1",
    ];
    for _ in 0..2 {
        for words in options {
            compared(&source, &aotc::cli::parse_options(words)?, scratch.root()).context(words)?;
        }
    }
    Ok(())
}

/// The file in a folder.
fn only_file(folder: &Path) -> Result<PathBuf> {
    let files: Vec<_> = fs::read_dir(folder)?.collect::<std::io::Result<_>>()?;
    ensure!(files.len() == 1, "{files:?}");
    Ok(files[0].path())
}

fn damage() -> Result<()> {
    let scratch = Scratch::new("incremental-damage");
    let source = Source::new().text();
    let options = Options::default();
    let all = compared(&source, &options, scratch.root())?.compiled;
    let path = only_file(scratch.root())?;
    let whole = fs::read(&path)?;
    let mut random = Random(7);
    for round in 0..60 {
        let mut bytes = whole.clone();
        match round % 3 {
            0 => bytes.truncate(random.below(whole.len() as u64) as usize),
            1 => {
                let at = random.below(whole.len() as u64) as usize;
                bytes[at] ^= 1 << random.below(8);
            }
            _ => {
                let at = random.below(whole.len() as u64) as usize;
                bytes[at..].fill(0);
            }
        }
        fs::write(&path, &bytes)?;
        let reuse =
            compared(&source, &options, scratch.root()).context(format!("round {round}"))?;
        ensure!(reuse.compiled > 0 && reuse.problem.is_none(), "round {round}: {reuse:?}");
        // It is whole again.
        ensure!(fs::read(&path)? == whole, "round {round}");
    }
    // A file of other settings, under this name: another version's, say.
    let mut other = whole.clone();
    other[8..40].fill(0x5a);
    fs::write(&path, &other)?;
    let reuse = compared(&source, &options, scratch.root())?;
    ensure!(reuse.compiled == all, "{reuse:?}");
    Ok(())
}

fn folders_that_cannot_be_used() -> Result<()> {
    let scratch = Scratch::new("incremental-folders");
    let input = scratch.write("edited.wat", Source::new().text());
    let expected = compile(&Source::new().text(), &Options::default(), None)?.artifacts.remove(0);
    let expected_name = "edited";
    let output = scratch.path("edited.aot");
    let locked = scratch.path("locked");
    fs::create_dir(&locked)?;
    fs::set_permissions(&locked, std::os::unix::fs::PermissionsExt::from_mode(0o555))?;
    let file = scratch.write("file", "not a folder");
    let cases = [
        (locked.clone(), "Permission denied"),
        (locked.join("within"), "Permission denied"),
        (file, "File exists"),
    ];
    for (folder, reason) in cases {
        let mut command = child::aotc_unprivileged();
        command.args(["compile", text(&input), "-o", text(&output), "--name", expected_name]);
        let ended = Ended::new(command.arg("--incremental").arg(&folder).output()?);
        ended.with_code(0).with_context(|| folder.display().to_string())?;
        let told = ended.stderr.starts_with("warning: --incremental: ");
        ensure!(told && ended.stderr.contains(reason), "{ended:?}");
        ensure!(fs::read(&output)? == expected, "{}", folder.display());
        fs::remove_file(&output)?;
    }
    // A folder that is filled and then locked is read.
    let filled = scratch.path("filled");
    let compile = |command: &mut std::process::Command| -> Result<Ended> {
        command.args(["compile", text(&input), "-o", text(&output), "--message-format=json"]);
        Ok(Ended::new(command.arg("--incremental").arg(&filled).output()?))
    };
    compile(&mut child::aotc())?.with_code(0)?;
    fs::set_permissions(&filled, std::os::unix::fs::PermissionsExt::from_mode(0o555))?;
    let ended = compile(&mut child::aotc_unprivileged())?;
    ended.with_code(0)?;
    ensure!(
        ended.stderr.contains("\"compiled\":0") && !ended.stderr.contains("warning"),
        "{ended:?}"
    );
    // One that vanishes is made again.
    fs::remove_dir_all(&filled)?;
    compile(&mut child::aotc())?.with_code(0)?;
    only_file(&filled).map(drop)
}

fn two_at_a_time() -> Result<()> {
    let scratch = Scratch::new("incremental-two");
    let source = scratch.write("edited.wat", Source::new().text());
    let expected = scratch.path("expected.aot");
    aotc(["compile", text(&source), "-o", text(&expected)]).with_code(0)?;
    let expected = fs::read(expected)?;
    let folder = scratch.path("folder");
    let barrier = Barrier::new(4);
    std::thread::scope(|scope| -> Result<()> {
        let run = |number: u32| -> Result<()> {
            let output = scratch.path(&format!("{number}.aot"));
            for _ in 0..4 {
                barrier.wait();
                let compile = ["compile", text(&source), "-o", text(&output)];
                let ended = aotc(compile.iter().chain(&["--incremental", text(&folder)]));
                ended.with_code(0)?;
                ensure!(ended.stderr.is_empty(), "{ended:?}");
                ensure!(fs::read(&output)? == expected);
            }
            Ok(())
        };
        let threads: Vec<_> = (0..4).map(|number| scope.spawn(move || run(number))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
    })?;
    only_file(&folder).map(drop)
}

fn old_files_are_removed() -> Result<()> {
    let scratch = Scratch::new("incremental-old");
    let module = b"(module)";
    for number in 0..70 {
        let options = Options { name: Some(format!("module{number}")), ..Options::default() };
        compile(module, &options, Some(scratch.root()))?;
    }
    let found = fs::read_dir(scratch.root())?.count();
    ensure!(found == 64, "{found} files");
    Ok(())
}

/// A real program, of which one function changes.
fn program(wasm: &[u8]) -> Result<()> {
    let scratch = Scratch::new("incremental-program");
    let options = Options::default();
    let first = compared(wasm, &options, scratch.root())?;
    let second = compared(wasm, &options, scratch.root())?;
    ensure!(first.reused == 0 && second.compiled == 0, "{first:?}, {second:?}");
    let changed = with_a_changed_constant(wasm).context("no constant is found")?;
    let third = compared(&changed, &options, scratch.root())?;
    ensure!(third.compiled == 1 && third.reused == second.reused - 1, "{third:?}");
    Ok(())
}

/// The module with another number in the first function that has an `i32.const` of one byte.
pub(crate) fn with_a_changed_constant(wasm: &[u8]) -> Option<Vec<u8>> {
    for payload in wasmparser::Parser::new(0).parse_all(wasm) {
        let wasmparser::Payload::CodeSectionEntry(body) = payload.ok()? else { continue };
        for operator in body.get_operators_reader().ok()?.into_iter_with_offsets() {
            let (operator, at) = operator.ok()?;
            if let wasmparser::Operator::I32Const { value: 16..48 } = operator {
                let mut changed = wasm.to_owned();
                changed[at as usize + 1] += 1;
                return Some(changed);
            }
        }
    }
    None
}

/// The build step of packages.
fn build_step() -> Result<()> {
    let scratch = Scratch::new("incremental-build-step");
    let module =
        scratch.write("module.wat", "(module (func (export \"a\")) (func (export \"b\")))");
    let build = |folder: Option<&str>| -> Result<(Reuse, Vec<u8>)> {
        let mut build = aotc::Build::new(&module);
        build
            .prefix("")
            .emit_bindings(false)
            .out_dir(scratch.root())
            .target(Options::default().target);
        if let Some(folder) = folder {
            build.incremental(scratch.path(folder));
        }
        let built = build.try_compile()?;
        Ok((built.reuse.unwrap_or_default(), fs::read(built.object)?))
    };
    let (none, expected) = build(None)?;
    ensure!(none == Reuse::default(), "{none:?}");
    let (first, object) = build(Some("compiled"))?;
    ensure!(first.reused == 0 && first.compiled > 2 && object == expected, "{first:?}");
    let (second, object) = build(Some("compiled"))?;
    ensure!(second.compiled == 0 && second.reused == first.compiled, "{second:?}");
    ensure!(object == expected, "the same bytes");
    scratch
        .write("module.wat", "(module (func (export \"a\")) (func (export \"b\") (unreachable)))");
    let (changed, object) = build(Some("compiled"))?;
    ensure!(changed.compiled == 1 && object != expected, "{changed:?}");
    // A folder that is none is no error.
    let (problem, again) = build(Some("module.wat"))?;
    ensure!(problem.problem.is_some() && again == object, "{problem:?}");
    Ok(())
}
