//! Tables.
//!
//! Elements are 8 bytes: an external reference's number, or the distance from the table's anchor to a
//! function reference record; 0 is null. The first elements lie below their instance's context; a
//! table that grows moves to memory of its owner, [`TableData::storage`].

use anyhow::{Result, anyhow, bail};
use aotc_abi::meta::NO_MAXIMUM;
use aotc_abi::trap::TrapKind;
use aotc_abi::vmctx::{VmFuncRef, VmTableDefinition};

#[cfg(feature = "async")]
use crate::fiber::on_fiber;
use crate::prelude::*;
use crate::store::{AsContext, AsContextMut, Growth, StoreId, StoreOpaque, TableData};
use crate::types::{RefType, TableType};
use crate::value::Ref;
use crate::vmctx::VmPtr;

/// Most elements a table can have.
const ELEMENTS_MAX: u64 = u32::MAX as u64;

/// What null elements of the host's tables lead to, as those of an instance's lead to its own record.
static NULL_FUNC_REF: VmFuncRef = VmFuncRef { type_hash: 0, code_offset: 0, ctx_delta: 0 };

/// A table of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Table {
    pub(crate) store: StoreId,
    pub(crate) index: u32,
}

impl Table {
    /// A table of the host's, filled with `init`.
    ///
    /// # Errors
    /// If the limits are not valid, `init` is of another type, or there is not enough memory.
    ///
    /// # Panics
    /// As all methods: if a table or reference belongs to another store.
    pub fn new(mut store: impl AsContextMut, ty: TableType, init: Ref) -> Result<Table> {
        let store = &mut store.as_context_mut().0.opaque;
        store.synchronously(|store| Self::new_in(store, ty, init))
    }

    /// As [`Table::new`]; the store's limiter may wait.
    ///
    /// # Errors
    /// As there, and if there is no memory for a stack.
    #[cfg(feature = "async")]
    pub async fn new_async(
        mut store: impl AsContextMut<Data: Send>,
        ty: TableType,
        init: Ref,
    ) -> Result<Table> {
        on_fiber(store.as_context_mut().0, |store| Self::new_in(&mut store.opaque, ty, init))
            .await?
    }

    fn new_in(store: &mut StoreOpaque, ty: TableType, init: Ref) -> Result<Table> {
        if ty.maximum().is_some_and(|max| max < ty.minimum()) {
            bail!("invalid limits in table type `{ty}`: minimum above maximum");
        }
        check(ty.element(), &init)?;
        store.check_counts(0, 0, 1)?;
        store.new_table_may_have(ty.minimum(), ty.max_or_none())?;
        let value = init.to_raw(store);
        let definition = store.add_table_definition();
        let anchor = match *ty.element() {
            RefType::FUNCREF => &raw const NULL_FUNC_REF as u64,
            RefType::EXTERNREF => 0,
        };
        definition.write(VmTableDefinition { base: 0, length: 0, anchor });
        let mut data = TableData {
            definition,
            element: *ty.element(),
            max: ty.max_or_none(),
            growth_max: ELEMENTS_MAX,
            storage: Vec::new(),
        };
        if data.grow(value, ty.minimum()).is_none() {
            bail!("cannot allocate a table of {} elements", ty.minimum());
        }
        let table = store.push_table(data);
        Ok(table)
    }

    /// The type, with the current size as minimum.
    pub fn ty(&self, store: impl AsContext) -> TableType {
        self.type_in(&store.as_context().0.opaque)
    }

    /// Element `index`; `None` outside the table.
    pub fn get(&self, mut store: impl AsContextMut, index: u64) -> Option<Ref> {
        let store = &mut store.as_context_mut().0.opaque;
        store.check(self.store);
        let data = store.table(self.index);
        let raw = data.get(index)?;
        Some(Ref::from_raw(raw, data.element, store))
    }

    /// Sets element `index`.
    ///
    /// # Errors
    /// Outside the table, or if the value is of another type.
    pub fn set(&self, mut store: impl AsContextMut, index: u64, value: Ref) -> Result<()> {
        let store = &mut store.as_context_mut().0.opaque;
        store.check(self.store);
        check(&store.table(self.index).element, &value)?;
        let value = value.to_raw(store);
        if store.table(self.index).fill(index, value, 1).is_err() {
            bail!("table index out of bounds");
        }
        Ok(())
    }

    /// Number of elements.
    pub fn size(&self, store: impl AsContext) -> u64 {
        let store = &store.as_context().0.opaque;
        store.check(self.store);
        store.table(self.index).definition.read().length
    }

    /// Adds `delta` elements, all `init`, and gives the size before.
    ///
    /// # Errors
    /// If the maximum would be exceeded, `init` is of another type, or there is not enough memory.
    pub fn grow(&self, mut store: impl AsContextMut, delta: u64, init: Ref) -> Result<u64> {
        let store = &mut store.as_context_mut().0.opaque;
        store.check(self.store);
        check(&store.table(self.index).element, &init)?;
        let value = init.to_raw(store);
        match store.synchronously(|store| store.grow_table(self.index, value, delta))? {
            Some(old) => Ok(old),
            None => bail!("failed to grow table by `{delta}`"),
        }
    }

    /// As [`Table::grow`]; the store's limiter may wait.
    ///
    /// # Errors
    /// As there, and if there is no memory for a stack.
    #[cfg(feature = "async")]
    pub async fn grow_async(
        &self,
        mut store: impl AsContextMut<Data: Send>,
        delta: u64,
        init: Ref,
    ) -> Result<u64> {
        let index = self.index;
        let store = store.as_context_mut().0;
        store.opaque.check(self.store);
        check(&store.opaque.table(index).element, &init)?;
        let value = init.to_raw(&mut store.opaque);
        match on_fiber(store, move |store| store.opaque.grow_table(index, value, delta)).await?? {
            Some(old) => Ok(old),
            None => bail!("failed to grow table by `{delta}`"),
        }
    }

    /// Sets `length` elements from `start` to `value`.
    ///
    /// # Errors
    /// Outside the table (a [`crate::Trap`]), or if the value is of another type.
    pub fn fill(
        &self,
        mut store: impl AsContextMut,
        start: u64,
        value: Ref,
        length: u64,
    ) -> Result<()> {
        let store = &mut store.as_context_mut().0.opaque;
        store.check(self.store);
        check(&store.table(self.index).element, &value)?;
        let value = value.to_raw(store);
        store
            .table(self.index)
            .fill(start, value, length)
            .map_err(|kind| crate::Trap::from(kind).into())
    }

    /// Copies `length` elements of `from`, which may be the same table.
    ///
    /// # Errors
    /// Outside a table (a [`crate::Trap`]), or if the element types differ.
    pub fn copy(
        mut store: impl AsContextMut,
        to: &Table,
        to_start: u64,
        from: &Table,
        from_start: u64,
        length: u64,
    ) -> Result<()> {
        let store = &mut store.as_context_mut().0.opaque;
        store.check(to.store);
        store.check(from.store);
        let (to, from) = (store.table(to.index), store.table(from.index));
        if to.element != from.element {
            bail!(
                "type mismatch: expected elements of type {}, found {}",
                to.element,
                from.element
            );
        }
        to.copy_from(to_start, from, from_start, length)
            .map_err(|kind| crate::Trap::from(kind).into())
    }

    pub(crate) fn type_in(&self, store: &StoreOpaque) -> TableType {
        store.check(self.store);
        let data = store.table(self.index);
        TableType::from_parts(data.element, data.definition.read().length, data.max)
    }
}

fn check(expected: &RefType, value: &Ref) -> Result<()> {
    let found = value.ty();
    if *expected != found {
        bail!("type mismatch: expected an element of type {expected}, found {found}");
    }
    Ok(())
}

impl StoreOpaque {
    /// Adds `delta` elements with `value`, as compiled code holds it, to a table, and gives the size before; `None` if it
    /// cannot.
    ///
    /// # Errors
    /// The limiter's.
    pub(crate) fn grow_table(&mut self, index: u32, value: u64, delta: u64) -> Result<Option<u64>> {
        let table = self.table(index);
        let length = table.definition.read().length;
        if delta == 0 {
            return Ok(Some(length));
        }
        let growth = growth(length, length.saturating_add(delta), table.max);
        let exceeds = growth.desired as u64 > table.max.min(ELEMENTS_MAX);
        if !self.table_may_grow(growth)? {
            return Ok(None);
        }
        let error = match exceeds {
            true => "Table maximum size exceeded",
            false => match self.table_mut(index).grow(value, delta) {
                Some(old) => return Ok(Some(old)),
                None => "not enough memory for the table",
            },
        };
        self.table_did_not_grow(anyhow!(error))?;
        Ok(None)
    }

    /// Asks the limiter for a new table of `elements` elements.
    ///
    /// # Errors
    /// If it refuses.
    pub(crate) fn new_table_may_have(&mut self, elements: u64, max: u64) -> Result<()> {
        if !self.table_may_grow(growth(0, elements, max))? {
            bail!("table minimum size of {elements} elements exceeds table limits");
        }
        Ok(())
    }
}

/// What a limiter is told of a growth between these numbers of elements.
fn growth(current: u64, desired: u64, max: u64) -> Growth {
    let maximum = (max != NO_MAXIMUM).then_some(max as usize);
    Growth { current: current as usize, desired: desired as usize, maximum }
}

impl TableData {
    /// Element `index` as compiled code holds it; `None` outside.
    pub(crate) fn get(&self, index: u64) -> Option<u64> {
        let definition = self.definition.read();
        if index >= definition.length {
            return None;
        }
        let element = element(&definition, index).read();
        Some(if element == 0 { 0 } else { element.wrapping_add(definition.anchor) })
    }

    /// `table.fill`; `value` is as compiled code holds it.
    pub(crate) fn fill(&self, start: u64, value: u64, length: u64) -> Result<(), TrapKind> {
        let definition = self.definition.read();
        check_range(start, length, definition.length)?;
        let value = encode(&definition, value);
        for index in start..start + length {
            element(&definition, index).write(value);
        }
        Ok(())
    }

    /// `table.copy` into this table.
    pub(crate) fn copy_from(
        &self,
        to: u64,
        other: &TableData,
        from: u64,
        length: u64,
    ) -> Result<(), TrapKind> {
        let (target, source) = (self.definition.read(), other.definition.read());
        check_range(from, length, source.length)?;
        check_range(to, length, target.length)?;
        // What differs between the encodings of one reference in the two tables.
        let shift = source.anchor.wrapping_sub(target.anchor);
        let copy = |index: u64| {
            let value = element(&source, from + index).read();
            let value = if value == 0 { 0 } else { value.wrapping_add(shift) };
            element(&target, to + index).write(value);
        };
        if to <= from {
            (0..length).for_each(copy);
        } else {
            (0..length).rev().for_each(copy);
        }
        Ok(())
    }

    /// Adds `delta` elements with `value`, and gives the size before; `None` if it cannot.
    pub(crate) fn grow(&mut self, value: u64, delta: u64) -> Option<u64> {
        let mut definition = self.definition.read();
        let length = definition.length;
        let new_length = length.checked_add(delta)?;
        if new_length > self.max.min(self.growth_max).min(ELEMENTS_MAX) {
            return None;
        }
        if delta == 0 {
            return Some(length);
        }
        let held = self.storage.len();
        self.storage.try_reserve(new_length as usize - held).ok()?;
        if held == 0 {
            self.storage.extend((0..length).map(|index| element(&definition, index).read()));
        }
        self.storage.resize(new_length as usize, encode(&definition, value));
        definition.base = self.storage.as_mut_ptr() as u64;
        definition.length = new_length;
        self.definition.write(definition);
        Some(length)
    }
}

fn encode(definition: &VmTableDefinition, value: u64) -> u64 {
    if value == 0 { 0 } else { value.wrapping_sub(definition.anchor) }
}

/// Element `index`, which is below the definition's length.
fn element(definition: &VmTableDefinition, index: u64) -> VmPtr<u64> {
    VmPtr::table_element(definition, index)
}

fn check_range(start: u64, length: u64, limit: u64) -> Result<(), TrapKind> {
    match start.checked_add(length) {
        Some(end) if end <= limit => Ok(()),
        _ => Err(TrapKind::TableOutOfBounds),
    }
}
