//! Settings of an engine.

use alloc::sync::Arc;
use core::num::NonZeroUsize;

use aotc_abi::target::Interruption;

#[cfg(feature = "std")]
use crate::allocation::InstanceAllocationStrategy;
use crate::creator::{Creator, MemoryCreator};
#[cfg(feature = "std")]
use crate::image::{ImageCreator, Images};
#[cfg(feature = "async")]
use crate::sys::{StackCreator, StackSettings};

/// How an [`crate::Engine`] and what belongs to it behave. What is not set is as [`Config::new`] says.
///
/// There is nothing here about compiling: that is decided when `aotc compile` runs, and an artifact that does not
/// fit an engine's settings is refused when it is loaded.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Config {
    pub(crate) coredump_on_trap: bool,
    pub(crate) backtrace_frames: BacktraceFrames,
    pub(crate) memories: Creator,
    #[cfg(feature = "std")]
    pub(crate) images: Images,
    #[cfg(feature = "async")]
    pub(crate) stacks: StackSettings,
    /// What modules' code must let itself be interrupted by.
    pub(crate) interruption: Interruption,
    #[cfg(not(feature = "std"))]
    pub(crate) max_wasm_stack: StackBytes,
    #[cfg(feature = "std")]
    pub(crate) allocation_strategy: InstanceAllocationStrategy,
}

impl Config {
    /// The settings of [`crate::Engine::default`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Where instances get their memory: [`InstanceAllocationStrategy::OnDemand`].
    #[cfg(feature = "std")]
    pub fn allocation_strategy(
        &mut self,
        strategy: impl Into<InstanceAllocationStrategy>,
    ) -> &mut Self {
        self.allocation_strategy = strategy.into();
        self
    }

    /// Lets `creator` make linear memories: those of modules that were compiled with `--bounds explicit`, the host's own
    /// ([`crate::Memory::new`]), and of other modules those but the first, which lies beside the instance's records.
    pub fn with_host_memory(&mut self, creator: Arc<dyn MemoryCreator>) -> &mut Self {
        self.memories = Creator(Some(creator));
        self
    }

    /// Lets `creator` make the images from which instances get their first contents: records and initialised memory, on
    /// demand and in pools. At first they are mapped from the artifact's file, or from a file in memory if it has none.
    ///
    /// Files in huge pages, in memory of another processor's node, or shared with other processes:
    ///
    /// ```
    /// use std::fs::File;
    /// use std::os::fd::AsFd;
    /// use std::sync::Arc;
    ///
    /// use aotc_loader::{Config, Engine, ImageCreator, InstanceImage};
    /// use rustix::mm::{MapFlags, ProtFlags, mmap};
    ///
    /// struct Files;
    /// struct Image(File);
    ///
    /// // SAFETY: each image is a file that nobody else knows and nobody changes, mapped as a private copy.
    /// unsafe impl ImageCreator for Files {
    ///     fn new_image(&self, contents: &[u8]) -> anyhow::Result<Option<Box<dyn InstanceImage>>> {
    ///         let flags = rustix::fs::MemfdFlags::CLOEXEC;
    ///         let mut file = File::from(rustix::fs::memfd_create("images", flags)?);
    ///         std::io::Write::write_all(&mut file, contents)?;
    ///         Ok(Some(Box::new(Image(file))))
    ///     }
    /// }
    ///
    /// // SAFETY: as above.
    /// unsafe impl InstanceImage for Image {
    ///     unsafe fn map_at(&self, address: *mut u8, offset: usize, length: usize) -> anyhow::Result<()> {
    ///         let protection = ProtFlags::READ | ProtFlags::WRITE;
    ///         let flags = MapFlags::PRIVATE | MapFlags::FIXED;
    ///         // SAFETY: the addresses are the caller's.
    ///         unsafe { mmap(address.cast(), length, protection, flags, self.0.as_fd(), offset as u64)? };
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # fn main() -> anyhow::Result<()> {
    /// let engine = Engine::new(Config::new().with_host_image(Arc::new(Files)))?;
    /// # let image = aotc::compile(b"(module (memory (export \"m\") 1) (data (i32.const 9) \"x\"))", aotc::Emit::Image, &aotc::Options::default())?;
    /// # let module = aotc_loader::Module::from_bytes(&engine, &image)?;
    /// # let mut store = aotc_loader::Store::new(&engine, ());
    /// # let instance = aotc_loader::Instance::new(&mut store, &module, &[])?;
    /// # assert_eq!(instance.get_memory(&mut store, "m").unwrap().data(&store)[9], b'x');
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "std")]
    pub fn with_host_image(&mut self, creator: Arc<dyn ImageCreator>) -> &mut Self {
        self.images = Images(Some(creator));
        self
    }

    /// Whether the error of a call that failed in WebAssembly comes with a [`crate::WasmCoreDump`]. Off at first.
    pub fn coredump_on_trap(&mut self, enable: bool) -> &mut Self {
        self.coredump_on_trap = enable;
        self
    }
}

/// Backtraces.
impl Config {
    /// How many frames the backtraces of errors have: the youngest 64 unless it is set, which is as many as are ever recorded.
    /// With `None`, errors come without a [`crate::WasmBacktrace`].
    pub fn wasm_backtrace_max_frames(&mut self, limit: Option<NonZeroUsize>) -> &mut Self {
        self.backtrace_frames = BacktraceFrames(limit.map_or(0, NonZeroUsize::get));
        self
    }

    /// Whether errors come with a [`crate::WasmBacktrace`]: they do at first.
    pub fn wasm_backtrace(&mut self, enable: bool) -> &mut Self {
        match (enable, self.backtrace_frames.0) {
            (true, 0) => self.backtrace_frames = BacktraceFrames::default(),
            (true, _) => {}
            (false, _) => self.backtrace_frames = BacktraceFrames(0),
        }
        self
    }

    /// [`Config::wasm_backtrace_max_frames`].
    pub fn get_wasm_backtrace_max_frames(&self) -> Option<NonZeroUsize> {
        NonZeroUsize::new(self.backtrace_frames.0)
    }
}

/// Most frames of a backtrace; 0 for no backtraces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BacktraceFrames(pub(crate) usize);

impl Default for BacktraceFrames {
    fn default() -> Self {
        Self(64)
    }
}

/// Interruption.
impl Config {
    /// Whether code consumes fuel: nearly every operator one unit. It stops when there is none left, which makes
    /// runaway code stop at the same point each time. See [`crate::Store::set_fuel`]; a store has no fuel at first. Off at
    /// first.
    ///
    /// Modules that were compiled without `--fuel` are then refused. Those that were compiled with it run in any
    /// engine; where this is off, their fuel has no end.
    pub fn consume_fuel(&mut self, enable: bool) -> &mut Self {
        self.interruption.fuel = enable;
        self
    }

    /// Whether code looks at the engine's epoch, a counter that [`crate::Engine::increment_epoch`] moves on, and stops when it
    /// has reached its store's deadline. Cheaper than fuel; where code stops differs from run to run. See
    /// [`crate::Store::set_epoch_deadline`]; a store's deadline has passed at first. Off at first.
    ///
    /// Modules that were compiled without `--epochs` are then refused. Those that were compiled with it run in any
    /// engine; where this is off, no deadline is ever reached.
    pub fn epoch_interruption(&mut self, enable: bool) -> &mut Self {
        self.interruption.epochs = enable;
        self
    }

    /// [`Config::consume_fuel`].
    pub fn get_consume_fuel(&self) -> bool {
        self.interruption.fuel
    }

    /// [`Config::epoch_interruption`].
    pub fn get_epoch_interruption(&self) -> bool {
        self.interruption.epochs
    }
}

/// Asynchronous calls.
#[cfg(feature = "async")]
impl Config {
    /// Size of the stacks on which asynchronous calls run, in bytes, without their guard; rounded up to whole pages. 2 MiB at
    /// first. [`crate::Engine::new`] refuses less than 256 KiB, of which 128 KiB are kept for host functions.
    pub fn async_stack_size(&mut self, bytes: usize) -> &mut Self {
        self.stacks.bytes = bytes;
        self
    }

    /// Whether the stack of an asynchronous call is zeroed before the next call uses it: a defence in depth. Off at first.
    pub fn async_stack_zeroing(&mut self, enable: bool) -> &mut Self {
        self.stacks.zeroing = enable;
        self
    }

    /// [`Config::async_stack_size`].
    pub fn get_async_stack_size(&self) -> usize {
        self.stacks.bytes
    }

    /// [`Config::async_stack_zeroing`].
    pub fn get_async_stack_zeroing(&self) -> bool {
        self.stacks.zeroing
    }

    /// Lets `creator` make the stacks of asynchronous calls. They are kept and used again, like the engine's own, unless
    /// stacks are zeroed.
    pub fn with_host_stack(&mut self, creator: Arc<dyn StackCreator>) -> &mut Self {
        self.stacks.creator = Some(creator);
        self
    }

    /// Does nothing: asynchronous calls can always be made. It is here for those who come from older versions of Wasmtime.
    pub fn async_support(&mut self, _enable: bool) -> &mut Self {
        self
    }
}

/// Settings that an operating system answers for, where there is one.
#[cfg(not(feature = "std"))]
impl Config {
    /// How much stack compiled code may use, in bytes, counted from where a store is entered first; 512 KiB unless it is
    /// set. Code that would need more traps.
    ///
    /// The stack must have that much, and besides what host functions need that are called when all of it is used.
    /// With the feature `std` there is no such setting: the end of each thread's stack is known.
    pub fn max_wasm_stack(&mut self, bytes: usize) -> &mut Self {
        self.max_wasm_stack = StackBytes(bytes);
        self
    }
}

/// How much stack compiled code may use, in bytes.
#[cfg(not(feature = "std"))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct StackBytes(pub(crate) usize);

#[cfg(not(feature = "std"))]
impl Default for StackBytes {
    fn default() -> Self {
        Self(512 << 10)
    }
}
