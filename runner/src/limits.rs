//! What a program is allowed: how long it runs and how much memory it has.

use std::time::Duration;

use anyhow::Result;
use aotc_loader::{Config, Store, StoreLimits, StoreLimitsBuilder};

/// What a program is allowed. A program that reaches a limit of time traps; memory that reaches its own does not grow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// So much fuel, and no more.
    pub fuel: Option<u64>,
    /// So much time.
    pub timeout: Option<Duration>,
    /// The size of each of its memories, in bytes.
    pub memory_bytes_max: Option<usize>,
}

impl Limits {
    /// The settings of the program's engine that the limits need.
    pub fn configure(&self, config: &mut Config) {
        config.consume_fuel(self.fuel.is_some()).epoch_interruption(self.timeout.is_some());
    }

    /// The limits of memories.
    pub(crate) fn store_limits(&self) -> StoreLimits {
        match self.memory_bytes_max {
            Some(bytes) => StoreLimitsBuilder::new().memory_size(bytes).build(),
            None => StoreLimits::default(),
        }
    }

    /// From now on the program's time runs.
    pub(crate) fn begin<T>(&self, store: &mut Store<T>) -> Result<()> {
        if let Some(fuel) = self.fuel {
            store.set_fuel(fuel)?;
        }
        if let Some(timeout) = self.timeout {
            store.set_epoch_deadline(1);
            let engine = store.engine().weak();
            std::thread::spawn(move || {
                std::thread::sleep(timeout);
                engine.upgrade().inspect(|engine| engine.increment_epoch());
            });
        }
        Ok(())
    }
}
