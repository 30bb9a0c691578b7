//! The loader with compiled modules: what depends on the host's memory, its signals and its stacks.
#![allow(missing_docs, reason = "tests")]

mod address_space;
mod calls;
mod coredump;
mod creator;
mod examples;
mod failure;
mod faults;
#[cfg(feature = "async")]
mod fibers;
mod floats;
mod func;
mod hooks;
mod image;
mod instance;
mod interruption;
mod keys;
mod lines;
mod linker;
mod memory;
mod misuse;
mod module;
mod pool;
mod references;
mod reset;
mod scarcity;
mod settings;
mod slots;
mod support;
mod types;
