//! Slots of dropped instances that a module keeps, when its engine has no pool.
//!
//! As in a pool, threads use shards of their own, and look into the others' only if theirs is empty.

use crate::prelude::*;
use crate::sync::{Mutex, OnceLock};
use crate::sys::{self, thread};

use super::Slot;

/// Most slots that a module keeps for instances to come.
const SLOTS_MAX: usize = 100;
/// Most shards.
const SHARDS_MAX: usize = 16;

/// Slots of one module, reset.
pub(crate) struct Recycled {
    /// Made when the first instance is.
    shards: OnceLock<Box<[Shard]>>,
}

/// In cache lines of its own.
#[derive(Default)]
#[cfg_attr(feature = "std", repr(align(128)))]
struct Shard(Mutex<Vec<Slot>>);

impl Default for Recycled {
    fn default() -> Self {
        Self { shards: OnceLock::new() }
    }
}

impl Recycled {
    /// A slot, if there is one.
    pub(crate) fn take(&self) -> Option<Slot> {
        let shards = self.shards();
        let home = thread::number() % shards.len();
        let slot = shards[home].with(Vec::pop);
        slot.or_else(|| {
            let mut others = shards[home + 1..].iter().chain(&shards[..home]);
            others.find_map(|shard| shard.0.try_lock().ok()?.pop())
        })
    }

    /// Keeps a slot if there is room.
    pub(crate) fn give_back(&self, slot: Slot) {
        let shards = self.shards();
        let home = thread::number() % shards.len();
        // What is left over is dropped when the lock is released.
        let _left_over = shards[home].with(|slots| {
            if slots.len() < SLOTS_MAX.div_ceil(shards.len()) {
                slots.push(slot);
                return None;
            }
            Some(slot)
        });
    }

    fn shards(&self) -> &[Shard] {
        self.shards.get_or_init(|| {
            let count = sys::processors().clamp(1, SHARDS_MAX);
            (0..count).map(|_| Shard::default()).collect()
        })
    }
}

impl Shard {
    fn with<R>(&self, f: impl FnOnce(&mut Vec<Slot>) -> R) -> R {
        f(&mut self.0.lock().expect("no panic with free slots"))
    }
}
