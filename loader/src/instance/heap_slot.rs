//! Slots in memory of the allocator: the records of an instance, copied from the module's image. Memories have their own
//! memory.
//!
//! # Safety
//!
//! The slot owns its bytes. A context is made from it by [`Slot::ctx`], when the slot is new or was reset,
//! and is given up before it is reset again.
#![allow(unsafe_code, reason = "copies into an instance's records")]

use anyhow::Result;

use super::Written;
use crate::error::LoadError;
use crate::module::Module;
use crate::sys::ExactMapping;
use crate::vmctx::InstanceCtx;

/// The memory of one instance of one module.
#[derive(Debug)]
pub(crate) struct Slot {
    records: ExactMapping,
    vmctx_bytes: u32,
}

impl Slot {
    /// A new slot for an instance of `module`, with the image copied.
    pub(crate) fn new(module: &Module) -> Result<Self> {
        let plan = &module.plan().slot;
        if plan.reserved_bytes > plan.vmctx_bytes {
            let what = "a memory at its context, with guards behind it";
            return Err(LoadError::Absent { what, option: "--bounds explicit" }.into());
        }
        let other_bytes = plan.memory_start + plan.memory_image_bytes;
        assert!(other_bytes == 0, "image of a memory that is not at the context");
        let records = ExactMapping::new(plan.vmctx_bytes)?;
        let slot = Self { records, vmctx_bytes: plan.vmctx_bytes as u32 };
        slot.copy(module);
        Ok(slot)
    }

    /// The context in the slot.
    pub(crate) fn ctx(&self) -> InstanceCtx {
        let address = self.records.base() + u64::from(self.vmctx_bytes);
        // SAFETY: the records of the image, which lie in this slot, are readable and writable.
        unsafe { InstanceCtx::new(address, self.vmctx_bytes) }
    }

    /// Makes the slot as it was when it was new.
    pub(crate) fn reset(&self, module: &Module, _ctx: InstanceCtx, written: Written) -> Result<()> {
        if written != Written::Records {
            self.copy(module);
        }
        Ok(())
    }

    fn copy(&self, module: &Module) {
        let image = &module.data().image()[..self.vmctx_bytes as usize];
        let target = self.records.base() as *mut u8;
        // SAFETY: the slot's own bytes, as many as the image of the records has, to which nobody refers.
        unsafe { target.copy_from_nonoverlapping(image.as_ptr(), image.len()) }
    }
}
