//! Slots of dropped instances that a module keeps, when its engine has no pool.
//!
//! As in a pool, threads use shards of their own, and look into the others' only if theirs is empty.

use crate::locals::Locals;
use crate::prelude::*;
use crate::sync::Mutex;

use super::Slot;

/// Most slots that a module keeps for instances to come.
const SLOTS_MAX: usize = 100;

/// Slots of one module, reset.
#[derive(Default)]
pub(crate) struct Recycled(Locals<Shard>);

#[derive(Default)]
struct Shard(Mutex<Vec<Slot>>);

impl Recycled {
    /// A slot, if there is one.
    pub(crate) fn take(&self) -> Option<Slot> {
        let slot = self.0.mine().with(Vec::pop);
        slot.or_else(|| self.0.others().find_map(|shard| shard.0.try_lock().ok()?.pop()))
    }

    /// Keeps a slot if there is room.
    pub(crate) fn give_back(&self, slot: Slot) {
        let most = SLOTS_MAX.div_ceil(self.0.count());
        // What is left over is dropped when the lock is released.
        let _left_over = self.0.mine().with(|slots| {
            if slots.len() < most {
                slots.push(slot);
                return None;
            }
            Some(slot)
        });
    }
}

impl Shard {
    fn with<R>(&self, f: impl FnOnce(&mut Vec<Slot>) -> R) -> R {
        f(&mut self.0.lock().expect("no panic with free slots"))
    }
}
