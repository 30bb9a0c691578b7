//! Measures aotc and Wasmtime side by side, in one run, and prints a Markdown table.
//!
//! ```text
//! cargo run --release --manifest-path bench/Cargo.toml [FILTER]
//! ```
//!
//! With FILTER only the rows are measured whose label contains it.
//!
//! ```text
//! sections: what rows there are ──> Contender::…: work that can be repeated ──> measure: in turn, medians ──> table
//!                                   engines/shared.rs, compiled against each engine
//! ```

mod engines;
mod measure;
mod modules;
mod programs;
mod sections;
mod sizes;
mod strip;
mod table;
mod tools;
mod wasm2c;

use std::path::PathBuf;

use anyhow::{Context, Result};

use engines::{Contender, aotc, wasmtime};
use table::Table;

fn main() -> Result<()> {
    // Both engines' errors would capture a backtrace of the host.
    // SAFETY: there is only this thread yet.
    unsafe { std::env::remove_var("RUST_BACKTRACE") };
    let artifacts = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/artifacts");
    std::fs::create_dir_all(&artifacts)
        .with_context(|| format!("failed to create `{}`", artifacts.display()))?;
    let aotc = aotc::side()?;
    let aotc_pooled = aotc::pooled_side()?;
    let wasmtime = wasmtime::side(wasmtime::Allocation::OnDemand)?;
    let pooled = wasmtime::side(wasmtime::Allocation::Pooled)?;
    let mut bench = Bench {
        aotc: &aotc,
        aotc_pooled: &aotc_pooled,
        wasmtime: &wasmtime,
        pooled: &pooled,
        artifacts,
        table: Table::new(),
    };
    sections::run(&mut bench)
}

/// What all sections need.
struct Bench<'a> {
    aotc: &'a dyn Contender,
    /// aotc with its pooling allocator.
    aotc_pooled: &'a dyn Contender,
    wasmtime: &'a dyn Contender,
    /// Wasmtime with its pooling allocator; it loads the same artifacts.
    pooled: &'a dyn Contender,
    /// Folder for artifacts and for what programs write.
    artifacts: PathBuf,
    table: Table,
}
