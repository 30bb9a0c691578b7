//! Names that someone may have meant.

use alloc::vec;
use alloc::vec::Vec;

/// The number of characters to insert, remove, replace or swap with a neighbour to get from `a` to `b`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    // Rows of the table of distances between beginnings: the one before the last, the last, the current.
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut previous = None;
    for (row, from) in a.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, &to) in b.iter().enumerate() {
            let replaced = last[column] + usize::from(from != to);
            let mut best = replaced.min(last[column + 1] + 1).min(current[column] + 1);
            if column > 0 && previous == Some(to) && from == b[column - 1] {
                best = best.min(before[column - 1] + 1);
            }
            current.push(best);
        }
        previous = Some(from);
        before = core::mem::replace(&mut last, current);
    }
    last[b.len()]
}

/// How far `name` is from what was looked for; `None` if nobody would take one for the other.
pub fn near(wanted: &str, name: &str) -> Option<usize> {
    let length = wanted.chars().count().max(name.chars().count());
    let distance = distance(&wanted.to_ascii_lowercase(), &name.to_ascii_lowercase());
    (distance <= (length / 3).max(1) && distance < length.max(1)).then_some(distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("log", "log", 0),
            ("log", "lgo", 1),
            ("fd_write", "fd_writ", 1),
            ("kitten", "sitting", 3),
            ("ä", "a", 1),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }
}
