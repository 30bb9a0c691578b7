//! What is compiled: a module, or several that have been linked. From here on there is one module.
//!
//! ```text
//!   bytes --parse--------------------+
//!                                    +--> WasmModule --keep exports--> WasmModule --> artifacts, header, declaration
//!   Linked --parse, origins of code--+
//! ```

use std::borrow::Cow;

use crate::error::Result;
use crate::parse::WasmModule;
use crate::{
    CHeader, Compiled, Emit, Linked, Options, bindings, compile_module, merge, parse, plan, text,
    to_binary,
};

/// What is compiled.
#[derive(Clone, Copy)]
pub(crate) enum Input<'a> {
    /// A module: in the binary format, or in the text format if it does not start with the binary format's magic number.
    Module(&'a [u8]),
    /// Several that have become one.
    Linked(&'a Linked),
}

impl Input<'_> {
    /// See [`crate::compile_all`].
    pub(crate) fn compile_all(self, emits: &[Emit], options: &Options) -> Result<Compiled> {
        self.with_module(options, |module| compile_module(module, emits, options))
    }

    /// See [`crate::c_header`].
    pub(crate) fn c_header(self, header: &CHeader, options: &Options) -> Result<String> {
        self.with_module(options, |module| {
            let name = plan::module_name(module, options);
            let prefix = header.prefix.as_ref().unwrap_or(&name).clone();
            let settings = bindings::c::Settings { prefix, name, input: header.input.clone() };
            Ok(bindings::c::declare(module, &settings))
        })
    }

    /// Parses the module, and does something with it.
    ///
    /// # Errors
    /// Those of reading and validating the module, and those of `then`.
    pub(crate) fn with_module<R>(
        self,
        options: &Options,
        then: impl FnOnce(&WasmModule<'_>) -> Result<R>,
    ) -> Result<R> {
        options.check()?;
        match self {
            Input::Linked(linked) => with_kept(linked.parse(options)?, options, then),
            Input::Module(input) if !options.bind.is_empty() => {
                with_kept(merge::link_alone(input, options)?.parse(options)?, options, then)
            }
            Input::Module(input) => {
                let wasm = to_binary(input)?;
                let parsed = parse::parse(&wasm, options.features, options.thread_count());
                let module = parsed.map_err(|error| match &wasm {
                    // What was made from text is explained by the text.
                    Cow::Owned(_) => text::with_line(error, &String::from_utf8_lossy(input)),
                    Cow::Borrowed(_) => error,
                })?;
                with_kept(module, options, then)
            }
        }
    }
}

/// Does something with what the options leave of a module.
fn with_kept<R>(
    mut module: WasmModule<'_>,
    options: &Options,
    then: impl FnOnce(&WasmModule<'_>) -> Result<R>,
) -> Result<R> {
    if let Some(names) = &options.keep_exports {
        plan::keep(&mut module, names)?;
    }
    then(&module)
}
