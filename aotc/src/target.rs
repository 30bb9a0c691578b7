//! Names of targets, as people and build systems write them.

use aotc_abi::target::{Arch, Os, Target};

use crate::error::{Error, Result};

/// The targets there is code for.
pub const TARGETS: [Target; 6] = [
    Target { arch: Arch::X86_64, os: Os::Linux },
    Target { arch: Arch::X86_64, os: Os::MacOs },
    Target { arch: Arch::X86_64, os: Os::Windows },
    Target { arch: Arch::Aarch64, os: Os::Linux },
    Target { arch: Arch::Aarch64, os: Os::MacOs },
    Target { arch: Arch::Aarch64, os: Os::Windows },
];

/// Reads a target: its own name (`x86_64-linux`), or a triple as compilers have them (`aarch64-apple-darwin`,
/// `x86_64-pc-windows-msvc`, `arm64-apple-macos11`). Of a triple, processor and operating system count.
///
/// # Errors
/// [`Error::Options`] for a name that is none of a target there is code for.
pub fn parse_target(text: &str) -> Result<Target> {
    let unknown = || {
        let names: Vec<_> = TARGETS.iter().map(Target::to_string).collect();
        let names = names.join(", ");
        Error::Options(format!("unknown target `{text}`: expected one of {names}, or a triple"))
    };
    let (arch, rest) = text.split_once('-').ok_or_else(unknown)?;
    let arch = match arch {
        "x86_64" | "amd64" => Arch::X86_64,
        "aarch64" | "arm64" => Arch::Aarch64,
        _ => return Err(unknown()),
    };
    let mut parts = rest.split('-').peekable();
    let _ = parts.next_if(|vendor| ["unknown", "pc", "apple"].contains(vendor));
    let system = parts.next().unwrap_or_default();
    let os = match system.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.') {
        "linux" => Os::Linux,
        "macos" | "macosx" | "darwin" => Os::MacOs,
        "windows" => Os::Windows,
        _ => return Err(unknown()),
    };
    let environments: &[&str] = match os {
        Os::Linux => &["gnu", "musl"],
        Os::MacOs => &["none"],
        Os::Windows => &["msvc", "gnu", "gnullvm"],
    };
    match (parts.next(), parts.next()) {
        (None, _) => {}
        (Some(environment), None) if environments.contains(&environment) => {}
        (Some(_), _) => return Err(unknown()),
    }
    Ok(Target { arch, os })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_triples_are_read() {
        for target in TARGETS {
            assert_eq!(parse_target(&target.to_string()).unwrap(), target);
        }
        for (text, arch, os) in [
            ("x86_64-unknown-linux-gnu", Arch::X86_64, Os::Linux),
            ("x86_64-linux-musl", Arch::X86_64, Os::Linux),
            ("x86_64-apple-darwin", Arch::X86_64, Os::MacOs),
            ("x86_64-apple-macosx10.15", Arch::X86_64, Os::MacOs),
            ("x86_64-pc-windows-msvc", Arch::X86_64, Os::Windows),
            ("aarch64-unknown-linux-gnu", Arch::Aarch64, Os::Linux),
            ("aarch64-apple-darwin", Arch::Aarch64, Os::MacOs),
            ("arm64-apple-macos11.0", Arch::Aarch64, Os::MacOs),
            ("aarch64-pc-windows-gnullvm", Arch::Aarch64, Os::Windows),
            ("aarch64-windows-gnu", Arch::Aarch64, Os::Windows),
        ] {
            assert_eq!(parse_target(text).unwrap(), Target { arch, os }, "{text}");
        }
    }

    #[test]
    fn other_names_are_refused() {
        for text in [
            "",
            "x86_64",
            "x86-linux",
            "aarch64-apple-ios",
            "x86_64-linux-gnux32",
            "x86_64-linux-gnu-x",
        ] {
            let error = parse_target(text).unwrap_err().to_string();
            assert!(error.contains("aarch64-windows"), "{error}");
        }
    }
}
