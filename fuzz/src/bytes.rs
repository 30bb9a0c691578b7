//! Whatever the bytes, they are compiled, inspected, or refused.

use aotc::{Emit, Error};

use crate::Verdict;
use crate::generate::{self, Purpose};
use crate::random::Random;
use crate::style;

/// Words of an input as text.
const TEXT_WORDS_MAX: usize = 200;

/// Compiles and inspects `data`: as it is, behind the magic number, as text, and as damage to a module and its artifact.
///
/// # Panics
/// If the compiler does, or says that it is its own fault.
pub fn run(data: &[u8]) -> Verdict {
    let mut random = Random::from_bytes(data);
    check(data, &mut random);
    check(&[b"\0asm\x01\0\0\0", data].concat(), &mut random);
    check(text(data).as_bytes(), &mut random);
    let Some(mut wasm) = generate::module(data, Purpose::Run) else {
        return Verdict::Checked;
    };
    let options = style::any(&mut random);
    let emit = random.choose(&[Emit::Object, Emit::Image]);
    let artifact = aotc::compile(&wasm, emit, &options);
    if let Ok(mut artifact) = artifact {
        damage(&mut artifact, &mut random);
        let _ = aotc::inspect(&artifact);
    }
    damage(&mut wasm, &mut random);
    check(&wasm, &mut random);
    Verdict::Checked
}

fn check(input: &[u8], random: &mut Random) {
    let emit = random.choose(&[Emit::Object, Emit::Image, Emit::Clif]);
    if let Err(error @ Error::Internal { .. }) = aotc::compile(input, emit, &style::any(random)) {
        panic!("{error}");
    }
    let _ = aotc::inspect(input);
}

fn damage(bytes: &mut [u8], random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        bytes[at] = match random.below(2) {
            0 => bytes[at] ^ 1 << random.below(8),
            _ => random.next() as u8,
        };
    }
}

/// Words of the text format, one per byte.
fn text(data: &[u8]) -> String {
    const WORDS: &str = "( ) ( ) (module (func (param (result (memory (table (global (export (import (data \
        (elem (start (type (mut i32 i64 v128 funcref i32.const i32.add local.get call $a \"a\" 0 -1 0xffffffff nan";
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let chosen = data.iter().map(|&byte| words[usize::from(byte) % words.len()]);
    chosen.take(TEXT_WORDS_MAX).collect::<Vec<_>>().join(" ")
}
