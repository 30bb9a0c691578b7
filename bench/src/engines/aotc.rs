//! aotc, as far as it differs from Wasmtime.

#[path = "shared.rs"]
mod shared;

use std::num::NonZero;
use std::path::Path;

use anyhow::Result;
use aotc::{Emit, Options};
use aotc_loader::{Config, InstanceAllocationStrategy, PoolingAllocationConfig};
use aotc_wasi::{FsPerms, MemoryInputPipe, ProcExit, WasiCtx};

pub(crate) use aotc_loader::{
    Caller, Engine, Instance, InstancePre, Linker, Module, Store, Trap, Val,
};
pub(crate) use aotc_wasi::MemoryOutputPipe as Output;
pub(crate) use aotc_wasi::WasiCtx as Host;

use crate::programs::{OUTPUT_BYTES_MAX, Run};

pub(crate) const NAME: &str = "aotc";

/// aotc with default options.
pub(crate) struct Side {
    engine: Engine,
}

pub(crate) fn side() -> Result<Side> {
    Ok(Side { engine: Engine::new(&Config::new())? })
}

/// With a pool of as many slots as Wasmtime's has.
pub(crate) fn pooled_side() -> Result<Side> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(100).total_memories(100).total_tables(100);
    let mut config = Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Ok(Side { engine: Engine::new(&config)? })
}

fn compile(wasm: &[u8], threads: Option<NonZero<usize>>) -> Result<Vec<u8>> {
    // The default CPU is the one that Wasmtime is told, too.
    let options = Options { threads, ..Options::default() };
    Ok(aotc::compile(wasm, Emit::Image, &options)?)
}

fn open(engine: &Engine, artifact: &Path) -> Result<Module> {
    Module::open(engine, artifact)
}

fn wasi_linker(engine: &Engine) -> Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    aotc_wasi::add_to_linker(&mut linker, |host: &mut Host| host)?;
    Ok(linker)
}

fn wasi_host(run: &Run) -> Result<(Host, Output)> {
    let output = Output::new(OUTPUT_BYTES_MAX);
    let mut builder = WasiCtx::builder();
    builder
        .args([&run.name, &run.size])
        .stdin(MemoryInputPipe::new(run.stdin.clone()))
        .stdout(output.clone())
        .inherit_stderr();
    if let Some(folder) = &run.folder {
        builder.preopened_dir(folder, ".", FsPerms::ReadWrite)?;
    }
    Ok((builder.build(), output))
}

fn exit_code(error: &anyhow::Error) -> Option<i32> {
    error.downcast_ref::<ProcExit>().map(|exit| exit.0)
}
