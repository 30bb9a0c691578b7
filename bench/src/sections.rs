//! The rows of the table.

use std::num::NonZero;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::engines::{Contender, Use, Work, aotc};
use crate::measure::{Effort, medians};
use crate::programs::{Program, programs};
use crate::sizes::{Size, SizeTable, Sizes};
use crate::table::{Row, Unit};
use crate::{Bench, modules, strip, wasm2c};

/// The modules of whose files the size is shown: nothing, hardly more than a C library, and two large ones.
const SIZED: [&str; 4] = ["empty", "fib", "lua", "sqlite"];

/// Measures everything.
pub(crate) fn run(bench: &mut Bench<'_>) -> Result<()> {
    let programs = programs(&bench.artifacts)?;
    let sqlite = programs.iter().find(|program| program.run.name == "sqlite");
    let sqlite = sqlite.context("the program `sqlite` is needed")?;
    let sqlite_wasm = std::fs::read(&sqlite.wasm)?;
    load(bench, &sqlite_wasm)?;
    instantiate(bench)?;
    call(bench)?;
    for program in &programs {
        speed(bench, program)?;
    }
    compile(bench, &sqlite_wasm)?;
    let empty = bench.artifacts.join("empty.wasm");
    std::fs::write(&empty, wat::parse_str(modules::EMPTY)?)?;
    let programs = programs.iter().map(|program| (&*program.run.name, &*program.wasm));
    let modules: Vec<_> = std::iter::once(("empty", &*empty)).chain(programs).collect();
    for (name, wasm) in modules.iter().filter(|(name, _)| SIZED.contains(name)) {
        file_size(bench, name, wasm)?;
    }
    let mut table = SizeTable::new();
    for (name, wasm) in modules {
        size(bench, &mut table, name, wasm)?;
    }
    Ok(())
}

fn load(bench: &mut Bench<'_>, sqlite: &[u8]) -> Result<()> {
    for (label, wasm) in
        [("load: 5 functions", &*wat::parse_str(modules::CALLS)?), ("load: SQLite", sqlite)]
    {
        if !bench.table.wants(label) {
            continue;
        }
        let artifacts = Artifacts::new(bench, label, wasm)?;
        bench.time(label, Effort::SHORT, bench.wasmtime, |side| {
            Ok(side.load(artifacts.path(side)))
        })?;
    }
    Ok(())
}

fn instantiate(bench: &mut Bench<'_>) -> Result<()> {
    for (name, module, used) in [
        ("empty", modules::EMPTY.to_owned(), &[Use::None][..]),
        ("1 page of memory", modules::SMALL_MEMORY.to_owned(), &[Use::None, Use::Touch]),
        ("1 MiB of data", modules::large_memory(), &[Use::None, Use::Touch]),
        ("10,000 table entries", modules::large_table(""), &[Use::None, Use::Touch]),
        (
            "10,000 exported table entries",
            modules::large_table(r#"(export "table")"#),
            &[Use::None, Use::Touch],
        ),
    ] {
        let artifacts = Artifacts::new(bench, name, &wat::parse_str(module)?)?;
        for used in used {
            let verb = match used {
                Use::None => "instantiate",
                Use::Touch => "instantiate and use",
            };
            for (other, with) in [(bench.wasmtime, ""), (bench.pooled, ", Wasmtime pooled")] {
                let label = format!("{verb}: {name}{with}");
                bench.time(&label, Effort::SHORT, other, |side| {
                    side.instantiate(artifacts.path(side), *used, ONE)
                })?;
            }
        }
    }
    let name = "1 page of memory";
    let artifacts = Artifacts::new(bench, name, &wat::parse_str(modules::SMALL_MEMORY)?)?;
    for (used, verb) in [(Use::None, "instantiate"), (Use::Touch, "instantiate and use")] {
        for (other, with) in [(bench.wasmtime, ""), (bench.pooled, ", both pooled")] {
            for threads in [1, 2] {
                let ours = if with.is_empty() { bench.aotc } else { bench.aotc_pooled };
                let label = format!("{verb}: {name}{with}, {threads} at once");
                let threads = NonZero::new(threads).expect("not 0");
                bench.time_with(&label, Effort::SHORT, [ours, other], |side| {
                    side.instantiate(artifacts.path(side), used, threads)
                })?;
            }
        }
    }
    Ok(())
}

/// One thread.
const ONE: NonZero<usize> = NonZero::<usize>::MIN;

fn call<'a>(bench: &mut Bench<'a>) -> Result<()> {
    let artifacts = Artifacts::new(bench, "calls", &wat::parse_str(modules::CALLS)?)?;
    let other = bench.wasmtime;
    bench.time("call: host to wasm, typed", Effort::SHORT, other, |side| {
        side.typed_call(artifacts.path(side))
    })?;
    bench.time("call: host to wasm, untyped", Effort::SHORT, other, |side| {
        side.untyped_call(artifacts.path(side))
    })?;
    bench.time("call: host to wasm, asynchronous", Effort::SHORT, other, |side| {
        side.async_call(artifacts.path(side))
    })?;
    for (label, export) in [
        ("call: wasm to host", "host_calls"),
        ("call: wasm to host, with `Caller`", "host_calls_with_caller"),
    ] {
        if !bench.table.wants(label) {
            continue;
        }
        // The loop around the call does not count.
        let work =
            |side: &'a dyn Contender, export| side.counted_call(artifacts.path(side), export);
        let sides = [
            work(bench.aotc, export)?,
            work(bench.aotc, "loop")?,
            work(other, export)?,
            work(other, "loop")?,
        ];
        let [our_calls, our_loop, their_calls, their_loop] = medians(Effort::SHORT, sides)?;
        let (aotc, wasmtime) = (our_calls - our_loop, their_calls - their_loop);
        bench.table.print(label, &Row { unit: Unit::Seconds, aotc, wasmtime, native: None });
    }
    bench.time("trap and its backtrace", Effort::SHORT, other, |side| {
        side.trap(artifacts.path(side))
    })
}

fn speed(bench: &mut Bench<'_>, program: &Program) -> Result<()> {
    let label = format!("run: {}", program.run.name);
    if !bench.table.wants(&label) {
        return Ok(());
    }
    let artifacts = Artifacts::new(bench, &program.run.name, &std::fs::read(&program.wasm)?)?;
    let (expected, _) = program.run_native(&bench.artifacts)?;
    for side in [bench.aotc, bench.wasmtime] {
        let output = side
            .program_output(artifacts.path(side), &program.run)
            .with_context(|| format!("{label}, {}", side.name()))?;
        ensure!(output == expected, "{label}: {} and native differ", side.name());
    }
    let sides = [
        bench.aotc.program(artifacts.path(bench.aotc), &program.run)?,
        bench.wasmtime.program(artifacts.path(bench.wasmtime), &program.run)?,
        Box::new(|times| {
            for _ in 0..times {
                program.run_native(&bench.artifacts)?;
            }
            Ok(())
        }),
    ];
    let [aotc, wasmtime, native] = medians(Effort::LONG, sides)?;
    let row = Row { unit: Unit::Seconds, aotc, wasmtime, native: Some(native) };
    bench.table.print(&label, &row);
    Ok(())
}

fn compile(bench: &mut Bench<'_>, sqlite: &[u8]) -> Result<()> {
    for (label, threads) in
        [("compile: SQLite, 1 thread", NonZero::new(1)), ("compile: SQLite, all threads", None)]
    {
        bench.time(label, Effort::LONG, bench.wasmtime, |side| {
            Ok(Box::new(move |times| {
                for _ in 0..times {
                    side.compile(sqlite, threads)?;
                }
                Ok(())
            }))
        })?;
    }
    Ok(())
}

fn file_size(bench: &mut Bench<'_>, name: &str, wasm: &Path) -> Result<()> {
    let label = format!("size: {name}");
    if !bench.table.wants(&label) {
        return Ok(());
    }
    let wasm = std::fs::read(wasm)?;
    let bytes = |side: &dyn Contender| anyhow::Ok(side.compile(&wasm, None)?.len() as f64);
    let (aotc, wasmtime) = (bytes(bench.aotc)?, bytes(bench.wasmtime)?);
    bench.table.print(&label, &Row { unit: Unit::Bytes, aotc, wasmtime, native: None });
    Ok(())
}

fn size(bench: &Bench<'_>, table: &mut SizeTable, name: &str, wasm: &Path) -> Result<()> {
    let label = format!("size: {name}");
    if !bench.table.wants(&label) {
        return Ok(());
    }
    let bytes = std::fs::read(wasm)?;
    let image = bench.aotc.compile(&bytes, None)?;
    let sizes = Sizes {
        aotc: Size::of_image(&image)?,
        stripped: strip::size(&bench.artifacts, name, &image, bench.aotc)?,
        wasmtime: Size::of_wasmtime(&bench.wasmtime.compile(&bytes, None)?)?,
        wasm2c: wasm2c::size(&bench.artifacts, name, wasm)?,
    };
    table.print(name, sizes);
    Ok(())
}

impl<'a> Bench<'a> {
    /// Measures a row, if it is wanted: the same work of aotc and of `other`.
    fn time<'w>(
        &mut self,
        label: &str,
        effort: Effort,
        other: &'a dyn Contender,
        work: impl Fn(&'a dyn Contender) -> Result<Work<'w>>,
    ) -> Result<()> {
        self.time_with(label, effort, [self.aotc, other], work)
    }

    /// Measures a row, if it is wanted: the same work of two sides, aotc's first.
    fn time_with<'w>(
        &mut self,
        label: &str,
        effort: Effort,
        sides: [&'a dyn Contender; 2],
        work: impl Fn(&'a dyn Contender) -> Result<Work<'w>>,
    ) -> Result<()> {
        if !self.table.wants(label) {
            return Ok(());
        }
        let [ours, theirs] = sides;
        let sides = [work(ours)?, work(theirs)?];
        let [aotc, wasmtime] = medians(effort, sides).with_context(|| label.to_owned())?;
        self.table.print(label, &Row { unit: Unit::Seconds, aotc, wasmtime, native: None });
        Ok(())
    }
}

/// The files of a module that both sides have compiled.
struct Artifacts {
    aotc: PathBuf,
    wasmtime: PathBuf,
}

impl Artifacts {
    /// Compiles `wasm`. No two that are used at the same time have the same `name`.
    fn new(bench: &Bench<'_>, name: &str, wasm: &[u8]) -> Result<Self> {
        let base = bench.artifacts.join(name.replace([' ', ':', ','], "_"));
        let compile = |side: &dyn Contender| {
            let path = base.with_extension(side.name());
            std::fs::write(&path, side.compile(wasm, None)?)
                .with_context(|| format!("failed to write `{}`", path.display()))?;
            anyhow::Ok(path)
        };
        Ok(Self { aotc: compile(bench.aotc)?, wasmtime: compile(bench.wasmtime)? })
    }

    fn path(&self, side: &dyn Contender) -> &Path {
        if side.name() == aotc::NAME { &self.aotc } else { &self.wasmtime }
    }
}
