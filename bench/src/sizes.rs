//! Sizes of artifacts. Both engines' are ELF files.

use anyhow::Result;
use object::{Object, ObjectSection};

/// Where an artifact's bytes go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// The file.
    pub(crate) all: usize,
    /// The section `.text`.
    pub(crate) code: u64,
}

impl Size {
    pub(crate) fn of(artifact: &[u8]) -> Result<Self> {
        let file = object::File::parse(artifact)?;
        let code = file.section_by_name(".text").map_or(0, |section| section.size());
        Ok(Self { all: artifact.len(), code })
    }

    /// All that is not code.
    pub(crate) fn rest(self) -> u64 {
        self.all as u64 - self.code
    }
}
