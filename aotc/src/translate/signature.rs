//! Signatures of the calling conventions.
//!
//! Wasm call: `CallConv::Tail`, `(ctx, [result area], arguments...) -> results...`. If registers
//! cannot take all results, none is returned in one: the caller passes the address of an area with a
//! 16-byte slot for each.
//!
//! Array call: the C convention, arguments and results in 16-byte slots.
//!
//! Direct call: the C convention, arguments and the one result in 64-bit integers; see
//! [`aotc_abi::types::can_call_directly`].
//!
//! The C convention is the architecture's own, on every operating system: System V's on x86-64, the Procedure Call
//! Standard's on AArch64. So code is the same whatever the format of its object.

use aotc_abi::builtin::{AbiResult, AbiType, Builtin};
use aotc_abi::types::ValType;
use cranelift_codegen::ir::{AbiParam, Signature, Type, types};
use cranelift_codegen::isa::CallConv;

use super::{Env, abi_param};
use crate::parse::FuncType;
use crate::plan::SigId;

/// Integers and references that `CallConv::Tail` returns in registers on every target: 64-bit Arm has six for them.
const INTEGER_RESULTS_MAX: usize = 6;
/// Floats and vectors that it returns in registers on every target.
const FLOAT_RESULTS_MAX: usize = 8;

/// Whether the results go through memory.
pub(crate) fn results_in_memory(results: &[ValType]) -> bool {
    let floats = results
        .iter()
        .filter(|ty| matches!(ty, ValType::F32 | ValType::F64 | ValType::V128))
        .count();
    floats > FLOAT_RESULTS_MAX || results.len() - floats > INTEGER_RESULTS_MAX
}

/// The wasm-call signature of `ty`.
pub(crate) fn wasm_call(ty: &FuncType) -> Signature {
    wasm_call_of(&ty.params, &ty.results)
}

/// The wasm-call signature of a function with these types.
pub(crate) fn wasm_call_of(params: &[ValType], results: &[ValType]) -> Signature {
    let mut signature = Signature::new(CallConv::Tail);
    signature.params.push(context_param());
    if results_in_memory(results) {
        signature.params.push(AbiParam::new(types::I64));
    } else {
        signature.returns.extend(results.iter().map(|&ty| abi_param(ty)));
    }
    signature.params.extend(params.iter().map(|&ty| abi_param(ty)));
    signature
}

/// The wasm-call signature of a distinct type.
pub(crate) fn of_sig(env: Env<'_>, sig: SigId) -> Signature {
    match env.plan.sigs[sig.0 as usize].ty {
        Some(ty) => wasm_call(&env.module.types[ty.index()]),
        None => wasm_call_of(&[], &[]),
    }
}

/// `(ctx, callee code, values) -> status`: an entry trampoline.
pub(crate) fn array_call_entry() -> Signature {
    c_signature(&[types::I64; 3], Some(types::I32))
}

/// `(ctx, params..., callee code) -> (result, status)`: a direct entry trampoline.
pub(crate) fn direct_call_entry(env: Env<'_>, sig: SigId) -> Signature {
    let ty = env.plan.sigs[sig.0 as usize].ty.expect("direct entries are for the module's types");
    let params = env.module.types[ty.index()].params.len();
    let mut signature = c_signature(&vec![types::I64; 2 + params], Some(types::I64));
    signature.returns.push(AbiParam::new(types::I64));
    signature
}

/// `(ctx, params...) -> (result, status)`: a host function that can be called directly.
pub(crate) fn direct_call_host(params: usize) -> Signature {
    let mut signature = c_signature(&vec![types::I64; 1 + params], Some(types::I64));
    signature.returns.push(AbiParam::new(types::I64));
    signature
}

/// `(ctx, values) -> status`: another host function.
pub(crate) fn array_call_host() -> Signature {
    c_signature(&[types::I64; 2], Some(types::I32))
}

/// `(store)`: `VmStoreCtx::raise`.
pub(crate) fn raise() -> Signature {
    c_signature(&[types::I64], None)
}

/// A builtin as the loader implements it.
pub(crate) fn builtin(builtin: Builtin) -> Signature {
    let row = builtin.row();
    let mut params = vec![types::I64];
    params.extend(row.params.iter().map(|&ty| builtin_type(ty)));
    c_signature(&params, builtin_result(row.result))
}

/// A builtin's trampoline, as compiled code calls it: status is gone, for it raises.
pub(crate) fn builtin_trampoline(builtin: Builtin) -> Signature {
    let row = builtin.row();
    let mut signature = Signature::new(builtin_convention(builtin));
    signature.params.push(context_param());
    signature.params.extend(row.params.iter().map(|&ty| AbiParam::new(builtin_type(ty))));
    if row.result == AbiResult::FallibleValue {
        signature.returns.push(AbiParam::new(types::I64));
    }
    signature
}

/// How a builtin's trampoline is called. Those that hardly ever are, from the middle of hot loops, keep all registers,
/// so that nothing of a loop has to be on the stack for their sake.
fn builtin_convention(builtin: Builtin) -> CallConv {
    match builtin {
        Builtin::OutOfFuel | Builtin::NewEpoch => CallConv::PreserveAll,
        Builtin::Trap
        | Builtin::MemoryGrow
        | Builtin::MemoryCopy
        | Builtin::MemoryFill
        | Builtin::TableGrow
        | Builtin::TableFill
        | Builtin::TableCopy
        | Builtin::TableInit => CallConv::Tail,
    }
}

fn builtin_type(ty: AbiType) -> Type {
    match ty {
        AbiType::I32 => types::I32,
        AbiType::I64 => types::I64,
    }
}

fn builtin_result(result: AbiResult) -> Option<Type> {
    match result {
        AbiResult::Nothing => None,
        AbiResult::Status => Some(types::I32),
        AbiResult::FallibleValue => Some(types::I64),
    }
}

/// `(ctx) -> address`: what gives the recorded type of a bound function. It does not look at the context.
pub(crate) fn bound_type() -> Signature {
    c_signature(&[types::I64], Some(types::I64))
}

fn c_signature(params: &[Type], result: Option<Type>) -> Signature {
    let mut signature = Signature::new(CallConv::SystemV);
    signature.params.extend(params.iter().map(|&ty| AbiParam::new(ty)));
    signature.returns.extend(result.map(AbiParam::new));
    signature
}

/// The context. Its purpose lets a stack limit be loaded through it.
fn context_param() -> AbiParam {
    AbiParam::special(types::I64, cranelift_codegen::ir::ArgumentPurpose::VMContext)
}
