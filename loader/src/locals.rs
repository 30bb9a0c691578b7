//! One of something for each thread, so that threads do not wait for one another.

use crate::prelude::*;
use crate::sync::OnceLock;
use crate::sys::{self, thread};

/// Most places.
const PLACES_MAX: usize = 16;

/// Places for threads: as many as there are processors, so threads that are more may share one.
pub(crate) struct Locals<V> {
    /// That of thread number 0, which has no other in most programs.
    first: Place<V>,
    /// The rest, made when another thread comes.
    more: OnceLock<Box<[Place<V>]>>,
}

/// In cache lines of its own.
#[derive(Default)]
#[cfg_attr(feature = "std", repr(align(128)))]
struct Place<V>(V);

impl<V: Default> Locals<V> {
    /// The calling thread's.
    pub(crate) fn mine(&self) -> &V {
        self.at(self.my_index())
    }

    /// All the others that were made, the next thread's first.
    pub(crate) fn others(&self) -> impl Iterator<Item = &V> {
        let mine = self.my_index();
        let count = 1 + self.more.get().map_or(0, |more| more.len());
        (mine + 1..count).chain(0..mine).map(|index| self.at(index))
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        1 + self.more().len()
    }

    fn my_index(&self) -> usize {
        match thread::number() {
            0 => 0,
            number => number % self.count(),
        }
    }

    fn at(&self, index: usize) -> &V {
        match index {
            0 => &self.first.0,
            _ => &self.more()[index - 1].0,
        }
    }

    fn more(&self) -> &[Place<V>] {
        self.more.get_or_init(|| {
            let count = sys::processors().clamp(1, PLACES_MAX);
            (1..count).map(|_| Place::default()).collect()
        })
    }
}

impl<V: Default> Default for Locals<V> {
    fn default() -> Self {
        Self { first: Place::default(), more: OnceLock::new() }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use core::ptr;

    use super::*;

    #[test]
    fn others_are_all_but_mine() {
        let locals = Locals::<u64>::default();
        let seen = || {
            let (mine, count) = (locals.mine(), locals.count());
            let others: Vec<_> = locals.others().map(ptr::from_ref).collect();
            assert!(ptr::eq(mine, locals.mine()) && !others.contains(&ptr::from_ref(mine)));
            assert_eq!(others.len() + 1, count);
            let lines: std::collections::BTreeSet<_> =
                others.iter().chain([&ptr::from_ref(mine)]).map(|&at| at as usize / 128).collect();
            assert_eq!(lines.len(), count);
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(seen);
            }
        });
        seen();
    }
}
