//! How long work takes: both sides in turn, so that whatever else the machine does hits both.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::engines::Work;

/// How often to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Measurements per side, of which the median counts.
    pub(crate) rounds: usize,
    /// Least time of a measurement: work is repeated until it takes as long.
    pub(crate) batch: Duration,
}

impl Effort {
    /// For work of nanoseconds to milliseconds.
    pub(crate) const SHORT: Self = Self { rounds: 21, batch: Duration::from_millis(10) };
    /// For work of seconds.
    pub(crate) const LONG: Self = Self { rounds: 5, batch: Duration::ZERO };
}

/// Measures each of `sides`, and gives the medians in seconds.
pub(crate) fn medians<const N: usize>(
    effort: Effort,
    mut sides: [Work<'_>; N],
) -> Result<[f64; N]> {
    let mut times = [1; N];
    for (work, times) in sides.iter_mut().zip(&mut times) {
        *times = calibrate(work, effort.batch)?;
    }
    let mut samples = [const { Vec::new() }; N];
    for round in 0..effort.rounds {
        for turn in 0..N {
            let side = (round + turn) % N;
            let per_time = time(&mut sides[side], times[side])?.as_secs_f64() / times[side] as f64;
            samples[side].push(per_time);
        }
    }
    Ok(samples.map(median))
}

/// How often to do the work so that it takes at least `batch`. The work is warm afterwards.
fn calibrate(work: &mut Work<'_>, batch: Duration) -> Result<u64> {
    let mut times = 1;
    while time(work, times)? < batch {
        times *= 2;
    }
    Ok(times)
}

fn time(work: &mut Work<'_>, times: u64) -> Result<Duration> {
    let start = Instant::now();
    work(times)?;
    Ok(start.elapsed())
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}
