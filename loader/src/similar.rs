//! Names that someone may have meant.

use aotc_abi::similar::near;

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
