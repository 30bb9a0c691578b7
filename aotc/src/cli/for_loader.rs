//! `--for-loader FILE`: options that an engine of the loader asks for, in the text that `Engine::compile_settings` gives.

use std::path::Path;

use aotc_abi::meta::{FORMAT_VERSION, LAYOUT_HASH};
use aotc_abi::target::{BoundsStyle, CPU_FEATURES, CpuFeatures, Interruption, Target, TrapStyle};

use super::options::CompileOptions;
use super::{Failure, output};
use crate::translate::GUARD_BYTES;
use crate::{Cpu, Error, Options, TARGETS};

/// What a loader said.
#[derive(Debug, Default)]
struct Settings<'a> {
    entries: Vec<Entry<'a>>,
}

/// A line of it.
#[derive(Clone, Copy, Debug)]
struct Entry<'a> {
    line: usize,
    key: &'a str,
    value: &'a str,
}

/// Every key; each but the first must be there.
const KEYS: [&str; 11] = [
    "loader",
    "format_version",
    "layout_hash",
    "target",
    "cpu",
    "traps",
    "bounds",
    "guard_bytes_max",
    "page_bytes",
    "fuel",
    "epochs",
];

/// The options of a command, where they are not given those that the loader at `path` asks for.
///
/// # Errors
/// The file cannot be read or understood, the loader is of another version, or an option contradicts it.
pub(super) fn options(
    given: &CompileOptions,
    interruption: Interruption,
    path: &Path,
) -> Result<Options, Failure> {
    let text = output::read_text(path)?;
    Ok(merge(given, interruption, &text)
        .map_err(|what| Error::Options(format!("{}:{what}", path.display())))?)
}

/// The options for the loader that wrote `text`; the error begins with the line.
fn merge(
    given: &CompileOptions,
    interruption: Interruption,
    text: &str,
) -> Result<Options, String> {
    let settings = Settings::parse(text)?;
    settings.check_version()?;
    let mut merged = given.clone();
    settings.target(&mut merged)?;
    settings.styles(&mut merged)?;
    let interruption = Interruption {
        fuel: interruption.fuel | settings.flag("fuel")?,
        epochs: interruption.epochs | settings.flag("epochs")?,
    };
    let at_start = |error: Error| format!("1: {error}");
    let mut options = merged.to_options(interruption).map_err(at_start)?;
    settings.cpu(given, &mut options)?;
    let page = settings.number("page_bytes")?;
    if page.value > u64::from(options.target.page_bytes()) {
        return Err(page.entry.contradicts(&format!(
            "artifacts for {}, which are laid out in pages of {} bytes",
            options.target,
            options.target.page_bytes()
        )));
    }
    Ok(options)
}

/// A number, and where it is from.
struct Number<'a> {
    entry: Entry<'a>,
    value: u64,
}

impl<'a> Settings<'a> {
    fn parse(text: &'a str) -> Result<Self, String> {
        let mut settings = Self::default();
        for (index, line) in text.lines().enumerate() {
            let (line, number) = (line.trim(), index + 1);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((key, value)) = line.split_once('=') else {
                return Err(format!("{number}: expected `key = value`, found `{line}`"));
            };
            let entry = Entry { line: number, key: key.trim(), value: value.trim() };
            if !KEYS.contains(&entry.key) {
                return Err(format!(
                    "{number}: unknown key `{}`; is the loader newer than this compiler?",
                    entry.key
                ));
            }
            if let Some(first) = settings.entries.iter().find(|other| other.key == entry.key) {
                return Err(format!("{number}: `{}` is in line {} already", entry.key, first.line));
            }
            settings.entries.push(entry);
        }
        Ok(settings)
    }

    fn get(&self, key: &str) -> Result<Entry<'a>, String> {
        let found = self.entries.iter().find(|entry| entry.key == key);
        found.copied().ok_or_else(|| format!("1: the key `{key}` is missing"))
    }

    fn number(&self, key: &str) -> Result<Number<'a>, String> {
        let entry = self.get(key)?;
        let value = match entry.value.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => entry.value.parse(),
        };
        let value = value.map_err(|_| entry.expected("a number"))?;
        Ok(Number { entry, value })
    }

    fn flag(&self, key: &str) -> Result<bool, String> {
        let entry = self.get(key)?;
        match entry.value {
            "yes" => Ok(true),
            "no" => Ok(false),
            _ => Err(entry.expected("yes or no")),
        }
    }

    /// Artifacts are of one version of the format.
    fn check_version(&self) -> Result<(), String> {
        let ours = [
            ("format_version", u64::from(FORMAT_VERSION), FORMAT_VERSION.to_string()),
            ("layout_hash", LAYOUT_HASH, format!("{LAYOUT_HASH:#018x}")),
        ];
        for (key, value, text) in ours {
            let found = self.number(key)?;
            if found.value != value {
                return Err(format!(
                    "{}: the loader has {key} {}, and this compiler {text}: they must be of the same version",
                    found.entry.line, found.entry.value
                ));
            }
        }
        Ok(())
    }

    fn target(&self, options: &mut CompileOptions) -> Result<(), String> {
        let entry = self.get("target")?;
        let known = |target: &Target| target.to_string() == entry.value;
        let Some(target) = TARGETS.iter().copied().find(known) else {
            return Err(format!("{}: unknown target `{}`", entry.line, entry.value));
        };
        match options.target() {
            Some(given) if given != target => {
                Err(entry.contradicts(&format!("`--target {given}`")))
            }
            _ => {
                options.set_target(target);
                Ok(())
            }
        }
    }

    /// How the code traps and stays in bounds: as it is given, or else in the first way that works.
    fn styles(&self, options: &mut CompileOptions) -> Result<(), String> {
        let traps = self.get("traps")?;
        let accepted = traps.styles(&[TrapStyle::Signals, TrapStyle::Explicit], TrapStyle::name)?;
        let trap = match options.trap_style() {
            Some(given) if !accepted.contains(&given) => {
                return Err(traps.contradicts(&format!("`--traps {given}`")));
            }
            Some(given) => given,
            None => accepted[0],
        };
        let entry = self.get("bounds")?;
        let all = [BoundsStyle::Guard, BoundsStyle::Explicit];
        let mut accepted = entry.styles(&all, BoundsStyle::name)?;
        if trap == TrapStyle::Explicit {
            accepted.retain(|style| *style == BoundsStyle::Explicit);
        }
        let guard = self.number("guard_bytes_max")?;
        if guard.value < GUARD_BYTES {
            accepted.retain(|style| *style == BoundsStyle::Explicit);
        }
        // The word `guard` with explicit traps means explicit bounds, as it does without a loader.
        let given = options.bounds_style().filter(|_| trap == TrapStyle::Signals);
        let bounds = match given {
            Some(given) if !accepted.contains(&given) => {
                let by_guard = given == BoundsStyle::Guard && guard.value < GUARD_BYTES;
                let entry = if by_guard { guard.entry } else { entry };
                return Err(entry.contradicts(&format!("`--bounds {given}`")));
            }
            Some(given) => given,
            None => *accepted.first().ok_or_else(|| {
                entry.contradicts(&format!("`traps = {trap}` with a guard of {GUARD_BYTES} bytes"))
            })?,
        };
        options.set_styles(trap, bounds);
        Ok(())
    }

    /// The loader's processor, or the one that is given if the loader's can run its code.
    fn cpu(&self, given: &CompileOptions, options: &mut Options) -> Result<(), String> {
        let entry = self.get("cpu")?;
        let arch = options.target.arch;
        let mut host = CpuFeatures::NONE;
        for name in entry.value.split_whitespace() {
            let feature = CPU_FEATURES.iter().find(|f| f.arch == arch && f.name == name);
            let feature = feature
                .ok_or_else(|| format!("{}: unknown feature `{name}` of {arch}", entry.line))?;
            host = host.with(feature);
        }
        match given.cpu() {
            None => options.cpu = Cpu { features: host },
            Some(cpu) => {
                let missing = options.cpu.features.missing_from(host);
                if missing != CpuFeatures::NONE {
                    let names: Vec<_> = missing.iter(arch).map(|feature| feature.name).collect();
                    let what = format!("`--cpu {cpu}`, which has {}", names.join(", "));
                    return Err(entry.contradicts(&what));
                }
            }
        }
        Ok(())
    }
}

impl Entry<'_> {
    fn expected(&self, what: &str) -> String {
        format!("{}: `{}`: expected {what}, found `{}`", self.line, self.key, self.value)
    }

    fn contradicts(&self, what: &str) -> String {
        format!("{}: `{} = {}` contradicts {what}", self.line, self.key, self.value)
    }

    /// The styles that are named, of which there is at least one.
    fn styles<T: Copy>(&self, all: &[T], name: fn(T) -> &'static str) -> Result<Vec<T>, String> {
        let find = |word: &str| all.iter().copied().find(|style| name(*style) == word);
        let names: Vec<_> = all.iter().map(|style| name(*style)).collect();
        let expected = || self.expected(&names.join(" or "));
        let found: Option<Vec<T>> = self.value.split_whitespace().map(find).collect();
        found.filter(|styles| !styles.is_empty()).ok_or_else(expected)
    }
}
