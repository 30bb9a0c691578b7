//! Slots: the memory of an instance, used again and again.
//!
//! ```text
//!   base               base + vmctx_bytes = ctx
//!   |  vmctx_bytes     |  memory_bytes at first   |  up to 4 GiB  |  guard  |
//!   |<--- image ------>|<- zeros ->|<- image ---->|<- no access ----------->|
//! ```
//!
//! The image is in two parts: the records below the context, and the pages of memory 0 that are not zero. Both are
//! mapped copy-on-write once, when the slot is made; an image that is small is copied instead, for which no file needs to be
//! made where the module is linked (40 us of 80). When an instance is dropped, what it wrote is
//! taken back; if nobody can have written to it, that is nothing. The pages that it wrote are the slot's own from then on: what they held at first is copied to
//! them, which takes 0.1 us a page, where forgetting them makes the next instance's write fault, for
//! 2 us. A context that is small is copied without asking, since it is always written. Only where there are many pages, or
//! the kernel does not tell which, all are forgotten.
//!
//! # Safety
//!
//! The slot owns its addresses, or those of a place that its pool gave to nobody else. A context is made from it by [`Slot::ctx`], when the slot is new or was reset,
//! and is given up before it is reset again.
#![allow(unsafe_code, reason = "copies into an instance's records")]

use core::mem::ManuallyDrop;

use anyhow::{Error, Result};

use super::Written;
use crate::error::LoadError;
use crate::image::Source;
use crate::memory::RESERVE_ADDRESSES;
use crate::module::Module;
use crate::sys::{Access, RUNS_MAX, Reservation, Run, dirty_runs, own_bytes};
use crate::vmctx::InstanceCtx;

/// Images up to this size are copied, and contexts up to this size reset by copying, in bytes.
const COPIED_BYTES_MAX: u64 = 16 << 10;

/// What a slot keeps of its own when it is reset. Copying is faster than forgetting for any number of pages; but
/// what is kept is memory that nobody uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Up to as many pages.
    Pages(u64),
    /// Only small records.
    Nothing,
}

impl Keep {
    /// What slots that belong to no pool keep.
    pub(crate) const ON_DEMAND: Self = Self::Pages(256);
}

/// Whose the addresses of a slot are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The slot's.
    Own,
    /// A pool's: the place with this number.
    Pooled(u32),
}

/// The memory of one instance of one module.
#[derive(Debug)]
pub(crate) struct Slot {
    region: ManuallyDrop<Reservation>,
    place: Place,
    vmctx_bytes: u32,
}

impl Drop for Slot {
    fn drop(&mut self) {
        match self.place {
            // SAFETY: dropped once, here, by its owner.
            Place::Own => unsafe { ManuallyDrop::drop(&mut self.region) },
            Place::Pooled(_) => {}
        }
    }
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
        Self::map(module, ManuallyDrop::new(region), Place::Own).map_err(|(_, error)| error)
    }

    /// A slot at the start of `region`, which is inaccessible, with the image mapped.
    ///
    /// # Errors
    /// If the system refuses it, with the slot, in which anything may be mapped.
    pub(crate) fn map(
        module: &Module,
        region: ManuallyDrop<Reservation>,
        place: Place,
    ) -> core::result::Result<Self, (Self, Error)> {
        let vmctx_bytes = module.plan().slot.vmctx_bytes as u32;
        let slot = Self { region, place, vmctx_bytes };
        match slot.map_image(module) {
            Ok(()) => Ok(slot),
            Err(error) => Err((slot, error)),
        }
    }

    fn map_image(&self, module: &Module) -> Result<()> {
        let (plan, region) = (&module.plan().slot, &self.region);
        if self.is_copied(module) {
            region.protect(0, plan.vmctx_bytes + plan.memory_bytes, Access::ReadWrite)?;
            self.copy_parts(&image(module), 0);
            return Ok(());
        }
        let source = module.image_source()?;
        // So that what memory 0 grows by has the key as well.
        region.color(0, region.bytes(), Access::None)?;
        if plan.memory_start == 0 {
            // One part follows the other, in the slot as in the image.
            let image_bytes = plan.vmctx_bytes + plan.memory_image_bytes;
            source.map(region, 0, image_bytes, 0)?;
            let zeros = plan.memory_bytes - plan.memory_image_bytes;
            region.protect(image_bytes, zeros, Access::ReadWrite)
        } else {
            source.map(region, 0, plan.vmctx_bytes, 0)?;
            region.protect(plan.vmctx_bytes, plan.memory_bytes, Access::ReadWrite)?;
            let start = plan.vmctx_bytes + plan.memory_start;
            source.map(region, start, plan.memory_image_bytes, plan.vmctx_bytes)
        }
    }

    /// Whether the image was copied into the slot, and is again when what is there was forgotten. What has a key may be out of
    /// the loader's reach, and an embedder that makes images wants them mapped.
    fn is_copied(&self, module: &Module) -> bool {
        module.data().image().len() as u64 <= COPIED_BYTES_MAX
            && !self.region.has_key()
            && !module.has_image_creator()
    }

    /// Whose its addresses are.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// How much memory it has of its own, in bytes; `None` if the kernel does not tell.
    pub(crate) fn own_bytes(&self) -> Option<u64> {
        let start = self.region.base();
        own_bytes(start, start + self.region.bytes())
    }

    /// Unmaps everything; the addresses stay reserved.
    pub(crate) fn clear(&self) -> Result<()> {
        self.region.clear()
    }

    /// The context in the slot.
    pub(crate) fn ctx(&self) -> InstanceCtx {
        let address = self.region.base() + u64::from(self.vmctx_bytes);
        // SAFETY: the records of the image, which lie in this slot, are readable and writable.
        unsafe { InstanceCtx::new(address, self.vmctx_bytes) }
    }

    /// Makes the slot as it was when it was new.
    pub(crate) fn reset(&self, module: &Module, ctx: InstanceCtx, written: Written) -> Result<()> {
        if written == Written::Records {
            return Ok(());
        }
        let plan = &module.plan().slot;
        if plan.reserved_bytes > plan.vmctx_bytes {
            let initial_bytes = plan.vmctx_bytes + plan.memory_bytes;
            let grown_bytes = ctx.header().read().memory0.length_bytes - plan.memory_bytes;
            self.region.forget(initial_bytes, grown_bytes)?;
            self.region.protect(initial_bytes, grown_bytes, Access::None)?;
        }
        let image = image(module);
        let copied_bytes = if plan.vmctx_bytes <= COPIED_BYTES_MAX {
            self.copy(&image, 0, plan.vmctx_bytes);
            plan.vmctx_bytes
        } else {
            0
        };
        let end = plan.vmctx_bytes + plan.memory_bytes;
        self.restore(module, &image, copied_bytes, end)
    }

    /// Makes the bytes from offset `start` to `end` those of the image, and zeros outside it.
    fn restore(&self, module: &Module, image: &Image<'_>, start: u64, end: u64) -> Result<()> {
        if start == end {
            return Ok(());
        }
        let base = self.region.base();
        let mut runs = [Run::default(); RUNS_MAX];
        let dirty = match module.keep() {
            Keep::Pages(pages_max) => dirty_runs(base + start, base + end, pages_max, &mut runs),
            Keep::Nothing => None,
        };
        match dirty {
            Some(runs) => {
                for run in runs {
                    self.copy(image, run.start - base, run.end - base);
                }
            }
            None => {
                self.region.forget(start, end - start)?;
                self.map_again(module, image, start)?;
            }
        }
        Ok(())
    }

    /// Copies the parts of the image that lie behind offset `start`, or maps those of an embedder's, since only files show
    /// their contents again when they are forgotten.
    fn map_again(&self, module: &Module, image: &Image<'_>, start: u64) -> Result<()> {
        if self.is_copied(module) {
            self.copy_parts(image, start);
            return Ok(());
        }
        let source = module.image_source()?;
        if matches!(source, Source::File(..)) {
            return Ok(());
        }
        let mut from = 0;
        for &(part_start, part) in image {
            let bytes = part.len() as u64;
            if part_start >= start && bytes > 0 {
                source.map(&self.region, part_start, bytes, from)?;
            }
            from += bytes;
        }
        Ok(())
    }

    /// Copies the parts of the image that lie behind offset `start` to where there are zeros.
    fn copy_parts(&self, image: &Image<'_>, start: u64) {
        for &(part_start, part) in image {
            if part_start >= start {
                self.write(part_start, part);
            }
        }
    }

    /// Copies the image to the bytes from offset `start` to `end`, with zeros outside it.
    fn copy(&self, image: &Image<'_>, start: u64, end: u64) {
        let mut at = start;
        for &(part_start, part) in image {
            let part_end = part_start + part.len() as u64;
            let (from, to) = (part_start.max(at), part_end.min(end));
            if from < to {
                self.zero(at, from);
                self.write(from, &part[(from - part_start) as usize..(to - part_start) as usize]);
                at = to;
            }
        }
        self.zero(at, end);
    }

    /// Writes `bytes` at offset `start`.
    fn write(&self, start: u64, bytes: &[u8]) {
        let target = (self.region.base() + start) as *mut u8;
        // SAFETY: the slot's own bytes, which are accessible when it is new, and to which nobody refers any more.
        unsafe { target.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) }
    }

    /// Writes zeros from offset `start` to `end`.
    fn zero(&self, start: u64, end: u64) {
        let target = (self.region.base() + start) as *mut u8;
        // SAFETY: as in `write`.
        unsafe { target.write_bytes(0, (end - start) as usize) }
    }
}

/// The parts of an instance image: where each lies in the slot, and what is there. In order.
type Image<'a> = [(u64, &'a [u8]); 2];

fn image(module: &Module) -> Image<'_> {
    let plan = &module.plan().slot;
    let (records, memory) = module.data().image().split_at(plan.vmctx_bytes as usize);
    [(0, records), (plan.vmctx_bytes + plan.memory_start, memory)]
}
