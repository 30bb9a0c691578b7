//! Several modules to one, before anything else is done with them.
//!
//! ```text
//!   main.wasm --parse--+--resolve--> Resolution --layout--> Layout --order--> Order --encode--> one module in the binary format
//!   env.wasm  --parse--+             which import           the place of      which segments    (and, by function, its Origin)
//!   util.wat  --parse--'             means what             everything        wait for a start
//! ```
//!
//! The result does what the modules do that are instantiated one after the other, the first named last, through a
//! linker that knows each of them but the last by its name:
//!
//! - An import that an earlier module's export satisfies is that export's item from then on: in the merged module,
//!   a call of it is a call in the module. Types are checked as the loader checks them, by what is declared.
//! - What no module exports is still imported; the same import of several modules is one.
//! - An import that is bound to a C function is a function of the merged module, whose body does not matter.
//! - Exports are the main module's.
//! - Segments are applied and start functions called in the order of the modules. WebAssembly does that in one order,
//!   all element segments, all data segments, the start function; where the difference could be seen, segments are
//!   applied by a start function that [`order`] writes.
//!
//! Each module is valid by itself before it is merged; so is the result, which goes through the pipeline like any
//! module.

mod constant;
mod encode;
mod layout;
mod names;
mod order;
mod resolve;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::bind::{Binding, BoundFunction};
use crate::error::{Error, Result};
use crate::input::Input;
use crate::options::{Features, Options};
use crate::parse::{self, Origin, Source, WasmModule};
use crate::{CHeader, Compiled, Emit, text};

/// One of the modules that [`link`] makes one of.
#[derive(Clone, Copy, Debug)]
pub struct LinkInput<'a> {
    /// The name under which its exports satisfy imports of the modules after it. The main module's is not used.
    pub name: &'a str,
    /// What errors call it: its path.
    pub file: &'a str,
    /// The module: in the binary format, or in the text format if it does not start with the binary format's magic
    /// number.
    pub bytes: &'a [u8],
}

/// Several modules that have become one. [`link`] makes it.
#[derive(Clone, Debug)]
pub struct Linked {
    wasm: Vec<u8>,
    origins: Vec<Origin>,
    files: Vec<LinkedFile>,
    bound: Vec<BoundFunction>,
}

/// What is kept of a file for backtraces.
#[derive(Clone, Debug)]
struct LinkedFile {
    code_start: u32,
    dwarf: Vec<(String, Vec<u8>)>,
}

/// Makes one module of `main` and `others`.
///
/// The result does what they do when `others` are instantiated in their order and then `main`, each with a linker in which
/// the ones before it are registered under their names: an import that is satisfied so becomes part of the module, and all
/// else stays an import. The exports are those of `main`. A host function that looks at its caller's exports finds those
/// of `main`, too, whichever module calls it.
///
/// Of `options` the features, for the modules themselves, what is bound and the threads are used; the result may have
/// several memories.
///
/// # Errors
/// [`Error::In`] with the module that is at fault: it is not valid, an import has another type than the export of its
/// name, or needs a module that comes after it. [`Error::Options`] if a name is given twice.
///
/// ```
/// use aotc::{Emit, LinkInput, Options, link};
///
/// # fn main() -> Result<(), aotc::Error> {
/// let app = br#"(module
///     (import "math" "double" (func $double (param i32) (result i32)))
///     (func (export "run") (result i32) (call $double (i32.const 21))))"#;
/// let math = br#"(module
///     (func (export "double") (param i32) (result i32) (i32.add (local.get 0) (local.get 0))))"#;
/// let app = LinkInput { name: "app", file: "app.wat", bytes: app };
/// let math = LinkInput { name: "math", file: "math.wat", bytes: math };
/// let options = Options::default();
/// let image = link(&app, &[math], &options)?.compile(Emit::Image, &options)?;
/// # assert!(!image.is_empty());
/// # Ok(())
/// # }
/// ```
pub fn link(main: &LinkInput<'_>, others: &[LinkInput<'_>], options: &Options) -> Result<Linked> {
    for (index, input) in others.iter().enumerate() {
        if others[..index].iter().any(|other| other.name == input.name) {
            let name = input.name;
            return Err(Error::Options(format!("two modules are to be linked as `{name}`")));
        }
    }
    for (index, binding) in options.bind.iter().enumerate() {
        binding.check()?;
        let Binding { module, name, .. } = binding;
        if options.bind[..index].iter().any(|other| (&other.module, &other.name) == (module, name))
        {
            return Err(Error::Options(format!("`{module}::{name}` is bound twice")));
        }
    }
    let inputs: Vec<&LinkInput<'_>> = std::iter::once(main).chain(others).collect();
    let binaries: Vec<Cow<'_, [u8]>> = inputs
        .iter()
        .map(|&input| crate::to_binary(input.bytes).map_err(|error| in_file(input, error)))
        .collect::<Result<_>>()?;
    let parts: Vec<Part<'_>> = inputs
        .iter()
        .zip(&binaries)
        .map(|(&input, wasm)| {
            let module = parse::parse(wasm, options.features, options.thread_count());
            Ok(Part { input, wasm, module: module.map_err(|error| in_file(input, error))? })
        })
        .collect::<Result<_>>()?;
    let resolution = resolve::resolve(&parts, &options.bind)?;
    let layout = layout::Layout::new(&parts, &resolution);
    let encoded = encode::encode(&parts, &resolution, &layout)?;
    let files = parts.iter().map(|part| LinkedFile::new(&part.module.sources[0])).collect();
    let bound = resolution.bound_functions(&layout);
    Ok(Linked { wasm: encoded.wasm, origins: encoded.origins, files, bound })
}

/// The one module `input`, of which imports are bound.
///
/// # Errors
/// As [`link`], without a file's name.
pub(crate) fn link_alone(input: &[u8], options: &Options) -> Result<Linked> {
    let main = LinkInput { name: "", file: "", bytes: input };
    link(&main, &[], options).map_err(|error| match error {
        Error::In { error, .. } => *error,
        error => error,
    })
}

/// A module that is to be merged. The main module is the first of them, in all lists of this folder.
struct Part<'a> {
    input: &'a LinkInput<'a>,
    wasm: &'a [u8],
    module: WasmModule<'a>,
}

/// The numbers of `count` parts in the order in which they are instantiated: the main module is the last.
fn instantiation_order(count: usize) -> impl Iterator<Item = usize> {
    (1..count).chain([0])
}

/// The error, with the line if the module is text, of the module `input`.
fn in_file(input: &LinkInput<'_>, error: Error) -> Error {
    let error = match std::str::from_utf8(input.bytes) {
        Ok(source) if !input.bytes.starts_with(b"\0asm") => text::with_line(error, source),
        _ => error,
    };
    match error {
        Error::Text(error) if !input.file.is_empty() => {
            Error::Text(error.in_file(input.file.as_ref()))
        }
        error @ Error::Text(_) => error,
        error => Error::In { file: input.file.to_owned(), error: Box::new(error) },
    }
}

impl Linked {
    /// The module, in the binary format. Offsets of its code are its own: [`Linked::compile`] knows those in the files
    /// it was made of.
    pub fn wasm(&self) -> &[u8] {
        &self.wasm
    }

    /// Compiles the module, as [`crate::compile`] does. Backtraces of the result give a function's offsets in the file that
    /// it comes from; names of functions begin with the name of their module, except the main module's.
    ///
    /// # Errors
    /// Those of [`crate::compile`].
    pub fn compile(&self, emit: Emit, options: &Options) -> Result<Vec<u8>> {
        let mut compiled = self.compile_all(&[emit], options)?;
        Ok(compiled.artifacts.pop().expect("an artifact for each that was asked for"))
    }

    /// Compiles the module to several artifacts at once, as [`crate::compile_all`] does.
    ///
    /// # Errors
    /// Those of [`crate::compile`].
    pub fn compile_all(&self, emits: &[Emit], options: &Options) -> Result<Compiled> {
        Input::Linked(self).compile_all(emits, options)
    }

    /// Declares the module to C and C++, as [`crate::c_header`] does.
    ///
    /// # Errors
    /// Those of [`crate::c_header`].
    pub fn c_header(&self, header: &CHeader, options: &Options) -> Result<String> {
        Input::Linked(self).c_header(header, options)
    }

    /// The module, with what is known of the files it was made of.
    pub(crate) fn parse(&self, options: &Options) -> Result<WasmModule<'_>> {
        // Memories of several modules are several memories, whatever each module may use.
        let mut module = parse::parse(&self.wasm, Features::All, options.thread_count())?;
        module.sources = self.files.iter().map(LinkedFile::source).collect();
        module.origins = &self.origins;
        module.bound.clone_from(&self.bound);
        Ok(module)
    }
}

impl LinkedFile {
    fn new(source: &Source<'_>) -> Self {
        let dwarf = source.dwarf.iter();
        let dwarf = dwarf.map(|&(name, bytes)| (name.to_owned(), bytes.to_owned())).collect();
        Self { code_start: source.code_start, dwarf }
    }

    fn source(&self) -> Source<'_> {
        let dwarf = self.dwarf.iter().map(|(name, bytes)| (&**name, &**bytes)).collect();
        Source { code_start: self.code_start, dwarf }
    }
}
