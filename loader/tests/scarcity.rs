//! Where memory and the system's help run out: every allocation, and every system call, fails in turn, in loading,
//! instantiating, calling and resetting. What comes is an error or what is right, and afterwards all works.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt::Write;
use std::mem::offset_of;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};

use anyhow::Result;
use aotc_loader::{
    Config, Engine, Instance, Linker, LoadError, Module, PoolingAllocationConfig, Store, Val,
};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::pool::EVERYTHING;
use crate::support::{image, in_child};

/// The program's allocator, but for one allocation of this thread that fails.
struct Failing;

#[global_allocator]
static ALLOCATOR: Failing = Failing;

std::thread_local! {
    /// How many allocations are left until one fails, that one included; 0 if none shall fail.
    static LEFT: Cell<u64> = const { Cell::new(0) };
}

/// Whether the allocation of `bytes` that is being made shall fail.
fn fails(bytes: usize) -> bool {
    let left = LEFT.get();
    if left == 0 {
        return false;
    }
    LEFT.set(left - 1);
    if left == 1 {
        FAILURE.get().inspect(|place| place.store(bytes as u64, Ordering::Relaxed));
    }
    left == 1
}

// SAFETY: the system's allocator, or null.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        if fails(layout.size()) { ptr::null_mut() } else { unsafe { System.alloc(layout) } }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        if fails(layout.size()) { ptr::null_mut() } else { unsafe { System.alloc_zeroed(layout) } }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        if fails(bytes) { ptr::null_mut() } else { unsafe { System.realloc(old, layout, bytes) } }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(old, layout) }
    }
}

/// In memory that this process shares with those that it forks: the size of the allocation that failed.
static FAILURE: std::sync::OnceLock<&'static AtomicU64> = std::sync::OnceLock::new();

/// Allocations from this size on must not end the program when they fail, in bytes. Smaller ones may: `std` has boxes, and maps
/// of few entries, only in that way.
const LARGE_BYTES: u64 = 2048;

/// A module with many imports, types, memories and tables, which all have to be kept somewhere.
fn large_text() -> String {
    let mut text = String::from("(module\n");
    for index in 0..300 {
        writeln!(text, r#"(import "host" "f" (func $f{index}))"#).unwrap();
    }
    for index in 0..300u32 {
        // Types that differ: digits in base 4 as parameters.
        let digit = |place: u32| ["i32", "i64", "f32", "f64"][(index >> (2 * place)) as usize % 4];
        let params: Vec<_> = (0..6).map(digit).collect();
        writeln!(text, r#"(func (export "g{index}") (param {}))"#, params.join(" ")).unwrap();
    }
    for index in 0..100 {
        writeln!(text, r#"(table (export "t{index}") 1 100 externref)"#).unwrap();
    }
    text.push_str(
        r#"(table (export "large") 100000 externref)
           (memory (export "memory") 1 4)
           (func (export "run") (call $f7) (drop (memory.grow (i32.const 1)))))"#,
    );
    text
}

/// Loads, instantiates, calls and resets.
fn live_once(bytes: &[u8]) -> Result<()> {
    let engine = Engine::default();
    let module = Module::from_bytes(&engine, bytes)?;
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "f", || ())?;
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &module)?;
    let run = instance.get_typed_func::<(), ()>(&mut store, "run")?;
    run.call(&mut store, ())?;
    instance.reset(&mut store)?;
    run.call(&mut store, ())
}

/// How a process ended that had one allocation fail.
const LIVED: i32 = 10;
const OUT_OF_MEMORY: i32 = 11;
const OTHER_ERROR: i32 = 12;
const NOTHING_FAILED: i32 = 13;

#[test]
fn every_allocation_fails_in_turn() {
    in_child("scarcity::every_allocation_fails_in_turn", || {
        let bytes = image(&large_text());
        // Hundreds of processes abort: without backtraces and core files.
        // SAFETY: no other thread of this process looks at its environment.
        unsafe { std::env::set_var("RUST_BACKTRACE", "0") };
        let none = Rlimit { current: Some(0), maximum: Some(0) };
        setrlimit(Resource::Core, none).expect("a limit");
        // SAFETY: a new page of zeros, which is never unmapped.
        let shared = unsafe {
            let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
            &*mmap_anonymous(ptr::null_mut(), 4096, protection, flags).unwrap().cast::<AtomicU64>()
        };
        FAILURE.set(shared).unwrap();
        let mut ends = [0; 4];
        let mut large = 0;
        for number in 1.. {
            shared.store(0, Ordering::Relaxed);
            let end = fork(|| {
                LEFT.set(number);
                let result = live_once(&bytes);
                let failed = LEFT.replace(0) == 0;
                match result {
                    Ok(()) if !failed => NOTHING_FAILED,
                    Ok(()) => LIVED,
                    Err(error) => match error.downcast_ref::<LoadError>() {
                        Some(error) if error.is_out_of_memory() => OUT_OF_MEMORY,
                        _ => OTHER_ERROR,
                    },
                }
            });
            let failed_bytes = shared.load(Ordering::Relaxed);
            large += u32::from(failed_bytes >= LARGE_BYTES);
            match end {
                End::Code(NOTHING_FAILED) => break,
                End::Code(LIVED) => ends[0] += 1,
                End::Code(OUT_OF_MEMORY) => ends[1] += 1,
                // What `std` does where it has no error to give.
                End::Signal(libc::SIGABRT) if failed_bytes < LARGE_BYTES => ends[2] += 1,
                end => panic!("allocation {number}, of {failed_bytes} bytes: {end:?}"),
            }
        }
        eprintln!("{ends:?} lived, failed, aborted; {large} were large");
        assert!(ends[1] >= 6 && large >= 6 && ends[2] > 0, "{ends:?}, {large} large");
    });
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Code(i32),
    Signal(i32),
}

/// Runs `body` in a copy of this process, which ends with its code.
fn fork(body: impl FnOnce() -> i32) -> End {
    // SAFETY: the child only runs `body` and ends; no other thread of this process is in the loader or holds a lock.
    unsafe {
        match libc::fork() {
            -1 => panic!("fork failed"),
            0 => {
                let code = body();
                libc::_exit(code)
            }
            child => {
                let mut status = 0;
                assert_eq!(libc::waitpid(child, &mut status, 0), child);
                if libc::WIFEXITED(status) {
                    End::Code(libc::WEXITSTATUS(status))
                } else {
                    End::Signal(libc::WTERMSIG(status))
                }
            }
        }
    }
}

/// The system calls by which the loader gets something.
const CALLS: [i64; 12] = [
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_ioctl,
    libc::SYS_memfd_create,
    libc::SYS_fcntl,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_openat,
    libc::SYS_sigaltstack,
];

/// Whether system calls are counted, and made to fail.
static ARMED: AtomicBool = AtomicBool::new(false);

/// Loads, instantiates, calls and resets, in an engine that is used again. Wherever a step is said to have succeeded, it has.
fn live(engine: &Engine, bytes: &[u8]) -> Result<()> {
    let module = Module::from_bytes(engine, bytes)?;
    let mut store = Store::new(engine, ());
    let text = aotc_loader::ExternRef::new(&mut store, "text")?;
    for _ in 0..2 {
        let instance = Instance::new(&mut store, &module, &[])?;
        let check = instance.get_typed_func::<(), ()>(&mut store, "check")?;
        let write = instance.get_func(&mut store, "write").expect("exported");
        check.call(&mut store, ()).expect("a new instance is as the module says");
        // If memories cannot grow, it traps.
        let _ = write.call(&mut store, &[Val::I32(9), Val::ExternRef(Some(text))], &mut []);
        instance.reset(&mut store)?;
        check.call(&mut store, ()).expect("an instance that was reset is as at first");
        let _ = write.call(&mut store, &[Val::I32(9), Val::ExternRef(Some(text))], &mut []);
    }
    Ok(())
}

#[test]
fn every_system_call_fails_in_turn() {
    in_child("scarcity::every_system_call_fails_in_turn", || {
        let bytes = image(EVERYTHING);
        let mut pool = PoolingAllocationConfig::new();
        pool.total_core_instances(4).max_tables_per_module(2).table_elements(80_000);
        let mut pooled = Config::new();
        pooled.allocation_strategy(pool);
        for config in [Config::new(), pooled] {
            let engine = Engine::new(&config).unwrap();
            let mut errors = 0;
            for number in 1.. {
                let Some((outcome, count)) = with_failure(number, || live(&engine, &bytes)) else {
                    println!("skipped: system calls cannot be watched here");
                    assert!(std::env::var_os("CI").is_none(), "CI can watch them");
                    return;
                };
                errors += u32::from(outcome.is_err());
                // Nothing is lost or broken by it.
                live(&engine, &bytes).expect("nothing fails now");
                if count < number {
                    outcome.expect("nothing failed");
                    break;
                }
            }
            assert!(errors >= 5, "{errors} errors");
            if let Some(metrics) = engine.pooling_allocator_metrics() {
                assert_eq!(metrics.core_instances(), 0);
            }
        }
    });
}

/// Runs `body` in a thread whose `number`-th system call of [`CALLS`] fails for want of memory. Gives what it gave and how
/// many there were; `None` if the kernel does not let them be watched.
fn with_failure<R: Send>(number: u64, body: impl FnOnce() -> R + Send) -> Option<(R, u64)> {
    let listener = AtomicI32::new(0);
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let descriptor = install_filter();
            listener.store(if descriptor < 0 { -1 } else { descriptor }, Ordering::Release);
            if descriptor < 0 {
                return None;
            }
            ARMED.store(true, Ordering::Release);
            let result = body();
            ARMED.store(false, Ordering::Release);
            Some(result)
        });
        let descriptor = loop {
            match listener.load(Ordering::Acquire) {
                0 => std::thread::yield_now(),
                known => break known,
            }
        };
        let count = if descriptor < 0 { 0 } else { serve(descriptor, number) };
        worker.join().expect("no panic").map(|result| (result, count))
    })
}

/// Lets system calls of a filtered thread go on, but for the `number`-th one while they are counted, until it ends. Gives
/// their number.
fn serve(descriptor: i32, number: u64) -> u64 {
    let mut count = 0;
    loop {
        let mut poll = libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 };
        // SAFETY: plain calls with records of this function's.
        unsafe {
            assert!(libc::poll(&mut poll, 1, 60_000) > 0, "the thread hangs");
            if poll.revents & libc::POLLIN == 0 {
                libc::close(descriptor);
                return count;
            }
            let mut call: libc::seccomp_notif = std::mem::zeroed();
            if libc::ioctl(descriptor, libc::SECCOMP_IOCTL_NOTIF_RECV, &mut call) != 0 {
                continue;
            }
            let mut answer: libc::seccomp_notif_resp = std::mem::zeroed();
            answer.id = call.id;
            answer.flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
            if ARMED.load(Ordering::Acquire) {
                count += 1;
                if count == number {
                    answer.flags = 0;
                    answer.error = -libc::ENOMEM;
                }
            }
            libc::ioctl(descriptor, libc::SECCOMP_IOCTL_NOTIF_SEND, &mut answer);
        }
    }
}

/// From now on [`CALLS`] of this thread wait for who reads the descriptor that this gives.
fn install_filter() -> i32 {
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    let statement =
        |code: u32, value: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k: value };
    let mut filter = vec![statement(LOAD, offset_of!(libc::seccomp_data, nr) as u32)];
    for (place, &call) in CALLS.iter().enumerate() {
        let to_notify = (CALLS.len() - place) as u8;
        let code = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
        filter.push(libc::sock_filter { code, jt: to_notify, jf: 0, k: call as u32 });
    }
    filter.push(statement(RETURN, libc::SECCOMP_RET_ALLOW));
    filter.push(statement(RETURN, libc::SECCOMP_RET_USER_NOTIF));
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program is read before the call returns.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let (mode, flags) = (libc::SECCOMP_SET_MODE_FILTER, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER);
        libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program) as i32
    }
}
