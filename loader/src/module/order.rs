//! The order of things by a key: one sort for all that a module has, since each would be kilobytes of code.

use crate::prelude::*;

/// The numbers by their keys, and by themselves where those are the same.
pub(super) fn sorted(mut keys: Box<[(u64, u32)]>) -> impl ExactSizeIterator<Item = u32> {
    keys.sort_unstable();
    keys.into_iter().map(|(_, number)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_decide_then_numbers() {
        let keys = Box::new([(7, 0), (u64::MAX, 1), (0, 2), (7, 3), (1 << 40, 4)]);
        assert!(sorted(keys).eq([2, 0, 3, 4, 1]));
        assert_eq!(sorted(Box::new([])).len(), 0);
    }
}
