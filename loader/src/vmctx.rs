//! Typed access to the records that compiled code shares with the loader.
//!
//! # Safety
//!
//! This file assumes that whoever makes a [`VmPtr`] or an [`InstanceCtx`] keeps its contract: the address is
//! that of a live record for as long as the pointer is used. They are kept in a store's arenas and in
//! handles that are checked against the store, so "as long as the store" is what it comes to.
//! In return reading and writing through them is safe: records are plain integers, and nothing else holds a
//! Rust reference into them.
#![allow(unsafe_code, reason = "the records are shared with compiled code")]

use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;

use aotc_abi::vmctx::{self, VmCtxHeader, VmTableDefinition};

/// The address of a record of type `T`, aligned to 8.
pub(crate) struct VmPtr<T> {
    address: u64,
    record: PhantomData<fn() -> T>,
}

impl<T> Clone for VmPtr<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for VmPtr<T> {}

impl<T> PartialEq for VmPtr<T> {
    fn eq(&self, other: &Self) -> bool {
        self.address == other.address
    }
}

impl<T> Eq for VmPtr<T> {}

impl<T> Hash for VmPtr<T> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.address.hash(hasher);
    }
}

impl<T> fmt::Debug for VmPtr<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.address)
    }
}

impl<T: Copy> VmPtr<T> {
    /// A pointer to the record at `address`.
    ///
    /// # Safety
    /// 1. A valid `T` is at `address` as long as the pointer or a copy of it is used.
    /// 2. No Rust reference to it is alive when it is used.
    #[inline]
    pub(crate) unsafe fn new(address: u64) -> Self {
        Self { address, record: PhantomData }
    }

    /// The address.
    #[inline]
    pub(crate) fn address(self) -> u64 {
        self.address
    }

    /// The record's value.
    #[inline]
    pub(crate) fn read(self) -> T {
        // SAFETY: `new`'s contract: a valid record, not borrowed.
        unsafe { (self.address as *const T).read_unaligned() }
    }

    /// Replaces the record.
    #[inline]
    pub(crate) fn write(self, value: T) {
        // SAFETY: `new`'s contract: a valid record, not borrowed.
        unsafe { (self.address as *mut T).write_unaligned(value) }
    }
}

impl VmPtr<u64> {
    /// Element `index` of a table.
    ///
    /// `table` must have been read from the definition of a live table.
    ///
    /// # Panics
    /// If the table is not as long.
    #[inline]
    pub(crate) fn table_element(table: &VmTableDefinition, index: u64) -> Self {
        assert!(index < table.length, "table element outside its table");
        Self { address: table.base + index * 8, record: PhantomData }
    }

    /// The slot whose address is in `record`, which is an import's.
    pub(crate) fn stored_at(record: VmPtr<u64>) -> Self {
        Self { address: record.read(), record: PhantomData }
    }

    /// The second half of a 16-byte slot.
    #[inline]
    pub(crate) fn next(self) -> Self {
        Self { address: self.address + 8, record: PhantomData }
    }
}

/// The number that [`VmCtxHeader::instance`] holds.
///
/// # Safety
/// `ctx` is the context of a live instance.
pub(crate) unsafe fn instance_number(ctx: u64) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { VmPtr::new(ctx.wrapping_add_signed(vmctx::ctx::INSTANCE.offset.into())) }.read()
}

/// The address of the store that the prefix below a context holds, an instance's or a host function's. Records hold
/// addresses, so that a pointer is made of what was read, never read itself.
///
/// # Safety
/// A filled [`vmctx::VmCalleePrefix`] lies just below `ctx`, alive.
#[inline]
pub(crate) unsafe fn store_address(ctx: u64) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { VmPtr::new(ctx.wrapping_add_signed(vmctx::ctx::STORE.offset.into())) }.read()
}

/// An instance's context: the records below `address`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InstanceCtx {
    address: u64,
    vmctx_bytes: u32,
}

impl InstanceCtx {
    /// The context at `address`.
    ///
    /// # Safety
    /// The `vmctx_bytes` bytes below `address` are readable and writable, hold the records that the
    /// module's image describes, and stay so as long as this or a copy of it is used.
    pub(crate) unsafe fn new(address: u64, vmctx_bytes: u32) -> Self {
        Self { address, vmctx_bytes }
    }

    /// The address: base of memory 0.
    #[inline]
    pub(crate) fn address(self) -> u64 {
        self.address
    }

    /// The record at context offset `offset`.
    ///
    /// # Panics
    /// If it does not lie below the context.
    #[inline]
    pub(crate) fn at<T: Copy>(self, offset: i32) -> VmPtr<T> {
        let start = -i64::from(offset);
        assert!(
            start >= size_of::<T>() as i64 && start <= i64::from(self.vmctx_bytes),
            "context offset {offset} outside the context"
        );
        VmPtr { address: self.address.wrapping_add_signed(offset.into()), record: PhantomData }
    }

    /// The header.
    #[inline]
    pub(crate) fn header(self) -> VmPtr<VmCtxHeader> {
        self.at(-(size_of::<VmCtxHeader>() as i32))
    }

    /// Address of the null reference record.
    pub(crate) fn null_func_ref(self) -> u64 {
        self.address.wrapping_add_signed(vmctx::ctx::NULL_FUNC_REF.into())
    }
}
