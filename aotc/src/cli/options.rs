//! Options of the compiler as they stand on the command line, the same for every sub-command.

use std::num::NonZero;

use aotc_abi::target::{BoundsStyle, Interruption, Target, TrapStyle};
use clap::{Parser, ValueEnum};

use crate::options::default_target;
use crate::{
    AddressMapStyle, Binding, Cpu, DebugLinesStyle, Features, OptLevel, Options, parse_target,
};

#[derive(clap::Args, Clone, Debug)]
pub(super) struct CompileOptions {
    /// WebAssembly to accept.
    #[arg(long, value_enum, default_value_t = WasmArg::All)]
    wasm: WasmArg,
    /// Processor and operating system to compile for: x86_64 or aarch64, then -linux, -macos or -windows, or a triple.
    /// Default: x86_64-linux.
    #[arg(long, value_parser = parse_target)]
    target: Option<Target>,
    /// CPU: native, x86-64-v2, x86-64-v3 (default), x86-64-v4, armv8-a (default), armv8.1-a, armv8.4-a, armv8.6-a or
    /// armv9-a, then any `,+feature` and `,-feature`.
    #[arg(long)]
    cpu: Option<String>,
    /// Optimisation: 0 none, 2 speed, s speed and size.
    #[arg(short = 'O', value_enum, default_value_t = OptArg::Speed)]
    optimise: OptArg,
    /// How traps are reported. `explicit` implies `--bounds explicit`. Default: signals.
    #[arg(long, value_enum)]
    traps: Option<TrapArg>,
    /// How memory accesses are kept in bounds. Default: guard.
    #[arg(long, value_enum)]
    bounds: Option<BoundsArg>,
    /// Leave out the map from code to offsets in the wasm file.
    #[arg(long)]
    no_address_map: bool,
    /// Leave out lines of the source, which are kept where the module has DWARF.
    #[arg(long)]
    no_debug_lines: bool,
    /// Name of the module, for its symbol and for backtraces.
    #[arg(long)]
    name: Option<String>,
    /// Import to bind to a C function (`host.log=my_log`), with `:caller` behind it if that takes its caller. For objects and
    /// static libraries. Once for each.
    #[arg(long, value_name = "MODULE.NAME=SYMBOL")]
    bind: Vec<Binding>,
    /// Threads to compile with (default: one per processor).
    #[arg(long)]
    threads: Option<NonZero<usize>>,
    /// Keep only these exports, and leave out whatever only others lead to.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    keep_exports: Option<Vec<String>>,
}

/// How code lets itself be stopped: apart, since `aotc run` stops it and decides for itself.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(super) struct InterruptionOptions {
    /// Count what the code executes, so that fuel can stop it (`Config::consume_fuel`).
    #[arg(long)]
    fuel: bool,
    /// Let the code look at the engine's epoch, so that a deadline can stop it (`Config::epoch_interruption`).
    #[arg(long)]
    epochs: bool,
}

impl InterruptionOptions {
    /// The library's.
    pub(super) fn to_interruption(self) -> Interruption {
        Interruption { fuel: self.fuel, epochs: self.epochs }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum WasmArg {
    /// Version 2.0 of the specification.
    #[value(name = "2.0")]
    Wasm2,
    /// Everything supported.
    All,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OptArg {
    #[value(name = "0")]
    None,
    #[value(name = "2", alias = "1", alias = "3")]
    Speed,
    #[value(name = "s")]
    SpeedAndSize,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum TrapArg {
    /// Faulting instructions and a signal handler.
    Signals,
    /// Checks and calls; for hosts without signals.
    Explicit,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum BoundsArg {
    /// Reserved addresses that fault.
    Guard,
    /// A comparison before every access.
    Explicit,
}

/// Reads options as the command does: words with spaces between them.
///
/// # Errors
/// A word that is no option, or a value that an option does not have.
pub fn parse_options(words: &str) -> anyhow::Result<Options> {
    /// The options without the rest of a command.
    #[derive(clap::Parser)]
    struct Alone {
        #[command(flatten)]
        options: CompileOptions,
        #[command(flatten)]
        interruption: InterruptionOptions,
    }
    let alone = Alone::try_parse_from(["aotc"].into_iter().chain(words.split_whitespace()))?;
    Ok(alone.options.to_options(alone.interruption.to_interruption())?)
}

impl CompileOptions {
    /// The library's options, for code that lets itself be stopped in these ways.
    pub(super) fn to_options(&self, interruption: Interruption) -> Result<Options, crate::Error> {
        let target = self.target.unwrap_or_else(default_target);
        let trap_style = self.trap_style().unwrap_or(TrapStyle::Signals);
        let bounds_style = match (self.bounds_style().unwrap_or(BoundsStyle::Guard), trap_style) {
            (BoundsStyle::Guard, TrapStyle::Signals) => BoundsStyle::Guard,
            (BoundsStyle::Guard, TrapStyle::Explicit) | (BoundsStyle::Explicit, _) => {
                BoundsStyle::Explicit
            }
        };
        Ok(Options {
            features: match self.wasm {
                WasmArg::Wasm2 => Features::Wasm2,
                WasmArg::All => Features::All,
            },
            target,
            cpu: match &self.cpu {
                Some(cpu) => Cpu::parse(cpu, target.arch)?,
                None => Cpu::baseline(target.arch),
            },
            opt_level: match self.optimise {
                OptArg::None => OptLevel::None,
                OptArg::Speed => OptLevel::Speed,
                OptArg::SpeedAndSize => OptLevel::SpeedAndSize,
            },
            trap_style,
            bounds_style,
            interruption,
            debug_lines: if self.no_debug_lines {
                DebugLinesStyle::Omit
            } else {
                DebugLinesStyle::Keep
            },
            address_map: if self.no_address_map {
                AddressMapStyle::Omit
            } else {
                AddressMapStyle::Keep
            },
            name: self.name.clone(),
            bind: self.bind.clone(),
            threads: self.threads,
            keep_exports: self.keep_exports.clone(),
            incremental: None,
        })
    }

    /// The target, if one is given.
    pub(super) fn target(&self) -> Option<Target> {
        self.target
    }

    /// The CPU, if one is given.
    pub(super) fn cpu(&self) -> Option<&str> {
        self.cpu.as_deref()
    }

    /// How the code traps, if it is given.
    pub(super) fn trap_style(&self) -> Option<TrapStyle> {
        self.traps.map(|traps| match traps {
            TrapArg::Signals => TrapStyle::Signals,
            TrapArg::Explicit => TrapStyle::Explicit,
        })
    }

    /// How the code stays in bounds, if it is given.
    pub(super) fn bounds_style(&self) -> Option<BoundsStyle> {
        self.bounds.map(|bounds| match bounds {
            BoundsArg::Guard => BoundsStyle::Guard,
            BoundsArg::Explicit => BoundsStyle::Explicit,
        })
    }

    pub(super) fn set_target(&mut self, target: Target) {
        self.target = Some(target);
    }

    pub(super) fn set_styles(&mut self, traps: TrapStyle, bounds: BoundsStyle) {
        self.traps = Some(match traps {
            TrapStyle::Signals => TrapArg::Signals,
            TrapStyle::Explicit => TrapArg::Explicit,
        });
        self.bounds = Some(match bounds {
            BoundsStyle::Guard => BoundsArg::Guard,
            BoundsStyle::Explicit => BoundsArg::Explicit,
        });
    }
}
