//! A module does the same under Wasmtime and under aotc.
//!
//! ```text
//!   wasm ──┬── Wasmtime, unoptimised ───────────── shared.rs ── Vec<Run> ──┐
//!          │                                                               ├── equal, up to where a stack ended
//!          └── aotc, one style after the other ─── shared.rs ── Vec<Run> ──┘
//! ```
//!
//! With fuel, both have the same amount for a call, and consume the same for the same: code stops at the same point, and what is
//! left is equal whenever the host can see it. Only instantiation costs what it likes (`docs/decisions/0006-interruption.md`).
//!
//! `shared.rs` is compiled against the API of each engine, so both sides do the same, with the same arguments.

mod aotc_side;
mod outcome;
mod wasmtime_side;

use crate::Verdict;
use crate::generate::{self, Purpose};
use crate::random::Random;
use crate::style;
use outcome::{Ending, Run, TrapClass};

/// Compares a generated module.
///
/// # Panics
/// As [`compare`].
pub fn run(data: &[u8]) -> Verdict {
    match generate::module(data, Purpose::Run) {
        Some(wasm) => compare(&wasm, Random::from_bytes(data).next()),
        None => Verdict::Skipped,
    }
}

/// Runs a module on both engines, with arguments and options that `seed` determines.
///
/// # Panics
/// If there is a difference, or aotc does not accept what Wasmtime accepts.
pub fn compare(wasm: &[u8], seed: u64) -> Verdict {
    let mut random = Random::new(seed);
    let mut options = style::any(&mut random);
    let fuel = fuel(&mut random);
    options.interruption.fuel |= fuel.is_some();
    let Some(expected) = wasmtime_side::runs(wasm, seed, fuel) else {
        return Verdict::Skipped;
    };
    let found = aotc_side::runs(wasm, seed, fuel, &options);
    assert_eq!(expected.len(), found.len(), "number of runs; options: {options:?}");
    for (number, (expected, found)) in expected.iter().zip(&found).enumerate() {
        if compare_run(number, expected, found, &options) == Verdict::Skipped {
            return Verdict::Skipped;
        }
    }
    Verdict::Checked
}

/// What each call has: not counted, too little, or enough.
fn fuel(random: &mut Random) -> Option<u64> {
    match random.below(4) {
        0 | 1 => None,
        2 => Some(random.below(3000) as u64),
        _ => Some(1 << 40),
    }
}

/// Compares what happened in one instance, event by event. Where one stack ends, the other need not.
fn compare_run(number: usize, expected: &Run, found: &Run, options: &aotc::Options) -> Verdict {
    let events = expected.events.len().max(found.events.len());
    for at in 0..events {
        let (expected, found) = (expected.events.get(at), found.events.get(at));
        if [expected, found].into_iter().flatten().any(|event| overflowed(&event.ending)) {
            return Verdict::Skipped;
        }
        assert!(
            expected == found,
            "run {number}, event {at}:\n  expected {expected:?}\n  found    {found:?}\n  options: {options:?}"
        );
    }
    for (expected, found) in expected.state.iter().zip(&found.state) {
        assert!(
            expected == found,
            "run {number}, afterwards: {}\n  options: {options:?}",
            expected.difference(found)
        );
    }
    assert_eq!(expected.state.len(), found.state.len(), "run {number}, number of items");
    Verdict::Checked
}

fn overflowed(ending: &Ending) -> bool {
    *ending == Ending::Trapped(TrapClass::StackOverflow)
}
