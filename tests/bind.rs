//! Imports that are bound to C functions: `fixtures/bind` is compiled by cc and linked in every way that a program may be.
#![allow(unsafe_code, reason = "libraries are opened, and C functions called")]

mod targets;

use std::ffi::{CStr, c_char, c_void};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, anyhow, ensure};
use aotc::{BindStyle, Binding, Emit, Options};
use aotc_loader::{Engine, Instance, Linker, Module, Store, Trap, TypedFunc, WasmBacktrace};
use libloading::Library;
use libtest_mimic::{Failed, Trial};

use crate::child::Scratch;
use crate::command::{aotc, text};
use crate::support::{in_ci, root};

type Test = (&'static str, fn() -> Result<()>);

pub(crate) fn trials() -> Vec<Trial> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return Vec::new();
    }
    let tests: [Test; 8] = [
        ("calls", calls),
        ("types_are_compared", types_are_compared),
        ("every_way_of_linking", every_way_of_linking),
        ("no_relocation_of_the_text", no_relocation_of_the_text),
        ("refused", refused),
        ("deterministic", deterministic),
        ("header", header),
        ("command", command),
    ];
    let trial = |(name, test): Test| {
        Trial::test(format!("bind::{name}"), move || {
            test().map_err(|error| Failed::from(format!("{error:#}")))
        })
    };
    tests.into_iter().map(trial).chain(targets::trials()).collect()
}

fn fixture(name: &str) -> PathBuf {
    root().join("fixtures/bind").join(name)
}

/// The options of the fixture.
fn options() -> Result<Options> {
    let bind = Binding::read_list(&fixture("bindings.txt"))?;
    Ok(Options { bind, name: Some("plugin".to_owned()), ..Options::default() })
}

fn object(options: &Options) -> Result<Vec<u8>> {
    Ok(aotc::compile(&fs::read(fixture("plugin.wat"))?, Emit::Object, options)?)
}

/// Runs cc in `folder`.
fn cc(folder: &Path, arguments: &[&str]) -> Result<()> {
    let include = format!("-I{}", root().join("capi/include").display());
    let mut command = Command::new("cc");
    command.current_dir(folder).args(["-O1", "-Wall", "-Wextra", "-Werror", &include]);
    let output = command.args(arguments).output().context("cc cannot be run")?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cc {arguments:?}: {stderr}");
    Ok(())
}

/// The sources and the object in a folder of their own.
fn prepared(name: &str, options: &Options) -> Result<Scratch> {
    let scratch = Scratch::new(name);
    fs::write(scratch.path("plugin.o"), object(options)?)?;
    for source in ["host.c", "trap.c", "main.c"] {
        fs::copy(fixture(source), scratch.path(source))?;
    }
    Ok(scratch)
}

/// The module of a library that was linked from the fixture, and what the test needs of the library.
struct Linked {
    module: Module,
    /// Closed after the module is gone.
    library: Library,
}

impl Linked {
    fn open(engine: &Engine, path: &Path) -> Result<Self> {
        // SAFETY: the library was made here, and has no initialisers.
        let library = unsafe { Library::new(path)? };
        // SAFETY: the symbol of the object that was linked into it, which stays open.
        let module = unsafe {
            let descriptor = library.get::<*const u8>(b"aotc_module_plugin\0")?;
            Module::from_linked(engine, *descriptor)
        };
        Ok(Self { module: module?, library })
    }

    /// The address of a variable.
    fn variable(&self, name: &str) -> Result<*mut c_void> {
        // SAFETY: nothing is done with what is there.
        Ok(unsafe { *self.library.get::<*mut c_void>(name.as_bytes())? })
    }
}

/// The convention by which the C functions of a host are called.
#[derive(Clone, Copy)]
enum Convention {
    OfThisSystem,
    OfWindows,
}

/// A module with its host, which was made from host.c and trap.c.
struct Host<'a> {
    engine: &'a Engine,
    module: &'a Module,
    convention: Convention,
    /// Where variables of host.c and trap.c are.
    variable: &'a dyn Fn(&str) -> Result<*mut c_void>,
}

impl Host<'_> {
    /// Has the C functions call these: by the address, as the variables have them.
    fn connect(&self) -> Result<()> {
        let (trap, call_back) = match self.convention {
            Convention::OfThisSystem => (
                trap as unsafe extern "C" fn(*mut c_void, *const c_char) as usize,
                call_back as extern "C" fn(i32) -> i32 as usize,
            ),
            Convention::OfWindows => (
                windows::trap as unsafe extern "win64" fn(*mut c_void, *const c_char) as usize,
                windows::call_back as extern "win64" fn(i32) -> i32 as usize,
            ),
        };
        for (name, address) in [("host_trap", trap), ("host_call_back", call_back)] {
            // SAFETY: a variable of host.c or trap.c for the address of a function, which nobody uses now.
            unsafe { (self.variable)(name)?.cast::<usize>().write(address) };
        }
        Ok(())
    }

    fn logged(&self) -> Result<i32> {
        // SAFETY: a variable of host.c.
        Ok(unsafe { (self.variable)("host_logged")?.cast::<i32>().read() })
    }
}

/// The same functions, by another convention.
mod windows {
    use super::{c_char, c_void};

    pub(super) unsafe extern "win64" fn trap(caller: *mut c_void, message: *const c_char) {
        // SAFETY: this function's own contract.
        unsafe { super::trap(caller, message) }
    }

    pub(super) extern "win64" fn call_back(number: i32) -> i32 {
        super::call_back(number)
    }
}

unsafe extern "C" fn trap(caller: *mut c_void, message: *const c_char) {
    // SAFETY: the C code's promise: a string, and the caller that it was given; it has nothing to clean up.
    unsafe {
        let message = CStr::from_ptr(message).to_string_lossy().into_owned();
        aotc_loader::raise_to_caller(caller, anyhow!(message))
    }
}

/// What the function that calls back uses.
static BACK: AtomicPtr<(Store<()>, TypedFunc<i32, i32>)> = AtomicPtr::new(std::ptr::null_mut());

extern "C" fn call_back(number: i32) -> i32 {
    // SAFETY: the test has put it there, and uses it only through this.
    let (store, function) = unsafe { &mut *BACK.load(Ordering::Relaxed) };
    function.call(store, number).unwrap_or(-1)
}

fn calls() -> Result<()> {
    let scratch = prepared("bind-calls", &options()?)?;
    cc(scratch.root(), &["-shared", "-fPIC", "-o", "all.so", "host.c", "trap.c", "plugin.o"])?;
    let engine = Engine::default();
    let linked = Linked::open(&engine, &scratch.path("all.so"))?;
    behaves(&Host {
        engine: &engine,
        module: &linked.module,
        convention: Convention::OfThisSystem,
        variable: &|name| linked.variable(name),
    })
}

/// What is done with the functions in every way, and what comes of it.
fn behaves(host: &Host<'_>) -> Result<()> {
    // What calls back knows of one test at a time.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    host.connect()?;
    let Host { engine, module, .. } = *host;
    let imports: Vec<_> = module.imports().map(|import| import.name().to_owned()).collect();
    ensure!(imports == ["ordinary"], "what is bound is no import: {imports:?}");
    let mut linker = Linker::new(engine);
    linker.func_wrap("env", "ordinary", |number: i32| number + 10)?;
    let mut store = Store::new(engine, ());
    let instance = linker.instantiate(&mut store, module)?;

    let sum = instance.get_typed_func::<(), f64>(&mut store, "sum")?.call(&mut store, ())?;
    ensure!(sum == -1.0 + 4294967296.0 + 0.5 + 0.25, "{sum}");
    let many = instance.get_typed_func::<(), i64>(&mut store, "many")?.call(&mut store, ())?;
    ensure!(many == 8_765_432_155, "{many}");
    let mut call = |name: &str, argument: i32| -> Result<i32> {
        instance.get_typed_func::<i32, i32>(&mut store, name)?.call(&mut store, argument)
    };
    ensure!(call("read", 16)? == 10 && call("read", 17)? == 9);
    ensure!(call("read", 65532)? == 0 && call("read", 65533)? == -1, "the memory ends");
    ensure!(call("bound-loop", 5)? == 0 && call("ordinary-loop", 5)? == 50);

    // An error of the host's, with the frames of wasm, as often as wanted.
    for _ in 0..3 {
        ensure!(call("fail", -3)? == -3);
        let error = call("fail", 1).err().context("it fails")?;
        ensure!(error.root_cause().to_string() == "the host has had enough", "{error:#}");
        let backtrace = error.downcast_ref::<WasmBacktrace>().context("with a backtrace")?;
        let names: Vec<_> = backtrace.frames().iter().map(|frame| frame.func_name()).collect();
        ensure!(names == [Some("inner"), Some("<wasm function 12>")], "{names:?}");
        ensure!(backtrace.frames().iter().all(|frame| frame.module_offset().is_some()));
    }

    // Through a table, and from the host.
    let log = instance.get_typed_func::<i32, ()>(&mut store, "log")?;
    log.call(&mut store, 77)?;
    ensure!(host.logged()? == 77);
    instance.get_typed_func::<i32, ()>(&mut store, "log-itself")?.call(&mut store, 78)?;
    ensure!(host.logged()? == 78);

    // A C function that calls wasm of another store, which traps.
    let mut other = Store::new(engine, ());
    let inner = linker.instantiate(&mut other, module)?;
    let inner: TypedFunc<i32, i32> = inner.get_typed_func(&mut other, "trap")?;
    let mut pair = (other, inner);
    BACK.store(&mut pair, Ordering::Relaxed);
    let back = instance.get_typed_func::<i32, i32>(&mut store, "back")?;
    ensure!(back.call(&mut store, 5)? == 2 && back.call(&mut store, 0)? == -1);
    ensure!(back.call(&mut store, 10)? == 1, "and it can go on");
    BACK.store(std::ptr::null_mut(), Ordering::Relaxed);
    Ok(())
}

/// Records that differ from the module's types are errors when the module is loaded.
fn types_are_compared() -> Result<()> {
    let scratch = prepared("bind-types", &options()?)?;
    let engine = Engine::default();
    let source = fs::read_to_string(fixture("host.c"))?;
    let cases = [
        (
            "AOTC_BINDABLE(host_back, \"i32\", \"i32\")",
            "AOTC_BINDABLE(host_back, \"i32 i64\", \"f32\")",
            "incompatible import type for `host::back`: types incompatible: expected type `(func (param i32) (result i32))`, found type `(func (param i32 i64) (result f32))`",
        ),
        (
            "AOTC_BINDABLE(host_back,",
            "AOTC_BINDABLE_WITH_CALLER(host_back,",
            "incompatible import type for `host::back`: `host_back` is called without its caller, the host recorded `caller:i32:i32`",
        ),
        (
            "AOTC_BINDABLE_WITH_CALLER(host_fail, \"i32\", \"\")",
            "AOTC_BINDABLE_WITH_CALLER(host_fail, \"int\", \"\")",
            "incompatible import type for `host::fail`: `host_fail` is called with its caller, the host recorded `caller:int:`",
        ),
    ];
    for (number, (from, to, expected)) in cases.into_iter().enumerate() {
        ensure!(source.contains(from), "{from}");
        fs::write(scratch.path("host.c"), source.replace(from, to))?;
        let library = format!("{number}.so");
        cc(scratch.root(), &["-shared", "-fPIC", "-o", &library, "host.c", "trap.c", "plugin.o"])?;
        let error =
            Linked::open(&engine, &scratch.path(&library)).err().context("it is refused")?;
        ensure!(format!("{error:#}") == expected, "{error:#}");
    }
    Ok(())
}

/// Linkers that there may be, as cc calls them.
const LINKERS: [&str; 3] = ["bfd", "lld", "gold"];

fn every_way_of_linking() -> Result<()> {
    let scratch = prepared("bind-linking", &options()?)?;
    let engine = Engine::default();
    // The functions are in another library, in the program, or dropped unless something needs them.
    cc(scratch.root(), &["-shared", "-fPIC", "-o", "libhost.so", "host.c", "trap.c"])?;
    let sources = ["main.c", "host.c", "trap.c", "plugin.o"];
    let ways: [(&str, &[&str]); 5] = [
        ("static", &["-static"]),
        ("pie", &["-pie", "-fPIE"]),
        ("static-pie", &["-static-pie", "-fPIE"]),
        ("no-pie", &["-no-pie"]),
        (
            "collected",
            &["-pie", "-fPIE", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections"],
        ),
    ];
    let mut linkers = 0;
    for linker in LINKERS {
        let fuse = format!("-fuse-ld={linker}");
        if !has_linker(&scratch, &fuse)? {
            ensure!(!in_ci() || linker == "gold", "{linker} is not installed");
            eprintln!("skipped: {linker} is not installed");
            continue;
        }
        linkers += 1;
        for (way, flags) in ways {
            // It has no option that gcc needs for that.
            if (linker, way) == ("gold", "static-pie") {
                continue;
            }
            let program = format!("{linker}-{way}");
            let mut arguments = vec!["-o", &program, &fuse, "-Wl,--fatal-warnings", "-Wl,-z,text"];
            arguments.extend(flags.iter().chain(&sources));
            cc(scratch.root(), &arguments).with_context(|| format!("{linker}, {way}"))?;
            let output = Command::new(scratch.path(&program)).output()?;
            ensure!(output.stdout == b"aotcmod\n", "{program}: {output:?}");
        }
        for (way, rest) in [
            ("alone", &["host.c", "trap.c", "plugin.o"][..]),
            ("beside", &["plugin.o", "-L.", "-lhost", "-Wl,-rpath,$ORIGIN"]),
        ] {
            let library = format!("{linker}-{way}.so");
            let mut arguments = vec!["-shared", "-fPIC", "-o", &library, &fuse, "-Wl,-z,text"];
            arguments.extend(rest);
            cc(scratch.root(), &arguments).with_context(|| format!("{linker}, {way}"))?;
            let linked = Linked::open(&engine, &scratch.path(&library))?;
            let mut store = Store::new(&engine, ());
            let mut linker = Linker::new(&engine);
            linker.func_wrap("env", "ordinary", |number: i32| number)?;
            let instance: Instance = linker.instantiate(&mut store, &linked.module)?;
            let read = instance.get_typed_func::<i32, i32>(&mut store, "read")?;
            ensure!(read.call(&mut store, 16)? == 10, "{library}");
            let trap = instance.get_typed_func::<i32, i32>(&mut store, "trap")?;
            let error = trap.call(&mut store, 0).err().context("it traps")?;
            ensure!(error.downcast_ref() == Some(&Trap::IntegerDivisionByZero));
        }
    }
    ensure!(linkers > 0, "no linker");
    Ok(())
}

fn has_linker(scratch: &Scratch, fuse: &str) -> Result<bool> {
    fs::write(scratch.path("empty.c"), "int main(void) { return 0; }\n")?;
    Ok(cc(scratch.root(), &["-o", "empty", fuse, "empty.c"]).is_ok())
}

/// What an object leaves to a linker: distances, calls, and loads from the table of addresses.
fn no_relocation_of_the_text() -> Result<()> {
    let scratch = prepared("bind-relocations", &options()?)?;
    let mut readelf = Command::new("readelf");
    let readelf = readelf.args(["-rW", "plugin.o"]).current_dir(scratch.root());
    let output = readelf.output().context("readelf cannot be run")?;
    let text = String::from_utf8(output.stdout)?;
    let kinds = text.lines().filter_map(|line| line.split_whitespace().nth(2));
    let mut kinds: Vec<&str> = kinds.filter(|word| word.starts_with("R_X86_64")).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let expected = ["R_X86_64_GOTPCREL", "R_X86_64_PC32", "R_X86_64_PLT32"];
    ensure!(kinds.iter().all(|kind| expected.contains(kind)), "{kinds:?}");
    let count = |kind: &str, symbol: &str| {
        let is_it = |line: &&str| line.contains(kind) && line.contains(&format!(" {symbol} "));
        text.lines().filter(is_it).count()
    };
    for symbol in ["host_sum", "host_many", "host_read", "host_fail", "host_log", "host_back"] {
        ensure!(count("R_X86_64_PLT32", symbol) == 1, "{symbol}\n{text}");
        ensure!(count("GOTPCREL", &format!("aotc_type_{symbol}")) == 1, "{symbol}\n{text}");
    }
    Ok(())
}

fn refused() -> Result<()> {
    let compile = |text: &str, emit, binding: &str| -> Result<String> {
        let options = Options { bind: vec![binding.parse()?], ..Options::default() };
        let error = aotc::compile(text.as_bytes(), emit, &options).err();
        Ok(error.context("it is refused")?.to_string())
    };
    let module = r#"(module (import "host" "f" (func (param i32))))"#;
    let message = compile(module, Emit::Image, "host.f=f")?;
    ensure!(
        message.contains("functions can only be bound in objects and static libraries"),
        "{message}"
    );
    for ty in ["(param v128)", "(param externref)", "(result funcref)", "(result i32 i32)"] {
        let module = format!(r#"(module (import "host" "f" (func {ty})))"#);
        let message = compile(&module, Emit::Object, "host.f=f")?;
        let expected = format!("`host::f` cannot be bound to `f`: function `(func {ty})`");
        ensure!(message.starts_with(&expected), "{message}");
        ensure!(message.contains(":1:10"), "{message}");
    }
    let module = r#"(module (import "host" "f" (memory 1)))"#;
    let message = compile(module, Emit::Object, "host.f=f")?;
    ensure!(message.contains("memory `(memory 1)` has no C prototype"), "{message}");
    let twice = Options {
        bind: vec!["host.f=f".parse()?, "host.f=g:caller".parse()?],
        ..Options::default()
    };
    ensure!(twice.bind[1].style == BindStyle::WithCaller);
    let error = aotc::compile(b"(module)", Emit::Object, &twice).err().context("it is refused")?;
    ensure!(error.to_string() == "`host::f` is bound twice", "{error}");
    Ok(())
}

fn deterministic() -> Result<()> {
    let one = Options { threads: std::num::NonZero::new(1), ..options()? };
    let four = Options { threads: std::num::NonZero::new(4), ..options()? };
    ensure!(object(&one)? == object(&four)?, "the number of threads does not matter");
    Ok(())
}

/// The header declares bound functions, which the program then must define so, and does not ask for them.
fn header() -> Result<()> {
    let scratch = Scratch::new("bind-header");
    let header = aotc::CHeader::default();
    let text = aotc::c_header(&fs::read(fixture("plugin.wat"))?, &header, &options()?)?;
    fs::write(scratch.path("plugin.h"), &text)?;
    for line in [
        "double host_sum(int32_t arg0, int64_t arg1, float arg2, double arg3);",
        "int32_t host_read(aotc_bound_caller_t* caller, int32_t arg0, int32_t arg1);",
        "void host_fail(aotc_bound_caller_t* caller, int32_t arg0);",
        "void host_log(int32_t arg0);",
    ] {
        ensure!(text.lines().any(|it| it == line), "no `{line}` in\n{text}");
    }
    let imports = text.split("typedef struct plugin_imports_t").nth(1).context("the imports")?;
    let imports = imports.split("} plugin_imports_t;").next().context("the imports end")?;
    ensure!(imports.contains("ordinary") && !imports.contains("host"), "{imports}");
    let check = |definition: &str, compiler: &[&str]| {
        let program =
            format!("#include \"plugin.h\"\n{definition}\nint main(void) {{ return 0; }}\n");
        fs::write(scratch.path("program.c"), program)?;
        cc(scratch.root(), &[compiler, &["-I.", "-fsyntax-only", "program.c"][..]].concat())
    };
    let fitting =
        "double host_sum(int32_t a, int64_t b, float c, double d) { return a + b + c + d; }";
    check(fitting, &[])?;
    let other =
        "double host_sum(int32_t a, int32_t b, float c, double d) { return a + b + c + d; }";
    let error = check(other, &[]).err().context("it does not fit")?;
    ensure!(format!("{error:#}").contains("conflicting types for"), "{error:#}");
    // C++ has functions of several types, but not with the linkage of C.
    check(&format!("extern \"C\" {fitting}"), &["-xc++"])?;
    ensure!(check(&format!("extern \"C\" int {}", &other[7..]), &["-xc++"]).is_err());
    Ok(())
}

/// Through the command: what is bound by options and by a file, kept exports, and what goes wrong.
fn command() -> Result<()> {
    let scratch = Scratch::new("bind-command");
    let (module, list) = (fixture("plugin.wat"), fixture("bindings.txt"));
    let (object, deps) = (scratch.path("plugin.o"), scratch.path("plugin.d"));
    let compile = |arguments: &[&str]| {
        aotc(["compile", text(&module), "-o", text(&object)].iter().chain(arguments))
    };
    compile(&["--bind-file", text(&list), "--depfile", text(&deps)]).with_code(0)?;
    ensure!(fs::read(&object)? == self::object(&options()?)?, "as by the library");
    ensure!(fs::read_to_string(&deps)?.contains(&format!("\n  {}\n", list.display())));
    let symbols = || -> Result<Vec<String>> {
        let output =
            Command::new("nm").arg("-u").arg(&object).output().context("nm cannot be run")?;
        let lines = String::from_utf8(output.stdout)?;
        Ok(lines.lines().map(|line| line.trim().to_owned()).collect())
    };
    ensure!(symbols()?.len() == 12, "{:?}", symbols()?);
    // What is not reached needs nobody to define it.
    compile(&["--bind-file", text(&list), "--keep-exports", "sum"]).with_code(0)?;
    let found = symbols()?;
    ensure!(found.contains(&"U host_sum".to_owned()), "{found:?}");
    ensure!(!found.iter().any(|symbol| symbol.contains("host_many")), "{found:?}");
    let link_as = format!("env={}", module.display());
    compile(&["--bind", "host.log=puts", "--link-as", &link_as]).with_code(0)?;
    compile(&["--bind", "host.log"]).fails(2, "error: invalid value 'host.log' for '--bind")?;
    compile(&["--bind", "host.log=x", "--bind", "host.log=y"])
        .fails(2, &format!("error: {}: `host::log` is bound twice", module.display()))?;
    compile(&["--bind", "host.log=x", "--emit", "image"])
        .fails(2, &format!("error: {}: an image has no relocations", module.display()))?;
    let bad = scratch.write("bad", "host.log=x\nhost.sum\n");
    compile(&["--bind-file", text(&bad)])
        .fails(2, &format!("error: {}: line 2: expected MODULE.NAME=SYMBOL", bad.display()))
}
