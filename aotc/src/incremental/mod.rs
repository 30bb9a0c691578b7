//! Code from an earlier compilation, for what did not change.
//!
//! ```text
//!   CLIF --key--> in the file?  --yes--> Cranelift's result, read ---+--> CompiledFunction
//!                      '---no--> optimise, lower --> result ---------+
//!                                                      '--> the file, anew
//! ```
//!
//! The key covers everything that the machine code depends on: the CLIF as the translation gives it, where each fact of
//! the plan that the code uses has become a constant or an offset; the settings of both code generators; the passes
//! between them; and the versions. It covers neither whom the function calls, which a result names by number and the
//! function at hand resolves, nor where it stands in the wasm file, from which a result's places count. So a function that
//! only moved is not compiled again, and what is made of a result is what is made of a new one.
//!
//! There is a file for each module name and set of options, with what the last compilation needed and nothing else. It
//! appears by renaming, so two compilations at a time are correct: one of them will compile again. Damage is found by
//! sums and means compiling again.

mod file;
mod key;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::incremental_cache::{serialize_compiled, try_finish_recompile};
use cranelift_codegen::{CompiledCode, Context};

use crate::Reuse;
use crate::codegen::{CodeSource, Isas};
use crate::optimize;
use crate::options::Options;
use key::{Key, Settings};

/// The code of earlier compilations of a module with the same options.
pub(crate) struct Cache {
    path: PathBuf,
    settings: Settings,
    /// The file as it was.
    bytes: Vec<u8>,
    /// What is in it.
    known: HashMap<Key, Range<usize>>,
    /// What this compilation uses.
    used: Mutex<Used>,
    problem: Option<String>,
}

#[derive(Default)]
struct Used {
    /// Results that are not in the file, or `None` for those that are.
    results: BTreeMap<Key, Option<Vec<u8>>>,
    reused: usize,
    compiled: usize,
}

impl Cache {
    /// Opens the file for the module `name` and `options` in `folder`, which is made if need be. Whatever is wrong with them, the
    /// compilation goes on, and [`Cache::close`] tells.
    pub(crate) fn open(folder: &Path, options: &Options, name: &str, isas: &Isas) -> Self {
        let settings = Settings::new(isas);
        let path = folder.join(file::name(name, options, &settings));
        let (bytes, problem) = match file::read(folder, &path) {
            Ok(bytes) => (bytes, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let known = file::entries(&bytes, &settings);
        Self { path, settings, bytes, known, used: Mutex::default(), problem }
    }

    /// Writes what was used, if that is not what the file has.
    pub(crate) fn close(self) -> Reuse {
        let used = self.used.into_inner().expect("no thread panics with the lock");
        let Used { reused, compiled, .. } = used;
        let unchanged = !self.bytes.is_empty()
            && self.known.len() == used.results.len()
            && used.results.values().all(Option::is_none);
        let entry = |(key, result): (&Key, &Option<Vec<u8>>)| match result {
            Some(result) => (*key, result.clone()),
            None => (*key, self.bytes[self.known[key].clone()].to_vec()),
        };
        let problem = self.problem.or_else(|| {
            let written = match unchanged {
                true => file::touch(&self.path),
                false => {
                    let entries: Vec<_> = used.results.iter().map(entry).collect();
                    file::write(&self.path, &self.settings, &entries)
                }
            };
            written.err()
        });
        Reuse { reused, compiled, problem }
    }

    /// The result in the file for the function in `context`.
    fn find(&self, key: &Key, context: &Context) -> Option<CompiledCode> {
        let bytes = &self.bytes[self.known.get(key)?.clone()];
        try_finish_recompile(&context.func, bytes).ok()
    }
}

impl CodeSource for Cache {
    fn machine_code(
        &self,
        isas: &Isas,
        context: &mut Context,
        control_plane: &mut ControlPlane,
    ) -> Result<CompiledCode, String> {
        let key = self.settings.key(&context.func);
        if let Some(code) = self.find(&key, context) {
            let mut used = self.used.lock().expect("no thread panics with the lock");
            used.results.entry(key).or_insert(None);
            used.reused += 1;
            return Ok(code);
        }
        if let Some(isa) = &isas.optimizing {
            optimize::optimize(context, &**isa, control_plane)
                .map_err(|error| format!("{error:?}"))?;
        }
        let stencil = context
            .compile_stencil(&*isas.lowering, control_plane)
            .map_err(|error| format!("{error:?}"))?;
        let (stencil, result) = serialize_compiled(stencil);
        let result = result.map_err(|error| format!("the result cannot be written: {error}"))?;
        let mut used = self.used.lock().expect("no thread panics with the lock");
        used.results.insert(key, Some(result));
        used.compiled += 1;
        drop(used);
        Ok(stencil.apply_params(&context.func.params))
    }
}
