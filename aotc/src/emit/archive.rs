//! Static libraries: archives in the form that the linkers of ELF and COFF read, which is GNU's.
//!
//! ```text
//!   "!<arch>\n"   "/" index: symbols and the offsets of the members that define them   member   member ...
//! ```
//!
//! Times, owners and permissions are the same for all.

use ::object::read::{Object, ObjectSymbol};

use super::internal;
use crate::error::{Error, Result};

const MAGIC: &[u8] = b"!<arch>\n";
/// Size of what stands before a member.
const HEADER_BYTES: usize = 60;
/// Longest name that stands in the header, with the `/` that ends it.
const NAME_BYTES_MAX: usize = 16;

/// An archive of `objects`, each with its name in the archive: at most 15 bytes, without a `/`.
///
/// # Errors
/// [`Error::Limit`] if it is larger than 4 GiB, which the index cannot count.
pub(crate) fn write(objects: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    let mut symbols: Vec<(usize, String)> = Vec::new();
    for (index, (name, bytes)) in objects.iter().enumerate() {
        let file = ::object::File::parse(*bytes).map_err(|error| internal(name, error))?;
        let defined = file.symbols().filter(|symbol| symbol.is_global() && symbol.is_definition());
        for symbol in defined {
            let name = symbol.name().map_err(|error| internal(name, error))?;
            symbols.push((index, name.to_owned()));
        }
    }
    let names_bytes: usize = symbols.iter().map(|(_, name)| name.len() + 1).sum();
    let index_bytes = 4 + 4 * symbols.len() + names_bytes;
    let mut at = MAGIC.len() + HEADER_BYTES + index_bytes.next_multiple_of(2);
    let mut offsets = Vec::new();
    for (_, bytes) in objects {
        offsets.push(at);
        at += HEADER_BYTES + bytes.len().next_multiple_of(2);
    }
    let field = |value: usize| {
        let too_large = |_| Error::Limit("a static library of more than 4 GiB".to_owned());
        u32::try_from(value).map(u32::to_be_bytes).map_err(too_large)
    };
    let mut index = Vec::with_capacity(index_bytes);
    index.extend(field(symbols.len())?);
    for (object, _) in &symbols {
        index.extend(field(offsets[*object])?);
    }
    for (_, name) in &symbols {
        index.extend(name.as_bytes());
        index.push(0);
    }
    let mut archive = MAGIC.to_vec();
    member(&mut archive, "", &index);
    for (name, bytes) in objects {
        member(&mut archive, name, bytes);
    }
    assert_eq!(archive.len(), at, "the index counts as the members are written");
    Ok(archive)
}

fn member(archive: &mut Vec<u8>, name: &str, bytes: &[u8]) {
    assert!(name.len() < NAME_BYTES_MAX && !name.contains('/'), "a short name: {name}");
    let name = format!("{name}/");
    // Name, time, owner, group, permissions, size.
    let header = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 644, bytes.len());
    assert_eq!(header.len(), HEADER_BYTES, "every field is as wide as it may be");
    archive.extend(header.as_bytes());
    archive.extend(bytes);
    if bytes.len() % 2 == 1 {
        archive.push(b'\n');
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
}
