//! CLIF to machine code, for all pieces of code at once.

mod function;
mod prologue;
mod target;

use std::num::NonZero;

use cranelift_codegen::binemit::CodeOffset;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::{ExternalName, Function};
use cranelift_codegen::isa::unwind::UnwindInfoKind;
use cranelift_codegen::{CompiledCode, Context, FinalizedRelocTarget, MachSrcLoc};
use cranelift_frontend::FunctionBuilderContext;

use crate::error::{Error, Result};
use crate::optimize;
use crate::options::AddressMapStyle;
use crate::parallel;
use crate::plan::{CodeId, CodeKey};
use crate::translate::{self, Env, HEAP_ACCESS, SYMBOL_NAMESPACE, trap_kind};
pub(crate) use function::{CallSite, CompiledFunction, SymbolSite};
#[cfg(test)]
pub(crate) use prologue::prologue;
pub(crate) use prologue::{Prologue, Register, Step};
pub(crate) use target::{Isas, is_supported, isas};

/// Whether machine code is also wanted as text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listing {
    None,
    Text,
}

/// Where machine code comes from.
pub(crate) trait CodeSource: Sync {
    /// The machine code of the function in `context`, or what the code generator says is wrong with it.
    fn machine_code(
        &self,
        isas: &Isas,
        context: &mut Context,
        control_plane: &mut ControlPlane,
    ) -> std::result::Result<CompiledCode, String>;
}

/// All machine code is generated.
pub(crate) struct Anew;

impl CodeSource for Anew {
    fn machine_code(
        &self,
        isas: &Isas,
        context: &mut Context,
        control_plane: &mut ControlPlane,
    ) -> std::result::Result<CompiledCode, String> {
        if let Some(isa) = &isas.optimizing {
            optimize::optimize(context, &**isa, control_plane)
                .map_err(|error| format!("{error:?}"))?;
        }
        if let Err(error) = context.compile(&*isas.lowering, control_plane) {
            return Err(format!("{:?}", error.inner));
        }
        Ok(context.take_compiled_code().expect("compilation succeeded"))
    }
}

/// What a thread keeps between functions.
struct Worker {
    context: Context,
    builder_context: FunctionBuilderContext,
    control_plane: ControlPlane,
}

impl Worker {
    fn new() -> Self {
        Self {
            context: Context::new(),
            builder_context: FunctionBuilderContext::new(),
            control_plane: ControlPlane::default(),
        }
    }
}

/// Compiles every piece of code of the plan, in its order.
pub(crate) fn compile(
    env: Env<'_>,
    isas: &Isas,
    threads: NonZero<usize>,
    listing: Listing,
    source: &dyn CodeSource,
) -> Result<Vec<CompiledFunction>> {
    let (results, _) = parallel::map(all_codes(env), threads, Worker::new, |worker, id| {
        compile_one(env, isas, worker, id, listing, source)
    });
    results.into_iter().collect()
}

/// CLIF of every piece of code, as text.
pub(crate) fn clif(env: Env<'_>, threads: NonZero<usize>) -> Result<Vec<String>> {
    let (results, _) =
        parallel::map(all_codes(env), threads, FunctionBuilderContext::new, |context, id| {
            Ok(translate::translate(env, id, context)?.display().to_string())
        });
    results.into_iter().collect()
}

fn all_codes(env: Env<'_>) -> Vec<CodeId> {
    (0..env.plan.codes.len() as u32).map(CodeId).collect()
}

fn compile_one(
    env: Env<'_>,
    isas: &Isas,
    worker: &mut Worker,
    id: CodeId,
    listing: Listing,
    source: &dyn CodeSource,
) -> Result<CompiledFunction> {
    let function = translate::translate(env, id, &mut worker.builder_context)?;
    let context = &mut worker.context;
    context.clear();
    context.func = function;
    context.set_disasm(listing == Listing::Text);
    let internal = |message: String| Error::Internal {
        function: env.plan.code_name(env.plan.codes[id.0 as usize], env.module),
        message,
    };
    let compiled =
        source.machine_code(isas, context, &mut worker.control_plane).map_err(internal)?;
    finish(env, id, &compiled, &context.func).map_err(internal)
}

/// Alignment of the code between host and WebAssembly, in bytes. What is passed on every call, all of its branches in one
/// cache line, took four cycles less than what crosses into another line (of 13, on an AMD Zen).
const BORDER_ALIGN: u32 = 64;

/// Takes out of Cranelift's result what the artifact needs.
fn finish(
    env: Env<'_>,
    id: CodeId,
    compiled: &CompiledCode,
    function: &Function,
) -> std::result::Result<CompiledFunction, String> {
    let buffer = &compiled.buffer;
    let (mut calls, mut symbols) = (Vec::new(), Vec::new());
    for reloc in buffer.relocs() {
        let FinalizedRelocTarget::ExternalName(ExternalName::User(name)) = reloc.target else {
            return Err(format!("a relocation would remain: {reloc:?}"));
        };
        let name = &function.params.user_named_funcs()[name];
        let (offset, kind, addend) = (reloc.offset, reloc.kind, reloc.addend);
        if name.namespace == SYMBOL_NAMESPACE {
            symbols.push(SymbolSite { offset, kind, symbol: name.index, addend });
        } else {
            calls.push(CallSite { offset, kind, target: CodeId(name.index), addend });
        }
    }
    let traps = buffer
        .traps()
        .iter()
        .filter_map(|trap| trap_kind(trap.code).map(|kind| (trap.offset, kind)))
        .collect();
    let key = env.plan.codes[id.0 as usize];
    let addresses = match env.options.address_map {
        AddressMapStyle::Keep if matches!(key, CodeKey::Function(_)) => addresses(compiled),
        _ => Vec::new(),
    };
    let unwind = compiled
        .create_unwind_info_of_kind(env.isa, UnwindInfoKind::SystemV)
        .map_err(|error| format!("unwind: {error:?}"))?;
    let align = env.isa.function_alignment();
    let key_align = match key {
        CodeKey::Exit(_) | CodeKey::DirectEntry(_) => BORDER_ALIGN,
        _ => 1,
    };
    Ok(CompiledFunction {
        code: buffer.data().to_vec(),
        align: align.minimum.max(align.preferred).max(buffer.alignment).max(key_align),
        calls,
        symbols,
        traps,
        addresses,
        unwind,
        prologue: prologue::prologue(compiled),
        listing: compiled.vcode.clone(),
    })
}

/// Places in the wasm file of calls (their last byte) and of instructions that can trap.
fn addresses(compiled: &CompiledCode) -> Vec<(u32, u32)> {
    let buffer = &compiled.buffer;
    let locations: &[MachSrcLoc<_>] = buffer.get_srclocs_sorted();
    let mut offsets: Vec<CodeOffset> = Vec::new();
    // A return address lies behind its call, perhaps behind the function; its last byte does not.
    offsets.extend(buffer.call_sites().map(|site| site.ret_addr - 1));
    offsets.extend(
        buffer
            .traps()
            .iter()
            .filter(|trap| trap.code == HEAP_ACCESS || trap_kind(trap.code).is_some())
            .map(|trap| trap.offset),
    );
    offsets.sort_unstable();
    offsets.dedup();
    offsets
        .into_iter()
        .filter_map(|offset| {
            let place = locations.partition_point(|location| location.start <= offset);
            let location = locations.get(place.checked_sub(1)?)?;
            (offset < location.end && !location.loc.is_default())
                .then(|| (offset, location.loc.bits()))
        })
        .collect()
}
