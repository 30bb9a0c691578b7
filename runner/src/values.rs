//! Arguments and results of an export, as text.

use std::ffi::OsString;
use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail};
use aotc_loader::{Val, ValType};

/// The arguments as parameters of these types.
pub(crate) fn arguments(params: &[ValType], args: &[OsString]) -> Result<Vec<Val>> {
    if params.len() != args.len() {
        bail!("expected {} arguments, found {}", params.len(), args.len());
    }
    let texts = args.iter().map(|arg| {
        arg.to_str().with_context(|| format!("expected a value, found `{}`", arg.display()))
    });
    params.iter().zip(texts).map(|(ty, text)| argument(ty, text?)).collect()
}

fn argument(ty: &ValType, text: &str) -> Result<Val> {
    let value = match ty {
        ValType::I32 => integer(text).and_then(to_i32).map(Val::I32),
        ValType::I64 => integer(text).map(Val::I64),
        ValType::F32 => f32::from_str(text).ok().map(|value| Val::F32(value.to_bits())),
        ValType::F64 => f64::from_str(text).ok().map(|value| Val::F64(value.to_bits())),
        ValType::V128 => u128::from_str(text).ok().map(|value| Val::V128(value.into())),
        ValType::Ref(_) => bail!("a reference cannot be given on the command line"),
    };
    value.ok_or_else(|| anyhow!("expected a value of type {ty}, found `{text}`"))
}

/// An integer, signed or unsigned.
fn integer(text: &str) -> Option<i64> {
    i64::from_str(text).ok().or_else(|| u64::from_str(text).ok().map(|value| value as i64))
}

/// The `i32` that a number is, or is the bits of.
fn to_i32(wide: i64) -> Option<i32> {
    i32::try_from(wide).ok().or_else(|| u32::try_from(wide).ok().map(|bits| bits as i32))
}

/// A result as it is printed.
pub(crate) fn display(value: &Val) -> String {
    match value {
        Val::I32(value) => value.to_string(),
        Val::I64(value) => value.to_string(),
        Val::F32(bits) => f32::from_bits(*bits).to_string(),
        Val::F64(bits) => f64::from_bits(*bits).to_string(),
        Val::V128(bits) => format!("{:#034x}", bits.as_u128()),
        Val::FuncRef(None) | Val::ExternRef(None) => "null".to_owned(),
        Val::FuncRef(Some(_)) => "funcref".to_owned(),
        Val::ExternRef(Some(_)) => "externref".to_owned(),
    }
}
