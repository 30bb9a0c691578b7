//! All modules of the process by the addresses of their code, for the signal handler.
//!
//! # Safety
//!
//! Readers, who may be signal handlers, take no lock: they count themselves in [`READERS`] and use the current
//! [`Snapshot`]. A writer publishes a new snapshot and frees the old one only when it has seen no reader. A
//! module is in the snapshot from its construction to its drop, so the pointer to it is valid.
#![allow(unsafe_code, reason = "read in signal handlers, where locks cannot be")]

use crate::prelude::*;
use crate::sync::Mutex;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use aotc_abi::trap::TrapKind;

use super::ModuleInner;

static SNAPSHOT: AtomicPtr<Snapshot> = AtomicPtr::new(ptr::null_mut());
static READERS: AtomicUsize = AtomicUsize::new(0);
static WRITER: Mutex<()> = Mutex::new(());

/// Modules in the order of their code's start.
#[derive(Clone, Default)]
struct Snapshot {
    entries: Vec<Entry>,
}

#[derive(Clone)]
struct Entry {
    start: u64,
    /// The largest end of this entry and those before: a linker may have interleaved modules.
    ends_by: u64,
    module: *const ModuleInner,
}

/// Adds a module.
pub(super) fn register(module: *const ModuleInner) {
    update(|entries| entries.push(Entry { start: 0, ends_by: 0, module }));
}

/// Removes a module.
pub(super) fn unregister(module: &ModuleInner) {
    update(|entries| {
        let place = entries.iter().position(|entry| ptr::eq(entry.module, module));
        if let Some(place) = place {
            entries.remove(place);
        }
    });
}

/// An instruction in a module's code.
pub(crate) struct Site {
    /// What it traps with, if it is a trap site of its own.
    pub(crate) kind: Option<TrapKind>,
    /// Its offset in its piece of code.
    pub(crate) offset: u32,
}

/// The instruction at `pc`; `None` if that is in no module's code.
pub(crate) fn find_trap(pc: u64) -> Option<Site> {
    READERS.fetch_add(1, Ordering::SeqCst);
    // SAFETY: the file's contract: the snapshot and its modules stay while this is counted.
    let found = unsafe {
        SNAPSHOT.load(Ordering::SeqCst).as_ref().and_then(|snapshot| {
            let after = snapshot.entries.partition_point(|entry| entry.start <= pc);
            let candidates = snapshot.entries[..after].iter().rev();
            candidates.take_while(|entry| pc < entry.ends_by).find_map(|entry| {
                let module = &*entry.module;
                let (range, offset) = module.find_code(pc)?;
                Some(Site { kind: module.data.trap_at(&range, offset), offset })
            })
        })
    };
    READERS.fetch_sub(1, Ordering::SeqCst);
    found
}

fn update(change: impl FnOnce(&mut Vec<Entry>)) {
    let _writer = WRITER.lock().unwrap_or_else(|poison| poison.into_inner());
    let old = SNAPSHOT.load(Ordering::SeqCst);
    // SAFETY: only the writer frees snapshots, and this is the writer.
    let mut entries = unsafe { old.as_ref() }.cloned().unwrap_or_default().entries;
    change(&mut entries);
    // SAFETY: the file's contract: registered modules are alive.
    let text = |entry: &Entry| unsafe { (*entry.module).text.clone() };
    entries.sort_by_key(|entry| text(entry).start);
    let mut ends_by = 0;
    for entry in &mut entries {
        ends_by = text(entry).end.max(ends_by);
        entry.start = text(entry).start;
        entry.ends_by = ends_by;
    }
    SNAPSHOT.store(Box::into_raw(Box::new(Snapshot { entries })), Ordering::SeqCst);
    while READERS.load(Ordering::SeqCst) != 0 {
        std::thread::yield_now();
    }
    if !old.is_null() {
        // SAFETY: made by `Box::into_raw` above; nobody reads it any more.
        drop(unsafe { Box::from_raw(old) });
    }
}
