//! Listings that are compared as text: `fixtures/README.md` says how such a file is written.
//!
//! `BLESS=1` replaces the expectation by what is found.

use std::path::{Path, PathBuf};
use std::{env, fs};

use aotc::{Emit, LinkInput, Options, cli};
use libtest_mimic::{Failed, Trial};
use similar::TextDiff;

use crate::object_listing;
use crate::support::root;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    let folders = [
        ("clif", "x86_64-linux", Emit::Clif),
        ("asm/x86_64", "x86_64-linux", Emit::Asm),
        ("asm/aarch64", "aarch64-linux", Emit::Asm),
        ("object/x86_64-linux", "x86_64-linux", Emit::Object),
        ("object/x86_64-macos", "x86_64-macos", Emit::Object),
        ("object/x86_64-windows", "x86_64-windows", Emit::Object),
        ("object/aarch64-linux", "aarch64-linux", Emit::Object),
        ("object/aarch64-macos", "aarch64-macos", Emit::Object),
        ("object/aarch64-windows", "aarch64-windows", Emit::Object),
    ];
    for (folder, target, emit) in folders {
        for path in files(&root().join("fixtures").join(folder)) {
            let name = path.file_stem().unwrap_or_default().display();
            let name = format!("golden::{folder}::{name}");
            trials.push(Trial::test(name, move || check(&path, target, emit)));
        }
    }
    trials
}

/// The files of a folder, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a folder's entry").path()).collect();
    files.sort();
    files
}

fn check(path: &Path, target: &str, emit: Emit) -> Result<(), Failed> {
    let text = fs::read_to_string(path)?;
    let fixture = Fixture::parse(&text, target)?;
    let compiled = fixture.compile(path, text.as_bytes(), emit)?;
    let found = match emit {
        Emit::Object => object_listing::listing(&compiled)?,
        Emit::Clif | Emit::Asm | Emit::Image | Emit::Archive => {
            fixture.shown(&String::from_utf8(compiled)?)?
        }
    };
    if found == fixture.expected {
        return Ok(());
    }
    if env::var_os("BLESS").is_some() {
        let commented: String = found.lines().map(comment).collect();
        return Ok(fs::write(path, format!("{}\n\n{commented}", fixture.input.trim_end()))?);
    }
    let diff = TextDiff::from_lines(&fixture.expected, &found);
    let diff = diff.unified_diff().header("expected", "found").to_string();
    Err(format!("{}\nBLESS=1 takes what is found:\n{diff}", path.display()).into())
}

/// What a file says.
struct Fixture<'a> {
    options: Options,
    /// A module to link with: its name and file.
    link_as: Option<(&'a str, PathBuf)>,
    /// What the names of the pieces of code begin with that are compared.
    show: Vec<&'a str>,
    /// The file without the expectation.
    input: &'a str,
    expected: String,
}

impl<'a> Fixture<'a> {
    fn parse(text: &'a str, target: &str) -> Result<Self, Failed> {
        let target = format!("--target {target}");
        let mut options = cli::parse_options(&target)?;
        let mut show = vec!["func["];
        let mut link_as = None;
        for line in text.lines().map_while(|line| line.strip_prefix(";;! ")) {
            match line.split_once(": ") {
                Some(("options", words)) => {
                    options = cli::parse_options(&format!("{target} {words}"))?
                }
                Some(("link-as", text)) => {
                    let (name, file) = text.split_once('=').ok_or("expected NAME=FILE")?;
                    link_as = Some((name, root().join("fixtures").join(file)));
                }
                Some(("show", prefixes)) => show = prefixes.split(", ").collect(),
                _ => return Err(format!("unknown directive `{line}`").into()),
            }
        }
        // The expectation is the comment at the end.
        let is_comment = |line: &&str| line.starts_with(";;") && !line.starts_with(";;!");
        let comments = text.split_inclusive('\n').rev().take_while(is_comment);
        let bytes: usize = comments.map(str::len).sum();
        let (input, comments) = text.split_at(text.len() - bytes);
        let uncomment = |line: &str| {
            let line = &line[2..];
            format!("{}\n", line.strip_prefix(' ').unwrap_or(line))
        };
        let expected = comments.lines().map(uncomment).collect();
        Ok(Self { options, link_as, show, input, expected })
    }

    /// The listing of the module `bytes` at `path`.
    fn compile(&self, path: &Path, bytes: &[u8], emit: Emit) -> Result<Vec<u8>, Failed> {
        let Some((name, file)) = &self.link_as else {
            return Ok(aotc::compile(bytes, emit, &self.options)?);
        };
        let other = fs::read(file)?;
        let shown = [path, file].map(|path| path.display().to_string());
        let main = LinkInput { name: "", file: &shown[0], bytes };
        let other = LinkInput { name, file: &shown[1], bytes: &other };
        Ok(aotc::link(&main, &[other], &self.options)?.compile(emit, &self.options)?)
    }

    /// The pieces of code of a listing that are compared.
    fn shown(&self, listing: &str) -> Result<String, Failed> {
        let mut shown = String::new();
        let mut wanted = false;
        for line in listing.lines().map(str::trim_end) {
            if let Some(name) = line.strip_prefix(";; ") {
                wanted = self.show.iter().any(|prefix| name.starts_with(prefix));
            }
            if wanted {
                shown.push_str(line.strip_prefix(";; ").unwrap_or(line));
                shown.push('\n');
            }
        }
        let shown = shown.trim_end();
        if shown.is_empty() {
            return Err(format!("no piece of code is called {:?}", self.show).into());
        }
        Ok(format!("{shown}\n"))
    }
}

/// A line of the expectation.
fn comment(line: &str) -> String {
    if line.is_empty() { ";;\n".to_owned() } else { format!(";; {line}\n") }
}
