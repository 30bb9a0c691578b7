//! Bulk memory instructions and growth.

use aotc_abi::builtin::Builtin;
use aotc_abi::index::{DataIndex, MemoryIndex};
use aotc_abi::trap::TrapKind;
use aotc_abi::vmctx::{Constancy, Field, MEMORY_PAGE_BITS};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};

use super::Translator;
use super::access::Region;

impl Translator<'_, '_> {
    /// `memory.size`.
    pub(super) fn memory_size(&mut self, memory: MemoryIndex) {
        let bytes = self.memory_length_bytes(memory);
        let pages = self.builder.ins().ushr_imm_u(bytes, i64::from(MEMORY_PAGE_BITS));
        let pages = self.builder.ins().ireduce(types::I32, pages);
        self.push(pages);
    }

    /// `memory.grow`.
    pub(super) fn memory_grow(&mut self, memory: MemoryIndex) {
        let delta = self.pop();
        let delta = self.builder.ins().uextend(types::I64, delta);
        let memory = self.index_arg(memory.0);
        let old = self.call_builtin(Builtin::MemoryGrow, &[memory, delta]);
        let old = old.expect("memory_grow gives a value");
        let old = self.builder.ins().ireduce(types::I32, old);
        self.push(old);
    }

    /// `memory.fill`.
    pub(super) fn memory_fill(&mut self, memory: MemoryIndex) {
        let (start, byte, length) = self.pop3();
        let start = self.builder.ins().uextend(types::I64, start);
        let length = self.builder.ins().uextend(types::I64, length);
        let address = self.range_address(memory, start, length);
        self.call_builtin(Builtin::MemoryFill, &[address, byte, length]);
    }

    /// `memory.copy`.
    pub(super) fn memory_copy(&mut self, to_memory: MemoryIndex, from_memory: MemoryIndex) {
        let [to, from, length] = self.pop3_extended();
        let to = self.range_address(to_memory, to, length);
        let from = self.range_address(from_memory, from, length);
        self.call_builtin(Builtin::MemoryCopy, &[to, from, length]);
    }

    /// `memory.init`.
    pub(super) fn memory_init(&mut self, memory: MemoryIndex, segment: DataIndex) {
        let [to, from, length] = self.pop3_extended();
        self.init_memory(memory, segment, to, from, length);
    }

    /// Copies `length` bytes of a data segment into a memory.
    pub(super) fn init_memory(
        &mut self,
        memory: MemoryIndex,
        segment: DataIndex,
        to: Value,
        from: Value,
        length: Value,
    ) {
        let plan = &self.env.plan.data_segments[segment.index()];
        let (offset, _) = plan.bytes.expect("a used segment has its bytes");
        let length_slot = plan.length.expect("a used segment has a length");
        let field = Field { offset: length_slot, constancy: Constancy::Variable };
        let available = self.load_field(types::I64, self.ctx, 0, field, Region::SegmentLengths);
        self.check_range(from, length, available);
        let to = self.range_address(memory, to, length);
        let code_base = self.code_base();
        let bytes = self.builder.ins().iadd_imm_s(code_base, i64::from(offset));
        let from = self.builder.ins().iadd(bytes, from);
        self.call_builtin(Builtin::MemoryCopy, &[to, from, length]);
    }

    /// `data.drop`.
    pub(super) fn data_drop(&mut self, segment: DataIndex) {
        if let Some(length) = self.env.plan.data_segments[segment.index()].length {
            self.drop_segment(length);
        }
    }

    /// The address of `length` bytes at `start`; traps if they are not all in the memory.
    fn range_address(&mut self, memory: MemoryIndex, start: Value, length: Value) -> Value {
        let available = self.memory_length_bytes(memory);
        self.check_range(start, length, available);
        let base = self.memory_base(memory);
        self.builder.ins().iadd(base, start)
    }

    /// Traps if `start + length` is above `available`. Neither of the first two exceeds 32 bits.
    fn check_range(&mut self, start: Value, length: Value, available: Value) {
        let end = self.builder.ins().iadd(start, length);
        let outside = self.builder.ins().icmp(IntCC::UnsignedGreaterThan, end, available);
        self.trapnz(outside, TrapKind::MemoryOutOfBounds);
    }
}
