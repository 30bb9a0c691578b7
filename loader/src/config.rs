//! Settings of an engine.

#[cfg(feature = "async")]
use alloc::sync::Arc;

#[cfg(feature = "async")]
use crate::sys::{StackCreator, StackSettings};

/// How an [`crate::Engine`] and what belongs to it behave. What is not set is as [`Config::new`] says.
///
/// There is nothing here about compiling: that is decided when `aotc compile` runs, and an artifact that does not
/// fit an engine's settings is refused when it is loaded.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Config {
    #[cfg(feature = "async")]
    pub(crate) stacks: StackSettings,
}

impl Config {
    /// The settings of [`crate::Engine::default`].
    pub fn new() -> Self {
        Self::default()
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
