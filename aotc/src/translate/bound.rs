//! Functions that stand for C functions which a linker finds.
//!
//! A call records where wasm is left and sees that the host has stack enough, as exit trampolines do, and passes
//! its arguments as C does. Nothing is looked at afterwards: a C function that does not return normally has been left
//! by the loader's raise (`aotc_loader::raise_to_caller`).

use aotc_abi::index::{DefinedFuncIndex, FuncIndex};
use aotc_abi::meta::BindStyle;
use aotc_abi::types::ValType;
use cranelift_codegen::ir::{
    self, AbiParam, ExtFuncData, ExternalName, InstBuilder, Signature, UserExternalName, types,
};

use super::{Translator, abi_param};

/// The names of symbols that a linker resolves are in this name space, those of pieces of code in name space 0.
pub(crate) const SYMBOL_NAMESPACE: u32 = 1;

impl Translator<'_, '_> {
    /// Wasm call to the C call of bound function `bound`.
    pub(super) fn bound(&mut self, bound: usize) {
        let module = self.env.module;
        let function = &module.bound[bound];
        let DefinedFuncIndex(index) = function.function;
        let ty = module.function_type(FuncIndex(index + module.imported_functions));
        let params = self.builder.block_params(self.entry_block).to_vec();
        self.leave_wasm();
        let mut signature = Signature::new(self.env.isa.default_call_conv());
        let args = match function.binding.style {
            BindStyle::Plain => &params[1..],
            BindStyle::WithCaller => {
                signature.params.push(AbiParam::new(types::I64));
                &params[..]
            }
        };
        signature.params.extend(ty.params.iter().map(|&ty| c_param(ty)));
        signature.returns.extend(ty.results.iter().map(|&ty| abi_param(ty)));
        let callee = self.symbol(bound as u32 * 2, signature);
        let call = self.builder.ins().call(callee, args);
        let results = self.builder.inst_results(call).to_vec();
        self.builder.ins().return_(&results);
    }

    /// C function that gives the address of the type that the host recorded for bound function `bound`; 0, or that of an
    /// empty string, if it did not.
    pub(super) fn bound_type(&mut self, bound: u32) {
        let signature = Signature::new(self.env.isa.default_call_conv());
        let symbol = self.symbol(bound * 2 + 1, signature);
        let address = self.builder.ins().func_addr(types::I64, symbol);
        self.builder.ins().return_(&[address]);
    }

    fn symbol(&mut self, index: u32, signature: Signature) -> ir::FuncRef {
        let signature = self.builder.import_signature(signature);
        let name = UserExternalName { namespace: SYMBOL_NAMESPACE, index };
        let name = self.builder.func.declare_imported_user_function(name);
        self.builder.import_function(ExtFuncData {
            name: ExternalName::user(name),
            signature,
            // A call reaches it, or something of the linker's that leads to it.
            colocated: true,
            patchable: false,
        })
    }
}

/// A parameter of a C function. Some conventions want 32-bit integers sign-extended; the others do not mind.
fn c_param(ty: ValType) -> AbiParam {
    match ty {
        ValType::I32 => abi_param(ty).sext(),
        ValType::I64
        | ValType::F32
        | ValType::F64
        | ValType::V128
        | ValType::FuncRef
        | ValType::ExternRef => abi_param(ty),
    }
}
