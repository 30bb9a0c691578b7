//! Index newtypes: one per WebAssembly index space, so that they cannot be mixed up.

macro_rules! index {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);

        impl $name {
            /// This index as a slice index.
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}

index! {
    /// An index into the module's types.
    TypeIndex
    /// An index into the function index space: imports first, then definitions.
    FuncIndex
    /// An index into the functions that the module defines, in order of definition.
    DefinedFuncIndex
    /// An index into the table index space: imports first, then definitions.
    TableIndex
    /// An index into the memory index space: imports first, then definitions.
    MemoryIndex
    /// An index into the global index space: imports first, then definitions.
    GlobalIndex
    /// An index into the element segments.
    ElemIndex
    /// An index into the data segments.
    DataIndex
}
