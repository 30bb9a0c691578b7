//! Modules as shared libraries.
//!
//! # Safety
//!
//! As in `module/mod.rs`: the module keeps the library that its bytes are in.
#![allow(unsafe_code, reason = "artifacts as memory")]

use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use aotc_abi::meta::{CodeOrder, ModuleData};
use aotc_abi::symbol::descriptor_symbol;

use super::{Found, Module, Source, image, linked_data};
use crate::engine::Engine;
use crate::error::LoadError;
use crate::prelude::*;
use crate::sys::{self, FileMapping};

impl Module {
    /// Opens the image at `path` as a shared library.
    ///
    /// # Errors
    /// [`LoadError`], or the OS linker's error, with the path as context.
    ///
    /// # Safety
    /// The OS's linker runs what a library wants to be run, so the file must be trusted. Nobody
    /// changes it as long as the module lives.
    pub unsafe fn dlopen(engine: &Engine, path: impl AsRef<Path>) -> Result<Module> {
        let path = path.as_ref();
        let open = || {
            let (file, bytes) = sys::open(path).map_err(LoadError::os("open the file"))?;
            let mapping = FileMapping::new(file.as_fd(), bytes)?;
            // SAFETY: used before the mapping is dropped; nobody changes the file.
            let contents = unsafe { mapping.contents() };
            let layout = image::parse(&contents)?;
            let code = layout.text.start as i64 - layout.data.start as i64
                ..layout.text.end as i64 - layout.data.start as i64;
            let order = CodeOrder::Sorted;
            let data = ModuleData::parse(&contents[layout.data_range()], code, order)
                .map_err(LoadError::from)?;
            let symbol = descriptor_symbol(data.str(data.header().fixed.name));
            // A bare file name would be searched for in the library path.
            let absolute = std::fs::canonicalize(path).map_err(LoadError::os("find the file"))?;
            // SAFETY: the caller's promise; the symbol's value is only used as an address.
            let (library, descriptor) = unsafe {
                let library = libloading::Library::new(absolute)?;
                let descriptor = library.get::<*const u8>(symbol.as_bytes())?.try_as_raw_ptr();
                (library, descriptor)
            };
            let descriptor = descriptor.ok_or_else(|| anyhow!("symbol `{symbol}` is null"))?;
            // SAFETY: the symbol that this file defines.
            let bytes = unsafe { linked_data(descriptor.cast()) }?;
            let base = descriptor as u64;
            let start = base.wrapping_sub(layout.data.start);
            let text = start + layout.text.start..start + layout.text.end;
            let source = Source::Library(library);
            Self::check(engine, Found { source, bytes, base, text, order, image: None })
        };
        open().with_context(|| format!("failed to load module from `{}`", path.display()))
    }
}
