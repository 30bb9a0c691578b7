//! Names that someone may have meant.

use crate::prelude::*;

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
fn near(wanted: &str, name: &str) -> Option<usize> {
    let length = wanted.chars().count().max(name.chars().count());
    let distance = distance(&wanted.to_ascii_lowercase(), &name.to_ascii_lowercase());
    (distance <= (length / 3).max(1) && distance < length.max(1)).then_some(distance)
}

/// How far a pair of names is from the pair that was looked for: as [`near`], or at a distance if one of both is the
/// same.
pub(crate) fn near_pair(wanted: (&str, &str), names: (&str, &str)) -> Option<usize> {
    /// Further than any misspelling of a name of this length: the name is right and its module is not.
    const OTHER_MODULE: usize = 100;
    if wanted.1 == names.1 {
        return Some(near(wanted.0, names.0).unwrap_or(OTHER_MODULE));
    }
    if wanted.0 == names.0 { near(wanted.1, names.1) } else { None }
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

    #[test]
    fn near_names() {
        assert_eq!(near_pair(("host", "lgo"), ("host", "log")), Some(1));
        assert_eq!(near_pair(("hots", "log"), ("host", "log")), Some(1));
        assert_eq!(near_pair(("env", "log"), ("host", "log")), Some(100));
        assert_eq!(near_pair(("host", "Log"), ("host", "log")), Some(0));
        assert_eq!(near_pair(("host", "log"), ("host", "read")), None);
        assert_eq!(near_pair(("host", "a"), ("host", "b")), None);
        assert_eq!(near_pair(("hots", "lgo"), ("host", "log")), None);
    }
}
