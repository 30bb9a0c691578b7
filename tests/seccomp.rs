//! No memory becomes executable that was ever writable: the loader's whole life under a filter that
//! kills the process for asking.

use std::fs::File;
use std::mem::offset_of;
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::ptr;

use anyhow::Result;
use aotc::Emit;
use aotc_loader::{Engine, Instance, Linker, Module, Store, Trap};
use libtest_mimic::{Failed, Trial};

use crate::child::{self, Scratch};
use crate::support::in_ci;

pub(crate) const TASKS: [(&str, fn()); 3] = [
    ("seccomp::load", load),
    ("seccomp::map_anonymous", map_anonymous),
    ("seccomp::protect", protect),
];

pub(crate) fn trials() -> Vec<Trial> {
    // SAFETY: only asks.
    let absent = unsafe { libc::prctl(libc::PR_GET_SECCOMP) } < 0;
    if absent {
        eprintln!("seccomp: this kernel has none");
    }
    let skip = absent && !in_ci();
    let trial = |name: &str, test: fn() -> Result<(), Failed>| {
        Trial::test(format!("seccomp::{name}"), test).with_ignored_flag(skip)
    };
    vec![trial("loader_lives_without", loader_lives), trial("filter_bites", filter_bites)]
}

fn loader_lives() -> Result<(), Failed> {
    let output = child::with_input(&mut child::task("seccomp::load"), b"");
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into())
}

fn filter_bites() -> Result<(), Failed> {
    for name in ["seccomp::map_anonymous", "seccomp::protect"] {
        let output = child::with_input(&mut child::task(name), b"");
        if output.status.signal() != Some(libc::SIGSYS) {
            return Err(format!("{name}: expected SIGSYS, found {}", output.status).into());
        }
    }
    Ok(())
}

const MODULE: &str = r#"(module $guest
  (import "host" "twice" (func $twice (param i32) (result i32)))
  (import "host" "again" (func $again))
  (memory (export "memory") 1 4)
  (table 4 funcref)
  (elem (i32.const 0) $deep)
  (data (i32.const 8) "text")
  (func (export "run") (param i32) (result i32) (call $twice (local.get 0)))
  (func $deep (export "deep") (param i32) (result i32)
    (i32.add (call $deep (local.get 0)) (i32.const 1)))
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "divide") (param i32) (result i32) (i32.div_s (i32.const 1) (local.get 0)))
  (func (export "unreachable") (param i32) (result i32) unreachable)
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "nested") (param i32) (result i32) (call $again) (i32.const 0)))"#;

fn load() {
    let scratch = Scratch::new("seccomp");
    let image = aotc::compile(MODULE.as_bytes(), Emit::Image, &aotc::Options::default())
        .expect("a valid module");
    let path = scratch.write("guest.aot", &image);
    install_filter();
    let engine = Engine::default();
    live(&engine, &Module::open(&engine, &path).expect("an image")).expect("opened from a file");
    live(&engine, &Module::from_bytes(&engine, &image).expect("an image")).expect("from memory");
    std::thread::spawn(move || {
        let module = Module::from_bytes(&engine, &image).expect("an image");
        live(&engine, &module).expect("on another thread");
    })
    .join()
    .expect("no panic");
}

/// All that a host does with a module, twice in a row: the second instance gets the slot of the first.
fn live(engine: &Engine, module: &Module) -> Result<()> {
    let mut linker = Linker::new(engine);
    linker.func_wrap("host", "twice", |value: i32| value * 2)?;
    linker.func_wrap("host", "again", || -> Result<()> { anyhow::bail!("no") })?;
    for _ in 0..2 {
        let mut store = Store::new(engine, ());
        let instance = linker.instantiate(&mut store, module)?;
        let mut call = |name: &str, value| call(&mut store, instance, name, value);
        assert_eq!(call("run", 21)?, 42);
        let traps = [
            ("load", -4, Trap::MemoryOutOfBounds),
            ("deep", 0, Trap::StackOverflow),
            ("divide", 0, Trap::IntegerDivisionByZero),
            ("unreachable", 0, Trap::UnreachableCodeReached),
        ];
        for (name, value, expected) in traps {
            let error = call(name, value).expect_err("a trap");
            assert_eq!(error.downcast_ref::<Trap>(), Some(&expected), "{error:#}");
        }
        assert!(format!("{:#}", call("nested", 0).expect_err("an error")).contains("no"));
        assert_eq!(call("grow", 2)?, 1);
        assert_eq!(call("load", 3 * 65536 - 4)?, 0);
        assert_eq!(call("grow", 2)?, -1);
        let memory = instance.get_memory(&mut store, "memory").expect("exported");
        assert_eq!(memory.grow(&mut store, 1)?, 3);
        assert_eq!(&memory.data(&store)[8..12], b"text");
    }
    Ok(())
}

fn call(store: &mut Store<()>, instance: Instance, name: &str, value: i32) -> Result<i32> {
    instance.get_typed_func::<i32, i32>(&mut *store, name)?.call(store, value)
}

/// What a compiler in the process would do.
fn map_anonymous() {
    install_filter();
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let protection = libc::PROT_READ | libc::PROT_EXEC;
    // SAFETY: a new mapping, at an address of the kernel's choice.
    unsafe { libc::mmap(ptr::null_mut(), 4096, protection, flags, -1, 0) };
}

/// The other thing it would do. Mapping a file's code is not refused, changing what was mapped is.
fn protect() {
    install_filter();
    let file = File::open(std::env::current_exe().expect("this test")).expect("it is readable");
    let (protection, fd) = (libc::PROT_READ | libc::PROT_EXEC, file.as_raw_fd());
    // SAFETY: a new mapping, at an address of the kernel's choice; nothing uses it.
    unsafe {
        let base = libc::mmap(ptr::null_mut(), 4096, protection, libc::MAP_PRIVATE, fd, 0);
        assert_ne!(base, libc::MAP_FAILED);
        libc::mprotect(base, 4096, protection);
    }
}

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const ALLOW: libc::sock_filter = statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW);
const KILL: libc::sock_filter =
    statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_KILL_PROCESS);
const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
const NUMBER: u32 = offset_of!(libc::seccomp_data, nr) as u32;
const ARCH: u32 = offset_of!(libc::seccomp_data, arch) as u32;

/// Kills the process at
/// * `mmap` of what is to be executable and writable, or executable and of no file,
/// * `mprotect` and `pkey_mprotect` that make anything executable.
///
/// Processes that it becomes keep the filter.
pub(crate) fn install_filter() {
    // The low halves, on a little-endian processor, of arguments 2 and 3.
    const PROTECTION: u32 = offset_of!(libc::seccomp_data, args) as u32 + 16;
    const FLAGS: u32 = offset_of!(libc::seccomp_data, args) as u32 + 24;
    let exec = libc::PROT_EXEC as u32;
    let (write, anonymous) = (libc::PROT_WRITE as u32, libc::MAP_ANONYMOUS as u32);
    let mut filter = [
        statement(LOAD, ARCH),
        equal(AUDIT_ARCH_X86_64, 1, 0),
        KILL,
        statement(LOAD, NUMBER),
        equal(libc::SYS_mprotect as u32, 3, 0),
        equal(libc::SYS_pkey_mprotect as u32, 2, 0),
        equal(libc::SYS_mmap as u32, 4, 0),
        ALLOW,
        // mprotect
        statement(LOAD, PROTECTION),
        any_bit(exec, 6, 0),
        ALLOW,
        // mmap
        statement(LOAD, PROTECTION),
        any_bit(exec, 0, 4),
        any_bit(write, 2, 0),
        statement(LOAD, FLAGS),
        any_bit(anonymous, 0, 1),
        KILL,
        ALLOW,
    ];
    install(&mut filter);
}

/// Kills the process at every `mmap` and `mprotect` of what is to be executable, and lets nothing be opened. The processes
/// that it becomes keep the filter.
pub(crate) fn install_strict_filter() {
    const PROTECTION: u32 = offset_of!(libc::seccomp_data, args) as u32 + 16;
    const REFUSE: u32 = libc::SECCOMP_RET_ERRNO | libc::EACCES as u32;
    let mut filter = [
        statement(LOAD, ARCH),
        equal(AUDIT_ARCH_X86_64, 1, 0),
        KILL,
        statement(LOAD, NUMBER),
        equal(libc::SYS_mprotect as u32, 5, 0),
        equal(libc::SYS_pkey_mprotect as u32, 4, 0),
        equal(libc::SYS_mmap as u32, 3, 0),
        equal(libc::SYS_open as u32, 5, 0),
        equal(libc::SYS_openat as u32, 4, 0),
        ALLOW,
        statement(LOAD, PROTECTION),
        any_bit(libc::PROT_EXEC as u32, 0, 2),
        KILL,
        statement(libc::BPF_RET | libc::BPF_K, REFUSE),
        ALLOW,
    ];
    install(&mut filter);
}

fn install(filter: &mut [libc::sock_filter]) {
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program is read before the call returns.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let mode = libc::SECCOMP_MODE_FILTER;
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program), 0);
    }
}

const fn statement(code: u32, value: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k: value }
}

/// Skips `then` instructions if the loaded word equals `value`, or else `otherwise`.
fn equal(value: u32, then: u8, otherwise: u8) -> libc::sock_filter {
    let code = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    libc::sock_filter { code, jt: then, jf: otherwise, k: value }
}

/// Skips `then` instructions if the loaded word has one of the `bits`, or else `otherwise`.
fn any_bit(bits: u32, then: u8, otherwise: u8) -> libc::sock_filter {
    let code = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
    libc::sock_filter { code, jt: then, jf: otherwise, k: bits }
}
