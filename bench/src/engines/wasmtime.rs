//! Wasmtime, as far as it differs from aotc.

#[path = "shared.rs"]
mod shared;

use std::num::NonZero;
use std::path::Path;

use anyhow::Result;
use wasmtime::{Config, InstanceAllocationStrategy, PoolingAllocationConfig};
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::{FsPerms, I32Exit, WasiCtxBuilder, p1};

pub(crate) use wasmtime::{
    Caller, Engine, Instance, InstancePre, Linker, Module, Store, Trap, Val,
};
pub(crate) use wasmtime_wasi::p1::WasiP1Ctx as Host;
pub(crate) use wasmtime_wasi::p2::pipe::MemoryOutputPipe as Output;

use crate::programs::{OUTPUT_BYTES_MAX, Run};

const NAME: &str = "wasmtime";

/// Where instances get their memory from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allocation {
    /// From the operating system, one by one.
    OnDemand,
    /// From a pool.
    Pooled,
}

/// Wasmtime with its default settings, but for the CPU.
pub(crate) struct Side {
    engine: Engine,
}

pub(crate) fn side(allocation: Allocation) -> Result<Side> {
    let mut config = config()?;
    if allocation == Allocation::Pooled {
        let mut pool = PoolingAllocationConfig::default();
        // As many as a module of ours keeps.
        pool.total_core_instances(100).total_memories(100).total_tables(100);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    }
    Ok(Side { engine: Engine::new(&config)? })
}

fn config() -> Result<Config> {
    let mut config = Config::new();
    // Naming the target switches off the detection of this processor's features.
    config.target("x86_64-unknown-linux-gnu")?;
    // SAFETY: a preset of processor features; `Engine::new` and loading check that the processor has them.
    unsafe { config.cranelift_flag_enable(aotc::Cpu::baseline_name(aotc::Arch::X86_64)) };
    Ok(config)
}

fn compile(wasm: &[u8], threads: Option<NonZero<usize>>) -> Result<Vec<u8>> {
    let mut config = config()?;
    // It compiles with one thread or all.
    config.parallel_compilation(threads.is_none());
    Ok(Engine::new(&config)?.precompile_module(wasm)?)
}

fn open(engine: &Engine, artifact: &Path) -> Result<Module> {
    // SAFETY: `compile` has made the file, and nobody changes it.
    Ok(unsafe { Module::deserialize_file(engine, artifact) }?)
}

fn wasi_linker(engine: &Engine) -> Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    p1::add_to_linker_sync(&mut linker, |host: &mut Host| host)?;
    Ok(linker)
}

fn wasi_host(run: &Run) -> Result<(Host, Output)> {
    let output = Output::new(OUTPUT_BYTES_MAX);
    let mut builder = WasiCtxBuilder::new();
    builder
        .args(&[&run.name, &run.size])
        .stdin(MemoryInputPipe::new(run.stdin.clone()))
        .stdout(output.clone())
        .inherit_stderr()
        // What is fastest for programs that run alone.
        .allow_blocking_current_thread(true);
    if let Some(folder) = &run.folder {
        builder.preopened_dir(folder, ".", FsPerms::ReadWrite)?;
    }
    Ok((builder.build_p1(), output))
}

fn exit_code(error: &wasmtime::Error) -> Option<i32> {
    error.downcast_ref::<I32Exit>().map(|exit| exit.0)
}
