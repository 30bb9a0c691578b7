//! The name section.

use wasmparser::{Name, NameSectionReader};

use super::module::Names;

/// Function indices above this are not names of anything: a module cannot define so many.
const FUNCTIONS_MAX: u32 = 1 << 20;

/// Reads as much of a name section as is well-formed.
pub(super) fn read<'a>(reader: NameSectionReader<'a>) -> Names<'a> {
    let mut names = Names::default();
    for subsection in reader {
        match subsection {
            Ok(Name::Module { name, .. }) => names.module = Some(name),
            Ok(Name::Function(map)) => {
                for naming in map.into_iter().map_while(Result::ok) {
                    let index = naming.index as usize;
                    if naming.index >= FUNCTIONS_MAX {
                        continue;
                    }
                    if names.functions.len() <= index {
                        names.functions.resize(index + 1, None);
                    }
                    names.functions[index] = Some(naming.name);
                }
            }
            Ok(Name::Local(map)) => names.locals = Some(map),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    names
}
