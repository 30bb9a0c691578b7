//! One record type per thing the loader must know.

use super::packed::{Numbers, PackedRecord};
use super::record::record;

/// `max` of a table or memory that has none.
pub const NO_MAXIMUM: u64 = u64::MAX;

record! {
    /// A string: UTF-8 bytes in the strings section.
    pub struct Str {
        /// Offset in the strings section, in bytes.
        pub offset: u32,
        /// Length in bytes.
        pub bytes: u32,
    }
}

record! {
    /// A function type.
    pub struct Type {
        /// [`crate::types::func_type_hash`].
        pub hash: u64,
        /// First parameter in the value types; the results follow the parameters.
        pub types_start: u32,
        /// Number of parameters.
        pub params: u32,
        /// Number of results.
        pub results: u32,
        /// Entry trampoline (array call to wasm call), or 0.
        pub entry: i32,
        /// Exit trampoline (wasm call to array call), or 0.
        pub exit: i32,
        /// Direct entry trampoline (direct call to wasm call, see [`crate::types::can_call_directly`]), or 0.
        pub direct: i32,
    }
}

record! {
    /// An import, in the order of the module.
    pub struct Import {
        /// First name.
        pub module: Str,
        /// Second name.
        pub name: Str,
        /// An [`ExternKind`].
        pub kind: u32,
        /// The imported item's index in its index space.
        pub index: u32,
    }
}

record! {
    /// An export, in the order of the module.
    pub struct Export {
        /// Its name.
        pub name: Str,
        /// An [`ExternKind`].
        pub kind: u32,
        /// The exported item's index in its index space.
        pub index: u32,
    }
}

/// A function of the index space, imports first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Function {
    /// Index of its [`Type`].
    pub ty: u32,
    /// Context offset of its [`crate::vmctx::VmFuncRef`], or 0 if it is never referenced.
    pub func_ref: i32,
    /// Where in the strings its name from the name section begins: one after the other, from 0. It ends where the next
    /// begins, the last at [`super::Fixed::function_names_bytes`].
    pub name_start: u32,
}

impl PackedRecord for Function {
    const COLUMNS: &'static [&'static str] = &["ty", "-func_ref", "name_start"];

    fn to_numbers(&self) -> Numbers {
        [self.ty, self.func_ref.wrapping_neg() as u32, self.name_start, 0]
    }

    fn from_numbers([ty, func_ref, name_start, _]: Numbers) -> Self {
        Self { ty, func_ref: (func_ref as i32).wrapping_neg(), name_start }
    }
}

record! {
    /// An imported function, in the order of the index space.
    pub struct FunctionImport {
        /// Context offset of its [`crate::vmctx::VmFunctionImport`], or 0 if nothing leads to it.
        pub import: i32,
        /// Its thunk if it is referenced; else 0.
        pub thunk: i32,
    }
}

/// How far the code of a function goes that the module defines, in the order of the index space. Where it begins is in a table of
/// its own, since a linker fills that in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FunctionExtent {
    /// Length in bytes; 0 if nothing leads to the function.
    pub bytes: u32,
    /// First byte in the code sites.
    pub sites_start: u32,
}

impl PackedRecord for FunctionExtent {
    const COLUMNS: &'static [&'static str] = &["bytes", "sites_start"];

    fn to_numbers(&self) -> Numbers {
        [self.bytes, self.sites_start, 0, 0]
    }

    fn from_numbers([bytes, sites_start, _, _]: Numbers) -> Self {
        Self { bytes, sites_start }
    }
}

record! {
    /// A piece of code that is no function of the module: a trampoline. In an image, sorted by address, behind all functions.
    pub struct OtherCode {
        /// First byte.
        pub code: i32,
        /// Length in bytes.
        pub bytes: u32,
        /// A [`CodeKind`].
        pub kind: u32,
        /// Function index for a thunk; type index for a trampoline; builtin number; number of a bound function.
        pub index: u32,
        /// First byte in the code sites.
        pub sites_start: u32,
    }
}

record! {
    /// A table of the index space, imports first.
    pub struct Table {
        /// Element type: a [`crate::types::ValType`] number.
        pub element: u32,
        /// [`flags`].
        pub flags: u32,
        /// Minimum, in elements.
        pub min: u64,
        /// Maximum, in elements, or [`NO_MAXIMUM`].
        pub max: u64,
        /// Context offset of the [`crate::vmctx::VmTableDefinition`], or of the address of one for an
        /// import; 0 for a table that exists only as read-only data ([`flags::CLOSED`]).
        pub definition: i32,
        /// Context offset of its `min` initial elements, or 0 if the loader allocates them, all null.
        pub elements: i32,
    }
}

record! {
    /// A memory of the index space, imports first.
    pub struct Memory {
        /// Minimum, in pages of 64 KiB.
        pub min: u64,
        /// Maximum, in pages, or [`NO_MAXIMUM`].
        pub max: u64,
        /// [`flags`].
        pub flags: u32,
        /// Context offset of the [`crate::vmctx::VmMemoryDefinition`], or of the address of one for an import.
        pub definition: i32,
    }
}

record! {
    /// A global of the index space, imports first.
    pub struct Global {
        /// Type: a [`crate::types::ValType`] number.
        pub ty: u32,
        /// [`flags`].
        pub flags: u32,
        /// Context offset of its slot, or of the address of one for an import.
        pub slot: i32,
    }
}

record! {
    /// A data segment whose bytes are needed at run time.
    pub struct DataSegment {
        /// Offset of its bytes in the block.
        pub offset: u32,
        /// Length, in bytes.
        pub bytes: u32,
        /// Context offset of its current length (0 once dropped), 64 bits.
        pub length: i32,
    }
}

record! {
    /// An element segment. Those that are needed only before start-up have no items.
    pub struct ElemSegment {
        /// Element type: a [`crate::types::ValType`] number.
        pub element: u32,
        /// First item in the items section.
        pub items_start: u32,
        /// Number of items.
        pub items: u32,
        /// Context offset of its current length (0 once dropped), 64 bits; 0 if there are no items.
        pub length: i32,
    }
}

record! {
    /// An item of an element segment.
    pub struct ElemItem {
        /// An [`ElemItemKind`].
        pub kind: u32,
        /// Function or global index; 0 for null.
        pub index: u32,
    }
}

record! {
    /// An import that is bound to a function of the host's by its symbol: a function that the module defines.
    pub struct Bound {
        /// The import's first name.
        pub module: Str,
        /// The import's second name.
        pub name: Str,
        /// The symbol.
        pub symbol: Str,
        /// A [`BindStyle`].
        pub style: u32,
        /// The function's index.
        pub function: u32,
        /// C function that takes a context, which it ignores, and gives the address of the type that the host recorded, as a C string, or 0;
        /// 0 where a format cannot express that.
        pub type_code: i32,
    }
}

/// Flags of tables, memories and globals.
pub mod flags {
    /// The item is imported.
    pub const IMPORTED: u32 = 1;
    /// The global is mutable.
    pub const MUTABLE: u32 = 2;
    /// The memory is memory 0 of this instance and lies at the context.
    pub const AT_CTX: u32 = 4;
    /// The table is never seen or changed from outside: it exists as read-only data only.
    pub const CLOSED: u32 = 8;
}

macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $value:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum $name { $($(#[$variant_doc])* $variant = $value,)* }

        impl $name {
            /// The value with this number, if there is one.
            pub const fn from_u32(number: u32) -> Option<Self> {
                match number {
                    $($value => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

numbered! {
    /// What an import or export is; the binary format's numbers.
    ExternKind {
        /// A function.
        Func = 0,
        /// A table.
        Table = 1,
        /// A memory.
        Memory = 2,
        /// A global.
        Global = 3,
    }
}

numbered! {
    /// What an item of an element segment is.
    ElemItemKind {
        /// A null reference.
        Null = 0,
        /// A reference to a function.
        Func = 1,
        /// The value of a global when the item is used (globals in segments are immutable).
        Global = 2,
    }
}

numbered! {
    /// What a bound function is called with.
    BindStyle {
        /// Its arguments: `double sin(double)`.
        Plain = 0,
        /// The caller's context, then its arguments: `int32_t my_log(aotc_bound_caller_t *caller, int32_t x)`.
        WithCaller = 1,
    }
}

record! {
    /// Where the lines of a function of the module are, in the order of the functions' indices.
    pub struct LineFunction {
        /// Start in the lines section.
        pub start: u32,
        /// Length in bytes.
        pub bytes: u32,
    }
}

numbered! {
    /// What a piece of code is.
    CodeKind {
        /// A function of the module.
        Function = 0,
        /// Array call to wasm call.
        Entry = 1,
        /// Wasm call to array call.
        Exit = 2,
        /// Wasm call to a builtin.
        Builtin = 3,
        /// A local stand-in for an imported function.
        Thunk = 4,
        /// The start-up routine.
        StartUp = 5,
        /// Direct call to wasm call.
        DirectEntry = 6,
        /// What gives the recorded type of a bound function.
        BoundType = 7,
    }
}
