//! Settings of an engine.

/// How an [`crate::Engine`] and what belongs to it behave. What is not set is as [`Config::new`] says.
///
/// There is nothing here about compiling: that is decided when `aotc compile` runs, and an artifact that does not
/// fit an engine's settings is refused when it is loaded.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Config {}

impl Config {
    /// The settings of [`crate::Engine::default`].
    pub fn new() -> Self {
        Self::default()
    }
}
