//! Host infos of a store's objects, by what the objects are known by.

#[cfg(feature = "std")]
use std::hash::{BuildHasherDefault, DefaultHasher};

use crate::object::{HostInfo, Key};

/// With `std`, a hash table. Its keys are numbers and addresses that the loader gives, so nobody chooses them to collide, and a
/// store need not ask the kernel for random bytes.
#[cfg(feature = "std")]
pub(crate) type HostInfos =
    std::collections::HashMap<Key, HostInfo, BuildHasherDefault<DefaultHasher>>;

/// Without, a list: a program that has many of them has an operating system.
#[cfg(not(feature = "std"))]
#[derive(Default)]
pub(crate) struct HostInfos(crate::prelude::Vec<(Key, HostInfo)>);

#[cfg(not(feature = "std"))]
impl HostInfos {
    /// The one of an object.
    pub(crate) fn get(&self, key: &Key) -> Option<&HostInfo> {
        self.0.iter().find(|(of, _)| of == key).map(|(_, info)| info)
    }

    /// Sets the one of an object, and gives back what it had.
    pub(crate) fn insert(&mut self, key: Key, info: HostInfo) -> Option<HostInfo> {
        match self.0.iter_mut().find(|(of, _)| *of == key) {
            Some((_, place)) => Some(core::mem::replace(place, info)),
            None => {
                self.0.push((key, info));
                None
            }
        }
    }
}
