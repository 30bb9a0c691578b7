//! Executables: a runner, with an image behind it that the kernel maps together with the runner.
//!
//! ```text
//!   0              the runner: an ELF executable, whose table of program headers has grown into the room that its
//!                  note kept, and whose notes before that have moved
//!   R   page       note "aotc", type 2: where the image is, and the settings      Record
//!       page       the image up to its code                                       Record::image_*
//!   RX  page       the image's code
//!       not loaded symbols, section headers
//! ```
//!
//! Behind the runner, addresses are file offsets. A runner says by a note of type 3 which executables it can run, and
//! keeps room there. The note is in a section of its own, between which and the program headers are only notes and the name of
//! the interpreter:
//!
//! ```text
//!   0  name size 5 (u32)    4  desc size (u32)    8  type 3 (u32)    12  "aotc\0" padded to 8
//!   20 LAYOUT_HASH (u64)    28 RECORD_VERSION (u32)    32 zero (u32)    36 HEADER_ROOM_BYTES of zeros
//! ```

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::meta::checksum_of;

/// Type of the note in an executable; its owner is [`NOTE_NAME`](crate::symbol::NOTE_NAME), its description a [`Record`].
pub const RECORD_NOTE_TYPE: u32 = 2;
/// Type of the note in a runner.
pub const RUNNER_NOTE_TYPE: u32 = 3;
/// Size of what a runner says, in bytes: what the note's description has before the room.
pub const RUNNER_DESC_BYTES: u32 = 16;
/// Room for program headers in a runner, in bytes: for four, which [`Record`]'s note and the image need at most.
pub const HEADER_ROOM_BYTES: u32 = 4 * 56;
/// Section of that note.
pub const RUNNER_NOTE_SECTION: &str = ".note.aotc.runner";
/// Version of [`Record`]'s format.
pub const RECORD_VERSION: u32 = 1;

/// What an executable says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where the image starts, as program headers count addresses: from where the file is loaded.
    pub image_address: u64,
    /// Size of the image, in bytes.
    pub image_bytes: u64,
    /// How the program is run.
    pub settings: Settings,
}

/// What a program is given of its host, and what of it is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Which variables of the host's environment it gets besides those in `variables`.
    pub environment: Environment,
    /// Variables of its environment.
    pub variables: Vec<Variable>,
    /// Directories it may use.
    pub directories: Vec<Directory>,
    /// The export that is called; `_start` if there is none.
    pub invoke: Option<String>,
}

/// How much of the host's environment a program gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Environment {
    /// Only what is listed.
    #[default]
    Listed = 0,
    /// All of it.
    Inherited = 1,
}

/// A variable of a program's environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value; the host's, if it has one, without.
    pub value: Option<String>,
}

/// A directory that a program may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// Where it is on the host.
    pub host: String,
    /// Where the program finds it.
    pub guest: String,
    /// What may be done there.
    pub access: Access,
}

/// What may be done with a directory and all below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    ReadOnly = 0,
    /// Reading and writing.
    ReadWrite = 1,
}

/// Why bytes are no record or no settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// The checksum differs.
    Damaged,
    /// Another version's.
    Version {
        /// What was found instead of [`RECORD_VERSION`].
        found: u32,
    },
    /// They end too early or too late, or have a number without a meaning, or text that is not UTF-8.
    Malformed,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged => f.write_str("its record is damaged: the checksum differs"),
            Self::Version { found } => {
                write!(f, "its record has version {found}, expected {RECORD_VERSION}")
            }
            Self::Malformed => f.write_str("its record is malformed"),
        }
    }
}

impl core::error::Error for RecordError {}

impl Record {
    /// The record as bytes.
    ///
    /// ```text
    ///   0  checksum of what follows (u64)   8  image address (u64)   16  image size (u64)   24  settings
    /// ```
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::from([0; 8]);
        for number in [self.image_address, self.image_bytes] {
            out.extend(number.to_le_bytes());
        }
        out.extend(self.settings.encode());
        let sum = checksum_of(&out[8..]);
        out[..8].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// The record that `bytes` are.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut bytes = Bytes(bytes);
        let sum = bytes.u64()?;
        if checksum_of(bytes.0) != sum {
            return Err(RecordError::Damaged);
        }
        Ok(Self {
            image_address: bytes.u64()?,
            image_bytes: bytes.u64()?,
            settings: Settings::decode(bytes.0)?,
        })
    }
}

impl Settings {
    /// The settings as bytes: numbers are `u32`, little-endian; a list is its length and then its elements, and so are text and
    /// what may be absent.
    ///
    /// ```text
    ///   version   environment   (name, [value])...   (host, guest, access)...   [invoke]
    /// ```
    ///
    /// # Panics
    /// If something is longer than 4 GiB.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer(Vec::new());
        out.number(RECORD_VERSION as usize);
        out.number(self.environment as usize);
        out.number(self.variables.len());
        for variable in &self.variables {
            out.text(&variable.name);
            out.optional(variable.value.as_deref());
        }
        out.number(self.directories.len());
        for directory in &self.directories {
            out.text(&directory.host);
            out.text(&directory.guest);
            out.number(directory.access as usize);
        }
        out.optional(self.invoke.as_deref());
        out.0
    }

    /// The settings that `bytes` are.
    ///
    /// # Errors
    /// [`RecordError::Version`] and [`RecordError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut bytes = Bytes(bytes);
        let version = bytes.u32()?;
        if version != RECORD_VERSION {
            return Err(RecordError::Version { found: version });
        }
        let environment = match bytes.u32()? {
            0 => Environment::Listed,
            1 => Environment::Inherited,
            _ => return Err(RecordError::Malformed),
        };
        let variables =
            bytes.list(|bytes| Ok(Variable { name: bytes.text()?, value: bytes.optional()? }))?;
        let directories = bytes.list(|bytes| {
            let (host, guest) = (bytes.text()?, bytes.text()?);
            let access = match bytes.u32()? {
                0 => Access::ReadOnly,
                1 => Access::ReadWrite,
                _ => return Err(RecordError::Malformed),
            };
            Ok(Directory { host, guest, access })
        })?;
        let invoke = bytes.optional()?;
        if !bytes.0.is_empty() {
            return Err(RecordError::Malformed);
        }
        Ok(Self { environment, variables, directories, invoke })
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, number: usize) {
        let number = u32::try_from(number).expect("settings are short");
        self.0.extend(number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len());
        self.0.extend(text.as_bytes());
    }

    fn optional(&mut self, text: Option<&str>) {
        self.number(usize::from(text.is_some()));
        if let Some(text) = text {
            self.text(text);
        }
    }
}

/// Bytes that are taken from the front.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], RecordError> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or(RecordError::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, RecordError> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes(bytes.try_into().expect("four bytes")))
    }

    fn u64(&mut self) -> Result<u64, RecordError> {
        let bytes = self.take(8)?;
        Ok(u64::from_le_bytes(bytes.try_into().expect("eight bytes")))
    }

    fn text(&mut self) -> Result<String, RecordError> {
        let bytes = self.u32()?;
        let text = core::str::from_utf8(self.take(bytes as usize)?);
        text.map(String::from).map_err(|_| RecordError::Malformed)
    }

    fn optional(&mut self) -> Result<Option<String>, RecordError> {
        match self.u32()? {
            0 => Ok(None),
            1 => self.text().map(Some),
            _ => Err(RecordError::Malformed),
        }
    }

    fn list<T>(
        &mut self,
        element: impl Fn(&mut Self) -> Result<T, RecordError>,
    ) -> Result<Vec<T>, RecordError> {
        // Every element takes bytes, so a wrong length ends early.
        let count = self.u32()?;
        (0..count).map(|_| element(self)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let variable = |name: &str, value: Option<&str>| Variable {
            name: name.into(),
            value: value.map(String::from),
        };
        let directory =
            |host: &str, access| Directory { host: host.into(), guest: "/data".into(), access };
        Record {
            image_address: 0x8_0000,
            image_bytes: 0x1234,
            settings: Settings {
                environment: Environment::Inherited,
                variables: [variable("HOME", None), variable("LANG", Some(""))].into(),
                directories: [directory(".", Access::ReadOnly), directory("/", Access::ReadWrite)]
                    .into(),
                invoke: Some("run".into()),
            },
        }
    }

    #[test]
    fn records_come_back() {
        for settings in [record().settings, Settings::default()] {
            let record = Record { settings, ..record() };
            assert_eq!(Record::decode(&record.encode()), Ok(record));
        }
    }

    #[test]
    fn damage_is_found() {
        let bytes = record().encode();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Record::decode(&damaged), Err(RecordError::Damaged), "bit {bit}");
        }
        for end in 0..bytes.len() {
            assert!(Record::decode(&bytes[..end]).is_err(), "{end} bytes");
        }
    }

    #[test]
    fn settings_are_checked_without_their_checksum() {
        let bytes = record().settings.encode();
        for end in 0..bytes.len() {
            assert_eq!(Settings::decode(&bytes[..end]), Err(RecordError::Malformed), "{end} bytes");
        }
        for byte in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[byte] = 0xff;
            // Whatever it is, it is no panic; text may have become other text.
            let _ = Settings::decode(&damaged);
        }
        let mut version = bytes.clone();
        version[0] = 9;
        assert_eq!(Settings::decode(&version), Err(RecordError::Version { found: 9 }));
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Settings::decode(&longer), Err(RecordError::Malformed));
    }
}
