//! Modules from files, whose code is mapped.
//!
//! # Safety
//!
//! As in `module/mod.rs`: the module keeps the mapping that its bytes are in.
#![allow(unsafe_code, reason = "artifacts as memory")]

use alloc::borrow::Cow;
use core::ops::Range;
use core::ptr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use aotc_abi::meta::{CodeOrder, ModuleData};

use super::{Found, Module, Source, image};
use crate::engine::Engine;
use crate::error::LoadError;
use crate::image::Source as InstanceSource;
use crate::prelude::*;
use crate::reserve::zeros;
use crate::sys::{self, FileMapping};

/// An instance image in a file.
pub(super) struct Image {
    file: OwnedFd,
    offset: u64,
}

impl Module {
    /// Maps the image at `path`. Nobody may change the file as long as the module lives.
    ///
    /// # Errors
    /// [`LoadError`], with the path as context.
    pub fn open(engine: &Engine, path: impl AsRef<Path>) -> Result<Module> {
        let path = path.as_ref();
        let open = || {
            let (file, bytes) = sys::open(path).map_err(LoadError::os("open the file"))?;
            Self::map(engine, file, bytes)
        };
        open().with_context(|| format!("failed to load module from `{}`", path.display()))
    }

    /// Maps an image that is in memory, through a copy in a sealed file.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn from_bytes(engine: &Engine, bytes: &[u8]) -> Result<Module> {
        // Before anything is copied.
        image::parse(&bytes)?;
        let file =
            sys::sealed_memory_file(bytes).map_err(LoadError::os("make a file in memory"))?;
        Self::map(engine, file, bytes.len() as u64)
    }

    pub(super) fn map(engine: &Engine, file: OwnedFd, bytes: u64) -> Result<Module> {
        if bytes == 0 {
            return Err(LoadError::image("the file is empty").into());
        }
        // What is looked at is read, so that code is mapped over pages that were not touched, and nothing needs to be
        // mapped behind it. A small module is read as a whole, and then only its code is mapped, if that reads nothing of the
        // rest: the kernel copies it faster than it makes another mapping and serves the page faults of looking at that.
        let input = FileInput::new(file.as_fd(), bytes)?;
        let layout = image::parse(&input)?;
        let is_read = !layout.text.is_empty()
            && input.is_whole()
            && ModuleData::parse_header(&input.head[layout.data_range()])
                .is_ok_and(|data| !data.has_block());
        let (source, contents, start) = if is_read {
            let code = FileMapping::code(file.as_fd(), layout.text.clone())?;
            let contents = input.head;
            // SAFETY: the module keeps them, and nobody changes them.
            let kept: &'static [u8] = unsafe { &*ptr::from_ref(&contents[..]) };
            let start = code.base().wrapping_sub(layout.text.start);
            (Source::Read(contents, code), kept, start)
        } else {
            let mapping = map_layout(file.as_fd(), &layout)?;
            // SAFETY: the module keeps the mapping as long as the contents; nobody changes the file.
            let contents: &'static [u8] = unsafe { mapping.contents() };
            let start = mapping.base();
            (Source::Mapped(mapping), contents, start)
        };
        let found = Found {
            source,
            bytes: &contents[layout.data_range()],
            base: start.wrapping_add(layout.data.start),
            text: start.wrapping_add(layout.text.start)..start.wrapping_add(layout.text.end),
            order: CodeOrder::Sorted,
            image: Some(Image { file, offset: layout.data.start }),
        };
        Self::check(engine, found)
    }

    /// Whether the embedder may make the image.
    pub(crate) fn has_image_creator(&self) -> bool {
        self.inner.engine.config().images.0.is_some()
    }

    /// What to map an instance's image from.
    ///
    /// # Errors
    /// If the system refuses a file in memory; the embedder's.
    pub(crate) fn image_source(&self) -> Result<InstanceSource<'_>> {
        if let Some(creator) = &self.inner.engine.config().images.0 {
            let created = match self.inner.created_image.get() {
                Some(created) => created,
                None => {
                    let created = creator
                        .new_image(self.inner.data.image())
                        .context("the embedder cannot make the image of a module")?;
                    self.inner.created_image.get_or_init(|| created)
                }
            };
            if let Some(created) = created {
                return Ok(InstanceSource::Created(&**created));
            }
        }
        let (file, offset) = self.image_file()?;
        Ok(InstanceSource::File(file, offset))
    }

    /// The file to map an instance's image from, and the image's offset in it.
    fn image_file(&self) -> Result<(BorrowedFd<'_>, u64)> {
        let image = match self.inner.image.get() {
            Some(image) => image,
            None => {
                let file = sys::sealed_memory_file(self.inner.data.image())
                    .map_err(LoadError::os("make a file in memory"))?;
                self.inner.image.get_or_init(|| Image { file, offset: 0 })
            }
        };
        Ok((image.file.as_fd(), image.offset))
    }

    /// The file that the module is mapped from, if it is kept.
    pub(super) fn artifact_file(&self) -> Option<BorrowedFd<'_>> {
        let image = self.inner.image.get()?;
        // A file that was made for the image has nothing before it.
        (image.offset > 0).then(|| image.file.as_fd())
    }
}

impl Image {
    /// The instance image in a file that has the module data at `self.offset`; `None` if it is not on a
    /// page boundary of the host.
    pub(super) fn inside(self, data: &ModuleData<'_>) -> Option<Self> {
        let offset = self.offset + data.header().fixed.image_offset;
        offset.is_multiple_of(sys::page_bytes()).then_some(Self { offset, ..self })
    }
}

/// Largest file that is read as a whole, in bytes.
const WHOLE_BYTES_MAX: u64 = 64 << 10;

/// A file to look into, of which only the first bytes were read.
pub(super) struct FileInput<'a> {
    file: BorrowedFd<'a>,
    bytes: u64,
    /// The first bytes: all, if there are no more than [`WHOLE_BYTES_MAX`].
    head: Vec<u8>,
}

impl<'a> FileInput<'a> {
    pub(super) fn new(file: BorrowedFd<'a>, bytes: u64) -> Result<Self> {
        let head_bytes = if bytes <= WHOLE_BYTES_MAX { bytes as usize } else { image::HEAD_BYTES };
        let mut head = zeros(head_bytes)?;
        let read = sys::read_at(file, 0, &mut head).map_err(LoadError::os("read the file"))?;
        head.truncate(read);
        Ok(Self { file, bytes, head })
    }

    /// Whether all of it was read.
    fn is_whole(&self) -> bool {
        self.head.len() as u64 == self.bytes
    }
}

impl image::Input for FileInput<'_> {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn head(&self) -> &[u8] {
        &self.head
    }

    fn read(&self, range: &Range<u64>) -> io::Result<Cow<'_, [u8]>> {
        if let Some(bytes) = self.head.get(range.start as usize..range.end as usize) {
            return Ok(Cow::Borrowed(bytes));
        }
        let mut bytes = vec![0; (range.end - range.start) as usize];
        match sys::read_at(self.file, range.start, &mut bytes)? {
            all if all == bytes.len() => Ok(Cow::Owned(bytes)),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Maps a file up to the end of its data and code.
fn map_layout(file: BorrowedFd<'_>, layout: &image::Layout) -> Result<FileMapping> {
    // Two neighbours are made faster than one mapping is split.
    let data_is_before = (1..=layout.text.start).contains(&layout.data.end);
    if data_is_before
        && !layout.text.is_empty()
        && let Some(mapping) = FileMapping::before_code(file, layout.text.clone())?
    {
        return Ok(mapping);
    }
    let mapping = FileMapping::new(file, layout.data.end.max(layout.text.end))?;
    mapping.map_code(file, layout.text.start, layout.text.end - layout.text.start)?;
    Ok(mapping)
}
