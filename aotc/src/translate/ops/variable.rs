//! Parametric, variable, reference, table and memory operators.

use aotc_abi::index::{DataIndex, ElemIndex, FuncIndex, GlobalIndex, MemoryIndex, TableIndex};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Type, types};
use wasmparser::{MemArg, Operator};

use crate::translate::Translator;

/// Translates `operator` if it is of this family; gives back whether it is.
pub(super) fn translate(t: &mut Translator<'_, '_>, operator: &Operator<'_>) -> bool {
    use Operator as O;
    match *operator {
        O::Drop => {
            t.pop();
        }
        O::Select | O::TypedSelect { .. } => select(t),
        O::LocalGet { local_index } => local_get(t, local_index),
        O::LocalSet { local_index } => local_set(t, local_index),
        O::LocalTee { local_index } => {
            local_set(t, local_index);
            local_get(t, local_index);
        }
        O::GlobalGet { global_index } => {
            let value = t.global_get(GlobalIndex(global_index));
            t.push(value);
        }
        O::GlobalSet { global_index } => {
            let value = t.pop();
            t.global_set(GlobalIndex(global_index), value);
        }
        O::RefNull { .. } => {
            let null = t.builder.ins().iconst(types::I64, 0);
            t.push(null);
        }
        O::RefIsNull => {
            let value = t.pop();
            let null = t.builder.ins().icmp_imm_s(IntCC::Equal, value, 0);
            let null = t.builder.ins().uextend(types::I32, null);
            t.push(null);
        }
        O::RefFunc { function_index } => {
            let value = t.ref_func(FuncIndex(function_index));
            t.push(value);
        }
        O::TableGet { table } => t.table_get(TableIndex(table)),
        O::TableSet { table } => t.table_set(TableIndex(table)),
        O::TableSize { table } => t.table_size(TableIndex(table)),
        O::TableGrow { table } => t.table_grow(TableIndex(table)),
        O::TableFill { table } => t.table_fill(TableIndex(table)),
        O::TableCopy { dst_table, src_table } => {
            t.table_copy(TableIndex(dst_table), TableIndex(src_table));
        }
        O::TableInit { elem_index, table } => {
            t.table_init(TableIndex(table), ElemIndex(elem_index));
        }
        O::ElemDrop { elem_index } => t.elem_drop(ElemIndex(elem_index)),
        O::MemorySize { mem, .. } => t.memory_size(MemoryIndex(mem)),
        O::MemoryGrow { mem, .. } => t.memory_grow(MemoryIndex(mem)),
        O::MemoryFill { mem } => t.memory_fill(MemoryIndex(mem)),
        O::MemoryCopy { dst_mem, src_mem } => {
            t.memory_copy(MemoryIndex(dst_mem), MemoryIndex(src_mem));
        }
        O::MemoryInit { data_index, mem } => {
            t.memory_init(MemoryIndex(mem), DataIndex(data_index));
        }
        O::DataDrop { data_index } => t.data_drop(DataIndex(data_index)),
        _ => return load_or_store(t, operator),
    }
    true
}

fn load_or_store(t: &mut Translator<'_, '_>, operator: &Operator<'_>) -> bool {
    use Operator as O;
    let (i32, i64) = (types::I32, types::I64);
    match operator {
        O::I32Load { memarg } => t.load(memarg, i32),
        O::I64Load { memarg } => t.load(memarg, i64),
        O::F32Load { memarg } => t.load(memarg, types::F32),
        O::F64Load { memarg } => t.load(memarg, types::F64),
        O::I32Load8S { memarg } => extending_load(t, memarg, Extension::Sign, types::I8, i32),
        O::I32Load8U { memarg } => extending_load(t, memarg, Extension::Zero, types::I8, i32),
        O::I32Load16S { memarg } => extending_load(t, memarg, Extension::Sign, types::I16, i32),
        O::I32Load16U { memarg } => extending_load(t, memarg, Extension::Zero, types::I16, i32),
        O::I64Load8S { memarg } => extending_load(t, memarg, Extension::Sign, types::I8, i64),
        O::I64Load8U { memarg } => extending_load(t, memarg, Extension::Zero, types::I8, i64),
        O::I64Load16S { memarg } => extending_load(t, memarg, Extension::Sign, types::I16, i64),
        O::I64Load16U { memarg } => extending_load(t, memarg, Extension::Zero, types::I16, i64),
        O::I64Load32S { memarg } => extending_load(t, memarg, Extension::Sign, i32, i64),
        O::I64Load32U { memarg } => extending_load(t, memarg, Extension::Zero, i32, i64),
        O::I32Store { memarg } | O::I64Store { memarg } => full_store(t, memarg),
        O::F32Store { memarg } | O::F64Store { memarg } => full_store(t, memarg),
        O::I32Store8 { memarg } | O::I64Store8 { memarg } => narrow_store(t, memarg, 1),
        O::I32Store16 { memarg } | O::I64Store16 { memarg } => narrow_store(t, memarg, 2),
        O::I64Store32 { memarg } => narrow_store(t, memarg, 4),
        _ => return false,
    }
    true
}

/// How a narrow value becomes a wide one.
#[derive(Clone, Copy)]
enum Extension {
    Sign,
    Zero,
}

fn extending_load(
    t: &mut Translator<'_, '_>,
    memarg: &MemArg,
    extension: Extension,
    from: Type,
    to: Type,
) {
    let address = t.pop_address(memarg, from.bytes());
    let (flags, base, offset) = (address.flags, address.base, address.offset);
    let ins = t.builder.ins();
    let value = match (extension, from) {
        (Extension::Sign, types::I8) => ins.sload8(to, flags, base, offset),
        (Extension::Zero, types::I8) => ins.uload8(to, flags, base, offset),
        (Extension::Sign, types::I16) => ins.sload16(to, flags, base, offset),
        (Extension::Zero, types::I16) => ins.uload16(to, flags, base, offset),
        (Extension::Sign, _) => ins.sload32(flags, base, offset),
        (Extension::Zero, _) => ins.uload32(flags, base, offset),
    };
    t.push(value);
}

fn full_store(t: &mut Translator<'_, '_>, memarg: &MemArg) {
    let ty = t.builder.func.dfg.value_type(*t.stack.last().expect("a value to store"));
    t.store(memarg, ty);
}

fn narrow_store(t: &mut Translator<'_, '_>, memarg: &MemArg, bytes: u32) {
    let value = t.pop();
    let address = t.pop_address(memarg, bytes);
    let (flags, base, offset) = (address.flags, address.base, address.offset);
    let ins = t.builder.ins();
    match bytes {
        1 => ins.istore8(flags, value, base, offset),
        2 => ins.istore16(flags, value, base, offset),
        _ => ins.istore32(flags, value, base, offset),
    };
}

fn select(t: &mut Translator<'_, '_>) {
    let (first, second, condition) = t.pop3();
    let value = t.builder.ins().select(condition, first, second);
    t.push(value);
}

fn local_get(t: &mut Translator<'_, '_>, index: u32) {
    let value = t.builder.use_var(t.locals[index as usize]);
    t.push(value);
}

fn local_set(t: &mut Translator<'_, '_>, index: u32) {
    let value = t.pop();
    t.builder.def_var(t.locals[index as usize], value);
}
