//! Collections whose sizes modules decide. That there is no memory for them is an error, [`LoadError::OutOfMemory`], where the
//! collections of `alloc` end the program.
//!
//! What is small whatever the module, such as a box for an error, is allocated as anywhere.

use crate::error::LoadError;
use crate::prelude::*;

/// Room for `count` more items.
///
/// # Errors
/// [`LoadError::OutOfMemory`].
#[inline]
pub(crate) fn reserve<T>(items: &mut Vec<T>, count: usize) -> Result<(), LoadError> {
    if items.capacity() - items.len() >= count {
        return Ok(());
    }
    items.try_reserve(count).map_err(|_| LoadError::OutOfMemory { action: "keep an instance" })
}

/// Room for `count` items in an empty collection, and not more.
///
/// # Errors
/// [`LoadError::OutOfMemory`].
pub(crate) fn reserve_exact<T>(items: &mut Vec<T>, count: usize) -> Result<(), LoadError> {
    let what = LoadError::OutOfMemory { action: "keep what a module declares" };
    items.try_reserve_exact(count).map_err(|_| what)
}

/// As many items as the iterator says.
///
/// # Errors
/// [`LoadError::OutOfMemory`].
pub(crate) fn collect<T>(items: impl ExactSizeIterator<Item = T>) -> Result<Box<[T]>, LoadError> {
    let mut all = Vec::new();
    reserve_exact(&mut all, items.len())?;
    // Not more, whatever the iterator does, so that nothing is allocated.
    let count = items.len();
    all.extend(items.take(count));
    Ok(all.into_boxed_slice())
}

/// `count` zeros.
///
/// # Errors
/// [`LoadError::OutOfMemory`].
#[cfg(feature = "std")]
pub(crate) fn zeros(count: usize) -> Result<Vec<u8>, LoadError> {
    let mut bytes = Vec::new();
    let what = LoadError::OutOfMemory { action: "read the artifact" };
    bytes.try_reserve_exact(count).map_err(|_| what)?;
    bytes.resize(count, 0);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_much_is_an_error() {
        let mut items = vec![0u64; 3];
        reserve(&mut items, 5).unwrap();
        assert!(items.capacity() >= 8);
        for count in [usize::MAX, usize::MAX / 8, 1 << 60] {
            let error = reserve(&mut items, count).unwrap_err();
            assert!(error.is_out_of_memory());
            assert_eq!(error.to_string(), "cannot keep an instance: out of memory");
        }
        assert_eq!(*collect(0..3).unwrap(), [0, 1, 2]);
        assert!(collect((0..usize::MAX >> 3).map(|index| index as u64)).is_err());
    }
}
