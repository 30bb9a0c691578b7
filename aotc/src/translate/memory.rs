//! Accesses to linear memories: the address of an access, and how it stays in bounds.
//!
//! Guard style: a memory is 4 GiB of addresses followed by a guard of [`GUARD_BYTES`]. A 32-bit index plus a constant
//! offset that keeps the access within the guard needs no check: outside the memory it faults. Only
//! larger offsets are compared with the length.
//!
//! Explicit style: every access is compared with the length before.

use aotc_abi::index::MemoryIndex;
use aotc_abi::target::{BoundsStyle, TrapStyle};
use aotc_abi::trap::TrapKind;
use aotc_abi::vmctx;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Endianness, InstBuilder, MemFlagsData, Type, Value, types};
use wasmparser::{MemArg, MemArgTarget};

use super::Translator;
use super::access::Region;
use super::trap::HEAP_ACCESS;
use crate::plan::{Growth, MemoryPlace};

/// Size of the guard behind a reserved memory that code relies on, in bytes. It covers every offset
/// that fits into the displacement of a load.
pub(crate) const GUARD_BYTES: u64 = 1 << 31;

/// An address that an access may use.
#[derive(Clone, Copy)]
pub(crate) struct Address {
    /// What the offset is added to.
    pub(crate) base: Value,
    /// Displacement of the access.
    pub(crate) offset: i32,
    /// Flags of the access: little-endian, alias region, how it traps.
    pub(crate) flags: MemFlagsData,
}

impl Translator<'_, '_> {
    /// Pops the index and gives the address of an access of `bytes` bytes.
    pub(crate) fn pop_address(&mut self, memarg: &MemArg, bytes: u32) -> Address {
        let index = self.pop();
        self.address(memarg, index, bytes)
    }

    /// Pops an index, and pushes what is loaded there.
    pub(crate) fn load(&mut self, memarg: &MemArg, ty: Type) {
        let address = self.pop_address(memarg, ty.bytes());
        let value = self.builder.ins().load(ty, address.flags, address.base, address.offset);
        self.push(value);
    }

    /// Pops a value and an index, and stores the value there.
    pub(crate) fn store(&mut self, memarg: &MemArg, ty: Type) {
        let value = self.pop();
        let address = self.pop_address(memarg, ty.bytes());
        self.builder.ins().store(address.flags, value, address.base, address.offset);
    }

    /// The address of an access of `bytes` bytes at `index` plus the constant offset.
    pub(crate) fn address(&mut self, memarg: &MemArg, index: Value, bytes: u32) -> Address {
        let MemArgTarget::Memory(memory) = memarg.target else {
            unreachable!("arrays are not enabled");
        };
        let memory = MemoryIndex(memory);
        let index = self.builder.ins().uextend(types::I64, index);
        let end_offset = memarg.offset + u64::from(bytes);
        let guarded = self.env.options.bounds_style == BoundsStyle::Guard;
        let checked = !guarded || end_offset > GUARD_BYTES - 1;
        if checked {
            let end = self.builder.ins().iadd_imm_s(index, end_offset as i64);
            let length = self.memory_length_bytes(memory);
            let outside = self.builder.ins().icmp(IntCC::UnsignedGreaterThan, end, length);
            self.trapnz(outside, TrapKind::MemoryOutOfBounds);
        }
        let base = self.memory_base(memory);
        let base = self.builder.ins().iadd(base, index);
        let flags = self.heap_flags(memory, checked);
        match i32::try_from(memarg.offset) {
            Ok(offset) => Address { base, offset, flags },
            Err(_) => {
                let base = self.builder.ins().iadd_imm_s(base, memarg.offset as i64);
                Address { base, offset: 0, flags }
            }
        }
    }

    /// The address of byte 0 of a memory.
    pub(crate) fn memory_base(&mut self, memory: MemoryIndex) -> Value {
        let place = self.env.plan.memories[memory.index()].place;
        if place == MemoryPlace::AtCtx {
            return self.ctx;
        }
        let (base, offset) = self.memory_definition(place);
        // Reserved memories never move.
        let field = match self.env.options.bounds_style {
            BoundsStyle::Guard => {
                vmctx::Field { constancy: vmctx::Constancy::Constant, ..vmctx::memory::BASE }
            }
            BoundsStyle::Explicit => vmctx::memory::BASE,
        };
        self.load_field(types::I64, base, offset, field, Region::MemoryDefinition)
    }

    /// The current length of a memory, in bytes.
    pub(crate) fn memory_length_bytes(&mut self, memory: MemoryIndex) -> Value {
        let plan = &self.env.plan.memories[memory.index()];
        if plan.growth == Growth::Never {
            let bytes = self.env.module.memories[memory.index()].min << vmctx::MEMORY_PAGE_BITS;
            return self.builder.ins().iconst(types::I64, bytes as i64);
        }
        let (base, offset) = match plan.place {
            MemoryPlace::AtCtx => (self.ctx, vmctx::ctx::MEMORY0),
            place => self.memory_definition(place),
        };
        self.load_field(
            types::I64,
            base,
            offset,
            vmctx::memory::LENGTH_BYTES,
            Region::MemoryDefinition,
        )
    }

    /// Address of a `VmMemoryDefinition`: a base and an offset.
    fn memory_definition(&mut self, place: MemoryPlace) -> (Value, i32) {
        match place {
            MemoryPlace::AtCtx => (self.ctx, vmctx::ctx::MEMORY0),
            MemoryPlace::Own(offset) => (self.ctx, offset),
            MemoryPlace::Imported(offset) => (self.load_import_address(offset), 0),
        }
    }

    /// Flags of an access to a memory.
    pub(crate) fn heap_flags(&mut self, memory: MemoryIndex, checked: bool) -> MemFlagsData {
        let region = match self.env.plan.memories[memory.index()].place {
            // Two imported memories may be one.
            MemoryPlace::Imported(_) => Region::ImportedMemory,
            MemoryPlace::AtCtx | MemoryPlace::Own(_) => Region::Memory(memory),
        };
        let region = self.region(region);
        let mut flags =
            MemFlagsData::new().with_endianness(Endianness::Little).with_alias_region(Some(region));
        if checked && self.env.options.trap_style == TrapStyle::Explicit {
            flags = flags.with_notrap();
        } else {
            flags = flags.with_trap_code(Some(HEAP_ACCESS));
        }
        flags
    }
}
