//! Every valid module is compiled, in every style, to objects and images.

use aotc::{Emit, Error};

use crate::Verdict;
use crate::generate::{self, Purpose};
use crate::random::Random;
use crate::style::{self, STYLES};

/// Compiles a generated module.
///
/// # Panics
/// If the compiler does, or refuses the module for another reason than a limit.
pub fn run(data: &[u8]) -> Verdict {
    let Some(wasm) = generate::module(data, Purpose::Compile) else {
        return Verdict::Skipped;
    };
    let mut random = Random::from_bytes(data);
    for style in STYLES {
        let emit = random.choose(&[Emit::Object, Emit::Image]);
        let options = style::options(style, &mut random);
        match aotc::compile(&wasm, emit, &options) {
            Ok(artifact) => {
                if let Err(error) = aotc::inspect(&artifact) {
                    panic!("{emit:?} cannot be read: {error}; options: {options:?}");
                }
            }
            Err(Error::Limit(_)) => return Verdict::Skipped,
            Err(error) => panic!("{error}; {emit:?}, options: {options:?}"),
        }
    }
    Verdict::Checked
}
