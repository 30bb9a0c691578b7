//! Clocks.

use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};

use crate::ctx::WasiCtx;
use crate::errno::{Errno, Result};
use crate::memory::GuestMemory;
use crate::types::nanoseconds;

/// `$clockid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    Realtime,
    Monotonic,
    ProcessCpuTime,
    ThreadCpuTime,
}

impl Clock {
    pub(crate) fn new(id: u32) -> Result<Self> {
        match id {
            0 => Ok(Self::Realtime),
            1 => Ok(Self::Monotonic),
            2 => Ok(Self::ProcessCpuTime),
            3 => Ok(Self::ThreadCpuTime),
            _ => Err(Errno::Inval),
        }
    }

    fn host(self) -> ClockId {
        match self {
            Self::Realtime => ClockId::Realtime,
            Self::Monotonic => ClockId::Monotonic,
            Self::ProcessCpuTime => ClockId::ProcessCPUTime,
            Self::ThreadCpuTime => ClockId::ThreadCPUTime,
        }
    }

    /// Nanoseconds on the host's clock.
    pub(crate) fn now(self) -> u64 {
        from_host(clock_gettime(self.host()))
    }
}

/// The guest's clocks. The monotonic one starts with the context: for how long the host has run is not the guest's
/// business.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    monotonic_start: u64,
}

impl Clocks {
    pub(crate) fn start() -> Self {
        Self { monotonic_start: Clock::Monotonic.now() }
    }

    /// Nanoseconds on the guest's clock.
    pub(crate) fn now(self, clock: Clock) -> u64 {
        match clock {
            Clock::Monotonic => clock.now().saturating_sub(self.monotonic_start),
            Clock::Realtime | Clock::ProcessCpuTime | Clock::ThreadCpuTime => clock.now(),
        }
    }
}

fn from_host(time: Timespec) -> u64 {
    // Field types differ between hosts.
    #[allow(clippy::useless_conversion, reason = "not useless where a field has 32 bits")]
    nanoseconds(time.tv_sec.into(), time.tv_nsec.into())
}

pub(crate) fn clock_res_get(
    _: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    id: u32,
    result: u32,
) -> Result<()> {
    memory.write_u64(result, from_host(clock_getres(Clock::new(id)?.host())))
}

pub(crate) fn clock_time_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    id: u32,
    _precision: u64,
    result: u32,
) -> Result<()> {
    memory.write_u64(result, ctx.clocks.now(Clock::new(id)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::read_u64;

    fn time(ctx: &mut WasiCtx, id: u32) -> Result<u64> {
        let mut bytes = [0; 8];
        clock_time_get(ctx, &mut GuestMemory::new(&mut bytes), id, 0, 0)
            .map(|()| read_u64(&bytes, 0))
    }

    #[test]
    fn clocks_advance() {
        let mut ctx = WasiCtx::builder().build();
        let first = time(&mut ctx, 1).unwrap();
        assert!(time(&mut ctx, 1).unwrap() >= first);
        assert!(first < 60_000_000_000, "the monotonic clock starts with the context");
        assert!(time(&mut ctx, 0).unwrap() > 1_600_000_000_000_000_000);
        assert!(time(&mut ctx, 2).is_ok() && time(&mut ctx, 3).is_ok());
        assert_eq!(time(&mut ctx, 4), Err(Errno::Inval));
    }

    #[test]
    fn clocks_have_a_resolution() {
        let mut bytes = [0; 8];
        clock_res_get(&mut WasiCtx::builder().build(), &mut GuestMemory::new(&mut bytes), 1, 0)
            .unwrap();
        assert_ne!(read_u64(&bytes, 0), 0);
    }
}
