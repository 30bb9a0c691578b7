//! Initial images that the embedder makes.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, bail};
use aotc_loader::{
    Config, Enabled, Engine, ImageCreator, Instance, InstanceImage, Module,
    PoolingAllocationConfig, Store,
};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous};

use crate::pool::{EVERYTHING, check_and_write};
use crate::support::{chain, image};

/// How images are made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A file, mapped private.
    File,
    /// Pages without a file, into which the contents are copied.
    Copy,
    /// Left to the engine.
    Nothing,
}

struct Creator {
    kind: Kind,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    asked: AtomicUsize,
    alive: AtomicUsize,
    mapped: AtomicUsize,
    /// Which of the mappings to come fails, counted from 1; 0 for none.
    fails_in: AtomicUsize,
}

struct Image {
    file: Option<File>,
    contents: Vec<u8>,
    counts: Arc<Counts>,
}

impl Drop for Image {
    fn drop(&mut self) {
        self.counts.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

// SAFETY: each image is a file of its own that nobody changes, or copied.
unsafe impl ImageCreator for Creator {
    fn new_image(&self, contents: &[u8]) -> Result<Option<Box<dyn InstanceImage>>> {
        self.counts.asked.fetch_add(1, Ordering::Relaxed);
        assert!(contents.len().is_multiple_of(rustix::param::page_size()));
        let file = match self.kind {
            Kind::Nothing => return Ok(None),
            Kind::Copy => None,
            Kind::File => {
                let mut file = File::from(memfd_create("image", MemfdFlags::CLOEXEC)?);
                file.write_all(contents)?;
                Some(file)
            }
        };
        self.counts.alive.fetch_add(1, Ordering::Relaxed);
        let (contents, counts) = (contents.to_vec(), self.counts.clone());
        Ok(Some(Box::new(Image { file, contents, counts })))
    }
}

// SAFETY: as above.
unsafe impl InstanceImage for Image {
    unsafe fn map_at(&self, address: *mut u8, offset: usize, length: usize) -> Result<()> {
        let parts = self.contents[offset..offset + length].as_ptr();
        self.counts.mapped.fetch_add(1, Ordering::Relaxed);
        let fails_in = self.counts.fails_in.load(Ordering::Relaxed);
        self.counts.fails_in.store(fails_in.saturating_sub(1), Ordering::Relaxed);
        if fails_in == 1 {
            bail!("no more of this image");
        }
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::PRIVATE | MapFlags::FIXED;
        // SAFETY: the addresses are the caller's.
        unsafe {
            match &self.file {
                Some(file) => {
                    mmap(address.cast(), length, protection, flags, file.as_fd(), offset as u64)?;
                }
                None => {
                    mmap_anonymous(address.cast(), length, protection, flags)?;
                    address.copy_from_nonoverlapping(parts, length);
                }
            }
        }
        Ok(())
    }
}

fn engine(kind: Kind, pool: Option<Enabled>) -> (Engine, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    let mut config = Config::new();
    config.with_host_image(Arc::new(Creator { kind, counts: counts.clone() }));
    if let Some(pagemap_scan) = pool {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_core_instances(3).max_tables_per_module(2).table_elements(80_000);
        pool.pagemap_scan(pagemap_scan);
        config.allocation_strategy(pool);
    }
    (Engine::new(&config).unwrap(), counts)
}

#[test]
fn instances_are_made_from_them() {
    for kind in [Kind::File, Kind::Copy, Kind::Nothing] {
        for pool in [None, Some(Enabled::Auto), Some(Enabled::No)] {
            let (engine, counts) = engine(kind, pool);
            let module = Module::from_bytes(&engine, &image(EVERYTHING)).unwrap();
            assert_eq!(counts.asked.load(Ordering::Relaxed), 0);
            for byte in 1..5 {
                let mut store = Store::new(&engine, ());
                let first = Instance::new(&mut store, &module, &[]).unwrap();
                let second = Instance::new(&mut store, &module, &[]).unwrap();
                check_and_write(&mut store, first, byte);
                check_and_write(&mut store, second, byte);
                first.reset(&mut store).unwrap();
                check_and_write(&mut store, first, byte);
            }
            assert_eq!(counts.asked.load(Ordering::Relaxed), 1);
            let (alive, mapped) = (&counts.alive, counts.mapped.load(Ordering::Relaxed));
            assert_eq!(alive.load(Ordering::Relaxed), usize::from(kind != Kind::Nothing));
            assert_eq!(mapped > 0, kind != Kind::Nothing);
            drop(module);
            // A pool keeps no slot of a module that is gone.
            assert_eq!(alive.load(Ordering::Relaxed), 0);
        }
    }
}

#[test]
fn an_image_outlives_its_module_in_instances() {
    let (engine, counts) = engine(Kind::File, None);
    let module = Module::from_bytes(&engine, &image(EVERYTHING)).unwrap();
    module.initialize_copy_on_write_image().unwrap();
    assert_eq!(
        (counts.asked.load(Ordering::Relaxed), counts.mapped.load(Ordering::Relaxed)),
        (1, 0)
    );
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    drop(module);
    assert_eq!(counts.alive.load(Ordering::Relaxed), 1);
    check_and_write(&mut store, instance, 3);
    instance.reset(&mut store).unwrap();
    check_and_write(&mut store, instance, 4);
    drop(store);
    assert_eq!(counts.alive.load(Ordering::Relaxed), 0);
}

#[test]
fn what_cannot_be_mapped_is_an_error() {
    for pool in [None, Some(Enabled::No)] {
        let (engine, counts) = engine(Kind::File, pool);
        let module = Module::from_bytes(&engine, &image(EVERYTHING)).unwrap();
        counts.fails_in.store(1, Ordering::Relaxed);
        let mut store = Store::new(&engine, ());
        let text = chain(Instance::new(&mut store, &module, &[]));
        assert_eq!(text, "the embedder's image cannot be mapped: no more of this image");
        // Nothing is lost: all three places of the pool are there.
        for byte in 0..3 {
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            check_and_write(&mut store, instance, byte);
            if pool.is_some() {
                counts.fails_in.store(1, Ordering::Relaxed);
                assert!(instance.reset(&mut store).is_err());
            }
        }
        drop(store);
        if let Some(metrics) = engine.pooling_allocator_metrics() {
            assert_eq!(metrics.core_instances(), 0);
        }
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        check_and_write(&mut store, instance, 7);
    }
}

/// Makes no images.
struct Refusing;

// SAFETY: there are no images.
unsafe impl ImageCreator for Refusing {
    fn new_image(&self, _: &[u8]) -> Result<Option<Box<dyn InstanceImage>>> {
        bail!("no images here")
    }
}

#[test]
fn a_creator_may_refuse() {
    let engine = Engine::new(Config::new().with_host_image(Arc::new(Refusing))).unwrap();
    let module = Module::from_bytes(&engine, &image("(module (memory 1))")).unwrap();
    let mut store = Store::new(&engine, ());
    let text = chain(Instance::new(&mut store, &module, &[]));
    assert_eq!(text, "the embedder cannot make the image of a module: no images here");
    assert!(module.initialize_copy_on_write_image().is_err());
}
