//! Matching what is given with what a module imports.

use alloc::sync::Arc;
use core::ops::Deref;

use anyhow::Result;
use aotc_abi::meta::NO_MAXIMUM;
use aotc_abi::target::BoundsStyle;

use crate::error::{LinkError, TypeMismatch};
use crate::extern_::Extern;
use crate::func::HostFunc;
use crate::handle::Handle;
use crate::module::Module;
use crate::prelude::*;
use crate::reserve::reserve_exact;
use crate::store::StoreOpaque;
use crate::types::ExternType;

/// What a module's imports were matched with, in their order.
pub(crate) struct Items(Box<[Item]>);

impl Items {
    /// As many as `items` says, each of which may fail.
    ///
    /// # Errors
    /// [`crate::LoadError::OutOfMemory`]; the first of an item.
    pub(crate) fn new(items: impl ExactSizeIterator<Item = Result<Item>>) -> Result<Handle<Self>> {
        let mut all = Vec::new();
        reserve_exact(&mut all, items.len())?;
        for item in items {
            all.push(item?);
        }
        Ok(Handle::new(Self(all.into_boxed_slice())))
    }
}

impl Deref for Items {
    type Target = [Item];

    fn deref(&self) -> &[Item] {
        &self.0
    }
}

/// Something that is given to an import.
#[derive(Clone)]
pub(crate) enum Item {
    /// A host function that is not bound to a store.
    Host(Arc<HostFunc>),
    /// Something of a store.
    Extern(Extern),
}

/// What is known of an item when it is matched.
pub(crate) struct Given {
    pub(crate) ty: ExternType,
    /// Guard behind a memory, in bytes; `None` if its addresses are not reserved.
    pub(crate) guard_bytes: Option<u64>,
}

impl Item {
    /// Whether `store` can use it.
    pub(crate) fn is_of(&self, store: &StoreOpaque) -> bool {
        match self {
            Self::Host(_) => true,
            Self::Extern(item) => item.store() == store.id,
        }
    }

    /// Its current type in `store`.
    pub(crate) fn given(&self, store: &StoreOpaque) -> Given {
        match self {
            Self::Host(func) => Given { ty: func.ty().clone().into(), guard_bytes: None },
            Self::Extern(item) => {
                let guard_bytes = match item {
                    Extern::Memory(memory) => {
                        store.check(memory.store);
                        store.memory(memory.index).addresses.guard_bytes()
                    }
                    Extern::Func(_) | Extern::Global(_) | Extern::Table(_) => None,
                };
                Given { ty: item.type_in(store), guard_bytes }
            }
        }
    }
}

/// Checks that what is given fits import `index` of `module`.
///
/// # Errors
/// [`LinkError::IncompatibleImport`].
pub(crate) fn check(module: &Module, index: usize, given: &Given) -> Result<()> {
    let expected = &module.plan().imports[index].ty;
    let mismatch = if !matches(expected, &given.ty) {
        TypeMismatch::Type { expected: expected.clone(), found: given.ty.clone() }
    } else {
        match needed_guard_bytes(module, expected) {
            // A memory that is not reserved has less than every guard.
            Some(expected_guard_bytes) if given.guard_bytes < Some(expected_guard_bytes) => {
                TypeMismatch::MemoryNotReserved {
                    expected_guard_bytes,
                    found_guard_bytes: given.guard_bytes,
                }
            }
            _ => return Ok(()),
        }
    };
    let (module, name) = names(module, index);
    Err(LinkError::IncompatibleImport { module, name, mismatch }.into())
}

/// The names of import `index`.
pub(crate) fn names(module: &Module, index: usize) -> (String, String) {
    let data = module.data();
    let import = data.imports().at(index as u32);
    (data.str(import.module).to_owned(), data.str(import.name).to_owned())
}

/// The guard that the module's code relies on behind an imported memory, in bytes; `None` if not even on reserved
/// addresses.
fn needed_guard_bytes(module: &Module, expected: &ExternType) -> Option<u64> {
    let slot = &module.plan().slot;
    match (expected, slot.bounds) {
        (ExternType::Memory(_), BoundsStyle::Guard) => Some(slot.guard_bytes),
        _ => None,
    }
}

/// Import matching of the specification. The minimum of what was found is its current size.
fn matches(expected: &ExternType, found: &ExternType) -> bool {
    match (expected, found) {
        (ExternType::Func(expected), ExternType::Func(found)) => expected == found,
        (ExternType::Global(expected), ExternType::Global(found)) => expected == found,
        (ExternType::Table(expected), ExternType::Table(found)) => {
            expected.element() == found.element()
                && limits_match(
                    (expected.minimum(), expected.max_or_none()),
                    (found.minimum(), found.max_or_none()),
                )
        }
        (ExternType::Memory(expected), ExternType::Memory(found)) => limits_match(
            (expected.minimum(), expected.max_or_none()),
            (found.minimum(), found.max_or_none()),
        ),
        _ => false,
    }
}

/// [`NO_MAXIMUM`] is above every maximum.
fn limits_match(expected: (u64, u64), found: (u64, u64)) -> bool {
    const { assert!(NO_MAXIMUM == u64::MAX) };
    found.0 >= expected.0 && found.1 <= expected.1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{GlobalType, MemoryType, Mutability, RefType, TableType, ValType};

    #[test]
    fn limits() {
        let memory = |min, max| ExternType::from(MemoryType::new(min, max));
        assert!(matches(&memory(1, None), &memory(2, Some(3))));
        assert!(matches(&memory(1, Some(3)), &memory(1, Some(3))));
        assert!(!matches(&memory(1, Some(3)), &memory(1, None)));
        assert!(!matches(&memory(1, Some(3)), &memory(1, Some(4))));
        assert!(!matches(&memory(2, None), &memory(1, None)));
    }

    #[test]
    fn kinds_and_types() {
        let table = ExternType::from(TableType::new(RefType::FUNCREF, 1, None));
        let other = ExternType::from(TableType::new(RefType::EXTERNREF, 1, None));
        let constant = ExternType::from(GlobalType::new(ValType::I32, Mutability::Const));
        let variable = ExternType::from(GlobalType::new(ValType::I32, Mutability::Var));
        assert!(matches(&table, &table) && matches(&constant, &constant));
        assert!(!matches(&table, &other));
        assert!(!matches(&constant, &variable));
        assert!(!matches(&table, &constant));
    }
}
