//! Values and text in memories: safe at any offset, little-endian as WebAssembly has them.

use core::str;

use crate::memory::{Memory, MemoryAccessError};
use crate::store::{AsContext, AsContextMut, StoreContext};

/// A number that can be read from a memory and written to it: an integer or float of any size. Sealed.
pub trait MemoryValue: sealed::Number {}

mod sealed {
    /// How a number lies in memory.
    pub trait Number: Copy + 'static {
        /// Size in bytes.
        const BYTES: usize;
        /// From as many bytes.
        fn from_bytes(bytes: &[u8]) -> Self;
        /// To as many bytes.
        fn to_bytes(self, bytes: &mut [u8]);
    }
}

macro_rules! memory_values {
    ($($ty:ty)*) => {$(
        impl sealed::Number for $ty {
            const BYTES: usize = size_of::<$ty>();

            #[inline]
            fn from_bytes(bytes: &[u8]) -> Self {
                let mut own = [0; size_of::<$ty>()];
                own.copy_from_slice(bytes);
                Self::from_le_bytes(own)
            }

            #[inline]
            fn to_bytes(self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.to_le_bytes());
            }
        }

        impl MemoryValue for $ty {}
    )*};
}

memory_values! { u8 i8 u16 i16 u32 i32 u64 i64 u128 i128 f32 f64 }

/// Text in a memory that is not UTF-8, or not in the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryTextError {
    /// It leads outside the memory.
    Access(MemoryAccessError),
    /// It is not UTF-8.
    Utf8(str::Utf8Error),
}

impl core::fmt::Display for MemoryTextError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Access(error) => error.fmt(f),
            Self::Utf8(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for MemoryTextError {}

/// Values and text.
///
/// ```
/// use aotc_loader::{Engine, Memory, MemoryType, Store};
///
/// # fn main() -> anyhow::Result<()> {
/// let mut store = Store::new(&Engine::default(), ());
/// let memory = Memory::new(&mut store, MemoryType::new(1, None))?;
/// memory.write_value(&mut store, 6, 0x0102_0304_u32)?;
/// assert_eq!(memory.read_value::<u16>(&store, 8)?, 0x0102);
/// memory.write_values(&mut store, 16, &[1.5_f64, 2.5])?;
/// assert_eq!(memory.values::<f64>(&store, 16, 2)?.sum::<f64>(), 4.0);
/// memory.write(&mut store, 100, "héllo".as_bytes())?;
/// assert_eq!(memory.read_str(&store, 100, 6)?, "héllo");
/// # Ok(())
/// # }
/// ```
impl Memory {
    /// The value at `offset`, which need not be aligned.
    ///
    /// # Errors
    /// If it leads outside.
    pub fn read_value<V: MemoryValue>(
        &self,
        store: impl AsContext,
        offset: usize,
    ) -> Result<V, MemoryAccessError> {
        let store = store.as_context();
        Ok(V::from_bytes(inside(self.data(store), offset, V::BYTES)?))
    }

    /// Sets the value at `offset`, which need not be aligned.
    ///
    /// # Errors
    /// If it leads outside; nothing is written then.
    pub fn write_value<V: MemoryValue>(
        &self,
        store: impl AsContextMut,
        offset: usize,
        value: V,
    ) -> Result<(), MemoryAccessError> {
        self.write_values(store, offset, &[value])
    }

    /// The `count` values from `offset` on, one behind the other.
    ///
    /// # Errors
    /// If they lead outside.
    pub fn values<'a, V: MemoryValue>(
        &self,
        store: &'a impl AsContext,
        offset: usize,
        count: usize,
    ) -> Result<impl ExactSizeIterator<Item = V> + 'a, MemoryAccessError> {
        let bytes = count.checked_mul(V::BYTES).ok_or(MemoryAccessError)?;
        let data = inside(self.data(store.as_context()), offset, bytes)?;
        Ok(data.chunks_exact(V::BYTES).map(V::from_bytes))
    }

    /// Sets the values from `offset` on.
    ///
    /// # Errors
    /// If they lead outside; nothing is written then.
    pub fn write_values<V: MemoryValue>(
        &self,
        mut store: impl AsContextMut,
        offset: usize,
        values: &[V],
    ) -> Result<(), MemoryAccessError> {
        let bytes = values.len().checked_mul(V::BYTES).ok_or(MemoryAccessError)?;
        let end = offset.checked_add(bytes).ok_or(MemoryAccessError)?;
        let mut store = store.as_context_mut();
        let data = self.data_mut(&mut store).get_mut(offset..end).ok_or(MemoryAccessError)?;
        for (value, bytes) in values.iter().zip(data.chunks_exact_mut(V::BYTES)) {
            value.to_bytes(bytes);
        }
        Ok(())
    }

    /// The `bytes` bytes from `offset` on, as text.
    ///
    /// # Errors
    /// If they lead outside, or are not UTF-8.
    pub fn read_str<'a, T: 'static>(
        &self,
        store: impl Into<StoreContext<'a, T>>,
        offset: usize,
        bytes: usize,
    ) -> Result<&'a str, MemoryTextError> {
        let data = inside(self.data(store), offset, bytes).map_err(MemoryTextError::Access)?;
        str::from_utf8(data).map_err(MemoryTextError::Utf8)
    }
}

fn inside(data: &[u8], offset: usize, bytes: usize) -> Result<&[u8], MemoryAccessError> {
    let end = offset.checked_add(bytes).ok_or(MemoryAccessError)?;
    data.get(offset..end).ok_or(MemoryAccessError)
}
