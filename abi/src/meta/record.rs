//! Fixed-width records: a struct, its size, and both directions of its encoding from one list of fields.

use alloc::vec::Vec;

/// A field's or record's fixed-width little-endian encoding.
pub trait Record: Sized {
    /// Encoded size in bytes.
    const BYTES: usize;

    /// Appends the encoding to `out`.
    fn encode(&self, out: &mut Vec<u8>);

    /// Decodes the first [`Record::BYTES`] bytes of `bytes`.
    ///
    /// # Panics
    /// If `bytes` is shorter.
    fn decode(bytes: &[u8]) -> Self;
}

macro_rules! integer_record {
    ($($ty:ty)*) => {$(
        impl Record for $ty {
            const BYTES: usize = size_of::<$ty>();

            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            #[inline]
            fn decode(bytes: &[u8]) -> Self {
                let mut buffer = [0; size_of::<$ty>()];
                buffer.copy_from_slice(&bytes[..size_of::<$ty>()]);
                Self::from_le_bytes(buffer)
            }
        }
    )*};
}

integer_record! { u8 u32 i32 u64 }

/// Declares a record. This is the crate's one macro besides the index newtypes and the named enums:
/// with it, what is written and what is read cannot differ.
macro_rules! record {
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[$field_doc:meta])* pub $field:ident: $ty:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name { $($(#[$field_doc])* pub $field: $ty,)* }

        impl $crate::meta::Record for $name {
            const BYTES: usize = 0 $(+ <$ty as $crate::meta::Record>::BYTES)*;

            fn encode(&self, out: &mut alloc::vec::Vec<u8>) {
                $(self.$field.encode(out);)*
            }

            #[inline]
            fn decode(bytes: &[u8]) -> Self {
                let mut at = 0;
                $(
                    let $field = <$ty as $crate::meta::Record>::decode(&bytes[at..]);
                    at += <$ty as $crate::meta::Record>::BYTES;
                )*
                let _ = at;
                Self { $($field,)* }
            }
        }

        impl $name {
            /// Name and size of every field, in order: part of the layout hash.
            pub(crate) const FIELDS: &'static [(&'static str, usize)] =
                &[$((stringify!($field), <$ty as $crate::meta::Record>::BYTES)),*];
        }
    };
}

pub(crate) use record;
