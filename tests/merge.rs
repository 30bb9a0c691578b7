//! Modules that are merged do what they do when they are instantiated one after the other.
//!
//! ```text
//!   script with modules that import from registered ones --groups--> for each such module: it, what it needs, what is asserted of it
//!                                                                          |-- as it stands, instance by instance
//!                                                                          '-- merged into one module: the same outcome
//! ```
//!
//! The scripts are those of `fixtures/merge`, where all must pass, and those of the official suite, where both ways
//! must agree. [`random`] makes modules of a kind of which the order of what happens can be seen.

mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use aotc::cli::wast::{Outcome, image_door, run_text};
use aotc::{Emit, LinkInput, Options};
use aotc_loader::{Engine, Instance, Linker, Module, Store, WasmBacktrace};
use libtest_mimic::{Failed, Trial};
use wasmparser::{Parser, Payload};
use wast::parser::{self, ParseBuffer};
use wast::{QuoteWat, Wast, WastDirective, WastExecute};

use crate::spec;
use crate::support::root;

type Test = (&'static str, fn() -> Result<()>);

pub(crate) fn trials() -> Vec<Trial> {
    let tests: [Test; 4] = [
        ("suite_has_groups", suite_has_groups),
        ("backtraces", backtraces),
        ("lines", lines),
        ("random", random::agrees),
    ];
    let trial = |(name, test): Test| {
        Trial::test(format!("merge::{name}"), move || {
            test().map_err(|error| Failed::from(format!("{error:#}")))
        })
    };
    let mut trials: Vec<Trial> = tests.into_iter().map(trial).collect();
    let entries = fs::read_dir(root().join("fixtures/merge")).expect("the fixtures can be listed");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a folder's entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "wast"));
    paths.sort();
    for path in paths {
        let name = path.file_stem().unwrap_or_default().display().to_string();
        trials.push(Trial::test(format!("merge::script::{name}"), move || {
            let text = fs::read_to_string(&path)?;
            script(&text).map_err(|error| Failed::from(format!("{error:#}")))
        }));
    }
    for (folder, features, file) in spec::files() {
        let text = file.raw();
        if !text.contains("(register") {
            continue;
        }
        let path = format!("{folder}/{}", file.name());
        trials.push(Trial::test(format!("merge::suite::{path}"), move || {
            let options = Options { features, ..options() };
            suite(text, &options).map(drop).map_err(|error| Failed::from(format!("{error:#}")))
        }));
    }
    trials
}

fn options() -> Options {
    Options { threads: std::num::NonZero::new(1), ..Options::default() }
}

/// A script of ours: all that is asserted holds, both ways.
fn script(text: &str) -> Result<()> {
    let groups = groups(text)?;
    ensure!(!groups.is_empty(), "there is nothing to merge");
    for group in groups {
        let (separate, merged) = group.run(&options());
        ensure!(separate.failures.is_empty(), "separate: {:?}\n{}", separate.failures, group.tail);
        ensure!(merged.failures.is_empty(), "merged: {:?}\n{}", merged.failures, group.tail);
    }
    Ok(())
}

/// A script of the suite: both ways agree. Gives the number of groups.
fn suite(text: &str, options: &Options) -> Result<usize> {
    let groups = groups(text)?;
    for group in &groups {
        let (separate, merged) = group.run(options);
        let libraries = 2 * group.libraries.len() as u32;
        if separate.passed < libraries {
            // A library needs what a call did before, which is not part of the group.
            let same = merged.passed == 0 && !merged.failures.is_empty();
            ensure!(same, "separate {separate:?}, merged {merged:?}\n{}", group.separate());
            continue;
        }
        let same = separate.passed == merged.passed + libraries
            && separate.failures.len() == merged.failures.len();
        ensure!(same, "separate {separate:?}, merged {merged:?}\n{}", group.separate());
    }
    Ok(groups.len())
}

/// The test above is not vacuous.
fn suite_has_groups() -> Result<()> {
    let mut found = BTreeMap::new();
    for (folder, _, file) in spec::files() {
        let count = groups(file.raw()).map_or(0, |groups| groups.len());
        found.insert(format!("{folder}/{}", file.name()), count);
    }
    let count = |path: &str| found.get(path).copied().unwrap_or(0);
    ensure!(count("wasm-v2/linking.wast") > 10, "{found:?}");
    ensure!(count("wasm-v2/imports.wast") > 30, "{found:?}");
    Ok(())
}

/// A module, with what it needs of registered ones, and what is asserted of it.
struct Group {
    /// Names, texts and binaries of the modules it needs, in order.
    libraries: Vec<(String, String, Vec<u8>)>,
    main: Vec<u8>,
    /// The directive that instantiates it, as it stands.
    instantiate: String,
    /// The same with an empty module.
    placeholder: String,
    tail: String,
}

impl Group {
    fn separate(&self) -> String {
        let mut text = String::new();
        for (name, module, _) in &self.libraries {
            writeln!(text, "{module}\n(register {})", quoted(name.as_bytes())).expect("a string");
        }
        format!("{text}{}\n{}", self.instantiate, self.tail)
    }

    /// What comes of it instance by instance, and merged.
    fn run(&self, options: &Options) -> (Outcome, Outcome) {
        let one_by_one = |engine: &Engine, wasm: &[u8]| image_door(engine, wasm, options);
        let first = AtomicBool::new(true);
        let merged = |engine: &Engine, wasm: &[u8]| {
            if !first.swap(false, Ordering::Relaxed) {
                return image_door(engine, wasm, options);
            }
            let input = |name, bytes| LinkInput { name, file: name, bytes };
            let libraries: Vec<_> =
                self.libraries.iter().map(|(name, _, wasm)| input(name, wasm)).collect();
            let linked = aotc::link(&input("main", &self.main), &libraries, options)?;
            Module::from_bytes(engine, &linked.compile(Emit::Image, options)?)
        };
        let merged_script = format!("{}\n{}", self.placeholder, self.tail);
        (run_text(&self.separate(), &one_by_one), run_text(&merged_script, &merged))
    }
}

/// A module that a script instantiates.
struct Instantiated {
    id: Option<String>,
    wasm: Vec<u8>,
    text: String,
    /// The number of the module that each imported name means.
    needs: BTreeMap<String, usize>,
}

/// The groups of a script.
fn groups(text: &str) -> Result<Vec<Group>> {
    let mut lexer = wast::lexer::Lexer::new(text);
    lexer.allow_confusing_unicode(true);
    let buffer = ParseBuffer::new_with_lexer(lexer)?;
    let directives = parser::parse::<Wast<'_>>(&buffer)?.directives;
    // A span is that of the keyword.
    let starts: Vec<usize> = directives
        .iter()
        .map(|directive| text[..directive.span().offset()].rfind('('))
        .collect::<Option<_>>()
        .context("every directive has a parenthesis")?;
    let mut registered: BTreeMap<String, usize> = BTreeMap::new();
    let mut modules: Vec<Instantiated> = Vec::new();
    let mut groups: Vec<Group> = Vec::new();
    // The group to which directives now belong, and the modules they may name.
    let mut open: Option<(Group, Vec<Option<String>>, bool)> = None;
    for (number, directive) in directives.into_iter().enumerate() {
        let end = starts.get(number + 1).copied().unwrap_or(text.len());
        let source = &text[starts[number]..end];
        let (id, wasm, failing) = match directive {
            WastDirective::Module(mut module) => {
                (module.name().map(|id| id.name().to_owned()), module.encode()?, None)
            }
            WastDirective::AssertTrap { exec: WastExecute::Wat(module), message, .. } => {
                let wasm = QuoteWat::Wat(module).encode()?;
                (None, wasm, Some(("assert_trap", message)))
            }
            WastDirective::AssertUnlinkable { module, message, .. } => {
                let wasm = QuoteWat::Wat(module).encode()?;
                (None, wasm, Some(("assert_unlinkable", message)))
            }
            WastDirective::Register { name, module, .. } => {
                let id = module.map(|id| id.name().to_owned());
                let found = modules.iter().rposition(|known| id.is_none() || known.id == id);
                match found {
                    Some(found) => registered.insert(name.to_owned(), found),
                    // That of a definition.
                    None => registered.remove(name),
                };
                continue;
            }
            other => {
                if let Some((group, names, latest)) = &mut open {
                    let of = match &other {
                        WastDirective::Invoke(invoke) => Some(invoke.module),
                        WastDirective::AssertReturn {
                            exec: WastExecute::Invoke(invoke), ..
                        }
                        | WastDirective::AssertTrap { exec: WastExecute::Invoke(invoke), .. } => {
                            Some(invoke.module)
                        }
                        WastDirective::AssertReturn {
                            exec: WastExecute::Get { module, .. },
                            ..
                        } => Some(*module),
                        _ => None,
                    };
                    let is_of = of.is_some_and(|of| match of {
                        None => *latest,
                        Some(id) => names.contains(&Some(id.name().to_owned())),
                    });
                    if is_of {
                        group.tail.push_str(source);
                    }
                }
                continue;
            }
        };
        let needs: BTreeMap<String, usize> = imported_modules(&wasm)?
            .into_iter()
            .filter_map(|name| registered.get(&name).map(|&module| (name, module)))
            .collect();
        let ours = needs.is_empty() && failing.is_none();
        let shown = id.as_deref().map_or(String::new(), |id| format!(" ${id}"));
        let module = Instantiated { id: id.clone(), wasm, text: source.to_owned(), needs };
        if ours {
            // It may look at what the group has left behind.
            if let Some((group, names, latest)) = &mut open {
                group.tail.push_str(source);
                names.push(id);
                *latest = true;
            }
        } else {
            groups.extend(open.take().map(|(group, ..)| group));
            if let Some(libraries) = libraries(&modules, &module) {
                let placeholder = match failing {
                    None => format!("(module{shown})"),
                    Some((word, message)) => {
                        format!("({word} (module) {})", quoted(message.as_bytes()))
                    }
                };
                let group = Group {
                    libraries,
                    main: module.wasm.clone(),
                    instantiate: source.to_owned(),
                    placeholder,
                    tail: String::new(),
                };
                open = Some((group, vec![id], failing.is_none()));
            }
        }
        if failing.is_none() {
            modules.push(module);
        }
    }
    groups.extend(open.take().map(|(group, ..)| group));
    Ok(groups)
}

/// What a module needs, in order; `None` if it is nothing, or if a name means two modules or two names mean one.
fn libraries(
    modules: &[Instantiated],
    main: &Instantiated,
) -> Option<Vec<(String, String, Vec<u8>)>> {
    let mut wanted: Vec<(&String, usize)> =
        main.needs.iter().map(|(name, &it)| (name, it)).collect();
    let mut found: BTreeMap<usize, &String> = BTreeMap::new();
    while let Some((name, module)) = wanted.pop() {
        if *found.entry(module).or_insert(name) == name {
            wanted.extend(modules[module].needs.iter().map(|(name, &it)| (name, it)));
        } else {
            return None;
        }
    }
    let names: BTreeSet<&String> = found.values().copied().collect();
    if found.is_empty() || names.len() < found.len() {
        return None;
    }
    let module = |(module, name): (&usize, &&String)| {
        let module = &modules[*module];
        (name.to_string(), module.text.clone(), module.wasm.clone())
    };
    Some(found.iter().map(module).collect())
}

fn imported_modules(wasm: &[u8]) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for payload in Parser::new(0).parse_all(wasm) {
        // What is malformed is refused elsewhere.
        let Ok(payload) = payload else { break };
        if let Payload::ImportSection(reader) = payload {
            for import in reader.into_imports() {
                names.insert(import?.module.to_owned());
            }
        }
    }
    Ok(names)
}

fn quoted(bytes: &[u8]) -> String {
    let bytes: String = bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "\\{byte:02x}").expect("a string");
        text
    });
    format!("\"{bytes}\"")
}

const INNER: &str = r#"(module
  (func $unused (param i32))
  (func $divide (export "divide") (param i32 i32) (result i32)
    (drop (i32.const 100000))
    (i32.div_s (local.get 0) (local.get 1))))"#;

const OUTER: &str = r#"(module
  (import "math" "divide" (func $divide (param i32 i32) (result i32)))
  (func (export "run") (param i32) (result i32)
    (i32.add (i32.const 1) (call $divide (i32.const 7) (local.get 0)))))"#;

/// A frame of a merged module is at the place in the file that its function comes from.
fn backtraces() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    let inner = image_door(&engine, INNER.as_bytes(), &options())?;
    let inner = linker.instantiate(&mut store, &inner)?;
    linker.instance(&mut store, "math", inner)?;
    let outer = image_door(&engine, OUTER.as_bytes(), &options())?;
    let separate = linker.instantiate(&mut store, &outer)?;
    let merged = merged(&engine, OUTER.as_bytes(), INNER.as_bytes())?;
    let merged = Instance::new(&mut store, &merged, &[])?;
    let mut frames = |instance: Instance| {
        let run = instance.get_typed_func::<i32, i32>(&mut store, "run")?;
        ensure!(run.call(&mut store, 7)? == 2, "it runs");
        let error = run.call(&mut store, 0).err().context("it traps")?;
        let backtrace = error.downcast_ref::<WasmBacktrace>().context("with a backtrace")?;
        let frames = backtrace.frames().iter();
        let place = |frame: &aotc_loader::FrameInfo| {
            (frame.module_offset(), frame.func_offset(), frame.func_name().map(str::to_owned))
        };
        Ok(frames.map(place).collect::<Vec<_>>())
    };
    let (separate, merged) = (frames(separate)?, frames(merged)?);
    let places = |frames: &[(Option<usize>, Option<usize>, Option<String>)]| {
        frames.iter().map(|frame| (frame.0, frame.1)).collect::<Vec<_>>()
    };
    ensure!(separate.iter().all(|frame| frame.0.is_some()), "{separate:?}");
    ensure!(places(&separate) == places(&merged), "{separate:?} {merged:?}");
    let names: Vec<_> = merged.iter().map(|frame| frame.2.as_deref()).collect();
    ensure!(names == [Some("math::divide"), Some("<wasm function 1>")], "{names:?}");
    Ok(())
}

fn merged(engine: &Engine, main: &[u8], math: &[u8]) -> Result<Module> {
    let main = LinkInput { name: "", file: "main", bytes: main };
    let math = LinkInput { name: "math", file: "math", bytes: math };
    let image = aotc::link(&main, &[math], &options())?.compile(Emit::Image, &options())?;
    Module::from_bytes(engine, &image)
}

/// Lines of the source are those of the file that a function comes from.
fn lines() -> Result<()> {
    let program = fs::read(root().join("fixtures/lines/lines.wasm"))?;
    let main = r#"(module
      (import "math" "run" (func $run (param i32) (result i32)))
      (func (export "run") (param i32) (result i32) (i32.eqz (call $run (local.get 0)))))"#;
    let engine = Engine::default();
    let symbols = |module: &Module| -> Result<Vec<Vec<String>>> {
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, module, &[])?;
        let run = instance.get_typed_func::<i32, i32>(&mut store, "run")?;
        let error = run.call(&mut store, 3).err().context("it traps")?;
        let backtrace = error.downcast_ref::<WasmBacktrace>().context("with a backtrace")?;
        let frames = backtrace.frames().iter();
        Ok(frames.map(|frame| frame.symbols().iter().map(ToString::to_string).collect()).collect())
    };
    let alone = symbols(&image_door(&engine, &program, &options())?)?;
    ensure!(alone.len() == 2 && alone[0][0].contains("lines.c:2"), "{alone:?}");
    let both = symbols(&merged(&engine, main.as_bytes(), &program)?)?;
    ensure!(both[..2] == alone && both[2..] == [Vec::<String>::new()], "{alone:?} {both:?}");
    Ok(())
}
