//! Artifacts of a small module made by hand.

use std::ops::Range;

use ::object::elf;
use ::object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use ::object::{
    Endianness, Object, ObjectSection, ObjectSymbol, RelocationFlags, RelocationTarget, SymbolScope,
};
use aotc_abi::index::{DefinedFuncIndex, TypeIndex};
use aotc_abi::meta::{Builder, CodeOrder, ExternKind, ModuleData};
use aotc_abi::target::Arch;
use aotc_abi::trap::TrapKind;
use aotc_abi::types::{ValType, func_type_hash};
use aotc_abi::vmctx::{Counts, VmCtxLayout};
use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::{
    AbiParam, ExtFuncData, ExternalName, Function, InstBuilder, Signature, UserExternalName,
    UserFuncName, types,
};
use cranelift_codegen::isa::{self, CallConv, OwnedTargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use cranelift_codegen::{Context, FinalizedRelocTarget};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use wasmparser::{BinaryReader, FunctionBody};

use super::*;
use crate::codegen::{self, CallSite};
use crate::options::Cpu;
use crate::parse::{ConstExpr, ConstOp, ElementSegment, Export, FuncType, Import, SegmentMode};
use crate::plan::{
    CodeId, CodeKey, ElemSegmentPlan, FunctionPlan, MemoryPlace, MemoryPlan, SigId, SigPlan,
};

/// What [`image`] and [`object`] want.
pub(crate) struct Sample {
    module: WasmModule<'static>,
    plan: Plan,
    options: Options,
    isa: OwnedTargetIsa,
    functions: Vec<CompiledFunction>,
}

impl Sample {
    /// `twice_plus_one` calls `twice`; both are also called as entry trampolines would be.
    pub(crate) fn new() -> Self {
        let mut flags = settings::builder();
        flags.set("preserve_frame_pointers", "true").unwrap();
        let isa = isa::lookup_by_name("x86_64-unknown-linux-gnu").unwrap();
        let isa = isa.finish(settings::Flags::new(flags)).unwrap();
        let functions = vec![compile(&isa, Some(CodeId(1))), compile(&isa, None)];
        let target = Target { arch: Arch::X86_64, os: Os::Linux };
        let options = Options { target, cpu: Cpu::baseline(target.arch), ..Options::default() };
        Self { module: module(), plan: plan(), options, isa, functions }
    }

    pub(crate) fn image(&self) -> Result<Vec<u8>> {
        image(&self.module, &self.plan, &self.options, &*self.isa, &self.functions)
    }

    pub(crate) fn object(&self) -> Result<Vec<u8>> {
        object(&self.module, &self.plan, &self.options, &*self.isa, &self.functions)
    }
}

fn module() -> WasmModule<'static> {
    let body = || FunctionBody::new(BinaryReader::new(&[0, 0x0b], 0x40));
    let i32_to_i32 = FuncType { params: [ValType::I32].into(), results: [ValType::I32].into() };
    let null = ConstExpr(vec![ConstOp::RefNull]);
    let mut module = WasmModule {
        types: vec![i32_to_i32],
        imports: vec![Import { module: "env", name: "f", kind: ExternKind::Func, index: 0 }],
        exports: vec![Export { name: "run", kind: ExternKind::Func, index: 1 }],
        functions: vec![TypeIndex(0); 3],
        imported_functions: 1,
        memories: vec![crate::parse::Memory { min: 1, max: None }],
        elements: vec![ElementSegment {
            mode: SegmentMode::Passive,
            element: ValType::FuncRef,
            items: vec![null],
        }],
        bodies: vec![body(), body()],
        ..WasmModule::default()
    };
    module.names.functions = vec![Some("f"), Some("twice_plus_one"), Some("twi\0ce")];
    module
}

fn plan() -> Plan {
    let counts = Counts { function_imports: 1, segments: 1, ..Counts::default() };
    let layout = VmCtxLayout::new(&counts, 0x1000).unwrap();
    let function = |code, import| FunctionPlan { code, import, func_ref: None };
    Plan {
        name: "sample".to_owned(),
        codes: vec![CodeKey::Function(DefinedFuncIndex(0)), CodeKey::Function(DefinedFuncIndex(1))],
        sigs: vec![SigPlan {
            ty: Some(TypeIndex(0)),
            hash: func_type_hash([ValType::I32], [ValType::I32]),
            entry: None,
            direct: None,
            exit: None,
        }],
        type_sigs: vec![SigId(0)],
        functions: vec![
            function(None, Some(layout.function_imports)),
            function(Some(CodeId(0)), None),
            function(Some(CodeId(1)), None),
        ],
        tables: Vec::new(),
        memories: vec![MemoryPlan {
            place: MemoryPlace::AtCtx,
            growth: crate::plan::Growth::Never,
        }],
        globals: Vec::new(),
        data_segments: Vec::new(),
        elem_segments: vec![ElemSegmentPlan { length: Some(layout.segments) }],
        builtins: [None; aotc_abi::builtin::BUILTIN_COUNT],
        data: vec![0; 8],
        data_code: vec![(0, CodeId(0)), (4, CodeId(1))],
        image: vec![7; 0x1000],
        memory_start: 0,
        image_code: vec![(16, CodeId(1))],
        start_up: Vec::new(),
        start_up_code: None,
        layout,
    }
}

/// `callee(x) + 1`, or `x + x`.
fn compile(isa: &OwnedTargetIsa, callee: Option<CodeId>) -> CompiledFunction {
    let mut signature = Signature::new(CallConv::SystemV);
    signature.params.push(AbiParam::new(types::I32));
    signature.returns.push(AbiParam::new(types::I32));
    let mut function = Function::with_name_signature(UserFuncName::user(0, 0), signature.clone());
    let mut frontend = FunctionBuilderContext::new();
    let mut builder = FunctionBuilder::new(&mut function, &mut frontend);
    let block = builder.create_block();
    builder.append_block_params_for_function_params(block);
    builder.switch_to_block(block);
    builder.seal_all_blocks();
    let x = builder.block_params(block)[0];
    let result = match callee {
        None => builder.ins().iadd(x, x),
        Some(callee) => {
            let signature = builder.import_signature(signature);
            let name = UserExternalName::new(0, callee.0);
            let name = builder.func.declare_imported_user_function(name);
            let name = ExternalName::User(name);
            let callee = ExtFuncData { name, signature, colocated: true, patchable: false };
            let callee = builder.import_function(callee);
            let call = builder.ins().call(callee, &[x]);
            let value = builder.inst_results(call)[0];
            builder.ins().iadd_imm_s(value, 1)
        }
    };
    builder.ins().return_(&[result]);
    builder.finalize(isa.frontend_config());

    let mut context = Context::for_function(function);
    let code = context.compile(&**isa, &mut ControlPlane::default()).unwrap();
    let calls = code.buffer.relocs().iter().map(|reloc| {
        assert!(matches!(reloc.target, FinalizedRelocTarget::ExternalName(_)));
        let target = callee.unwrap();
        CallSite { offset: reloc.offset, kind: reloc.kind, target, addend: reloc.addend }
    });
    CompiledFunction {
        code: code.code_buffer().to_vec(),
        align: 16,
        calls: calls.collect(),
        symbols: Vec::new(),
        traps: vec![(2, TrapKind::Unreachable), (5, TrapKind::IntegerOverflow)],
        addresses: vec![(2, 0x45), (5, 0x42)],
        unwind: code.create_unwind_info(&**isa).unwrap(),
        prologue: codegen::prologue(code),
        listing: None,
    }
}

fn symbols<'a>(file: &ElfFile64<'a, Endianness>) -> Vec<(&'a str, u64)> {
    file.symbols().map(|symbol| (symbol.name().unwrap(), symbol.address())).collect()
}

/// Address of what the image's note leads to, and its bytes; where the code is, counted from it.
fn noted_module_data(image: &[u8]) -> (u64, &[u8], Range<i64>) {
    let header = elf::FileHeader64::<Endianness>::parse(image).unwrap();
    let mut found = None;
    let mut text = 0..0;
    for segment in header.program_headers(Endianness::Little, image).unwrap() {
        let flags = segment.p_flags(Endianness::Little);
        if segment.p_type(Endianness::Little) == elf::PT_LOAD && flags & elf::PF_X != 0 {
            let start = segment.p_vaddr(Endianness::Little) as i64;
            text = start..start + segment.p_memsz(Endianness::Little) as i64;
        }
        if let Some(mut notes) = segment.notes(Endianness::Little, image).unwrap() {
            let note = notes.next().unwrap().unwrap();
            assert_eq!((note.name(), note.n_type(Endianness::Little)), (&b"aotc"[..], 1));
            let number =
                |at: usize| u64::from_le_bytes(note.desc()[at..at + 8].try_into().unwrap());
            found = Some((number(0), number(8)));
        }
    }
    let (start, bytes) = found.unwrap();
    let code = text.start - start as i64..text.end - start as i64;
    (start, &image[start as usize..][..bytes as usize], code)
}

#[test]
fn image_needs_no_relocation() {
    let image = Sample::new().image().unwrap();
    let file = ElfFile64::<Endianness>::parse(&*image).unwrap();
    assert_eq!(file.elf_header().e_type(Endianness::Little), elf::ET_DYN);
    assert!(file.dynamic_relocations().is_none_or(|mut relocations| relocations.next().is_none()));
    for section in file.sections() {
        assert_eq!(section.relocations().count(), 0);
    }
    let (mut flags, mut pages_end) = (Vec::new(), 0);
    for segment in file.elf_program_headers() {
        let endian = Endianness::Little;
        let (offset, address) = (segment.p_offset(endian), segment.p_vaddr(endian));
        let loaded = segment.p_type(endian) == elf::PT_LOAD;
        if segment.p_flags(endian) & elf::PF_W == 0 {
            assert_eq!(offset, address);
            assert!(!loaded || offset % 0x1000 == 0);
        } else {
            // In the file right behind the code, in memory in a page of its own.
            assert_eq!(offset % 0x1000, address % 0x1000);
        }
        if loaded {
            assert!(address / 0x1000 * 0x1000 >= pages_end);
            pages_end = (address + segment.p_memsz(endian)).next_multiple_of(0x1000);
            flags.push(segment.p_flags(endian));
        }
    }
    assert_eq!(flags, [elf::PF_R, elf::PF_R | elf::PF_X, elf::PF_R | elf::PF_W]);
}

#[test]
fn image_addresses_are_final() {
    let sample = Sample::new();
    let image = sample.image().unwrap();
    let file = ElfFile64::<Endianness>::parse(&*image).unwrap();
    let symbols = symbols(&file);
    let address = |name: &str| symbols.iter().find(|symbol| symbol.0 == name).unwrap().1;
    let caller = address("twice_plus_one");
    let callee = address("twi\u{fffd}ce");

    let call = sample.functions[0].calls[0];
    let field = caller + u64::from(call.offset);
    let value = i32::from_le_bytes(image[field as usize..][..4].try_into().unwrap());
    assert_eq!(field.wrapping_add_signed(value.into()).wrapping_add_signed(-call.addend), callee);

    let (start, bytes, code) = noted_module_data(&image);
    assert_eq!(start, address("aotc_module_sample"));
    assert_eq!(file.dynamic_symbols().next().unwrap().address(), start);
    let data = ModuleData::parse(bytes, code, CodeOrder::Sorted).unwrap();
    assert_eq!(data.bytes().len(), bytes.len());
    let code = data.function_code(1);
    assert_eq!(start.wrapping_add_signed(code.into()), caller);
    let offset_at = |at: usize| i32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    assert_eq!(offset_at(Builder::DATA_START as usize), code);
    let image_start = data.header().fixed.image_offset as usize;
    assert_eq!((start as usize + image_start) % 0x1000, 0, "instances map it");
    assert!(!start.is_multiple_of(0x1000), "{start:#x}: the data has a page of its own");
    let header = elf::FileHeader64::<Endianness>::parse(&*image).unwrap();
    let sections = header.e_shoff(Endianness::Little);
    assert!(sections < start, "{sections:#x}: there is room for it before the data");
    assert_eq!(start.wrapping_add_signed(offset_at(image_start + 16).into()), callee);
}

#[test]
fn module_data_knows_traps_and_addresses() {
    let image = Sample::new().image().unwrap();
    let (_, bytes, code) = noted_module_data(&image);
    let data = ModuleData::parse(bytes, code, CodeOrder::Sorted).unwrap();
    let range = data.code_ranges().at(1);
    assert_eq!((range.index, data.wasm_offset(&range)), (2, 0x40));
    assert_eq!(data.trap_at(&range, 5), Some(TrapKind::IntegerOverflow));
    assert_eq!(data.trap_at(&range, 3), None);
    // The second may begin anywhere between the sites.
    assert_eq!(data.address_map(&range).collect::<Vec<_>>(), [(2, 0x45), (4, 0x42)]);
    assert_eq!(data.function_name(1), "twice_plus_one");
    assert_eq!(data.function_name(2), "twi\0ce");
    assert_eq!(data.export("run").unwrap().1.index, 1);
    let name = |import: aotc_abi::meta::Import| import.name;
    assert_eq!(data.function_name(0), "f");
    assert_eq!(name(data.imports().at(0)).offset, data.functions().at(0).name_start, "shared");
    assert_eq!(data.elem_segments().at(0).items, 1);
}

#[test]
fn unwind_table_of_an_image_leads_to_all_functions() {
    let image = Sample::new().image().unwrap();
    let file = ElfFile64::<Endianness>::parse(&*image).unwrap();
    let section = |name| file.section_by_name(name).unwrap();
    let (header, frames) = (section(".eh_frame_hdr"), section(".eh_frame"));
    let bytes = header.data().unwrap();
    let word = |at: usize| i32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    assert_eq!(bytes[..4], [1, 0x1b, 0x03, 0x3b]);
    assert_eq!((header.address() + 4).wrapping_add_signed(word(4).into()), frames.address());
    assert_eq!(word(8), 1, "one entry for all");
    let functions = &file.symbols().collect::<Vec<_>>()[..2];
    let [code, frame] = [word(12), word(16)];
    assert_eq!(header.address().wrapping_add_signed(code.into()), functions[0].address());
    let frame = header.address().wrapping_add_signed(frame.into());
    let field =
        |at: usize| i32::from_le_bytes(frames.data().unwrap()[at..][..4].try_into().unwrap());
    let at = (frame + 8 - frames.address()) as usize;
    let start = (frame + 8).wrapping_add_signed(field(at).into());
    let end = start.wrapping_add_signed(field(at + 4).into());
    assert_eq!(start, functions[0].address());
    assert_eq!(end, functions[1].address() + functions[1].size());
}

#[test]
fn object_relocates_distances_only() {
    let sample = Sample::new();
    let object = sample.object().unwrap();
    let file = ElfFile64::<Endianness>::parse(&*object).unwrap();
    let data = file.section_by_name(".rodata.aotc").unwrap();
    let bytes = data.data().unwrap();
    ModuleData::parse(bytes, i64::MIN..i64::MAX, CodeOrder::Linked).unwrap();
    let own =
        metadata::module_data(&sample.module, &sample.plan, &sample.options, &sample.functions);
    let (_, offsets) = own.unwrap().finish(0x1000).unwrap();
    assert_eq!(data.relocations().count(), offsets.len());
    for ((at, relocation), offset) in data.relocations().zip(offsets) {
        assert_eq!(relocation.flags(), RelocationFlags::Elf { r_type: elf::R_X86_64_PC32 });
        assert_eq!((at, relocation.addend()), (offset.at.into(), offset.at.into()));
        let RelocationTarget::Symbol(symbol) = relocation.target() else {
            panic!("{relocation:?}")
        };
        let symbol = file.symbol_by_index(symbol).unwrap();
        assert!(symbol.is_local() && symbol.name().unwrap().starts_with("sample::twi"));
    }
    let descriptor = file.symbol_by_name("aotc_module_sample").unwrap();
    assert_eq!(descriptor.scope(), SymbolScope::Dynamic);
    assert_eq!(descriptor.section_index(), Some(data.index()));
    assert!(file.section_by_name(".note.GNU-stack").is_some());
    assert_eq!(file.section_by_name(".eh_frame").unwrap().relocations().count(), 2);
}

#[test]
fn same_input_gives_same_bytes() {
    assert_eq!(Sample::new().image().unwrap(), Sample::new().image().unwrap());
    assert_eq!(Sample::new().object().unwrap(), Sample::new().object().unwrap());
}

#[test]
fn relocation_that_cannot_be_resolved_is_refused() {
    let mut sample = Sample::new();
    sample.functions[0].calls[0].kind = Reloc::Abs8;
    let error = sample.image().unwrap_err().to_string();
    assert!(error.contains("twice_plus_one"), "{error}");
    assert!(error.contains("a relocation would remain in the text"), "{error}");
}

#[test]
fn module_without_code_has_an_image() {
    let mut sample = Sample::new();
    sample.module = WasmModule::default();
    sample.functions.clear();
    sample.plan = Plan {
        codes: Vec::new(),
        sigs: Vec::new(),
        type_sigs: Vec::new(),
        functions: Vec::new(),
        memories: Vec::new(),
        elem_segments: Vec::new(),
        data_code: Vec::new(),
        image_code: Vec::new(),
        ..plan()
    };
    let image = sample.image().unwrap();
    let (_, bytes, code) = noted_module_data(&image);
    ModuleData::parse(bytes, code, CodeOrder::Sorted).unwrap();
    sample.object().unwrap();
}

#[test]
fn only_elf_has_images() {
    for os in [Os::MacOs, Os::Windows] {
        let mut sample = Sample::new();
        sample.options.target.os = os;
        let error = sample.image().unwrap_err().to_string();
        assert!(error.contains("`--emit obj`"), "{error}");
    }
}
