//! One of something for each thread, so that threads do not wait for one another.

use crate::prelude::*;
use crate::sync::OnceLock;
use crate::sys::{self, thread};

/// Most places.
const PLACES_MAX: usize = 16;

/// Places for threads: as many as there are processors, so threads that are more may share one.
pub(crate) struct Locals<V>(OnceLock<Box<[Place<V>]>>);

/// In cache lines of its own.
#[derive(Default)]
#[cfg_attr(feature = "std", repr(align(128)))]
struct Place<V>(V);

impl<V: Default> Locals<V> {
    /// The calling thread's.
    pub(crate) fn mine(&self) -> &V {
        let places = self.places();
        &places[thread::number() % places.len()].0
    }

    /// All the others, the next thread's first.
    pub(crate) fn others(&self) -> impl Iterator<Item = &V> {
        let places = self.places();
        let mine = thread::number() % places.len();
        places[mine + 1..].iter().chain(&places[..mine]).map(|place| &place.0)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.places().len()
    }

    fn places(&self) -> &[Place<V>] {
        self.0.get_or_init(|| {
            let count = sys::processors().clamp(1, PLACES_MAX);
            (0..count).map(|_| Place::default()).collect()
        })
    }
}

impl<V> Default for Locals<V> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}
