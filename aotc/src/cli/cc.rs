//! `aotc compile --emit exe --link`: executables by the C compiler of the system.
//!
//! ```text
//!   object ----------------+
//!   settings --> main.c ---+--cc--> the executable
//!   libaotc.a -------------+
//! ```

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use aotc_abi::symbol::DESCRIPTOR_PREFIX;
use object::LittleEndian;
use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, Sym};

use super::{EXIT_IO, EXIT_USAGE, Failure};
use crate::Settings;

/// The library that is linked, from `capi/install`.
const LIBRARY: &str = "libaotc.a";
/// Names the folder with the library.
const LIBRARY_VARIABLE: &str = "AOTC_LIB_DIR";
/// What the library needs of the system, as its `aotc.pc` says, and no more of it than the program needs. Debug information
/// of the library has paths of the machine that it was built on.
const LINK_OPTIONS: [&str; 5] = ["-Wl,--gc-sections", "-Wl,-S", "-lpthread", "-ldl", "-lm"];

/// How an executable gets the C library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Linking {
    /// It uses the host's.
    Dynamic,
    /// It has it in itself.
    Static,
}

/// Links `object` and `library`, which is [the loader's](library), to an executable that runs with `settings`.
pub(super) fn link(
    object: &[u8],
    settings: &Settings,
    linking: Linking,
    library: &Path,
) -> Result<Vec<u8>, Failure> {
    let main = main_source(&descriptor(object), &settings.encode());
    let folder = Temporary::new()?;
    folder.write("module.o", object)?;
    folder.write("main.c", main.as_bytes())?;
    let (name, mut cc) = compiler();
    cc.current_dir(&folder.0).args(["-O1", "-o", "program", "main.c", "module.o"]);
    cc.arg(library).args(LINK_OPTIONS);
    match linking {
        Linking::Dynamic => {}
        Linking::Static => drop(cc.arg("-static")),
    }
    let output = cc.output().map_err(|error| {
        let what = format!(
            "{name} cannot be started: --link needs a C compiler, `cc` or what the variable CC says; without --link it needs none"
        );
        Failure::new(EXIT_IO, anyhow::Error::new(error).context(what))
    })?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let what = format!("{name} failed ({})\n{}", output.status, said.trim_end());
        return Err(Failure::new(EXIT_IO, anyhow::Error::msg(what)));
    }
    folder.read("program")
}

/// The C compiler, and what it is called: a program, perhaps with arguments.
fn compiler() -> (String, Command) {
    let named = env::var("CC").ok().filter(|cc| !cc.trim().is_empty());
    let named = named.unwrap_or_else(|| "cc".to_owned());
    let mut words = named.split_whitespace();
    let program = Path::new(words.next().expect("a word"));
    // It is started in another folder.
    let path = match program.components().count() {
        1 => program.to_owned(),
        _ => std::path::absolute(program).unwrap_or_else(|_| program.to_owned()),
    };
    let mut command = Command::new(path);
    command.args(words);
    (named, command)
}

/// The symbol of the module in its object.
fn descriptor(object: &[u8]) -> String {
    let find = || -> object::read::Result<Option<String>> {
        let header = FileHeader64::<LittleEndian>::parse(object)?;
        let sections = header.sections(LittleEndian, object)?;
        let table = sections.symbols(LittleEndian, object, elf::SHT_SYMTAB)?;
        let names = table.iter().map(|symbol| symbol.name(LittleEndian, table.strings()));
        let mut names = names.map(|name| String::from_utf8_lossy(name.unwrap_or_default()));
        Ok(names.find(|name| name.starts_with(DESCRIPTOR_PREFIX)).map(|name| name.into_owned()))
    };
    find().ok().flatten().expect("an object of ours has the symbol of its module")
}

/// The program that gives the module and its settings to the library.
fn main_source(descriptor: &str, settings: &[u8]) -> String {
    let mut bytes = String::new();
    for byte in settings {
        write!(bytes, "{byte},").expect("memory does not fail");
    }
    format!(
        "#include <stddef.h>\n#include <stdint.h>\n\
         extern const uint8_t {descriptor}[];\n\
         extern int32_t aotc_main(const uint8_t*, const uint8_t*, size_t, int32_t, const char* const*);\n\
         static const uint8_t settings[] = {{{bytes}}};\n\
         int main(int argc, char** argv) {{\n\
         \x20 return aotc_main({descriptor}, settings, sizeof settings, argc, (const char* const*)argv);\n\
         }}\n"
    )
}

/// Finds the library: in the folder that is said, or where it is installed.
pub(super) fn library(said: Option<&Path>) -> Result<PathBuf, Failure> {
    let variable = || env::var_os(LIBRARY_VARIABLE).filter(|folder| !folder.is_empty());
    let said = match (said, variable()) {
        (Some(said), _) => Some((format!("--link={}", said.display()), said.to_owned())),
        (None, Some(folder)) => {
            let folder = PathBuf::from(folder);
            Some((format!("{LIBRARY_VARIABLE}={}", folder.display()), folder))
        }
        (None, None) => None,
    };
    if let Some((by, folder)) = said {
        return in_folder(&folder).ok_or_else(|| usage(format!("{by}: there is no {LIBRARY}")));
    }
    let installed = pkg_config().and_then(|folder| in_folder(&folder));
    installed.or_else(|| in_folder(&beside()?)).ok_or_else(|| {
        usage(format!(
            "--link needs the loader's library, {LIBRARY}, which `capi/install PREFIX` builds; expected its folder by \
             --link=LIBDIR, by the variable {LIBRARY_VARIABLE}, by `pkg-config aotc`, or as ../lib beside aotc"
        ))
    })
}

fn in_folder(folder: &Path) -> Option<PathBuf> {
    fs::canonicalize(folder.join(LIBRARY)).ok().filter(|path| path.is_file())
}

/// The folder that pkg-config says.
fn pkg_config() -> Option<PathBuf> {
    let program = env::var_os("PKG_CONFIG").filter(|program| !program.is_empty());
    let program = program.unwrap_or_else(|| OsString::from("pkg-config"));
    let output = Command::new(program).args(["--variable=libdir", "aotc"]).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !said.trim().is_empty()).then(|| PathBuf::from(said.trim()))
}

/// The folder of libraries that belongs to the folder of this program.
fn beside() -> Option<PathBuf> {
    Some(env::current_exe().ok()?.parent()?.join("../lib"))
}

/// A folder that is gone afterwards, for this user alone.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> Result<Self, Failure> {
        let mut number = 0;
        loop {
            let name = format!("aotc-link-{}-{number}", std::process::id());
            let path = env::temp_dir().join(name);
            let mut builder = fs::DirBuilder::new();
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            match builder.create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(io_failure(&path, error)),
            }
        }
    }

    fn write(&self, name: impl AsRef<OsStr>, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.0.join(name.as_ref());
        fs::write(&path, bytes).map_err(|error| io_failure(&path, error))
    }

    fn read(&self, name: impl AsRef<OsStr>) -> Result<Vec<u8>, Failure> {
        let path = self.0.join(name.as_ref());
        fs::read(&path).map_err(|error| io_failure(&path, error))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Nobody can be told.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn io_failure(path: &Path, error: io::Error) -> Failure {
    Failure::new(EXIT_IO, anyhow::Error::new(error).context(path.display().to_string()))
}

fn usage(message: String) -> Failure {
    Failure::new(EXIT_USAGE, anyhow::Error::msg(message))
}
