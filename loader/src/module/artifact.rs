//! Modules and the bytes behind them, under the names that other runtimes give these.
//!
//! # Safety
//!
//! As in `module/mod.rs`: a module's text and data stay as long as the module, and nobody writes to them.
#![allow(unsafe_code, reason = "artifacts as memory")]

use core::ops::Range;
use core::ptr::NonNull;
use core::slice;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Result, bail};
use aotc_abi::meta::CodeOrder;

use super::{Found, Module, Source, image};
use crate::engine::Engine;
use crate::error::LoadError;
use crate::prelude::*;
use crate::reserve::zeros;
use crate::sys;

/// What the bytes of a compiled artifact are. See [`Engine::detect_precompiled`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Precompiled {
    /// A module: an image, for this or another target.
    Module,
}

impl Module {
    /// As [`Module::from_bytes`].
    ///
    /// # Errors
    /// [`LoadError`].
    ///
    /// # Safety
    /// `aotc` made the bytes: what is checked finds damage, not malice in the code.
    pub unsafe fn deserialize(engine: &Engine, bytes: impl AsRef<[u8]>) -> Result<Module> {
        Self::from_bytes(engine, bytes.as_ref())
    }

    /// As [`Module::open`].
    ///
    /// # Errors
    /// [`LoadError`], with the path as context.
    ///
    /// # Safety
    /// As [`Module::deserialize`]; nobody changes the file as long as the module lives.
    pub unsafe fn deserialize_file(engine: &Engine, path: impl AsRef<Path>) -> Result<Module> {
        Self::open(engine, path)
    }

    /// As [`Module::open`], from a file that is open for reading.
    ///
    /// # Errors
    /// [`LoadError`].
    ///
    /// # Safety
    /// As [`Module::deserialize_file`].
    pub unsafe fn deserialize_open_file(engine: &Engine, file: File) -> Result<Module> {
        let bytes = file.metadata().map_err(LoadError::os("look at the file"))?.len();
        Self::map(engine, file.into(), bytes)
    }

    /// Takes an image where it is in memory: nothing is copied or mapped.
    ///
    /// # Errors
    /// [`LoadError`].
    ///
    /// # Safety
    /// 1. As [`Module::deserialize`].
    /// 2. `memory` starts on a page boundary, and is readable, unchanged and mapped as long as the module and what
    ///    was made from it.
    /// 3. Its executable segment can be executed: the loader changes no protection.
    pub unsafe fn deserialize_raw(engine: &Engine, memory: NonNull<[u8]>) -> Result<Module> {
        // SAFETY: the caller's promise.
        let contents: &'static [u8] = unsafe { memory.as_ref() };
        let layout = image::parse(&contents)?;
        let start = contents.as_ptr() as u64;
        if !start.is_multiple_of(sys::page_bytes()) {
            return Err(LoadError::image("it does not start on a page boundary").into());
        }
        let found = Found {
            source: Source::Linked,
            bytes: &contents[layout.data_range()],
            base: start + layout.data.start,
            text: start + layout.text.start..start + layout.text.end,
            order: CodeOrder::Sorted,
            image: None,
        };
        Self::check(engine, found)
    }

    /// The artifact: what [`Module::from_bytes`] takes.
    ///
    /// # Errors
    /// If the module was not mapped from a file or from bytes, but linked or opened as a library; if the file cannot
    /// be read.
    pub fn serialize(&self) -> Result<Vec<u8>> {
        let Some(file) = self.artifact_file() else {
            bail!("the module's artifact is not at hand: it was not loaded from a file or bytes");
        };
        let file = File::from(file.try_clone_to_owned().map_err(LoadError::os("read the file"))?);
        let length = file.metadata().map_err(LoadError::os("read the file"))?.len();
        let mut bytes = zeros(length as usize)?;
        let read =
            sys::read_at(file.as_fd(), 0, &mut bytes).map_err(LoadError::os("read the file"))?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// Makes the file now that instances map their first contents from, and not with the first instance. Only
    /// modules that are linked or opened as libraries need one besides the artifact.
    ///
    /// # Errors
    /// [`LoadError::Os`] if the system refuses a file in memory. With [`crate::Config::with_host_image`], the creator's.
    pub fn initialize_copy_on_write_image(&self) -> Result<()> {
        self.image_source().map(|_| ())
    }

    /// The addresses of the artifact as far as it is mapped: of a small file that is the code alone. Of a module that is linked
    /// or opened as a library, those of the module data. For `mlock` and the like; nothing in it may be changed.
    pub fn image_range(&self) -> Range<*const u8> {
        let data = self.inner.data.bytes().as_ptr_range();
        let text = self.text().as_ptr_range();
        match self.inner.source {
            Source::Mapped(_) => data.start.min(text.start)..data.end.max(text.end),
            Source::Read(..) => text,
            #[cfg(feature = "dlopen")]
            Source::Library(_) => data,
            Source::Linked => data,
        }
    }

    /// The code. Of a module that is linked into a program, from its first function to its last, with what the linker put
    /// between.
    pub fn text(&self) -> &[u8] {
        let text = self.inner.exact_text();
        let bytes = (text.end - text.start) as usize;
        if bytes == 0 {
            return &[];
        }
        // SAFETY: the file's contract; code can be read on every target.
        unsafe { slice::from_raw_parts(text.start as *const u8, bytes) }
    }
}

impl Engine {
    /// What `bytes` are, if they begin as something that `aotc` makes and this loader takes. That it can be loaded is
    /// not said: it may be damaged, or for another processor.
    pub fn detect_precompiled(bytes: &[u8]) -> Option<Precompiled> {
        image::has_note(&bytes).then_some(Precompiled::Module)
    }

    /// What the file at `path` is: as [`Engine::detect_precompiled`].
    ///
    /// # Errors
    /// If it cannot be opened or read.
    pub fn detect_precompiled_file(path: impl AsRef<Path>) -> Result<Option<Precompiled>> {
        let (file, bytes) = sys::open(path.as_ref()).map_err(LoadError::os("open the file"))?;
        let input = super::file::FileInput::new(file.as_fd(), bytes)?;
        Ok(image::has_note(&input).then_some(Precompiled::Module))
    }
}
