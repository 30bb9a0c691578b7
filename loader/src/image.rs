//! Initial images that the embedder makes: what instances have in memory at first, to be mapped copy-on-write.
//!
//! ```text
//!   contents     |  records (page-aligned)  |  pages of memory 0 that are not zero  |
//!                |                          |
//!   instance     |  records             ctx |  zeros  |  pages of memory 0  |  zeros  |
//! ```
//!
//! # Safety
//!
//! The traits are unsafe to implement, since compiled code runs with what an image maps. An image is dropped behind
//! everything that maps it: a module drops its image after its slots.
#![allow(unsafe_code, reason = "traits that promise something about memory")]

use alloc::sync::Arc;
use core::fmt;
use std::os::fd::BorrowedFd;

use anyhow::{Context, Result};

use crate::prelude::*;
use crate::sys::Reservation;

/// Makes the images from which instances get their first contents, in place of the engine; see
/// [`crate::Config::with_host_image`].
///
/// # Safety
/// The images must be as [`InstanceImage`] says.
pub unsafe trait ImageCreator: Send + Sync {
    /// An image with these contents: what an instance of one module has at first, its records and the part of its memory
    /// that is not zero. A whole number of pages, at most 4 GiB and some. It is asked for once for each module, when the
    /// first instance is made or by [`crate::Module::initialize_copy_on_write_image`].
    ///
    /// `None` leaves this module to the engine, which maps the artifact's file or a file in memory.
    ///
    /// # Errors
    /// Why it cannot be made. Instantiation fails with that, and asks again the next time.
    fn new_image(&self, contents: &[u8]) -> Result<Option<Box<dyn InstanceImage>>>;
}

/// An image that the embedder made. It is given back by dropping it, when nothing maps it any more.
///
/// # Safety
/// Where [`InstanceImage::map_at`] mapped it:
///
/// 1. The bytes are those of the contents until someone writes to them, and readable and writable at once, but not executable.
/// 2. What is written there is seen there only: not in the image, and nowhere else that maps it.
/// 3. They can be unmapped, mapped over and made inaccessible as any others, and are not touched by the embedder.
pub unsafe trait InstanceImage: Send + Sync {
    /// Maps the `length` bytes of the contents from `offset` at `address`, in place of what is there. All three are
    /// multiples of the page size, and the range lies inside the contents. Several threads may do this at once.
    ///
    /// # Errors
    /// If it cannot; anything or nothing may then be mapped at the range.
    ///
    /// # Safety
    /// The addresses are the caller's, and nobody uses them now.
    unsafe fn map_at(&self, address: *mut u8, offset: usize, length: usize) -> Result<()>;
}

/// The creator of an engine, if it has one.
#[derive(Clone, Default)]
pub(crate) struct Images(pub(crate) Option<Arc<dyn ImageCreator>>);

impl fmt::Debug for Images {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "set" } else { "not set" })
    }
}

/// Where the first contents of a module's instances are mapped from.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    /// A file, and where they begin in it.
    File(BorrowedFd<'a>, u64),
    /// The embedder's image.
    Created(&'a dyn InstanceImage),
}

impl Source<'_> {
    /// Maps `bytes` of the contents from `from` at `offset` of `region`, copy-on-write, readable and writable.
    ///
    /// # Errors
    /// The system's or the embedder's.
    pub(crate) fn map(
        &self,
        region: &Reservation,
        offset: u64,
        bytes: u64,
        from: u64,
    ) -> Result<()> {
        match *self {
            Self::File(file, start) => region.map_private(offset, bytes, file, start + from),
            Self::Created(image) => {
                let address = region.inside(offset, bytes) as *mut u8;
                // SAFETY: inside the reservation, which nobody refers to yet or any more.
                unsafe { image.map_at(address, from as usize, bytes as usize) }
                    .context("the embedder's image cannot be mapped")
            }
        }
    }
}
