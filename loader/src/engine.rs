//! The engine: what modules and stores share.

#[cfg(feature = "std")]
use crate::sync::Mutex;
use crate::sync::RwLock;
use alloc::collections::BTreeMap;
use alloc::sync::Weak;
use core::fmt;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
#[cfg(feature = "std")]
use anyhow::bail;
#[cfg(feature = "async")]
use anyhow::ensure;
use aotc_abi::meta::{FORMAT_VERSION, LAYOUT_HASH};

#[cfg(feature = "std")]
use crate::allocation::{Enabled, InstanceAllocationStrategy, PoolingAllocatorMetrics};
use crate::config::Config;
use crate::error::LoadError;
use crate::handle::Handle;
#[cfg(feature = "std")]
use crate::handle::WeakHandle;
#[cfg(feature = "std")]
use crate::instance::Pool;
#[cfg(feature = "std")]
use crate::locals::Locals;
#[cfg(feature = "async")]
use crate::prelude::Box;
use crate::sys::keys::Key;
#[cfg(feature = "async")]
use crate::sys::{FiberStack, STACK_BYTES_MIN, StackPool, StackSettings};
use crate::types::FuncType;

/// What modules and stores that may meet have in common. Cloning gives another handle of the same engine.
///
/// It knows every function type by its hash, so that two types with one hash are refused, and has the settings.
#[derive(Clone)]
pub struct Engine {
    inner: Handle<EngineInner>,
}

struct EngineInner {
    /// Counts up; stores compare it with their deadlines. Compiled code knows its address.
    epoch: AtomicU64,
    config: Config,
    types: Types,
    /// The handles that threads count stores with.
    #[cfg(feature = "std")]
    locals: Locals<Mutex<WeakHandle<EngineInner>>>,
    /// The stacks of asynchronous calls that are not in use.
    #[cfg(feature = "async")]
    stacks: StackPool,
    /// How those are made: the settings, and the pool's.
    #[cfg(feature = "async")]
    stack_settings: StackSettings,
    #[cfg(feature = "std")]
    pool: Option<Pool>,
}

impl EngineInner {
    fn new(config: Config) -> Self {
        Self {
            epoch: AtomicU64::new(0),
            #[cfg(feature = "async")]
            stack_settings: StackSettings::new(&config),
            config,
            types: Types::default(),
            #[cfg(feature = "std")]
            locals: Locals::default(),
            #[cfg(feature = "async")]
            stacks: StackPool::new(),
            #[cfg(feature = "std")]
            pool: None,
        }
    }
}

impl Engine {
    /// A new engine with these settings. [`Engine::default`] has those of [`Config::new`].
    ///
    /// # Errors
    /// If settings contradict each other, or the system refuses what they need.
    pub fn new(config: &Config) -> Result<Self> {
        #[cfg(feature = "async")]
        ensure!(
            config.stacks.bytes >= STACK_BYTES_MIN,
            "`async_stack_size` is {} bytes, and at least {STACK_BYTES_MIN} are needed",
            config.stacks.bytes,
        );
        #[cfg(feature = "std")]
        let pool = match &config.allocation_strategy {
            InstanceAllocationStrategy::OnDemand => None,
            InstanceAllocationStrategy::Pooling(pool) => {
                // What an embedder maps has no key for a moment.
                if config.images.0.is_some() && pool.memory_protection_keys != Enabled::No {
                    bail!("`with_host_image` and `memory_protection_keys` exclude each other");
                }
                Some(Pool::new(pool)?)
            }
        };
        Ok(Self::with(EngineInner {
            #[cfg(feature = "std")]
            pool,
            ..EngineInner::new(config.clone())
        }))
    }

    fn with(inner: EngineInner) -> Self {
        Self { inner: Handle::new(inner) }
    }

    /// A stack for an asynchronous call.
    #[cfg(feature = "async")]
    pub(crate) fn take_stack(&self) -> Result<Box<FiberStack>> {
        self.inner.stacks.take(&self.inner.stack_settings)
    }

    /// Takes back a stack on which nothing runs any more.
    #[cfg(feature = "async")]
    pub(crate) fn give_back_stack(&self, stack: Box<FiberStack>) {
        self.inner.stacks.give_back(stack, &self.inner.stack_settings);
    }

    /// The stacks.
    #[cfg(feature = "async")]
    pub(crate) fn stacks(&self) -> &StackPool {
        &self.inner.stacks
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// Whether both are handles of one engine.
    pub fn same(a: &Engine, b: &Engine) -> bool {
        Handle::same(&a.inner, &b.inner)
    }

    /// A handle that does not keep the engine alive: for a thread that counts up the epoch until the engine is gone.
    pub fn weak(&self) -> EngineWeak {
        EngineWeak { inner: self.inner.downgrade() }
    }

    /// Begins the next epoch: code whose store has its deadline there stops, if the engine has
    /// [`Config::epoch_interruption`].
    ///
    /// This adds one to an atomic counter and does nothing else, so any thread may call it at any time, and so may a signal
    /// handler.
    pub fn increment_epoch(&self) {
        self.inner.epoch.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn current_epoch(&self) -> u64 {
        self.inner.epoch.load(Ordering::Relaxed)
    }

    /// Where the epoch is, as long as there is a handle of the engine.
    pub(crate) fn epoch_address(&self) -> u64 {
        self.inner.epoch.as_ptr() as u64
    }

    /// What artifacts must agree on to be loaded by this version of the loader, whatever the engine's settings: for the names
    /// of files in a cache of artifacts.
    pub fn precompile_compatibility_hash(&self) -> impl core::hash::Hash + use<> {
        (FORMAT_VERSION, LAYOUT_HASH)
    }

    /// What the engine's pool holds; `None` if it has none.
    #[cfg(feature = "std")]
    pub fn pooling_allocator_metrics(&self) -> Option<PoolingAllocatorMetrics> {
        PoolingAllocatorMetrics::new(self)
    }

    /// A protection key for a new store, if instances have keys.
    pub(crate) fn next_key(&self) -> Option<Key> {
        #[cfg(feature = "std")]
        if let Some(pool) = self.pool() {
            return pool.next_key();
        }
        None
    }

    /// This engine, by a handle that is counted where only this thread counts, or few: as long as one of those is left, which
    /// modules see to ([`Module::keep_engine`](crate::Module)).
    #[cfg(feature = "std")]
    pub(crate) fn local(&self) -> Self {
        let place = self.inner.locals.mine();
        let mut handle = place.lock().expect("no panic while handles are made");
        let inner = handle.upgrade().unwrap_or_else(|| {
            let inner = self.inner.apart();
            *handle = inner.downgrade_count();
            inner
        });
        Self { inner }
    }

    /// This engine: nothing is known of threads.
    #[cfg(not(feature = "std"))]
    pub(crate) fn local(&self) -> Self {
        self.clone()
    }

    pub(crate) fn types(&self) -> &Types {
        &self.inner.types
    }

    #[cfg(feature = "std")]
    pub(crate) fn pool(&self) -> Option<&Pool> {
        self.inner.pool.as_ref()
    }
}

// What the embedder supplies is shared between threads, so it is used to meeting itself half done.
impl UnwindSafe for Engine {}
impl RefUnwindSafe for Engine {}

impl Default for Engine {
    fn default() -> Self {
        Self::with(EngineInner::new(Config::default()))
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Engine").field(&self.inner.as_ptr()).finish()
    }
}

/// A handle of an engine that does not keep it alive.
#[derive(Clone)]
pub struct EngineWeak {
    inner: Weak<EngineInner>,
}

impl EngineWeak {
    /// The engine, if it is still there.
    pub fn upgrade(&self) -> Option<Engine> {
        Handle::upgrade(&self.inner).map(|inner| Engine { inner })
    }
}

impl fmt::Debug for EngineWeak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EngineWeak").field(&self.inner.as_ptr()).finish()
    }
}

/// The function types of an engine, by hash. Types are never forgotten.
#[derive(Default)]
pub(crate) struct Types {
    by_hash: RwLock<BTreeMap<u64, FuncType>>,
}

impl Types {
    /// Adds a type.
    ///
    /// # Errors
    /// [`LoadError::TypeHashCollision`] if another type has its hash.
    pub(crate) fn add(&self, ty: &FuncType) -> Result<()> {
        if let Some(known) = self.get(ty.hash()) {
            return same(&known, ty);
        }
        let mut types = self.by_hash.write().expect("no panic while types are added");
        same(types.entry(ty.hash()).or_insert_with(|| ty.clone()), ty)
    }

    /// The type with this hash.
    pub(crate) fn get(&self, hash: u64) -> Option<FuncType> {
        self.by_hash.read().expect("no panic while types are added").get(&hash).cloned()
    }
}

fn same(known: &FuncType, ty: &FuncType) -> Result<()> {
    if known == ty {
        return Ok(());
    }
    Err(LoadError::TypeHashCollision { known: known.clone(), found: ty.clone() }.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ValType;

    #[test]
    fn types_are_found_by_hash() {
        let engine = Engine::default();
        let ty = FuncType::new(&engine, [ValType::I32], []);
        assert_eq!(engine.types().get(ty.hash()), Some(ty));
        assert_eq!(engine.types().get(1), None);
    }
}
