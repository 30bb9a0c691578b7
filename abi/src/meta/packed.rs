//! Tables with a row for each function, whose columns take as many bytes as their largest number needs.
//!
//! ```text
//!   0   width of each column, in bytes: 0 to 4
//!   4   the rows, one behind the other: the low bytes of their numbers, little-endian
//!       4 bytes more, so that all of a number is read at once whatever its width
//! ```
//!
//! A column of nothing but 0 takes no bytes; how many rows there are is said where the table is located.

use alloc::vec::Vec;
use core::marker::PhantomData;

/// Most columns of a table.
const COLUMNS_MAX: usize = 4;
/// Size of what stands before the rows.
const HEAD_BYTES: usize = COLUMNS_MAX;
/// Size of what stands behind them.
const TAIL_BYTES: usize = 4;

/// The numbers of a row, by column.
pub type Numbers = [u32; COLUMNS_MAX];

/// A row, as numbers.
pub trait PackedRecord: Sized {
    /// Names of the columns: part of the layout hash.
    const COLUMNS: &'static [&'static str];

    /// Its numbers; 0 for columns that the table does not have.
    fn to_numbers(&self) -> Numbers;

    /// The row with these numbers.
    fn from_numbers(numbers: Numbers) -> Self;
}

/// A table that is read in place.
#[derive(Clone, Copy, Debug)]
pub struct PackedRecords<'a, R> {
    widths: [u8; COLUMNS_MAX],
    row_bytes: usize,
    /// With what stands behind them.
    rows: &'a [u8],
    len: u32,
    record: PhantomData<R>,
}

impl<'a, R: PackedRecord> PackedRecords<'a, R> {
    /// The table of `len` rows with which `bytes` begin; `None` if it makes no sense or they are fewer.
    pub(super) fn parse(bytes: &'a [u8], len: u32) -> Option<Self> {
        let (&widths, rows) = bytes.split_first_chunk()?;
        let row_bytes = widths.iter().map(|&width| usize::from(width)).sum();
        let rows_bytes = u64::from(len) * row_bytes as u64 + TAIL_BYTES as u64;
        let rows = rows.get(..usize::try_from(rows_bytes).ok()?)?;
        let are_numbers = widths.iter().all(|&width| width <= 4);
        are_numbers.then_some(Self { widths, row_bytes, rows, len, record: PhantomData })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Row `index`, if there are that many.
    #[inline]
    pub fn get(&self, index: u32) -> Option<R> {
        if index >= self.len {
            return None;
        }
        let mut at = index as usize * self.row_bytes;
        let mut numbers = [0; COLUMNS_MAX];
        for (number, width) in numbers.iter_mut().zip(self.widths).take(R::COLUMNS.len()) {
            let bytes = self.rows[at..].first_chunk().expect("the tail is behind all rows");
            *number = u32::from_le_bytes(*bytes) & ((1_u64 << (8 * width)) - 1) as u32;
            at += usize::from(width);
        }
        Some(R::from_numbers(numbers))
    }

    /// Row `index`.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn at(&self, index: u32) -> R {
        self.get(index).expect("row of a table")
    }

    /// All rows in order.
    pub fn iter(self) -> impl ExactSizeIterator<Item = R> + 'a
    where
        R: 'a,
    {
        (0..self.len).map(move |index| self.at(index))
    }

    /// Size of the table, in bytes.
    pub(super) fn bytes(&self) -> usize {
        HEAD_BYTES + self.rows.len()
    }
}

/// Appends the table with these rows.
pub(super) fn encode<R: PackedRecord>(out: &mut Vec<u8>, rows: &[R]) {
    let mut largest = [0; COLUMNS_MAX];
    for row in rows {
        for (largest, number) in largest.iter_mut().zip(row.to_numbers()) {
            *largest |= number;
        }
    }
    let widths = largest.map(|bits| (u32::BITS - bits.leading_zeros()).div_ceil(8) as u8);
    out.extend(widths);
    for row in rows {
        for (number, width) in row.to_numbers().into_iter().zip(widths) {
            out.extend(&number.to_le_bytes()[..usize::from(width)]);
        }
    }
    out.extend([0; TAIL_BYTES]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Row([u32; COLUMNS_MAX]);

    impl PackedRecord for Row {
        const COLUMNS: &'static [&'static str] = &["a", "b", "c", "d"];

        fn to_numbers(&self) -> Numbers {
            self.0
        }

        fn from_numbers(numbers: Numbers) -> Self {
            Self(numbers)
        }
    }

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let cases: [(&[[u32; 4]], usize); 5] = [
            (&[], 0),
            (&[[0; 4]; 3], 0),
            (&[[1, 0, 256, 255], [2, 0, 3, 0]], 2 * 4),
            (&[[0xff_ffff, 0x100_0000, 0, u32::MAX], [0; 4]], 2 * 11),
            (&[[7, 7, 7, 7]], 4),
        ];
        for (rows, rows_bytes) in cases {
            let rows: Vec<Row> = rows.iter().copied().map(Row).collect();
            let mut bytes = Vec::new();
            encode(&mut bytes, &rows);
            assert_eq!(bytes.len(), HEAD_BYTES + rows_bytes + TAIL_BYTES);
            let parse = |bytes| PackedRecords::<Row>::parse(bytes, rows.len() as u32);
            assert!((0..bytes.len()).all(|end| parse(&bytes[..end]).is_none()));
            let table = parse(&bytes).unwrap();
            assert_eq!((table.len(), table.bytes()), (rows.len(), bytes.len()));
            assert!(table.iter().eq(rows.iter().copied()));
            assert_eq!(table.get(rows.len() as u32), None);
        }
    }

    #[test]
    fn wider_columns_are_refused() {
        assert!(PackedRecords::<Row>::parse(&[4, 4, 4, 4, 0, 0, 0, 0], 0).is_some());
        assert!(PackedRecords::<Row>::parse(&[4, 5, 0, 0, 0, 0, 0, 0], 0).is_none());
        assert!(PackedRecords::<Row>::parse(&[255; 16], u32::MAX).is_none());
    }
}
