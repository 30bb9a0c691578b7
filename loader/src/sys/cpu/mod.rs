//! The processor's features.

#[cfg(any(not(target_arch = "x86_64"), miri))]
mod other;
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod x86_64;

#[cfg(any(not(target_arch = "x86_64"), miri))]
pub(crate) use other::Cpu;
#[cfg(all(target_arch = "x86_64", not(miri)))]
pub(crate) use x86_64::Cpu;
