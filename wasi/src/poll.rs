//! Waiting for time to pass and for descriptors to become ready.
//!
//! ```text
//! subscription 48: userdata u64@0  tag u8@8, then by tag
//!                  0 clock:    id u32@16  timeout u64@24  precision u64@32  flags u16@40
//!                  1 fd_read:  fd u32@16
//!                  2 fd_write: fd u32@16
//! event        32: userdata u64@0  errno u16@8  type u8@10  bytes u64@16  flags u16@24
//! ```
//!
//! All of it becomes one call of the host's `poll`: its list has the descriptors of the host, its timeout is the
//! earliest deadline. What is ready anyway (files the embedder made, errors) makes the timeout 0.

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno as HostErrno;

use crate::clocks::{Clock, Clocks};
use crate::ctx::WasiCtx;
use crate::errno::{Errno, Result};
use crate::fd_table::{Descriptor, HostFile, Object};
use crate::memory::{GuestMemory, read_u32, read_u64};
use crate::types::Rights;

/// The most subscriptions of one call; more than a process can have files.
const SUBSCRIPTIONS_MAX: u32 = 1 << 14;
const SUBSCRIPTION_SIZE: usize = 48;
const EVENT_SIZE: usize = 32;

/// `$subclockflags.subscription_clock_abstime`.
const ABSOLUTE_TIME: u8 = 1;
/// `$eventrwflags.fd_readwrite_hangup`.
const HANGUP: u16 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Subscription {
    userdata: u64,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Clock { id: u32, timeout: u64, absolute: bool },
    Read { fd: u32 },
    Write { fd: u32 },
}

impl Subscription {
    fn decode(record: &[u8]) -> Result<Self> {
        let fd = read_u32(record, 16);
        let what = match record[8] {
            0 => What::Clock {
                id: fd,
                timeout: read_u64(record, 24),
                absolute: record[40] & ABSOLUTE_TIME != 0,
            },
            1 => What::Read { fd },
            2 => What::Write { fd },
            _ => return Err(Errno::Inval),
        };
        Ok(Self { userdata: read_u64(record, 0), what })
    }
}

/// What has become of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Outcome {
    errno: Errno,
    bytes: u64,
    flags: u16,
}

impl Outcome {
    const READY: Self = Self { errno: Errno::Success, bytes: 0, flags: 0 };

    fn error(errno: Errno) -> Self {
        Self { errno, ..Self::READY }
    }

    fn encode(self, subscription: &Subscription) -> [u8; EVENT_SIZE] {
        let mut record = [0; EVENT_SIZE];
        record[0..8].copy_from_slice(&subscription.userdata.to_le_bytes());
        record[8..10].copy_from_slice(&(self.errno as u16).to_le_bytes());
        record[10] = match subscription.what {
            What::Clock { .. } => 0,
            What::Read { .. } => 1,
            What::Write { .. } => 2,
        };
        record[16..24].copy_from_slice(&self.bytes.to_le_bytes());
        record[24..26].copy_from_slice(&self.flags.to_le_bytes());
        record
    }
}

pub(crate) fn poll_oneoff(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    subscriptions: u32,
    events: u32,
    count: u32,
    result: u32,
) -> Result<()> {
    if count == 0 || count > SUBSCRIPTIONS_MAX {
        return Err(Errno::Inval);
    }
    memory.check(result, 4)?;
    memory.check(events, count as usize * EVENT_SIZE)?;
    let subscriptions: Vec<Subscription> = memory
        .bytes(subscriptions, count as usize * SUBSCRIPTION_SIZE)?
        .chunks_exact(SUBSCRIPTION_SIZE)
        .map(Subscription::decode)
        .collect::<Result<_>>()?;
    let outcomes = wait(ctx, &subscriptions)?;
    let happened = subscriptions
        .iter()
        .zip(&outcomes)
        .filter_map(|(subscription, outcome)| outcome.map(|outcome| outcome.encode(subscription)));
    let mut written = 0u32;
    for event in happened {
        memory.write(events + written * EVENT_SIZE as u32, &event)?;
        written += 1;
    }
    memory.write_u32(result, written)
}

/// Waits until at least one subscription has an outcome; gives one or none for each.
fn wait(ctx: &WasiCtx, subscriptions: &[Subscription]) -> Result<Vec<Option<Outcome>>> {
    let mut outcomes = vec![None; subscriptions.len()];
    let mut deadlines = Vec::new();
    let mut polled = Vec::new();
    let mut polled_files = Vec::new();
    for (index, subscription) in subscriptions.iter().enumerate() {
        match subscription.what {
            What::Clock { id, timeout, absolute } => {
                match deadline(ctx.clocks, id, timeout, absolute) {
                    Ok(deadline) => deadlines.push((index, deadline)),
                    Err(errno) => outcomes[index] = Some(Outcome::error(errno)),
                }
            }
            What::Read { fd } | What::Write { fd } => {
                let (right, events) = match subscription.what {
                    What::Write { .. } => (Rights::FD_WRITE, PollFlags::OUT),
                    What::Read { .. } | What::Clock { .. } => (Rights::FD_READ, PollFlags::IN),
                };
                match pollable(ctx, fd, right) {
                    Ok(Some(file)) => {
                        polled.push(PollFd::new(file, events));
                        polled_files.push((index, file));
                    }
                    Ok(None) => outcomes[index] = Some(Outcome::READY),
                    Err(errno) => outcomes[index] = Some(Outcome::error(errno)),
                }
            }
        }
    }

    let earliest = match outcomes.iter().any(Option::is_some) {
        true => Some(0),
        false => deadlines.iter().map(|(_, deadline)| *deadline).min(),
    };
    poll_until(&mut polled, earliest)?;

    for ((index, file), fd) in polled_files.into_iter().zip(&polled) {
        if !fd.revents().is_empty() {
            outcomes[index] = Some(file_outcome(file, fd.revents(), subscriptions[index].what));
        }
    }
    let now = Clock::Monotonic.now();
    for (index, _) in deadlines.into_iter().filter(|(_, deadline)| *deadline <= now) {
        outcomes[index] = Some(Outcome::READY);
    }
    Ok(outcomes)
}

/// When a clock's subscription ends, in nanoseconds on the host's monotonic clock.
fn deadline(clocks: Clocks, id: u32, timeout: u64, absolute: bool) -> Result<u64> {
    let clock = Clock::new(id)?;
    if !matches!(clock, Clock::Realtime | Clock::Monotonic) {
        return Err(Errno::NotSup);
    }
    let remaining = if absolute { timeout.saturating_sub(clocks.now(clock)) } else { timeout };
    Ok(Clock::Monotonic.now().saturating_add(remaining))
}

/// The host's file to wait for, or none where there is nothing to wait for.
fn pollable(ctx: &WasiCtx, fd: u32, right: Rights) -> Result<Option<&HostFile>> {
    let descriptor: &Descriptor = ctx.descriptors.get(fd)?;
    descriptor.require(right)?;
    descriptor.require(Rights::POLL_FD_READWRITE)?;
    match &descriptor.object {
        Object::Host(file) => Ok(Some(file)),
        Object::Reader(_) | Object::Writer(_) => Ok(None),
        Object::Directory(_) => Err(Errno::BadF),
    }
}

/// Waits for a descriptor, or until the deadline; for ever without one.
fn poll_until(polled: &mut [PollFd<'_>], deadline: Option<u64>) -> Result<()> {
    loop {
        let remaining = deadline.map(|deadline| deadline.saturating_sub(Clock::Monotonic.now()));
        let timeout = remaining.map(|nanoseconds| Timespec {
            tv_sec: (nanoseconds / 1_000_000_000).cast_signed(),
            tv_nsec: (nanoseconds % 1_000_000_000) as _,
        });
        match rustix::event::poll(polled, timeout.as_ref()) {
            // Some hosts count in milliseconds and come back early.
            Ok(0) if remaining != Some(0) => {}
            Ok(_) => return Ok(()),
            Err(HostErrno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn file_outcome(file: &HostFile, events: PollFlags, what: What) -> Outcome {
    if events.contains(PollFlags::NVAL) {
        return Outcome::error(Errno::BadF);
    }
    let bytes = match what {
        What::Read { .. } => readable_bytes(file),
        // How much can be written without waiting is not known; something can.
        What::Write { .. } | What::Clock { .. } => 1,
    };
    let flags = if events.contains(PollFlags::HUP) { HANGUP } else { 0 };
    Outcome { errno: Errno::Success, bytes, flags }
}

/// How much can be read at once: what a file has after its position, what a pipe or terminal holds.
fn readable_bytes(file: &HostFile) -> u64 {
    let Ok(stat) = rustix::fs::fstat(file) else { return 0 };
    if rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::RegularFile {
        let position = rustix::fs::tell(file).unwrap_or(0);
        return u64::try_from(stat.st_size).unwrap_or(0).saturating_sub(position);
    }
    rustix::io::ioctl_fionread(file).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::io::pipe;
    use std::os::fd::OwnedFd;

    use super::*;
    use crate::streams::InputStream;

    const EVENTS: u32 = 512;
    const RESULT: u32 = 1020;

    fn subscribe(bytes: &mut [u8], index: usize, what: What) {
        let record = &mut bytes[index * SUBSCRIPTION_SIZE..][..SUBSCRIPTION_SIZE];
        record[0..8].copy_from_slice(&(index as u64 + 100).to_le_bytes());
        match what {
            What::Clock { id, timeout, absolute } => {
                record[8] = 0;
                record[16..20].copy_from_slice(&id.to_le_bytes());
                record[24..32].copy_from_slice(&timeout.to_le_bytes());
                record[40] = u8::from(absolute);
            }
            What::Read { fd } => {
                record[8] = 1;
                record[16..20].copy_from_slice(&fd.to_le_bytes());
            }
            What::Write { fd } => {
                record[8] = 2;
                record[16..20].copy_from_slice(&fd.to_le_bytes());
            }
        }
    }

    /// The user data and error number of each event.
    fn poll(ctx: &mut WasiCtx, whats: &[What]) -> Result<Vec<(u64, u32)>> {
        let mut bytes = [0; 1024];
        for (index, what) in whats.iter().enumerate() {
            subscribe(&mut bytes, index, *what);
        }
        poll_oneoff(ctx, &mut GuestMemory::new(&mut bytes), 0, EVENTS, whats.len() as u32, RESULT)?;
        let count = read_u32(&bytes, RESULT as usize) as usize;
        let events = bytes[EVENTS as usize..].chunks_exact(EVENT_SIZE).take(count);
        Ok(events.map(|event| (read_u64(event, 0), read_u32(event, 8) & 0xffff)).collect())
    }

    #[test]
    fn the_earliest_clock_ends_the_wait() {
        let mut ctx = WasiCtx::builder().build();
        let long = What::Clock { id: 1, timeout: u64::MAX, absolute: false };
        let short = What::Clock { id: 0, timeout: 2_000_000, absolute: false };
        let before = std::time::Instant::now();
        assert_eq!(poll(&mut ctx, &[long, short]), Ok(vec![(101, 0)]));
        assert!(before.elapsed().as_nanos() >= 2_000_000);
        let past = What::Clock { id: 1, timeout: 0, absolute: true };
        assert_eq!(poll(&mut ctx, &[past, long]), Ok(vec![(100, 0)]));
    }

    #[test]
    fn a_pipe_is_ready_once_it_holds_something() {
        let (reader, mut writer) = pipe().unwrap();
        let mut ctx = WasiCtx::builder().stdin(InputStream::from(OwnedFd::from(reader))).build();
        let timeout = What::Clock { id: 1, timeout: 1_000_000, absolute: false };
        assert_eq!(poll(&mut ctx, &[What::Read { fd: 0 }, timeout]), Ok(vec![(101, 0)]));
        std::io::Write::write_all(&mut writer, b"x").unwrap();
        assert_eq!(poll(&mut ctx, &[What::Read { fd: 0 }]), Ok(vec![(100, 0)]));
    }

    #[test]
    fn errors_are_events() {
        let mut ctx = WasiCtx::builder().build();
        let whats = [
            What::Read { fd: 77 },
            What::Write { fd: 0 },
            What::Clock { id: 9, timeout: 0, absolute: false },
            What::Clock { id: 2, timeout: 0, absolute: false },
            What::Write { fd: 1 },
        ];
        let bad = Errno::BadF as u32;
        let expected = vec![
            (100, bad),
            (101, bad),
            (102, Errno::Inval as u32),
            (103, Errno::NotSup as u32),
            (104, 0),
        ];
        assert_eq!(poll(&mut ctx, &whats), Ok(expected));
    }

    #[test]
    fn counts_are_bounded() {
        let mut ctx = WasiCtx::builder().build();
        let mut bytes = [0; 64];
        let mut memory = GuestMemory::new(&mut bytes);
        assert_eq!(poll_oneoff(&mut ctx, &mut memory, 0, 0, 0, 0), Err(Errno::Inval));
        assert_eq!(poll_oneoff(&mut ctx, &mut memory, 0, 0, u32::MAX, 0), Err(Errno::Inval));
        assert_eq!(poll_oneoff(&mut ctx, &mut memory, 0, 0, 3, 0), Err(Errno::Fault));
        memory.write(8, &[3]).unwrap();
        assert_eq!(
            poll_oneoff(&mut ctx, &mut memory, 0, 0, 1, 0),
            Err(Errno::Inval),
            "unknown tag"
        );
    }
}
