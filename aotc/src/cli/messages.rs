//! What the command says on standard error: lines for people, or with `--message-format json` an object per line for
//! programs (`docs/build-systems.md` has their fields).

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

use clap::ValueEnum;
use serde::Serialize;

use super::Failure;
use super::place::Place;

/// For whom messages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum MessageFormat {
    /// For people.
    Human,
    /// A JSON object per line.
    Json,
}

/// A line for programs.
#[derive(Serialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
enum Record<'a> {
    /// Something is wrong.
    Message {
        level: &'static str,
        code: &'static str,
        message: &'a str,
        file: Option<&'a str>,
        /// In the file, in bytes.
        offset: Option<u64>,
        /// From 1.
        line: Option<u64>,
        /// From 1, in bytes.
        column: Option<u64>,
        /// The line of the source.
        text: Option<&'a str>,
        /// What people would have been shown.
        rendered: &'a str,
    },
    /// A file was written.
    Artifact { path: &'a str, emit: &'a str, bytes: u64 },
    /// What came from earlier compilations.
    Incremental { reused: usize, compiled: usize },
}

impl Record<'_> {
    fn write(&self) {
        let line = serde_json::to_string(self).expect("texts and numbers");
        say(&line);
    }
}

/// Writes a line to standard error. If nobody can read it, nobody can be told.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

impl MessageFormat {
    /// The format that the arguments ask for, before anybody has looked whether they are right.
    pub(super) fn of_arguments(arguments: &[OsString]) -> Self {
        let is_json = |pair: &[OsString]| pair[0] == "--message-format" && pair[1] == "json";
        let is_one = |argument: &OsString| argument == "--message-format=json";
        match arguments.windows(2).any(is_json) || arguments.iter().any(is_one) {
            true => Self::Json,
            false => Self::Human,
        }
    }

    /// Tells why the command failed.
    pub(super) fn failure(self, failure: &Failure) {
        let rendered = format!("error: {}", aotc_runner::message(&failure.error));
        if self == Self::Human {
            return say(&rendered);
        }
        let error = &failure.error;
        let cause = error.downcast_ref::<crate::Error>();
        let text = match cause {
            Some(crate::Error::Text(text)) => Some(text),
            _ => None,
        };
        let message = match (text, cause) {
            (Some(text), _) => text.message(),
            (None, Some(cause)) => cause.to_string(),
            (None, None) => rendered["error: ".len()..].to_owned(),
        };
        let place = || error.downcast_ref::<Place>().map(|place| &*place.path);
        let file = text.and_then(|text| text.path()).or_else(place);
        Record::Message {
            level: "error",
            code: cause.map_or(failure.kind(), crate::Error::kind),
            message: &message,
            file: file.map(Path::to_string_lossy).as_deref(),
            offset: cause.and_then(crate::Error::offset),
            line: text.map(|text| text.line() as u64),
            column: text.map(|text| text.column() as u64),
            text: text.map(|text| text.source_line()),
            rendered: &rendered,
        }
        .write();
    }

    /// Tells that the arguments are not as they should be, or gives the help that they ask for; the exit code.
    pub(super) fn usage(self, error: &clap::Error) -> u8 {
        // Help goes to standard output.
        if self == Self::Human || !error.use_stderr() {
            let _ = error.print();
            return error.exit_code() as u8;
        }
        let rendered = error.render().to_string();
        let first = rendered.lines().next().unwrap_or_default();
        Record::Message {
            level: "error",
            code: "usage",
            message: first.strip_prefix("error: ").unwrap_or(first),
            file: None,
            offset: None,
            line: None,
            column: None,
            text: None,
            rendered: rendered.trim_end(),
        }
        .write();
        error.exit_code() as u8
    }

    /// Tells of something that did not keep the command from its work.
    pub(super) fn warning(self, code: &'static str, message: &str) {
        let rendered = format!("warning: {message}");
        match self {
            Self::Human => say(&rendered),
            Self::Json => Record::Message {
                level: "warning",
                code,
                message,
                file: None,
                offset: None,
                line: None,
                column: None,
                text: None,
                rendered: &rendered,
            }
            .write(),
        }
    }

    /// Tells programs that a file was written.
    pub(super) fn artifact(self, path: &Path, emit: &str, bytes: usize) {
        if self == Self::Json {
            let path = &path.to_string_lossy();
            Record::Artifact { path, emit, bytes: bytes as u64 }.write();
        }
    }

    /// Tells programs how much was compiled anew.
    pub(super) fn incremental(self, reuse: &crate::Reuse) {
        if self == Self::Json {
            Record::Incremental { reused: reuse.reused, compiled: reuse.compiled }.write();
        }
    }
}
