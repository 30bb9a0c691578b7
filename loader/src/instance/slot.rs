//! Slots: the memory of an instance, used again and again.
//!
//! ```text
//!   base               base + vmctx_bytes = ctx
//!   |  vmctx_bytes     |  memory_bytes at first   |  up to 4 GiB  |  guard  |
//!   |<--------- image_bytes ------>|<- zeros ---->|<- no access ----------->|
//! ```
//!
//! The image is mapped copy-on-write once, when the slot is made. When an instance is dropped, what it wrote is
//! taken back: a small context by copying, which is cheaper than faulting its pages in again, the
//! rest by forgetting its pages.
//!
//! # Safety
//!
//! The slot owns its addresses. A context is made from it by [`Slot::ctx`], when the slot is new or was reset,
//! and is given up before it is reset again.
#![allow(unsafe_code, reason = "copies into an instance's records")]

use anyhow::Result;

use crate::error::LoadError;
use crate::memory::RESERVE_ADDRESSES;
use crate::module::Module;
use crate::sys::{Access, Reservation};
use crate::vmctx::InstanceCtx;

/// Contexts up to this size are reset by copying, in bytes.
const COPIED_BYTES_MAX: u64 = 16 << 10;

/// The memory of one instance of one module.
#[derive(Debug)]
pub(crate) struct Slot {
    region: Reservation,
    vmctx_bytes: u32,
}

impl Slot {
    /// A new slot for an instance of `module`, with the image mapped.
    pub(crate) fn new(module: &Module) -> Result<Self> {
        let plan = &module.plan().slot;
        let action = match plan.reserved_bytes > plan.vmctx_bytes {
            true => RESERVE_ADDRESSES,
            false => "reserve addresses for an instance",
        };
        let region = Reservation::new(plan.reserved_bytes).map_err(LoadError::os(action))?;
        let (file, offset) = module.image_file()?;
        region.map_private(0, plan.image_bytes, file, offset)?;
        let zeros = plan.vmctx_bytes + plan.memory_bytes - plan.image_bytes;
        region.protect(plan.image_bytes, zeros, Access::ReadWrite)?;
        Ok(Self { region, vmctx_bytes: plan.vmctx_bytes as u32 })
    }

    /// The context in the slot.
    pub(crate) fn ctx(&self) -> InstanceCtx {
        let address = self.region.base() + u64::from(self.vmctx_bytes);
        // SAFETY: the records of the image, which lie in this slot, are readable and writable.
        unsafe { InstanceCtx::new(address, self.vmctx_bytes) }
    }

    /// Makes the slot as it was when it was new.
    pub(crate) fn reset(&self, module: &Module, ctx: InstanceCtx) -> Result<()> {
        let plan = &module.plan().slot;
        if plan.reserved_bytes > plan.vmctx_bytes {
            let length_bytes = ctx.header().read().memory0.length_bytes;
            self.region.forget(plan.vmctx_bytes, length_bytes)?;
            let grown = length_bytes - plan.memory_bytes;
            self.region.protect(plan.vmctx_bytes + plan.memory_bytes, grown, Access::None)?;
        }
        if plan.vmctx_bytes <= COPIED_BYTES_MAX {
            let image = &module.data().image()[..plan.vmctx_bytes as usize];
            // SAFETY: the slot's own bytes, to which nobody refers any more.
            let records = unsafe {
                std::slice::from_raw_parts_mut(self.region.base() as *mut u8, image.len())
            };
            records.copy_from_slice(image);
        } else {
            self.region.forget(0, plan.vmctx_bytes)?;
        }
        Ok(())
    }
}
