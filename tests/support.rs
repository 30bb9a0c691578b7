//! What several test modules need.

use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Whether a tool that is absent is an error, and not a reason to skip a test.
pub(crate) fn in_ci() -> bool {
    std::env::var("CI").as_deref() == Ok("true")
}

/// The shortest time that `run` takes with each of `subjects`, which take turns.
pub(crate) fn fastest<T, const COUNT: usize>(
    subjects: [T; COUNT],
    mut run: impl FnMut(&T) -> anyhow::Result<()>,
) -> anyhow::Result<[Duration; COUNT]> {
    let mut times = [Duration::MAX; COUNT];
    for _ in 0..10 {
        for (subject, time) in subjects.iter().zip(&mut times) {
            let start = Instant::now();
            run(subject)?;
            *time = start.elapsed().min(*time);
        }
    }
    Ok(times)
}
