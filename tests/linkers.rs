//! Objects of every format through the linkers of their platforms, and what comes out read back by another reader.
//!
//! ```text
//!   module.wat --aotc::Build--> object, archive --each linker--> library --goblin--> every code offset leads to code,
//!                                                                                    unwind information covers the code,
//!                                                                                    nothing is left to fix up
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};
use aotc::{Arch, Build, Built, Cpu, Target, parse_target};
use aotc_abi::meta::ModuleData;
use goblin::pe::PE;
use libtest_mimic::{Completion, Trial};

use crate::linked_file::{Contents, LinkedFile};
use crate::support::{in_ci, root};

/// A linker's name in the test, and its command: `{object}` and `{archive}` are what it is given, `{out}` is what it
/// makes, `{entry}` is a source in C.
type Linker = (&'static str, &'static str);

/// For each target the linkers, once with an object and once with a static library, collecting garbage where they can.
const LINKERS: [(&str, &[Linker]); 6] = [
    (
        "x86_64-linux",
        &[
            ("ld", "ld -shared --gc-sections {object} -o {out}"),
            ("ld-archive", "ld -shared --gc-sections -u aotc_module_formats {archive} -o {out}"),
            ("ld-static", "ld -static -e aotc_module_formats {archive} -o {out}"),
            ("ld.lld", "ld.lld -shared --gc-sections --icf=all {object} -o {out}"),
            (
                "ld.lld-archive",
                "ld.lld -m elf_x86_64 -shared -u aotc_module_formats {archive} -o {out}",
            ),
            ("zig", "zig cc -target x86_64-linux-gnu -shared -nostdlib {object} -o {out}"),
        ],
    ),
    (
        "aarch64-linux",
        &[
            ("ld.lld", "ld.lld -shared --gc-sections --icf=all {object} -o {out}"),
            (
                "ld.lld-archive",
                "ld.lld -m aarch64linux -shared -u aotc_module_formats {archive} -o {out}",
            ),
            ("zig", "zig cc -target aarch64-linux-gnu -shared -nostdlib {object} -o {out}"),
        ],
    ),
    (
        "x86_64-macos",
        &[
            ("ld64.lld", "ld64.lld -arch x86_64 {macos} -dylib {object} -o {out}"),
            (
                "ld64.lld-strip",
                "ld64.lld -arch x86_64 {macos} -dylib -dead_strip {object} -o {out}",
            ),
            (
                "ld64.lld-archive",
                "ld64.lld -arch x86_64 {macos} -dylib -u _aotc_module_formats {archive} -o {out}",
            ),
            ("zig", "zig cc -target x86_64-macos -shared -nostdlib {object} -o {out}"),
        ],
    ),
    (
        "aarch64-macos",
        &[
            ("ld64.lld", "ld64.lld -arch arm64 {macos} -dylib {object} -o {out}"),
            ("ld64.lld-strip", "ld64.lld -arch arm64 {macos} -dylib -dead_strip {object} -o {out}"),
            (
                "ld64.lld-archive",
                "ld64.lld -arch arm64 {macos} -dylib -u _aotc_module_formats {archive} -o {out}",
            ),
            ("zig", "zig cc -target aarch64-macos -shared -nostdlib {object} -o {out}"),
        ],
    ),
    (
        "x86_64-windows",
        &[
            ("lld-link", "lld-link {dll} {object} /out:{out}"),
            ("lld-link-opt", "lld-link {dll} /opt:ref,icf {object} /out:{out}"),
            (
                "lld-link-archive",
                "lld-link {dll} /include:aotc_module_formats {archive} /out:{out}",
            ),
            (
                "zig",
                "zig cc -target x86_64-windows-gnu -shared -nostdlib {entry} {object} -o {out}",
            ),
        ],
    ),
    (
        "aarch64-windows",
        &[
            ("lld-link", "lld-link {dll} {object} /out:{out}"),
            ("lld-link-opt", "lld-link {dll} /opt:ref,icf {object} /out:{out}"),
            (
                "lld-link-archive",
                "lld-link {dll} /include:aotc_module_formats {archive} /out:{out}",
            ),
            (
                "zig",
                "zig cc -target aarch64-windows-gnu -shared -nostdlib {entry} {object} -o {out}",
            ),
        ],
    ),
];

/// What stands for itself in commands.
const SHORT: [(&str, &str); 2] = [
    ("{macos}", "-platform_version macos 11.0 11.0"),
    ("{dll}", "/dll /noentry /export:aotc_module_formats,DATA"),
];

const SYMBOL: &str = "aotc_module_formats";

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (target, linkers) in LINKERS {
        for &(name, command) in linkers {
            trials.push(Trial::ignorable_test(format!("linkers::{target}::{name}"), move || {
                accepted(target, name, command).map_err(|error| format!("{error:#}").into())
            }));
        }
    }
    trials.push(Trial::test("linkers::aarch64_code_is_the_same", || {
        same_code().map_err(|error| format!("{error:#}").into())
    }));
    trials
}

fn accepted(target: &str, name: &str, command: &str) -> Result<Completion> {
    let folder = folder(&format!("{target}-{name}"))?;
    let built = build(target, &folder)?;
    let Some(out) = link(command, &built, &folder)? else {
        return Ok(Completion::ignored_with("the linker is not installed"));
    };
    let bytes = fs::read(out)?;
    let file = LinkedFile::parse(&bytes)?;
    let address = file.export(SYMBOL)?;
    let module = file.module(address)?;
    ensure!(module.str(module.header().fixed.name) == "formats");
    // Zig's libraries have something of their own that is.
    ensure!(file.fixups == 0 || name == "zig", "{} places are left to fix up", file.fixups);
    unwind_information_is_there(&bytes, &module, address)?;
    fs::remove_dir_all(folder)?;
    Ok(Completion::Completed)
}

/// An empty folder for a test.
fn folder(name: &str) -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("linkers").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn build(target: &str, folder: &Path) -> Result<Built> {
    let target: Target = parse_target(target)?;
    let built = Build::new(root().join("fixtures/formats/module.wat"))
        .name("formats")
        .prefix("")
        .emit_bindings(false)
        .target(target)
        .cpu(Cpu::baseline_name(target.arch))
        .out_dir(folder)
        .try_compile()?;
    Ok(built)
}

/// What the linker made; `None` if there is no such linker, which is an error where everything is tested.
fn link(command: &str, built: &Built, folder: &Path) -> Result<Option<PathBuf>> {
    let out = folder.join("linked");
    let entry = root().join("fixtures/formats/entry.c");
    let mut line = command.to_owned();
    for (short, long) in SHORT {
        line = line.replace(short, long);
    }
    let paths = [
        ("{object}", &built.object),
        ("{archive}", &built.library),
        ("{out}", &out),
        ("{entry}", &entry),
    ];
    let mut words = line.split(' ').map(|word| {
        paths.iter().fold(word.to_owned(), |word, (name, path)| {
            word.replace(name, &path.display().to_string())
        })
    });
    let program = words.next().context("a command")?;
    let Some(mut command) = linker(&program) else {
        ensure!(!in_ci(), "{program} is not installed");
        return Ok(None);
    };
    let output = command.args(words).current_dir(folder).output()?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let stdout = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{command:?}: {}\n{stdout}{stderr}", output.status);
    ensure!(!stderr.contains("warning"), "{command:?}: {stderr}");
    Ok(Some(out))
}

/// The command of a linker, under whatever name it is installed.
fn linker(name: &str) -> Option<Command> {
    if name == "zig" {
        let mut command = Command::new("python3");
        command.args(["-m", "ziglang"]);
        // Its cache is the tests', so that nothing is written elsewhere.
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("zig-cache");
        command.env("ZIG_GLOBAL_CACHE_DIR", &cache).env("ZIG_LOCAL_CACHE_DIR", &cache);
        let mut version = Command::new("python3");
        let version = version.args(["-m", "ziglang", "version"]).output();
        return version.is_ok_and(|output| output.status.success()).then_some(command);
    }
    installed(name).map(Command::new)
}

/// The program called `name`, or `name` with a version behind it, as Debian installs some.
pub(crate) fn installed(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let names = || {
        let versions = (14..=22).map(|version| format!("{name}-{version}"));
        std::iter::once(name.to_owned()).chain(versions)
    };
    let folders: Vec<_> = env::split_paths(&path).collect();
    names()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(&name)))
        .find(|path| path.is_file())
}

/// Every piece of code is covered.
fn unwind_information_is_there(file: &[u8], module: &ModuleData<'_>, address: u64) -> Result<()> {
    let starts: Vec<u64> = (module.code_ranges().iter())
        .map(|range| address.wrapping_add_signed(range.code.into()))
        .collect();
    match Contents::parse(file)? {
        Contents::Elf(elf) => {
            let names = |at| elf.shdr_strtab.get_at(at).unwrap_or_default();
            let header =
                elf.section_headers.iter().find(|header| names(header.sh_name) == ".eh_frame");
            ensure!(header.is_some_and(|header| header.sh_size > 0), "no .eh_frame");
        }
        Contents::MachO(mach_o) => {
            let mut names = Vec::new();
            for segment in &mach_o.segments {
                for section in segment {
                    names.push(section?.0.name()?.to_owned());
                }
            }
            // That `__eh_frame` is kept too depends on the linker: LLD 14 leaves it out with `-dead_strip`.
            ensure!(
                names.iter().any(|name| name == "__unwind_info"),
                "no __unwind_info: {names:?}"
            );
        }
        Contents::Pe(pe) => {
            let covered = match module.target().arch {
                Arch::X86_64 => unwound_x86_64(&pe)?,
                Arch::Aarch64 => unwound_aarch64(&pe)?,
                Arch::Riscv64 => bail!("there is no such Windows"),
            };
            for start in starts {
                let info =
                    covered.get(&start).with_context(|| format!("{start:#x} is not covered"))?;
                ensure!(info.contains("frame"), "{start:#x}: {info}");
            }
        }
    }
    Ok(())
}

/// Unwind information by start of the code.
fn unwound_x86_64(pe: &PE<'_>) -> Result<BTreeMap<u64, String>> {
    use goblin::pe::exception::UnwindOperation as Op;
    let exceptions = pe.exception_data.as_ref().context("no .pdata")?;
    let mut covered = BTreeMap::new();
    for function in exceptions.functions() {
        let function = function?;
        ensure!(function.begin_address < function.end_address, "{function:?}");
        let info = exceptions.get_unwind_info(function, &pe.sections)?;
        let codes: Vec<_> = info.unwind_codes().collect::<goblin::error::Result<_>>()?;
        let last = codes.last().context("no codes")?.operation;
        let sets = codes.iter().any(|code| matches!(code.operation, Op::SetFPRegister));
        let frame = matches!(last, Op::PushNonVolatile(_)) && sets;
        let text = format!("{} {codes:?}", if frame { "frame" } else { "none" });
        covered.insert(function.begin_address.into(), text);
    }
    Ok(covered)
}

/// Unwind information by start of the code.
fn unwound_aarch64(pe: &PE<'_>) -> Result<BTreeMap<u64, String>> {
    use goblin::pe::exception::Arm64UnwindCode as Code;
    let exceptions = pe.exception_data.as_ref().context("no .pdata")?;
    let mut covered = BTreeMap::new();
    for function in exceptions.functions_arm64() {
        let function = function?;
        // What the linker's C compiler made has its information in the entry.
        let Some(info) = exceptions.get_unwind_info_arm64(function, &pe.sections) else { continue };
        let info = info?;
        let codes: Vec<_> = info.unwind_codes(0)?.collect::<goblin::error::Result<_>>()?;
        let has = |wanted: fn(&Code) -> bool| codes.iter().any(|data| wanted(&data.code));
        let frame = has(|code| matches!(code, Code::SetFp))
            && has(|code| matches!(code, Code::SaveFpLrPreindexed { .. }))
            && has(|code| matches!(code, Code::End));
        let text = format!("{} {codes:?}", if frame { "frame" } else { "none" });
        covered.insert(function.begin_address.into(), text);
    }
    Ok(covered)
}

/// Code for AArch64 is the same in every format, and all calls lead to the same places. It cannot be executed here
/// where it is linked for macOS and Windows, but where it is for Linux it can.
fn same_code() -> Result<()> {
    let mut first: Option<(&str, Vec<Vec<Word>>)> = None;
    for (target, command) in [
        ("aarch64-linux", "ld.lld -shared {object} -o {out}"),
        ("aarch64-macos", "ld64.lld -arch arm64 {macos} -dylib {object} -o {out}"),
        ("aarch64-windows", "lld-link {dll} {object} /out:{out}"),
    ] {
        let folder = folder(&format!("same-{target}"))?;
        let built = build(target, &folder)?;
        let Some(out) = link(command, &built, &folder)? else { continue };
        let file = LinkedFile::parse(&fs::read(out)?)?;
        let words = words(&file)?;
        match &first {
            None => first = Some((target, words)),
            Some((other, expected)) => {
                for (index, (expected, found)) in expected.iter().zip(&words).enumerate() {
                    ensure!(expected == found, "{target}: code {index} is not {other}'s");
                }
                ensure!(expected.len() == words.len());
            }
        }
    }
    Ok(())
}

/// An instruction, or a call or jump with the piece of code it leads to.
#[derive(PartialEq, Eq)]
enum Word {
    Plain(u32),
    Branch { operation: u32, to: usize },
}

/// The instructions of each piece of code.
fn words(file: &LinkedFile) -> Result<Vec<Vec<Word>>> {
    let address = file.export(SYMBOL)?;
    let module = file.module(address)?;
    let start = |code: i32| address.wrapping_add_signed(code.into());
    let starts: Vec<u64> = module.code_ranges().iter().map(|range| start(range.code)).collect();
    let mut pieces = Vec::new();
    for range in module.code_ranges().iter() {
        let from = start(range.code);
        let bytes = file.at(from)?.get(..range.bytes as usize).context("code is cut off")?;
        let word = |(index, bytes): (usize, &[u8])| {
            let word = u32::from_le_bytes(bytes.try_into().expect("four bytes"));
            let distance = i64::from((word << 6) as i32 >> 4);
            let to = (from + 4 * index as u64).wrapping_add_signed(distance);
            let piece = starts.iter().position(|&start| start == to);
            match (word >> 26, piece) {
                // `b` and `bl`; within a piece of code there is only the former, and never to its beginning.
                (operation @ (0b00_0101 | 0b10_0101), Some(to)) => Word::Branch { operation, to },
                _ => Word::Plain(word),
            }
        };
        pieces.push(bytes.chunks_exact(4).enumerate().map(word).collect());
    }
    Ok(pieces)
}
