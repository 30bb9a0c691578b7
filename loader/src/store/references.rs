//! The host's values that WebAssembly code holds as `externref`, and their collection.
//!
//! Compiled code and tables hold a value's number: its place, and how often the place was used before, so that a number is
//! never taken for that of a later value. A value is kept as long as one of these has it:
//!
//! - a table or global of the store,
//! - a root: every handle that the host is given is one, until the innermost [`crate::RootScope`] or host function in which
//!   it was given ends,
//! - an [`crate::OwnedRooted`],
//! - compiled code, which may hold it wherever it likes: while some runs in the store nothing is collected.

use alloc::sync::Arc;
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use aotc_abi::meta::ExternKind;

use super::StoreOpaque;
use crate::extern_::Extern;
use crate::prelude::*;
use crate::sync::Mutex;
use crate::types::{RefType, ValType};

type Value = Box<dyn Any + Send + Sync>;

/// So many values are there before a collection is tried.
const FIRST_COLLECTION: usize = 1024;

/// The values of a store.
pub(crate) struct ExternRefs {
    places: Vec<Place>,
    free: Vec<u32>,
    /// Places that are rooted, in the order in which they were.
    roots: Mutex<Vec<u32>>,
    /// How many roots there are.
    root_count: AtomicUsize,
    /// Numbers that have owners, each as long as somebody else has its token.
    owned: Vec<(Arc<()>, u64)>,
    collect_at: usize,
}

#[derive(Default)]
struct Place {
    value: Option<Value>,
    /// How often the place was used before.
    generation: u32,
    rooted: AtomicBool,
    marked: bool,
}

impl Default for ExternRefs {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            roots: Mutex::default(),
            root_count: AtomicUsize::new(0),
            owned: Vec::new(),
            collect_at: FIRST_COLLECTION,
        }
    }
}

impl ExternRefs {
    /// The value with this number; `None` if it was collected.
    pub(crate) fn get(&self, number: u64) -> Option<&(dyn Any + Send + Sync)> {
        self.places[self.place(number)?].value.as_deref()
    }

    /// As [`ExternRefs::get`].
    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut (dyn Any + Send + Sync)> {
        let place = self.place(number)?;
        self.places[place].value.as_deref_mut()
    }

    /// The place of a value that is there.
    fn place(&self, number: u64) -> Option<usize> {
        let index = (number as u32).checked_sub(1)? as usize;
        let place = self.places.get(index)?;
        (place.generation == (number >> 32) as u32 && place.value.is_some()).then_some(index)
    }

    /// Adds a value, and gives its number.
    fn add(&mut self, value: Value) -> u64 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            self.places.len() as u32 - 1
        });
        let place = &mut self.places[index as usize];
        place.value = Some(value);
        u64::from(place.generation) << 32 | u64::from(index + 1)
    }

    /// Roots a value, unless it is rooted already.
    pub(crate) fn root(&self, number: u64) {
        let Some(index) = self.place(number) else { return };
        if !self.places[index].rooted.swap(true, Ordering::Relaxed) {
            let mut roots = self.roots.lock().unwrap_or_else(|poison| poison.into_inner());
            roots.push(index as u32);
            self.root_count.store(roots.len(), Ordering::Relaxed);
        }
    }

    /// How many roots there are: what [`ExternRefs::unroot`] takes.
    #[inline]
    pub(crate) fn root_count(&self) -> usize {
        self.root_count.load(Ordering::Relaxed)
    }

    /// Forgets the roots that were added since there were `count`.
    #[inline]
    pub(crate) fn unroot(&mut self, count: usize) {
        if *self.root_count.get_mut() > count {
            self.unroot_some(count);
        }
    }

    #[cold]
    fn unroot_some(&mut self, count: usize) {
        let mut roots = self.roots.lock().unwrap_or_else(|poison| poison.into_inner());
        for index in roots.drain(count..) {
            self.places[index as usize].rooted.store(false, Ordering::Relaxed);
        }
        *self.root_count.get_mut() = count;
    }

    /// Keeps a value as long as somebody has the token; `None` if it was collected.
    pub(crate) fn own(&mut self, number: u64) -> Option<Arc<()>> {
        self.place(number)?;
        let token = Arc::new(());
        self.owned.push((token.clone(), number));
        Some(token)
    }

    fn mark(&mut self, number: u64) {
        if let Some(index) = self.place(number) {
            self.places[index].marked = true;
        }
    }

    /// Drops every value that is neither marked nor rooted. Gives back the values, whose destructors may do anything.
    fn sweep(&mut self) -> Vec<Value> {
        let mut dropped = Vec::new();
        for (index, place) in (0..).zip(&mut self.places) {
            let kept = core::mem::take(&mut place.marked) || *place.rooted.get_mut();
            if kept || place.value.is_none() {
                continue;
            }
            dropped.extend(place.value.take());
            // A place whose numbers are used up is not used again.
            if let Some(next) = place.generation.checked_add(1) {
                place.generation = next;
                self.free.push(index);
            }
        }
        self.collect_at = FIRST_COLLECTION.max(2 * (self.places.len() - self.free.len()));
        dropped
    }
}

impl StoreOpaque {
    /// Adds a value that the host gave, rooted, and gives its number.
    pub(crate) fn add_extern_ref(&mut self, value: Value) -> u64 {
        let held = self.extern_refs.places.len() - self.extern_refs.free.len();
        if held >= self.extern_refs.collect_at {
            self.collect();
        }
        let number = self.extern_refs.add(value);
        self.extern_refs.root(number);
        number
    }

    /// Drops external values that nobody can reach; see [`ExternRefs`]. Does nothing while compiled code of the store is
    /// on the stack.
    pub(crate) fn collect(&mut self) {
        if self.is_running() {
            return;
        }
        let mut numbers = Vec::new();
        for table in self.tables() {
            if table.element == RefType::EXTERNREF {
                let length = table.definition.read().length;
                numbers.extend((0..length).filter_map(|index| table.get(index)));
            }
        }
        for (index, data) in (0..).zip(&self.instances) {
            for global in 0..data.module.data().globals().len() as u32 {
                if let Extern::Global(global) = self.item(index, ExternKind::Global, global)
                    && global.content == ValType::EXTERNREF
                {
                    numbers.push(global.slot.read());
                }
            }
        }
        // Of the host's globals the types are not known here: what looks like a value's number is one.
        numbers.extend(self.host_globals());
        self.extern_refs.owned.retain(|(token, _)| Arc::strong_count(token) > 1);
        numbers.extend(self.extern_refs.owned.iter().map(|&(_, number)| number));
        for number in numbers {
            self.extern_refs.mark(number);
        }
        drop(self.extern_refs.sweep());
    }
}
