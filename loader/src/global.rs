//! Globals.

use anyhow::{Result, bail};
use aotc_abi::vmctx::VmValue;

use crate::store::{AsContext, AsContextMut, StoreId};
use crate::types::{GlobalType, Mutability, ValType};
use crate::value::Val;
use crate::vmctx::VmPtr;

/// A global of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Global {
    pub(crate) store: StoreId,
    /// Its slot: 8 bytes, or 16 for a vector. Alive as long as the store.
    pub(crate) slot: VmPtr<u64>,
    pub(crate) content: ValType,
    pub(crate) mutability: Mutability,
}

impl Global {
    /// A global of the host's with its first value.
    ///
    /// # Errors
    /// If the value is of another type.
    ///
    /// # Panics
    /// If the value is a reference that belongs to another store.
    pub fn new(mut store: impl AsContextMut, ty: GlobalType, value: Val) -> Result<Global> {
        let store = &mut store.as_context_mut().0.opaque;
        check(*ty.content(), &value)?;
        let slot = store.add_global();
        let global =
            Global { store: store.id, slot, content: *ty.content(), mutability: ty.mutability() };
        let mut bytes = VmValue::default();
        value.to_slot(store, &mut bytes);
        global.write(&bytes);
        Ok(global)
    }

    /// The type.
    ///
    /// # Panics
    /// If the global belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> GlobalType {
        store.as_context().0.opaque.check(self.store);
        self.type_()
    }

    /// The value.
    ///
    /// # Panics
    /// If the global belongs to another store.
    pub fn get(&self, mut store: impl AsContextMut) -> Val {
        let store = &mut store.as_context_mut().0.opaque;
        store.check(self.store);
        Val::from_slot(&self.read(), self.content, store)
    }

    /// Sets the value.
    ///
    /// # Errors
    /// If the global is immutable or of another type.
    ///
    /// # Panics
    /// If the global or the value belongs to another store.
    pub fn set(&self, mut store: impl AsContextMut, value: Val) -> Result<()> {
        let store = &mut store.as_context_mut().0.opaque;
        store.check(self.store);
        if self.mutability == Mutability::Const {
            bail!("immutable global cannot be set");
        }
        check(self.content, &value)?;
        let mut bytes = self.read();
        value.to_slot(store, &mut bytes);
        self.write(&bytes);
        Ok(())
    }

    pub(crate) fn type_(&self) -> GlobalType {
        GlobalType::new(self.content, self.mutability)
    }

    fn read(&self) -> VmValue {
        let low = self.slot.read();
        let high = match self.content {
            ValType::V128 => self.high().read(),
            _ => 0,
        };
        VmValue { bytes: (u128::from(high) << 64 | u128::from(low)).to_le_bytes() }
    }

    fn write(&self, value: &VmValue) {
        let bits = u128::from_le_bytes(value.bytes);
        self.slot.write(bits as u64);
        if self.content == ValType::V128 {
            self.high().write((bits >> 64) as u64);
        }
    }

    fn high(&self) -> VmPtr<u64> {
        self.slot.next()
    }
}

fn check(expected: ValType, value: &Val) -> Result<()> {
    let found = value.val_type();
    if expected != found {
        bail!("type mismatch: expected a value of type {expected}, found {found}");
    }
    Ok(())
}
