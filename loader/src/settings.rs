//! What an engine needs of the compiler, as text that `aotc compile --for-loader` reads.
//!
//! ```text
//! format_version = 1
//! target = x86_64-linux
//! traps = signals explicit
//! ```
//!
//! A line each: a key, ` = `, and a value or several with spaces between them, the preferred one first. Lines that begin with
//! `#` are comments. New versions add keys; a compiler refuses those that it does not know.

use core::fmt::Write as _;

use aotc_abi::meta::{FORMAT_VERSION, LAYOUT_HASH};
use aotc_abi::target::{BoundsStyle, Target, TrapStyle};

use crate::engine::Engine;
use crate::module::host;
use crate::prelude::*;
use crate::sys;

impl Engine {
    /// What modules must be compiled for to be loaded by this engine, in this program, on this processor: text for the option
    /// `--for-loader FILE` of `aotc compile`.
    ///
    /// | key | value |
    /// |---|---|
    /// | `loader` | name and version of this crate |
    /// | `format_version`, `layout_hash` | what artifacts must be of |
    /// | `target` | architecture and operating system |
    /// | `cpu` | the features of this processor that code may use |
    /// | `traps` | the ways to trap that work here, the best first |
    /// | `bounds` | the ways to stay in bounds that work here, the best first |
    /// | `guard_bytes_max` | the largest guard behind a memory that is made, in bytes |
    /// | `page_bytes` | size of a page, in bytes |
    /// | `fuel`, `epochs` | `yes` if modules must be interruptible so |
    ///
    /// The text depends on the program, the processor and [`crate::Config`], and on nothing else.
    pub fn compile_settings(&self) -> String {
        let (traps, bounds): (&[TrapStyle], &[BoundsStyle]) = match sys::HAS_FAULTS {
            true => (
                &[TrapStyle::Signals, TrapStyle::Explicit],
                &[BoundsStyle::Guard, BoundsStyle::Explicit],
            ),
            false => (&[TrapStyle::Explicit], &[BoundsStyle::Explicit]),
        };
        let target = Target::HOST;
        let cpu = target.map(|target| host::cpu_features(target.arch).iter(target.arch));
        let interruption = self.config().interruption;
        let rows: [(&str, String); 11] = [
            ("loader", concat!("aotc-loader ", env!("CARGO_PKG_VERSION")).to_owned()),
            ("format_version", FORMAT_VERSION.to_string()),
            ("layout_hash", format!("{LAYOUT_HASH:#018x}")),
            ("target", target.map_or("none".to_owned(), |target| target.to_string())),
            ("cpu", words(cpu.into_iter().flatten().map(|feature| feature.name))),
            ("traps", words(traps.iter().map(|style| style.name()))),
            ("bounds", words(bounds.iter().map(|style| style.name()))),
            ("guard_bytes_max", self.guard_bytes_max().to_string()),
            ("page_bytes", sys::page_bytes().to_string()),
            ("fuel", yes_or_no(interruption.fuel).to_owned()),
            ("epochs", yes_or_no(interruption.epochs).to_owned()),
        ];
        let mut text = String::from("# What this loader needs: for `aotc compile --for-loader`.\n");
        for (key, value) in rows {
            writeln!(text, "{key} = {value}").expect("a string grows");
        }
        text
    }

    /// The largest guard behind a memory, in bytes.
    fn guard_bytes_max(&self) -> u64 {
        #[cfg(feature = "std")]
        if self.pool().is_some() {
            return crate::memory::GUARD_BYTES.min(host::GUARD_BYTES_MAX);
        }
        host::GUARD_BYTES_MAX
    }
}

fn words<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<Vec<_>>().join(" ")
}

fn yes_or_no(condition: bool) -> &'static str {
    if condition { "yes" } else { "no" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn lines_are_keys_and_values() {
        let text = Engine::new(Config::new().consume_fuel(true)).unwrap().compile_settings();
        let rows: Vec<_> = (text.lines().filter(|line| !line.starts_with('#')))
            .map(|line| line.split_once(" = ").unwrap())
            .collect();
        let value = |key| rows.iter().find(|row| row.0 == key).unwrap().1;
        assert_eq!(rows.len(), 11);
        assert_eq!((value("fuel"), value("epochs")), ("yes", "no"));
        assert_eq!(value("format_version"), FORMAT_VERSION.to_string());
        assert_eq!(value("page_bytes"), sys::page_bytes().to_string());
    }
}
