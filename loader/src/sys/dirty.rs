//! Which pages of a private mapping were written.
//!
//! A page that was written is the process's own; one that was not is the file's, or absent. The kernel tells them
//! apart with the request `PAGEMAP_SCAN` (Linux 6.7) of `/proc/self/pagemap`. That file stays that of the process
//! which opened it, so a forked process must open it again: the number of the descriptor is kept in a page that the
//! kernel clears in new processes.
//!
//! # Safety
//!
//! [`State`] leads to a page that is never unmapped. The request only reads the process's page tables, and writes to
//! the arrays it is given.
#![allow(unsafe_code, reason = "a page that forks clear, and a system call")]

use crate::sync::OnceLock;
use core::ptr;
use core::sync::atomic::{AtomicI32, Ordering};
use std::os::fd::IntoRawFd;

use rustix::fs::{self, Mode, OFlags};
use rustix::mm::{self, Advice, MapFlags, ProtFlags};

use super::page_bytes;

/// Most runs of pages that are told.
pub(crate) const RUNS_MAX: usize = 32;

/// Neighbouring pages that were written: `struct page_region`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    /// Address of the first byte.
    pub(crate) start: u64,
    /// Address behind the last byte.
    pub(crate) end: u64,
    categories: u64,
}

/// `struct pm_scan_arg`.
#[repr(C)]
#[derive(Default)]
struct ScanArguments {
    size_bytes: u64,
    flags: u64,
    start: u64,
    end: u64,
    /// Where the kernel stopped.
    walk_end: u64,
    runs: u64,
    runs_max: u64,
    pages_max: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `_IOWR('f', 16, struct pm_scan_arg)`.
const PAGEMAP_SCAN: libc::Ioctl =
    (3 << 30 | (size_of::<ScanArguments>() as u32) << 16 | (b'f' as u32) << 8 | 16) as libc::Ioctl;
const PAGE_IS_FILE: u64 = 1 << 2;
const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_SWAPPED: u64 = 1 << 4;

/// The runs of pages between two addresses that the process has of its own, into `runs`; `None` if there are more
/// than `pages_max` pages or [`RUNS_MAX`] runs, or the kernel does not tell. Pages that were only read are among them where
/// there is no file.
pub(crate) fn dirty_runs(
    start: u64,
    end: u64,
    pages_max: u64,
    runs: &mut [Run; RUNS_MAX],
) -> Option<&[Run]> {
    let (runs, walk_end) = scan(start, end, pages_max + 1, runs)?;
    let pages: u64 = runs.iter().map(|run| (run.end - run.start) / page_bytes()).sum();
    (walk_end >= end && pages <= pages_max).then_some(runs)
}

/// How many bytes between two addresses are in pages that the process has of its own; `None` if the kernel does not tell.
pub(crate) fn own_bytes(mut start: u64, end: u64) -> Option<u64> {
    let mut bytes = 0;
    let mut runs = [Run::default(); RUNS_MAX];
    while start < end {
        let (runs, walk_end) = scan(start, end, 0, &mut runs)?;
        bytes += runs.iter().map(|run| run.end - run.start).sum::<u64>();
        start = walk_end.max(start + page_bytes());
    }
    Some(bytes)
}

/// Fills `runs` with pages that the process has of its own, up to `pages_max` of them if that is not 0; tells where it
/// stopped.
fn scan(start: u64, end: u64, pages_max: u64, runs: &mut [Run; RUNS_MAX]) -> Option<(&[Run], u64)> {
    let state = state()?;
    let descriptor = descriptor(state)?;
    let mut arguments = ScanArguments {
        size_bytes: size_of::<ScanArguments>() as u64,
        start,
        end,
        runs: runs.as_mut_ptr() as u64,
        runs_max: RUNS_MAX as u64,
        pages_max,
        category_inverted: PAGE_IS_FILE,
        category_mask: PAGE_IS_FILE,
        category_anyof_mask: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
        return_mask: PAGE_IS_PRESENT,
        ..ScanArguments::default()
    };
    // SAFETY: the arguments are as the kernel documents them; it writes to them and to `runs`.
    let count = unsafe { libc::ioctl(descriptor, PAGEMAP_SCAN, &raw mut arguments) };
    let Ok(count) = usize::try_from(count) else {
        state.store(ABSENT, Ordering::Relaxed);
        return None;
    };
    Some((&runs[..count], arguments.walk_end))
}

/// Whether the kernel tells.
pub(crate) fn tells_dirty_pages() -> bool {
    let page = page_bytes();
    let mut runs = [Run::default(); RUNS_MAX];
    let here = (&raw const runs as u64).next_multiple_of(page) - page;
    dirty_runs(here, here + page, 1, &mut runs).is_some()
}

/// Not looked at yet, in this process.
const UNKNOWN: i32 = 0;
/// The kernel lacks the request, or the file is not there. Other values are descriptors plus one.
const ABSENT: i32 = -1;

/// The state, in a page that is zero in new processes; `None` if there cannot be one.
fn state() -> Option<&'static AtomicI32> {
    static STATE: OnceLock<Option<&'static AtomicI32>> = OnceLock::new();
    *STATE.get_or_init(|| {
        let bytes = page_bytes() as usize;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping, of zeros, which is a valid value, and which is never unmapped.
        unsafe {
            let page = mm::mmap_anonymous(ptr::null_mut(), bytes, protection, MapFlags::PRIVATE);
            let page = page.ok()?;
            mm::madvise(page, bytes, Advice::LinuxWipeOnFork).ok()?;
            Some(&*page.cast::<AtomicI32>())
        }
    })
}

fn descriptor(state: &AtomicI32) -> Option<i32> {
    match state.load(Ordering::Relaxed) {
        UNKNOWN => open(state),
        ABSENT => None,
        known => Some(known - 1),
    }
}

#[cold]
fn open(state: &AtomicI32) -> Option<i32> {
    let file = fs::open("/proc/self/pagemap", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let Ok(file) = file else {
        state.store(ABSENT, Ordering::Relaxed);
        return None;
    };
    // Two threads that do this at once leave one descriptor unused.
    let descriptor = file.into_raw_fd();
    state.store(descriptor + 1, Ordering::Relaxed);
    Some(descriptor)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::prelude::*;
    use crate::sys::{Access, Reservation, sealed_memory_file};

    #[test]
    fn written_pages_are_told() {
        let page = page_bytes();
        let file = sealed_memory_file(&vec![7; 4 * page as usize]).unwrap();
        let region = Reservation::new(100 * page).unwrap();
        region.map_private(0, 4 * page, file.as_fd(), 0).unwrap();
        region.protect(4 * page, 90 * page, Access::ReadWrite).unwrap();
        let (start, end) = (region.base(), region.base() + 94 * page);
        let mut runs = [Run::default(); RUNS_MAX];
        let Some(found) = dirty_runs(start, end, 4, &mut runs) else {
            // An older kernel.
            return;
        };
        assert_eq!(found, []);
        let at = |index: u64| (start + index * page) as *mut u8;
        // SAFETY: accessible pages.
        unsafe {
            assert_eq!(at(0).read(), 7);
            for index in [2, 3, 93] {
                at(index).write(1);
            }
        }
        assert_eq!(own_bytes(start, end), Some(3 * page));
        let found = dirty_runs(start, end, 3, &mut runs).unwrap();
        let pages = |run: &Run| ((run.start - start) / page, (run.end - start) / page);
        assert_eq!(found.iter().map(pages).collect::<Vec<_>>(), [(2, 4), (93, 94)]);
        assert_eq!(dirty_runs(start, end, 2, &mut runs), None);
        for index in (4..93).step_by(2) {
            // SAFETY: accessible pages.
            unsafe { at(index).write(1) };
        }
        assert_eq!(dirty_runs(start, end, 90, &mut runs), None);
        assert_eq!(own_bytes(start, end), Some((3 + 45) * page));
    }
}
