//! Fuel: how much code of a store may execute.
//!
//! ```text
//!   fuel of the store  =  what code may consume before it asks  +  reserve
//!                         -VmStoreCtx::fuel
//! ```
//!
//! Code counts `VmStoreCtx::fuel` up from a negative number and asks for more when it is negative no longer. What
//! it cannot count down from at once, or is not to consume without yielding, is in reserve.

use core::num::NonZeroU64;

use anyhow::{Result, ensure};

use super::{Store, StoreContext, StoreContextMut, StoreOpaque};
use crate::Caller;
use crate::trap::Trap;

/// [`aotc_abi::vmctx::VmStoreCtx::fuel`] in an engine that does not consume fuel, for code that counts it all the same.
pub(crate) const ENDLESS_FUEL: i64 = i64::MIN;

/// The part of a store's fuel that code does not see.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fuel {
    reserve: u64,
    /// After how much fuel an asynchronous call yields.
    yield_interval: Option<NonZeroU64>,
}

impl StoreOpaque {
    fn get_fuel(&self) -> Result<u64> {
        self.check_fuel_is_configured()?;
        Ok(self.fuel.reserve.saturating_add_signed(-self.vm_fuel()))
    }

    fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        self.check_fuel_is_configured()?;
        let limit = self.fuel.yield_interval.map_or(u64::MAX, NonZeroU64::get);
        let usable = fuel.min(limit).min(i64::MAX as u64);
        self.fuel.reserve = fuel - usable;
        self.set_vm_fuel(-(usable as i64));
        Ok(())
    }

    fn check_fuel_is_configured(&self) -> Result<()> {
        ensure!(self.engine.config().interruption.fuel, "fuel is not configured in this store");
        Ok(())
    }

    /// What code does when the fuel it may consume is consumed.
    ///
    /// # Errors
    /// [`Trap::OutOfFuel`] if there is none in reserve.
    pub(crate) fn refuel(&mut self) -> Result<()> {
        if !self.engine.config().interruption.fuel {
            self.set_vm_fuel(ENDLESS_FUEL);
            return Ok(());
        }
        match self.get_fuel()? {
            0 => Err(Trap::OutOfFuel.into()),
            fuel => self.set_fuel(fuel),
        }
    }

    /// Whether running calls yield when they have consumed some fuel.
    #[cfg(feature = "async")]
    pub(crate) fn yields_on_fuel(&self) -> bool {
        self.fuel.yield_interval.is_some()
    }

    #[cfg(feature = "async")]
    fn fuel_async_yield_interval(&mut self, interval: Option<u64>) -> Result<()> {
        self.check_fuel_is_configured()?;
        ensure!(interval != Some(0), "fuel_async_yield_interval must not be 0");
        self.obstacles.add(super::Obstacle::Async);
        self.fuel.yield_interval = interval.and_then(NonZeroU64::new);
        self.set_fuel(self.get_fuel()?)
    }
}

impl<T: 'static> Store<T> {
    /// How much fuel is left.
    ///
    /// # Errors
    /// If the engine does not have [`crate::Config::consume_fuel`].
    pub fn get_fuel(&self) -> Result<u64> {
        self.inner.opaque.get_fuel()
    }

    /// Gives the store this much fuel instead of what it has. At first it has none, with which nothing can be called.
    ///
    /// Operators consume one unit each, but `nop`, `drop`, `block`, `loop`, `else`, `end`, `return` and `unreachable`, which
    /// consume none. A call of a function consumes one more, and operators on ranges of memories and tables, and `table.grow`, one
    /// for each byte or element. Without fuel, code stops with [`Trap::OutOfFuel`] when it next comes to the head
    /// of a loop, to the beginning of a function, or to an operator on a range. Calls by the host of functions of the host consume none.
    ///
    /// # Errors
    /// If the engine does not have [`crate::Config::consume_fuel`].
    pub fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        self.inner.opaque.set_fuel(fuel)
    }

    /// Lets asynchronous calls yield to their executor each time they have consumed `interval` units of fuel; `None` lets
    /// them run on. From then on the store's functions are called with the `*_async` functions only.
    ///
    /// # Errors
    /// If the engine does not have [`crate::Config::consume_fuel`], or `interval` is `Some(0)`.
    #[cfg(feature = "async")]
    pub fn fuel_async_yield_interval(&mut self, interval: Option<u64>) -> Result<()> {
        self.inner.opaque.fuel_async_yield_interval(interval)
    }
}

impl<T: 'static> StoreContext<'_, T> {
    /// See [`Store::get_fuel`].
    ///
    /// # Errors
    /// As there.
    pub fn get_fuel(&self) -> Result<u64> {
        self.0.opaque.get_fuel()
    }
}

impl<T: 'static> StoreContextMut<'_, T> {
    /// See [`Store::get_fuel`].
    ///
    /// # Errors
    /// As there.
    pub fn get_fuel(&self) -> Result<u64> {
        self.0.opaque.get_fuel()
    }

    /// See [`Store::set_fuel`].
    ///
    /// # Errors
    /// As there.
    pub fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        self.0.opaque.set_fuel(fuel)
    }

    /// See [`Store::fuel_async_yield_interval`].
    ///
    /// # Errors
    /// As there.
    #[cfg(feature = "async")]
    pub fn fuel_async_yield_interval(&mut self, interval: Option<u64>) -> Result<()> {
        self.0.opaque.fuel_async_yield_interval(interval)
    }
}

impl<T: 'static> Caller<'_, T> {
    /// See [`Store::get_fuel`].
    ///
    /// # Errors
    /// As there.
    pub fn get_fuel(&self) -> Result<u64> {
        self.store.get_fuel()
    }

    /// See [`Store::set_fuel`].
    ///
    /// # Errors
    /// As there.
    pub fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        self.store.set_fuel(fuel)
    }

    /// See [`Store::fuel_async_yield_interval`].
    ///
    /// # Errors
    /// As there.
    #[cfg(feature = "async")]
    pub fn fuel_async_yield_interval(&mut self, interval: Option<u64>) -> Result<()> {
        self.store.fuel_async_yield_interval(interval)
    }
}
