//! The options that modules are compiled with, in turn.

use std::num::NonZero;

use aotc::{AddressMapStyle, Cpu, OptLevel, Options};
use aotc_abi::target::{Arch, BoundsStyle, Interruption, TrapStyle};

use crate::random::Random;

/// The combinations of styles that there are.
pub(crate) const STYLES: [(TrapStyle, BoundsStyle); 3] = [
    (TrapStyle::Signals, BoundsStyle::Guard),
    (TrapStyle::Explicit, BoundsStyle::Explicit),
    (TrapStyle::Signals, BoundsStyle::Explicit),
];

const LEVELS: [OptLevel; 4] =
    [OptLevel::Speed, OptLevel::None, OptLevel::Speed, OptLevel::SpeedAndSize];

/// CPUs that the processor of this machine is.
const fn cpus(arch: Arch) -> &'static [&'static str] {
    match arch {
        Arch::X86_64 => &["x86-64-v3", "x86-64-v2", "native"],
        Arch::Aarch64 => &["armv8-a", "native"],
        Arch::Riscv64 => &["rv64gc"],
    }
}

/// Options with these styles; the rest is chosen. One thread: the modules are small.
pub(crate) fn options(style: (TrapStyle, BoundsStyle), random: &mut Random) -> Options {
    let (trap_style, bounds_style) = style;
    let of_host = Options::default();
    let arch = of_host.target.arch;
    Options {
        trap_style,
        bounds_style,
        opt_level: random.choose(&LEVELS),
        cpu: Cpu::parse(random.choose(cpus(arch)), arch).expect("known CPU"),
        address_map: random.choose(&[AddressMapStyle::Keep, AddressMapStyle::Omit]),
        threads: Some(NonZero::<usize>::MIN),
        // In an engine that does not interrupt it makes no difference.
        interruption: Interruption { fuel: random.below(4) == 0, epochs: random.below(4) == 0 },
        ..of_host
    }
}

/// Options of which everything is chosen.
pub(crate) fn any(random: &mut Random) -> Options {
    let style = random.choose(&STYLES);
    options(style, random)
}
