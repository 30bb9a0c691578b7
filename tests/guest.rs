//! Modules in the text format, compiled and loaded for a test.

use std::cell::Cell;
use std::num::NonZero;
use std::panic;
use std::sync::Once;

use anyhow::Result;
use aotc::Emit;
use aotc_abi::target::{BoundsStyle, TrapStyle};
use aotc_loader::{Engine, Module};
use libtest_mimic::Trial;

/// The ways of trapping, by the name they have in tests.
pub(crate) const STYLES: [(&str, TrapStyle); 2] =
    [("signals", TrapStyle::Signals), ("explicit", TrapStyle::Explicit)];

/// A test that is run with every way of trapping.
pub(crate) type Test = (&'static str, fn(TrapStyle) -> Result<()>);

/// A trial for each test and style.
pub(crate) fn trials(module: &str, tests: &[Test]) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (style_name, style) in STYLES {
        for &(name, test) in tests {
            trials.push(Trial::test(format!("{module}::{style_name}::{name}"), move || {
                test(style).map_err(|error| format!("{error:#}").into())
            }));
        }
    }
    trials
}

/// The options for a way of trapping, with the bounds checks that go with it.
pub(crate) fn options(style: TrapStyle) -> aotc::Options {
    let bounds_style = match style {
        TrapStyle::Signals => BoundsStyle::Guard,
        TrapStyle::Explicit => BoundsStyle::Explicit,
    };
    aotc::Options {
        trap_style: style,
        bounds_style,
        threads: NonZero::new(1),
        ..aotc::Options::default()
    }
}

/// The image of a module in the text format.
pub(crate) fn image(text: &str, style: TrapStyle) -> Result<Vec<u8>> {
    Ok(aotc::compile(text.as_bytes(), Emit::Image, &options(style))?)
}

/// The module, loaded.
pub(crate) fn module(engine: &Engine, text: &str, style: TrapStyle) -> Result<Module> {
    Module::from_bytes(engine, &image(text, style)?)
}

/// The module in the binary format.
pub(crate) fn binary(text: &str) -> Result<Vec<u8>> {
    let buffer = wast::parser::ParseBuffer::new(text)?;
    Ok(wast::parser::parse::<wast::Wat<'_>>(&buffer)?.encode()?)
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Calls `f`, which is expected to panic: the message is not printed.
pub(crate) fn without_panic_message<R>(f: impl FnOnce() -> R) -> R {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                print(info);
            }
        }));
    });
    struct Restore;
    impl Drop for Restore {
        fn drop(&mut self) {
            QUIET.set(false);
        }
    }
    let _restore = Restore;
    QUIET.set(true);
    f()
}
