//! What `aotc run` allows a program: how long it runs and how much memory it has.

use std::time::Duration;

use aotc_abi::target::Interruption;
use aotc_loader::Trap;
use aotc_runner::Limits;

use super::{EXIT_STOPPED, Failure};

#[derive(clap::Args)]
pub(super) struct LimitsArgs {
    /// Stop the program when it has consumed so much fuel: nearly every operator is a unit. An image must be compiled with
    /// `--fuel`.
    #[arg(long, value_name = "UNITS")]
    fuel: Option<u64>,
    /// Stop the program after this time: seconds, or a number with `ms`, `s` or `m`. An image must be compiled with
    /// `--epochs`.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    timeout: Option<Duration>,
    /// Give the program's memories at most so many bytes each, or with `K`, `M` or `G`: growing beyond fails.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    max_memory: Option<usize>,
}

impl LimitsArgs {
    /// How code must let itself be stopped.
    pub(super) fn interruption(&self) -> Interruption {
        Interruption { fuel: self.fuel.is_some(), epochs: self.timeout.is_some() }
    }

    /// What the program is allowed.
    pub(super) fn to_limits(&self) -> Limits {
        Limits { fuel: self.fuel, timeout: self.timeout, memory_bytes_max: self.max_memory }
    }

    /// How the command ends if the program was stopped; any other error is given back.
    pub(super) fn explain(&self, error: anyhow::Error) -> Result<Failure, anyhow::Error> {
        let trap = error.downcast_ref::<Trap>().copied();
        let why = match (self.fuel, self.timeout) {
            (Some(fuel), _) if trap == Some(Trap::OutOfFuel) => {
                format!("the program consumed all of its {fuel} units of fuel (--fuel)")
            }
            (_, Some(timeout)) if trap == Some(Trap::Interrupt) => {
                format!("the program ran longer than {timeout:?} (--timeout)")
            }
            _ => return Err(error),
        };
        Ok(Failure { code: EXIT_STOPPED, error: error.context(why) })
    }
}

/// A time: a number of seconds, or with a unit.
fn parse_time(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let seconds = match unit {
        "" | "s" => 1.0,
        "ms" => 1e-3,
        "m" => 60.0,
        _ => return Err(format!("unknown unit `{unit}`: ms, s or m")),
    };
    let number: f64 = number.parse().map_err(|_| "expected a number and ms, s or m".to_owned())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|error| error.to_string())
}

/// A size: a number of bytes, or with a unit of a power of 1024.
fn parse_bytes(text: &str) -> Result<usize, String> {
    let (number, unit) = split(text);
    let shift = match unit {
        "" => 0,
        "K" | "KiB" => 10,
        "M" | "MiB" => 20,
        "G" | "GiB" => 30,
        _ => return Err(format!("unknown unit `{unit}`: K, M or G")),
    };
    let number: usize = number.parse().map_err(|_| "expected a number and K, M or G".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "too large".to_owned())
}

/// The number at the start of `text`, and what follows.
fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_have_units() {
        assert_eq!(parse_time("2"), Ok(Duration::from_secs(2)));
        assert_eq!(parse_time("0.5s"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_time("20ms"), Ok(Duration::from_millis(20)));
        assert_eq!(parse_time("1m"), Ok(Duration::from_secs(60)));
        assert_eq!(parse_bytes("65536"), Ok(65_536));
        assert_eq!(parse_bytes("2M"), Ok(2 << 20));
        for text in ["", "ms", "-1", "1h", "99999999999999999999"] {
            assert!(parse_time(text).is_err() || parse_bytes(text).is_err(), "{text}");
        }
        assert!(parse_time("-1").is_err() && parse_bytes("99999999999999999999G").is_err());
    }
}
