//! Input that is not what it should be: an error with a place, never a panic, never a crash.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use aotc::{Emit, Error};
use aotc_abi::meta::{
    self, DataSegment, ElemSegment, FunctionImport, Header, MAGIC, ModuleData, Record, Section,
};
use aotc_abi::target::TrapStyle;
use aotc_loader::{
    Engine, Extern, ExternType, Func, Global, Instance, LoadError, Memory, Module, Ref, Store,
    Table, Val,
};
use libtest_mimic::{Failed, Trial};

use crate::child::{self, Scratch};
use crate::{guest, support};

pub(crate) const TASKS: [(&str, fn()); 1] = [("malformed::flips", flips)];

type Test = (&'static str, fn() -> Result<()>);

pub(crate) fn trials() -> Vec<Trial> {
    let tests: [Test; 9] = [
        ("truncated_wasm", truncated_wasm),
        ("flipped_wasm", flipped_wasm),
        ("garbage", garbage),
        ("truncated_text", truncated_text),
        ("truncated_images", truncated_images),
        ("flipped_images", flipped_images),
        ("patched_images", patched_images),
        ("other_files", other_files),
        ("instance_image_is_not_looked_at", instance_image_is_not_looked_at),
    ];
    let mut trials: Vec<Trial> = tests
        .into_iter()
        .map(|(name, test)| {
            Trial::test(format!("malformed::{name}"), move || {
                test().map_err(|error| Failed::from(format!("{error:#}")))
            })
        })
        .collect();
    for path in error_fixtures() {
        let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8").to_owned();
        trials.push(Trial::test(format!("malformed::errors::{name}"), move || {
            golden(&path, &name).map_err(|error| Failed::from(format!("{error:#}")))
        }));
    }
    trials
}

// Messages.

/// What the expectation's lines begin with.
const EXPECTED: &str = ";;|";

fn error_fixtures() -> Vec<PathBuf> {
    let entries = fs::read_dir(support::root().join("fixtures/errors")).expect("the fixtures");
    let paths: BTreeSet<PathBuf> =
        entries.map(|entry| entry.expect("a directory entry").path()).collect();
    paths.into_iter().filter(|path| path.extension().is_some_and(|end| end == "wat")).collect()
}

/// The message is that in the file's last lines; `BLESS=1` writes it there.
fn golden(path: &Path, name: &str) -> Result<()> {
    let file = fs::read_to_string(path)?;
    let text_end = file.find(&format!("\n{EXPECTED}")).map_or(file.len(), |at| at + 1);
    let (text, expected) = file.split_at(text_end);
    let found =
        match aotc::compile(text.as_bytes(), Emit::Image, &guest::options(TrapStyle::Signals)) {
            Ok(_) => "no error".to_owned(),
            Err(Error::Text(error)) => error.in_file(name.as_ref()).to_string(),
            Err(error) => error.to_string(),
        };
    let line = |line: &str| format!("{EXPECTED} {line}").trim_end().to_owned() + "\n";
    let found: String = found.lines().map(line).collect();
    if std::env::var("BLESS").is_ok_and(|bless| bless == "1") {
        fs::write(path, format!("{text}{found}"))?;
        return Ok(());
    }
    ensure!(found == expected, "expected\n{expected}found\n{found}(BLESS=1 accepts it)");
    Ok(())
}

// Modules.

/// Small, with one of everything.
const SMALL: &str = r#"(module $small
  (import "env" "f" (func $f (param i32) (result i32)))
  (import "env" "g" (global $g i32))
  (import "env" "t" (table $t 4 funcref))
  (memory (export "memory") 1 2)
  (table $own (export "table") 3 3 funcref)
  (global $count (export "count") (mut i64) (i64.const 1))
  (global $wide (mut v128) (v128.const i64x2 1 2))
  (elem (table $own) (i32.const 0) func $f $run)
  (elem (table $t) (global.get $g) func $run)
  (elem $passive funcref (ref.func $run) (ref.null func))
  (data (i32.const 16) "abc")
  (data (global.get $g) "de")
  (data $later "fgh")
  (func $run (export "run") (param i32) (result i32)
    (memory.init $later (i32.const 0) (i32.const 0) (i32.const 3))
    (table.init $own $passive (i32.const 0) (i32.const 0) (i32.const 2))
    (global.set $wide (v128.not (global.get $wide)))
    (if (result i32) (i32.div_s (local.get 0) (i32.const 3))
      (then (call_indirect $own (param i32) (result i32) (local.get 0) (local.get 0)))
      (else (call $f (i32.load (local.get 0))))))
  (func $begin (global.set $count (i64.add (global.get $count) (i64.const 1))))
  (start $begin))"#;

/// Compiling ends in a module or an error with a place.
fn compiles_or_not(wasm: &[u8], what: impl Fn() -> String) -> Result<bool> {
    let compile = || aotc::compile(wasm, Emit::Image, &guest::options(TrapStyle::Signals));
    let result =
        catch_unwind(AssertUnwindSafe(compile)).map_err(|_| anyhow!("{}: panic", what()))?;
    match result {
        Ok(_) => Ok(true),
        Err(error @ Error::Internal { .. }) => Err(anyhow!("{}: {error}", what())),
        Err(error) => {
            let message = error.to_string();
            // Without the magic number it is text.
            let placed = message.contains("(at offset 0x") || message.contains("-->");
            ensure!(placed || matches!(error, Error::Limit(_)), "{}: {message}", what());
            Ok(false)
        }
    }
}

fn truncated_wasm() -> Result<()> {
    let wasm = guest::binary(SMALL)?;
    for length in 0..wasm.len() {
        compiles_or_not(&wasm[..length], || format!("{length} bytes"))?;
    }
    ensure!(compiles_or_not(&wasm, || "all".to_owned())?);
    Ok(())
}

fn flipped_wasm() -> Result<()> {
    let wasm = guest::binary(SMALL)?;
    for at in 0..wasm.len() {
        for pattern in [0x01, 0x40, 0x80, 0xff] {
            let mut damaged = wasm.clone();
            damaged[at] ^= pattern;
            compiles_or_not(&damaged, || format!("byte {at:#x} ^ {pattern:#x}"))?;
        }
    }
    Ok(())
}

fn garbage() -> Result<()> {
    let message = |input: &[u8]| {
        let options = aotc::Options::default();
        aotc::compile(input, Emit::Image, &options).expect_err("garbage").to_string()
    };
    let found = message(b"\xff\xfe\x00");
    let expected = "invalid WebAssembly: neither the magic number of the binary format nor UTF-8 text (at offset 0x0)";
    ensure!(found == expected, "{found}");
    let found = message(b"");
    ensure!(found.contains("expected at least one module field"), "{found}");
    let found = message(b"\0asm\x0d\0\x01\0");
    ensure!(found.starts_with("invalid WebAssembly: ") && found.contains("offset 0x"), "{found}");
    Ok(())
}

fn truncated_text() -> Result<()> {
    for length in 0..SMALL.len() {
        let compile =
            || aotc::compile(&SMALL.as_bytes()[..length], Emit::Clif, &aotc::Options::default());
        let result = catch_unwind(compile).map_err(|_| anyhow!("{length} bytes: panic"))?;
        let message = result.err().ok_or_else(|| anyhow!("{length} bytes: accepted"))?.to_string();
        ensure!(message.contains("     --> <anon>:"), "{length} bytes: {message}");
    }
    Ok(())
}

// Images.

/// Where things are in an image.
struct Layout {
    /// The module data in the file.
    data: Range<usize>,
    /// The instance image in the file.
    instance: Range<usize>,
}

fn layout(image: &[u8]) -> Layout {
    let start = image.windows(8).position(|bytes| bytes == MAGIC).expect("module data");
    let fixed = Header::decode(&image[start..]).fixed;
    let instance = start + fixed.image_offset as usize;
    Layout {
        data: start..start + fixed.blob_bytes as usize,
        instance: instance..instance + fixed.image_bytes as usize,
    }
}

fn small_image() -> Vec<u8> {
    guest::image(SMALL, TrapStyle::Signals).expect("a valid module")
}

fn load_error(image: &[u8]) -> Result<String> {
    match Module::from_bytes(&Engine::default(), image) {
        Ok(_) => Err(anyhow!("accepted")),
        Err(error) => {
            ensure!(error.downcast_ref::<LoadError>().is_some(), "another error: {error:#}");
            Ok(format!("{error:#}"))
        }
    }
}

fn truncated_images() -> Result<()> {
    let image = small_image();
    let layout = layout(&image);
    let engine = Engine::default();
    for length in (0..image.len()).step_by(3) {
        match Module::from_bytes(&engine, &image[..length]) {
            // What is not loaded may be cut off.
            Ok(_) => ensure!(length >= layout.data.end, "{length} bytes: accepted"),
            Err(error) => ensure!(error.downcast_ref::<LoadError>().is_some(), "{error:#}"),
        }
    }
    Ok(())
}

const PATTERNS: [u8; 4] = [0x01, 0x40, 0x80, 0xff];
/// The environment variable with the case to begin with.
const FROM: &str = "AOTC_TEST_FROM";

/// The places that are flipped: everything but the code and the instance image.
fn flip_places(image: &[u8]) -> Vec<usize> {
    let Layout { data, instance } = layout(image);
    (0..data.end).filter(|at| !instance.contains(at)).collect()
}

/// Every case in a child; after a crash the next child goes on behind it.
fn flipped_images() -> Result<()> {
    let image = small_image();
    let places = flip_places(&image);
    let data = layout(&image).data;
    let mut crashes = Vec::new();
    let mut from = 0;
    loop {
        let mut task = child::task("malformed::flips");
        let output = child::with_input(task.env(FROM, from.to_string()), b"");
        let last = output.stdout.rsplit(|&byte| byte == b'\n').nth(1).unwrap_or_default();
        let last = String::from_utf8_lossy(last);
        if output.status.success() && last == "done" {
            break;
        }
        let case: usize = last.parse().with_context(|| format!("{output:?}"))?;
        let (at, pattern) = (places[case / PATTERNS.len()], PATTERNS[case % PATTERNS.len()]);
        let in_data = at.checked_sub(data.start);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        crashes.push(format!(
            "byte {at:#x} (module data {in_data:x?}) ^ {pattern:#x}: {} {errors}",
            output.status
        ));
        from = case + 1;
    }
    ensure!(crashes.is_empty(), "{} crashes\n{}", crashes.len(), crashes.join("\n"));
    Ok(())
}

/// Loads and, if that is possible, instantiates every damaged image from a case on.
fn flips() {
    // More memory than a sane module has is refused, so that a large minimum is not an exhausted host.
    let limit = libc::rlimit { rlim_cur: 1 << 30, rlim_max: 1 << 30 };
    // SAFETY: a plain call.
    unsafe { libc::setrlimit(libc::RLIMIT_DATA, &limit) };
    let from: usize = std::env::var(FROM).expect("set").parse().expect("a number");
    let image = small_image();
    let places = flip_places(&image);
    let data = layout(&image).data;
    let offsets = context_offsets(&image);
    let mut out = std::io::stdout().lock();
    for case in from..places.len() * PATTERNS.len() {
        writeln!(out, "{case}").expect("a pipe");
        // SAFETY: a plain call; the signal ends the process if a case does not.
        unsafe { libc::alarm(20) };
        let at = places[case / PATTERNS.len()];
        let mut damaged = image.clone();
        damaged[at] ^= PATTERNS[case % PATTERNS.len()];
        match Module::from_bytes(&Engine::default(), &damaged) {
            Err(error) => assert!(error.downcast_ref::<LoadError>().is_some(), "{error:#}"),
            // What the program headers lead to is other code, and so is code whose records are elsewhere.
            Ok(_) if !data.contains(&at) || offsets.iter().any(|field| field.contains(&at)) => {}
            Ok(module) => instantiate(&module),
        }
    }
    writeln!(out, "done").expect("a pipe");
}

/// The fields that say where a record lies below the context. The code has the same numbers in its
/// instructions; that they are within the context is all that can be checked.
fn context_offsets(image: &[u8]) -> Vec<Range<usize>> {
    let start = layout(image).data.start;
    let data = ModuleData::parse_header(&image[start..]).expect("an image");
    let sections = data.header().sections;
    // Section, size of its records, offset of the field.
    let fields = [
        (Section::FunctionImports, FunctionImport::BYTES, 0),
        (Section::Tables, meta::Table::BYTES, 24),
        (Section::Tables, meta::Table::BYTES, 28),
        (Section::Memories, meta::Memory::BYTES, 20),
        (Section::Globals, meta::Global::BYTES, 8),
        (Section::DataSegments, DataSegment::BYTES, 8),
        (Section::ElemSegments, ElemSegment::BYTES, 12),
    ];
    let mut offsets = Vec::new();
    for (section, record, field) in fields {
        let place = sections[section as usize];
        for index in 0..place.count as usize {
            let at = start + place.offset as usize + index * record + field;
            offsets.push(at..at + 4);
        }
    }
    // In a packed table any byte may be one, or say how wide they are.
    let functions = start + sections[Section::Functions as usize].offset as usize;
    offsets.push(functions..functions + data.section_size_bytes(Section::Functions));
    offsets
}

/// Whether it works does not matter.
fn instantiate(module: &Module) {
    let mut store = Store::new(module.engine(), ());
    let imports: Result<Vec<Extern>> =
        module.imports().map(|import| dummy(&mut store, &import.ty())).collect();
    assert!(module.exports().all(|export| export.name().len() < 1 << 20));
    if let Ok(imports) = imports {
        let _ = Instance::new(&mut store, module, &imports);
    }
}

fn dummy(store: &mut Store<()>, ty: &ExternType) -> Result<Extern> {
    Ok(match ty {
        ExternType::Func(ty) => Func::new(store, ty.clone(), |_, _, _| Ok(())).into(),
        ExternType::Global(ty) => {
            let value = Val::default_for_ty(ty.content()).context("no default")?;
            Global::new(store, ty.clone(), value)?.into()
        }
        ExternType::Table(ty) => {
            Table::new(store, ty.clone(), Ref::null(ty.element().heap_type()))?.into()
        }
        ExternType::Memory(ty) => Memory::new(store, ty.clone())?.into(),
    })
}

/// Loading promises nothing about what the instances begin with, and reads none of it.
fn instance_image_is_not_looked_at() -> Result<()> {
    let image = small_image();
    let Layout { data, instance } = layout(&image);
    for range in [instance, data.end.next_multiple_of(4096)..image.len()] {
        for at in range.step_by(61) {
            for pattern in PATTERNS {
                let mut damaged = image.clone();
                damaged[at] ^= pattern;
                let result = Module::from_bytes(&Engine::default(), &damaged);
                let sound = result.as_ref().err().is_none_or(|error| error.is::<LoadError>());
                ensure!(sound, "byte {at:#x}: {:#}", result.expect_err("checked"));
            }
        }
    }
    Ok(())
}

/// One number in the file, and the message for it.
fn patched_images() -> Result<()> {
    // Behind the checksum, which these fields are looked at before.
    const FIXED: usize = Header::LEAD_BYTES + 8;
    const ELF_MACHINE: usize = 18;
    const ELF_TYPE: usize = 16;
    // Of the headers in `aotc/src/emit/elf_image.rs`, the writable segment's and the dynamic section's.
    const WRITABLE_ADDRESS: usize = 64 + 2 * 56 + 16;
    const DYNAMIC_ADDRESS: usize = 64 + 3 * 56 + 16;
    let image = small_image();
    let data = layout(&image).data.start;
    // A page further down is the end of the code.
    let writable = u64::from_le_bytes(image[WRITABLE_ADDRESS..][..8].try_into()?);
    let cases: [(usize, &[u8], &str); 14] = [
        (
            data + 8,
            &99u32.to_le_bytes(),
            "artifact has format version 99, this loader reads version 2; compile the module again with the aotc of this loader",
        ),
        (data + FIXED, &0x1234u64.to_le_bytes(), "artifact has layout hash 0x0000000000001234, "),
        (
            data + FIXED + 8,
            &u64::MAX.to_le_bytes(),
            "artifact is truncated: expected 18446744073709551615 bytes",
        ),
        (
            data + FIXED + 16,
            &(1u64 << 63).to_le_bytes(),
            "artifact needs processor features that are missing here: bit 63; compile the module without them (--cpu)",
        ),
        (
            data + FIXED + 56,
            &2u32.to_le_bytes(),
            "artifact was compiled for aarch64-linux, this program runs on x86_64-linux; compile the module with --target x86_64-linux",
        ),
        (
            data + FIXED + 56,
            &77u32.to_le_bytes(),
            "artifact was compiled for an unknown target, this program runs on x86_64-linux",
        ),
        (
            data + FIXED + 60,
            &3u32.to_le_bytes(),
            "artifact was compiled for x86_64-windows, this program runs on x86_64-linux",
        ),
        (
            ELF_MACHINE,
            &183u16.to_le_bytes(),
            "artifact was compiled for aarch64-linux, this program runs on x86_64-linux",
        ),
        (
            ELF_TYPE,
            &1u16.to_le_bytes(),
            "not an image that can be mapped: not a shared object; objects are linked into a program, images are made by `aotc compile --emit image`",
        ),
        (
            WRITABLE_ADDRESS,
            &(data as u64 + 8).to_le_bytes(),
            "not an image that can be mapped: segments overlap or are not in order",
        ),
        (
            WRITABLE_ADDRESS,
            &(writable - 0x1000).to_le_bytes(),
            "not an image that can be mapped: segments overlap or are not in order",
        ),
        (
            WRITABLE_ADDRESS,
            &u64::MAX.to_le_bytes(),
            "not an image that can be mapped: segments overlap or are not in order",
        ),
        (
            DYNAMIC_ADDRESS,
            &(data as u64).to_le_bytes(),
            "not an image that can be mapped: a segment is writable that is not the dynamic section",
        ),
        (data, b"x", "not an aotc artifact: no module data found"),
    ];
    for (at, bytes, expected) in cases {
        let mut patched = image.clone();
        patched[at..at + bytes.len()].copy_from_slice(bytes);
        let found = load_error(&patched).with_context(|| expected.to_owned())?;
        ensure!(found.starts_with(expected), "expected {expected}, found {found}");
    }
    Ok(())
}

fn other_files() -> Result<()> {
    let object = aotc::compile(SMALL.as_bytes(), Emit::Object, &aotc::Options::default())?;
    let found = load_error(&object)?;
    ensure!(found.contains("not a shared object; objects are linked into a program"), "{found}");
    ensure!(load_error(b"")? == "not an image that can be mapped: not an ELF file");
    ensure!(load_error(b"\0asm\x01\0\0\0")?.contains("WebAssembly that is not compiled yet"));
    let scratch = Scratch::new("other-files");
    let own = std::env::current_exe()?;
    let cases = [
        (scratch.write("empty.aot", b""), "not an image that can be mapped: the file is empty"),
        (scratch.root().to_owned(), "cannot open the file: is a directory"),
        (
            scratch.path("absent.aot"),
            "cannot open the file: No such file or directory (os error 2)",
        ),
        (
            scratch.write("text.aot", b"(module)"),
            "not an image that can be mapped: it is WebAssembly that is not compiled yet",
        ),
        (PathBuf::from("/dev/zero"), "cannot open the file: not a regular file"),
        (own, "not an image that can be mapped: "),
    ];
    for (path, expected) in cases {
        let error = Module::open(&Engine::default(), &path).expect_err("not an image");
        ensure!(error.downcast_ref::<LoadError>().is_some(), "{error:#}");
        let found = format!("{error:#}");
        let expected = format!("failed to load module from `{}`: {expected}", path.display());
        ensure!(found.starts_with(&expected), "expected {expected}, found {found}");
    }
    Ok(())
}
