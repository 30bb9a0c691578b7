//! Static libraries: archives in the form that the linkers of ELF and COFF read, which is GNU's, and in the one that those
//! of Mach-O read, which is BSD's.
//!
//! ```text
//!   "!<arch>\n"   index: symbols and the offsets of the members that define them   member   member ...
//!
//!   GNU: "/"          count, offsets (32 bits, big-endian), names
//!   BSD: "__.SYMDEF"  bytes of entries, entries of name and offset (32 bits, little-endian), bytes of names, names
//! ```
//!
//! Times, owners and permissions are the same for all. In BSD's form members are aligned to 8 bytes.

use ::object::BinaryFormat;
use ::object::read::{Object, ObjectSymbol};

use super::internal;
use crate::error::{Error, Result};

const MAGIC: &[u8] = b"!<arch>\n";
/// Size of what stands before a member.
const HEADER_BYTES: usize = 60;
/// Longest name that stands in the header, with the `/` that ends it.
const NAME_BYTES_MAX: usize = 16;
/// Size of a member's name in BSD's form: contents behind it are aligned to 8 bytes, as magic number and header are not.
const BSD_NAME_BYTES: usize = 20;

/// An archive of `objects` of one format, each with its name in the archive: at most 15 bytes, without a `/`.
///
/// # Errors
/// [`Error::Limit`] if it is larger than 4 GiB, which the index cannot count; [`Error::Options`] for another name;
/// [`Error::Invalid`] for something that is no object.
pub(crate) fn write(objects: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    let mut symbols: Vec<(usize, String)> = Vec::new();
    let mut form = Form::Gnu;
    for (index, (name, bytes)) in objects.iter().enumerate() {
        if name.is_empty() || name.len() >= NAME_BYTES_MAX || name.contains(['/', '\n']) {
            return Err(Error::Options(format!(
                "`{name}` cannot be the name of a member: expected at most {} bytes without a `/`",
                NAME_BYTES_MAX - 1
            )));
        }
        let file = ::object::File::parse(*bytes).map_err(|error| Error::Invalid {
            message: format!("{name} is not an object: {error}"),
            offset: 0,
        })?;
        if file.format() == BinaryFormat::MachO {
            form = Form::Bsd;
        }
        let defined = file.symbols().filter(|symbol| symbol.is_global() && symbol.is_definition());
        for symbol in defined {
            let name = symbol.name().map_err(|error| internal(name, error))?;
            symbols.push((index, name.to_owned()));
        }
    }
    let mut at = MAGIC.len() + form.member_bytes(form.index_bytes(&symbols));
    let mut offsets = Vec::new();
    for (_, bytes) in objects {
        offsets.push(at);
        at += form.member_bytes(bytes.len());
    }
    if u32::try_from(at).is_err() {
        return Err(Error::Limit("a static library of more than 4 GiB".to_owned()));
    }
    let mut archive = MAGIC.to_vec();
    form.member(&mut archive, form.index_name(), &form.index(&symbols, &offsets));
    for (name, bytes) in objects {
        form.member(&mut archive, name, bytes);
    }
    assert_eq!(archive.len(), at, "the index counts as the members are written");
    Ok(archive)
}

/// The form of an archive.
#[derive(Clone, Copy)]
enum Form {
    Gnu,
    Bsd,
}

impl Form {
    fn index_name(self) -> &'static str {
        match self {
            Self::Gnu => "",
            Self::Bsd => "__.SYMDEF",
        }
    }

    /// The index of `symbols`, each with the object it is in, when the objects are at `offsets`.
    fn index(self, symbols: &[(usize, String)], offsets: &[usize]) -> Vec<u8> {
        let mut index = Vec::new();
        match self {
            Self::Gnu => {
                index.extend((symbols.len() as u32).to_be_bytes());
                for (object, _) in symbols {
                    index.extend((offsets[*object] as u32).to_be_bytes());
                }
            }
            Self::Bsd => {
                index.extend((8 * symbols.len() as u32).to_le_bytes());
                let mut name_at = 0;
                for (object, name) in symbols {
                    index.extend((name_at as u32).to_le_bytes());
                    index.extend((offsets[*object] as u32).to_le_bytes());
                    name_at += name.len() + 1;
                }
                index.extend((name_at as u32).to_le_bytes());
            }
        }
        for (_, name) in symbols {
            index.extend(name.as_bytes());
            index.push(0);
        }
        index
    }

    fn index_bytes(self, symbols: &[(usize, String)]) -> usize {
        let names_bytes: usize = symbols.iter().map(|(_, name)| name.len() + 1).sum();
        match self {
            Self::Gnu => 4 + 4 * symbols.len() + names_bytes,
            Self::Bsd => 4 + 8 * symbols.len() + 4 + names_bytes,
        }
    }

    /// Size of a member with `bytes` of contents.
    fn member_bytes(self, bytes: usize) -> usize {
        match self {
            Self::Gnu => HEADER_BYTES + bytes.next_multiple_of(2),
            Self::Bsd => HEADER_BYTES + BSD_NAME_BYTES + bytes.next_multiple_of(8),
        }
    }

    fn member(self, archive: &mut Vec<u8>, name: &str, bytes: &[u8]) {
        let start = archive.len();
        // In BSD's form the name and what aligns the contents stand before these, and count among them.
        let (field, size) = match self {
            Self::Gnu => (format!("{name}/"), bytes.len()),
            Self::Bsd => {
                let size = BSD_NAME_BYTES + bytes.len().next_multiple_of(8);
                (format!("#1/{BSD_NAME_BYTES}"), size)
            }
        };
        // Name, time, owner, group, permissions, size.
        let header = format!("{field:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, 0, 644);
        assert_eq!(header.len(), HEADER_BYTES, "every field is as wide as it may be");
        archive.extend(header.as_bytes());
        let padding = match self {
            Self::Gnu => b'\n',
            Self::Bsd => {
                archive.extend(name.as_bytes());
                archive.resize(start + HEADER_BYTES + BSD_NAME_BYTES, 0);
                0
            }
        };
        archive.extend(bytes);
        archive.resize(start + self.member_bytes(bytes.len()), padding);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emit::tests::Sample;

    #[test]
    fn index_leads_to_the_members() {
        let object = Sample::new().object().unwrap();
        let archive = write(&[("a.o", &object)]).unwrap();
        let at = archive.windows(4).position(|bytes| bytes == b"a.o/").unwrap();
        let index = &archive[MAGIC.len() + HEADER_BYTES..];
        assert_eq!(index[..4], 1u32.to_be_bytes());
        assert_eq!(index[4..8], u32::try_from(at).unwrap().to_be_bytes());
        assert!(index[8..].starts_with(b"aotc_module_"));
        assert_eq!(archive[at + HEADER_BYTES..][..object.len()], object);
    }

    #[test]
    fn members_of_mach_o_are_aligned() {
        let target = crate::parse_target("x86_64-macos").unwrap();
        let cpu = crate::Cpu::baseline(target.arch);
        let options = crate::Options { target, cpu, ..crate::Options::default() };
        let object = crate::compile(b"(module $m)", crate::Emit::Object, &options).unwrap();
        let archive = write(&[("a.o", &object), ("b.o", &object)]).unwrap();
        let read = ::object::read::archive::ArchiveFile::parse(&*archive).unwrap();
        let mut symbols = read.symbols().unwrap().unwrap();
        for name in ["a.o", "b.o"] {
            let symbol = symbols.next().unwrap().unwrap();
            assert_eq!(symbol.name(), b"_aotc_module_m");
            let member = read.member(symbol.offset()).unwrap();
            assert_eq!((member.name(), member.file_range().0 % 8), (name.as_bytes(), 0));
            assert!(member.data(&*archive).unwrap().starts_with(&object));
        }
    }
}
