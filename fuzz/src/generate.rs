//! Modules from bytes, valid by construction.

use arbitrary::Unstructured;
use wasm_smith::{Config, Module};

use crate::random::Random;

/// Calls, and iterations of loops, that an instance has before it traps.
const FUEL: u32 = 1_000;

/// What a module is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be compiled: limits may be large.
    Compile,
    /// To be run on two engines: it ends, what it computes does not depend on the engine, and what it holds
    /// can be compared.
    Run,
}

/// A module made from `data`, in the binary format; `None` if there are too few bytes.
pub fn module(data: &[u8], purpose: Purpose) -> Option<Vec<u8>> {
    let mut random = Random::from_bytes(data);
    let config = config(purpose, &mut random);
    let mut module = Module::new(config, &mut Unstructured::new(data)).ok()?;
    if purpose == Purpose::Run {
        module.ensure_termination(FUEL).expect("bodies are generated as instructions");
    }
    Some(module.to_bytes())
}

/// What is supported, and nothing else.
fn config(purpose: Purpose, random: &mut Random) -> Config {
    let run = purpose == Purpose::Run;
    let pages_max = if run { 16 } else { random.choose(&[1, 100, 65_536]) };
    Config {
        // Version 2.0.
        bulk_memory_enabled: true,
        multi_value_enabled: true,
        reference_types_enabled: true,
        saturating_float_to_int_enabled: true,
        sign_extension_ops_enabled: true,
        simd_enabled: true,
        // What is supported beyond it.
        extended_const_enabled: true,
        max_memories: random.choose(&[1, 1, 3]),
        // What is not.
        acquire_release_atomics_enabled: false,
        compact_imports_enabled: false,
        custom_descriptors_enabled: false,
        custom_page_sizes_enabled: false,
        exceptions_enabled: false,
        gc_enabled: false,
        memory64_enabled: false,
        multibyte_array_access_enabled: false,
        relaxed_simd_enabled: false,
        shared_everything_threads_enabled: false,
        tail_call_enabled: false,
        threads_enabled: false,
        wide_arithmetic_enabled: false,
        // Sizes.
        max_instructions: random.choose(&[20, 100, 100, 400]),
        max_memory32_bytes: pages_max << 16,
        max_table_elements: if run { 50 } else { random.choose(&[100, 10_000]) },
        max_tables: random.choose(&[1, 4]),
        min_types: 4,
        min_funcs: random.choose(&[1, 6]),
        min_globals: random.choose(&[0, 4]),
        min_memories: random.choose(&[0, 1, 1]),
        min_tables: random.choose(&[0, 1, 1]),
        min_element_segments: random.choose(&[0, 2]),
        min_data_segments: random.choose(&[0, 2]),
        memory_max_size_required: run,
        table_max_size_required: run,
        // What is exported may change from outside, so less is known of it.
        export_everything: random.below(2) == 0,
        min_exports: 4,
        max_exports: 10,
        max_funcs: 12,
        max_imports: 12,
        max_globals: 12,
        max_data_segments: 10,
        max_element_segments: 10,
        max_elements: 20,
        // Traps end functions early: without them there is more to compare.
        disallow_traps: random.below(2) == 0,
        canonicalize_nans: run,
        ..Config::default()
    }
}
