//! One function body to one CLIF function.
//!
//! [`function`] walks the operators of a valid body and keeps, for the point it has reached, the
//! values on the operand stack and the enclosing blocks. What an operator does stands in [`ops`], a
//! file per family; how the context is laid out only [`access`] knows; the glue between calling
//! conventions is [`trampoline`].

mod access;
mod bound;
mod bulk;
mod call;
mod const_expr;
mod control;
mod interruption;
mod memory;
mod ops;
mod signature;
mod start_up;
mod stretches;
mod table;
mod trampoline;
mod trap;

use aotc_abi::index::{DefinedFuncIndex, FuncIndex};
use aotc_abi::types::ValType;
use cranelift_codegen::ir::{
    self, AbiParam, Block, ExtFuncData, ExternalName, Function, InstBuilder, SourceLoc, Type,
    UserExternalName, UserFuncName, Value, types,
};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Variable};

use crate::error::Result;
use crate::options::Options;
use crate::parse::WasmModule;
use crate::plan::{CodeId, CodeKey, Plan};
use stretches::Stretches;

pub(crate) use bound::SYMBOL_NAMESPACE;
pub(crate) use memory::GUARD_BYTES;
pub(crate) use trap::{HEAP_ACCESS, trap_kind};

/// What a translation reads: the module, what was decided about it, and the target.
#[derive(Clone, Copy)]
pub(crate) struct Env<'a> {
    pub(crate) module: &'a WasmModule<'a>,
    pub(crate) plan: &'a Plan,
    pub(crate) options: &'a Options,
    pub(crate) isa: &'a dyn TargetIsa,
}

/// Translates piece of code `id`.
pub(crate) fn translate(
    env: Env<'_>,
    id: CodeId,
    builder_context: &mut FunctionBuilderContext,
) -> Result<Function> {
    let key = env.plan.codes[id.0 as usize];
    let signature = match key {
        CodeKey::Function(index) => {
            let index = FuncIndex(index.0 + env.module.imported_functions);
            signature::wasm_call(env.module.function_type(index))
        }
        CodeKey::Thunk(index) => signature::wasm_call(env.module.function_type(index)),
        CodeKey::Entry(_) => signature::array_call_entry(),
        CodeKey::DirectEntry(sig) => signature::direct_call_entry(env, sig),
        CodeKey::Exit(sig) => signature::of_sig(env, sig),
        CodeKey::Builtin(builtin) => signature::builtin_trampoline(builtin),
        CodeKey::StartUp => signature::wasm_call_of(&[], &[]),
        CodeKey::BoundType(_) => signature::bound_type(),
    };
    let mut function = Function::with_name_signature(UserFuncName::user(0, id.0), signature);
    let builder = FunctionBuilder::new(&mut function, builder_context);
    let mut translator = Translator::new(env, builder);
    match key {
        CodeKey::Function(index) => match env.module.bound_number(index) {
            Some(bound) => translator.bound(bound),
            None => translator.function(index)?,
        },
        CodeKey::BoundType(bound) => translator.bound_type(bound),
        CodeKey::Thunk(index) => translator.thunk(index),
        CodeKey::Entry(sig) => translator.entry(sig),
        CodeKey::DirectEntry(sig) => translator.direct_entry(sig),
        CodeKey::Exit(sig) => translator.exit(sig),
        CodeKey::Builtin(builtin) => translator.builtin(builtin),
        CodeKey::StartUp => translator.start_up(),
    }
    translator.builder.finalize(env.isa.frontend_config());
    Ok(function)
}

/// The state of a translation.
pub(crate) struct Translator<'a, 'f> {
    pub(crate) env: Env<'a>,
    pub(crate) builder: FunctionBuilder<'f>,
    /// The operand stack. Vectors are always [`types::I8X16`], references [`types::I64`].
    pub(crate) stack: Vec<Value>,
    /// The enclosing blocks.
    frames: Vec<control::Frame>,
    /// While positive, the operators cannot be reached; counts the blocks opened since.
    unreachable_depth: Option<u32>,
    /// The locals, parameters first.
    locals: Vec<Variable>,
    /// The context, the first parameter of all code.
    ctx: Value,
    /// Where results go that registers cannot take.
    result_area: Option<Value>,
    entry_block: Block,
    checks: interruption::Checks,
}

impl<'a, 'f> Translator<'a, 'f> {
    fn new(env: Env<'a>, mut builder: FunctionBuilder<'f>) -> Self {
        let entry_block = builder.create_block();
        builder.append_block_params_for_function_params(entry_block);
        builder.switch_to_block(entry_block);
        builder.seal_block(entry_block);
        let ctx = builder.block_params(entry_block)[0];
        Self {
            env,
            builder,
            stack: Vec::new(),
            frames: Vec::new(),
            unreachable_depth: None,
            locals: Vec::new(),
            ctx,
            result_area: None,
            entry_block,
            checks: interruption::Checks::default(),
        }
    }

    /// Translates a function of the module.
    fn function(&mut self, index: DefinedFuncIndex) -> Result<()> {
        let module = self.env.module;
        let function = FuncIndex(index.0 + module.imported_functions);
        let ty = module.function_type(function);
        let body = &module.bodies[index.index()];
        self.check_stack();
        let mut params = 1;
        if signature::results_in_memory(&ty.results) {
            self.result_area = Some(self.builder.block_params(self.entry_block)[1]);
            params += 1;
        }
        for (i, &param) in ty.params.iter().enumerate() {
            let local = self.builder.declare_var(clif_type(param));
            let value = self.builder.block_params(self.entry_block)[params + i];
            self.builder.def_var(local, value);
            self.locals.push(local);
        }
        let mut locals = body.get_locals_reader()?;
        for _ in 0..locals.get_count() {
            let (count, ty) = locals.read()?;
            let ty = crate::parse::val_type(ty, locals.original_position())?;
            let zero = self.zero(ty);
            for _ in 0..count {
                let local = self.builder.declare_var(clif_type(ty));
                self.builder.def_var(local, zero);
                self.locals.push(local);
            }
        }
        self.push_function_frame(&ty.results);
        let mut operators = body.get_operators_reader()?;
        let stretches = match self.env.options.interruption.epochs {
            true => Some(Stretches::scan(body, ty.params.len() as u32)?),
            false => None,
        };
        let location = |offset| {
            module.file_offset(index, offset).map_or_else(SourceLoc::default, SourceLoc::new)
        };
        self.builder.set_srcloc(location(operators.original_position()));
        self.begin_checks(stretches);
        while !operators.eof() {
            let (operator, offset) = operators.read_with_offset()?;
            self.builder.set_srcloc(location(offset));
            self.operator(&operator, offset)?;
        }
        Ok(())
    }

    /// Takes the topmost value.
    pub(crate) fn pop(&mut self) -> Value {
        self.stack.pop().expect("validation keeps the operand stack deep enough")
    }

    /// Takes the two topmost values; the first pushed comes first.
    pub(crate) fn pop2(&mut self) -> (Value, Value) {
        let second = self.pop();
        (self.pop(), second)
    }

    /// Takes the three topmost values; the first pushed comes first.
    pub(crate) fn pop3(&mut self) -> (Value, Value, Value) {
        let third = self.pop();
        let (first, second) = self.pop2();
        (first, second, third)
    }

    /// Puts a value on the operand stack.
    pub(crate) fn push(&mut self, value: Value) {
        self.stack.push(value);
    }

    /// The value of a local's default.
    pub(crate) fn zero(&mut self, ty: ValType) -> Value {
        match ty {
            ValType::I32 => self.builder.ins().iconst(types::I32, 0),
            ValType::I64 | ValType::FuncRef | ValType::ExternRef => {
                self.builder.ins().iconst(types::I64, 0)
            }
            ValType::F32 => self.builder.ins().f32const(0.0),
            ValType::F64 => self.builder.ins().f64const(0.0),
            ValType::V128 => {
                let zero = self.builder.func.dfg.constants.insert([0u8; 16].as_slice().into());
                self.builder.ins().vconst(types::I8X16, zero)
            }
        }
    }

    /// A function to call or name directly.
    fn code_ref(&mut self, id: CodeId, signature: ir::Signature) -> ir::FuncRef {
        let signature = self.builder.import_signature(signature);
        let name = self
            .builder
            .func
            .declare_imported_user_function(UserExternalName { namespace: 0, index: id.0 });
        self.builder.import_function(ExtFuncData {
            name: ExternalName::user(name),
            signature,
            colocated: true,
            patchable: false,
        })
    }
}

/// The CLIF type that holds values of `ty`.
pub(crate) fn clif_type(ty: ValType) -> Type {
    match ty {
        ValType::I32 => types::I32,
        ValType::I64 | ValType::FuncRef | ValType::ExternRef => types::I64,
        ValType::F32 => types::F32,
        ValType::F64 => types::F64,
        ValType::V128 => types::I8X16,
    }
}

/// A parameter or result of `ty`.
fn abi_param(ty: ValType) -> AbiParam {
    AbiParam::new(clif_type(ty))
}
