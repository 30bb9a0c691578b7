//! What stands in the way of calls that are no more than calls.

use core::cell::Cell;

/// What stands in the way of plain synchronous calls: one number, so that a call asks once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Obstacles {
    set: Cell<u8>,
    /// See [`Self::home`]. Also known to `sys/gate.rs`.
    pub(crate) home: Cell<u64>,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Obstacle {
    /// Somebody is told when calls cross between the host and WebAssembly.
    Hook = 1,
    /// Something of the store may have to wait: an import, a limiter, a hook.
    Async = 2,
    /// The store's code runs on a fiber, which could wait.
    Fiber = 4,
}

impl Obstacles {
    /// Whether there is none.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.set.get() == 0
    }

    /// Whether this is there.
    #[inline]
    pub(crate) fn has(&self, obstacle: Obstacle) -> bool {
        self.set.get() & obstacle as u8 != 0
    }

    /// From now on it is there.
    pub(crate) fn add(&self, obstacle: Obstacle) {
        self.set.set(self.set.get() | obstacle as u8);
        self.leave_home();
    }

    /// From now on it is not.
    pub(crate) fn remove(&self, obstacle: Obstacle) {
        self.set.set(self.set.get() & !(obstacle as u8));
    }

    /// Number of the thread at which a call is prepared ([`Outermost::settle`](crate::sys::thread::Outermost)): another one there, that is the only one, needs no
    /// more. 0 where nothing is prepared, as whenever there are obstacles.
    #[inline]
    pub(crate) fn home(&self) -> u64 {
        self.home.get()
    }

    /// From now on calls are prepared at this thread.
    pub(crate) fn set_home(&self, home: u64) {
        self.home.set(home);
    }

    /// From now on calls are prepared nowhere.
    #[inline]
    pub(crate) fn leave_home(&self) {
        self.home.set(0);
    }
}

/// Sets a store's `fiber`, and gives what it was, of a store of which only cells may be used.
pub(crate) fn set_fiber(cell: &Cell<usize>, obstacles: &Obstacles, fiber: usize) -> usize {
    match fiber {
        0 => obstacles.remove(Obstacle::Fiber),
        _ => obstacles.add(Obstacle::Fiber),
    }
    cell.replace(fiber)
}
