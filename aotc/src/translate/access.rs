//! The only file that turns the context layout into loads and stores, with their alias regions.
//!
//! Every access to memory carries a region, and a location is always accessed with the same one:
//! Cranelift removes stores that no load of the same region can see.

use aotc_abi::index::{GlobalIndex, MemoryIndex};
use aotc_abi::vmctx::{self, Constancy, Field};
use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::{
    AliasRegion, AliasRegionData, InstBuilder, MemFlagsData, Type, Value, types,
};

use super::{Translator, clif_type};
use crate::plan::{Constant, GlobalPlace};

/// Disjoint kinds of memory. The numbers are the same in every function, as inlining requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Region {
    /// Context fields that never change, and the module's read-only data.
    Constant,
    /// `VmMemoryDefinition`s.
    MemoryDefinition,
    /// `VmTableDefinition`s.
    TableDefinition,
    /// Elements of tables.
    TableElements,
    /// Current lengths of segments.
    SegmentLengths,
    /// Imported globals, which may be one another.
    ImportedGlobal,
    /// Imported memories, which may be one another.
    ImportedMemory,
    /// The store.
    Store,
    /// Argument and result slots of calls.
    Values,
    /// The engine's epoch.
    Epoch,
    /// A memory that the instance defines.
    Memory(MemoryIndex),
    /// A global that the instance defines.
    Global(GlobalIndex),
}

impl Region {
    fn data(self) -> AliasRegionData {
        let (user_id, description) = match self {
            Self::Constant => (0, "constant".into()),
            Self::MemoryDefinition => (1, "memory definition".into()),
            Self::TableDefinition => (2, "table definition".into()),
            Self::TableElements => (3, "table elements".into()),
            Self::SegmentLengths => (4, "segment lengths".into()),
            Self::ImportedGlobal => (5, "imported global".into()),
            Self::ImportedMemory => (6, "imported memory".into()),
            Self::Store => (7, "store".into()),
            Self::Values => (8, "values".into()),
            Self::Epoch => (9, "epoch".into()),
            Self::Memory(index) => (1 << 28 | index.0, format!("memory {}", index.0).into()),
            Self::Global(index) => (2 << 28 | index.0, format!("global {}", index.0).into()),
        };
        AliasRegionData { user_id, description }
    }
}

impl Translator<'_, '_> {
    /// This function's entity for a region.
    pub(crate) fn region(&mut self, region: Region) -> AliasRegion {
        self.builder.func.dfg.alias_regions.insert(region.data())
    }

    /// Flags of an access to one of our own records: aligned, never faulting.
    pub(crate) fn record_flags(&mut self, region: Region) -> MemFlagsData {
        MemFlagsData::trusted().with_alias_region(Some(self.region(region)))
    }

    /// Loads a field of the record at `base + offset`.
    pub(crate) fn load_field(
        &mut self,
        ty: Type,
        base: Value,
        offset: i32,
        field: Field,
        region: Region,
    ) -> Value {
        let flags = match field.constancy {
            Constancy::Constant => {
                self.record_flags(Region::Constant).with_readonly().with_can_move()
            }
            Constancy::Variable => self.record_flags(region),
        };
        self.builder.ins().load(ty, flags, base, offset + field.offset)
    }

    /// Loads a constant field counted from the context.
    pub(crate) fn load_ctx_field(&mut self, field: Field) -> Value {
        self.load_field(types::I64, self.ctx, 0, field, Region::Constant)
    }

    /// The address of the module data, which code offsets count from.
    pub(crate) fn code_base(&mut self) -> Value {
        self.load_ctx_field(vmctx::ctx::CODE_BASE)
    }

    /// Loads the address of an imported item.
    pub(crate) fn load_import_address(&mut self, offset: i32) -> Value {
        let field = Field { offset, constancy: Constancy::Constant };
        self.load_ctx_field(field)
    }

    /// The value of a global.
    pub(crate) fn global_get(&mut self, index: GlobalIndex) -> Value {
        let plan = &self.env.plan.globals[index.index()];
        if let Some(constant) = plan.constant {
            return self.constant(constant);
        }
        let global = &self.env.module.globals[index.index()];
        let ty = clif_type(global.ty);
        let (base, offset, region) = self.global_slot(index);
        let mut flags = self.record_flags(region);
        if !global.mutable && plan.place == GlobalPlace::Imported {
            flags = flags.with_readonly().with_can_move();
        }
        self.builder.ins().load(ty, flags, base, offset)
    }

    /// Sets a global.
    pub(crate) fn global_set(&mut self, index: GlobalIndex, value: Value) {
        let (base, offset, region) = self.global_slot(index);
        let flags = self.record_flags(region);
        self.builder.ins().store(flags, value, base, offset);
    }

    fn global_slot(&mut self, index: GlobalIndex) -> (Value, i32, Region) {
        let plan = &self.env.plan.globals[index.index()];
        match plan.place {
            GlobalPlace::Own => (self.ctx, plan.slot, Region::Global(index)),
            GlobalPlace::Imported => {
                (self.load_import_address(plan.slot), 0, Region::ImportedGlobal)
            }
        }
    }

    /// A known value.
    pub(crate) fn constant(&mut self, constant: Constant) -> Value {
        let ty = clif_type(constant.ty);
        match ty {
            types::F32 => self.builder.ins().f32const(Ieee32::with_bits(constant.bits as u32)),
            types::F64 => self.builder.ins().f64const(Ieee64::with_bits(constant.bits as u64)),
            types::I8X16 => {
                let bytes = constant.bits.to_le_bytes();
                let handle = self.builder.func.dfg.constants.insert(bytes.as_slice().into());
                self.builder.ins().vconst(ty, handle)
            }
            types::I32 => self.builder.ins().iconst(ty, i64::from(constant.bits as i32)),
            _ => self.builder.ins().iconst(ty, constant.bits as i64),
        }
    }
}
