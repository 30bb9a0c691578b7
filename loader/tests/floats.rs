//! Calls of functions with floats: every order of up to five integers and floats, with every kind of result, and what remains of
//! calls that fail.
#![allow(clippy::unused_unit, reason = "the tuple is of any size")]

use std::fmt::Write as _;

use anyhow::{Result, anyhow};
use aotc_loader::{
    Caller, Engine, Instance, Linker, Store, Trap, TypedFunc, Val, WasmBacktrace, WasmParams,
    WasmTy,
};

use crate::support::{module, panic_text};

/// Each means something as any number, cut off or not: floats that are no numbers, with a payload, quiet or signaling; zeros and
/// infinities with a sign; large integers.
const BITS: [u64; 7] = [
    0x8000_0000_0000_0000,
    0xfff4_dead_7fa0_beef,
    0x7ff8_0000_8000_0000,
    0x0123_4567_89ab_cdef,
    0xffff_ffff_ffff_ffff,
    0x7ff0_0000_ff80_0000,
    0x4009_21fb_5444_2d18,
];

/// As many as any function here has parameters.
type Bits = [u64; 6];

/// A number and its bits, here and in functions of modules.
trait Number: WasmTy {
    const NAME: &str;
    /// Instructions that make 64 bits of it.
    const TO_BITS: &str;
    /// Instructions that make it of 64 bits.
    const FROM_BITS: &str;
    /// Bits that make it a float that is no number.
    const SET: u64;
    fn of(bits: u64) -> Self;
    fn val(self) -> Val;
}

macro_rules! number {
    ($ty:ident: $to_bits:literal, $from_bits:literal, $set:literal, $of:expr, $val:expr) => {
        impl Number for $ty {
            const NAME: &str = stringify!($ty);
            const TO_BITS: &str = $to_bits;
            const FROM_BITS: &str = $from_bits;
            const SET: u64 = $set;

            fn of(bits: u64) -> Self {
                let of: fn(u64) -> Self = $of;
                of(bits)
            }

            fn val(self) -> Val {
                let val: fn(Self) -> Val = $val;
                val(self)
            }
        }
    };
}

number!(i32: "i64.extend_i32_u", "i32.wrap_i64", 0, |bits| bits as i32, Val::I32);
number!(i64: "", "", 0, |bits| bits as i64, Val::I64);
number!(f32: "i32.reinterpret_f32 i64.extend_i32_u", "i32.wrap_i64 f32.reinterpret_i32", 0x7f80_0001,
    |bits| f32::from_bits(bits as u32), |value| Val::F32(value.to_bits()));
number!(f64: "i64.reinterpret_f64", "f64.reinterpret_i64", 0x7ff0_0000_0000_0001,
    f64::from_bits, |value| Val::F64(value.to_bits()));

/// The bits of a number, which may be any.
fn bits_of(value: &Val) -> u64 {
    match *value {
        Val::I32(value) => (value as u32).into(),
        Val::I64(value) => value as u64,
        Val::F32(bits) => bits.into(),
        Val::F64(bits) => bits,
        _ => panic!("{value:?} is no number"),
    }
}

/// A number in which every bit of every argument counts, and each argument's place.
fn mixed<'a>(arguments: impl IntoIterator<Item = &'a Val>) -> u64 {
    arguments.into_iter().fold(SEED, |mixed, argument| {
        (mixed.rotate_left(7) ^ bits_of(argument)).wrapping_mul(FACTOR)
    })
}

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
const FACTOR: u64 = 0xd6e8_feb8_6659_fd93;

/// Functions of these parameters, each with its [`Number::TO_BITS`], that give what [`mixed`] gives: to a global, and as their result,
/// each by the name of its type.
fn text(params: &[(&str, &str)]) -> String {
    let types: Vec<_> = params.iter().map(|&(name, _)| name).collect();
    let types = types.join(" ");
    let mut mix = format!("i64.const {SEED}");
    for (index, (_, to_bits)) in params.iter().enumerate() {
        write!(
            mix,
            " i64.const 7 i64.rotl local.get {index} {to_bits} i64.xor i64.const {FACTOR} i64.mul"
        )
        .unwrap();
    }
    let mut text = format!(
        r#"(module (global $mixed (export "mixed") (mut i64) (i64.const 0))
        (func (export "none") (param {types}) {mix} global.set $mixed)"#
    );
    for (name, from_bits, set) in [
        (i32::NAME, i32::FROM_BITS, i32::SET),
        (i64::NAME, i64::FROM_BITS, i64::SET),
        (f32::NAME, f32::FROM_BITS, f32::SET),
        (f64::NAME, f64::FROM_BITS, f64::SET),
    ] {
        write!(
            text,
            r#"(func (export "{name}") (param {types}) (result {name}) {mix} global.set $mixed
            global.get $mixed i64.const {set} i64.or {from_bits})"#
        )
        .unwrap();
    }
    text + ")"
}

/// Functions of some parameters.
struct Functions<P> {
    store: Store<()>,
    instance: Instance,
    to_params: fn(Bits) -> P,
    to_vals: fn(Bits) -> Vec<Val>,
}

impl<P: WasmParams> Functions<P> {
    fn new(
        params: &[(&str, &str)],
        to_params: fn(Bits) -> P,
        to_vals: fn(Bits) -> Vec<Val>,
    ) -> Result<Self> {
        let engine = Engine::default();
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module(&engine, &text(params)), &[])?;
        Ok(Self { store, instance, to_params, to_vals })
    }

    /// Calls each of them with all bits in every place.
    fn check(&mut self) -> Result<()> {
        for first in 0..BITS.len() {
            let bits = std::array::from_fn(|index| BITS[(first + index) % BITS.len()]);
            self.check_none(bits)?;
            self.check_result::<i32>(bits)?;
            self.check_result::<i64>(bits)?;
            self.check_result::<f32>(bits)?;
            self.check_result::<f64>(bits)?;
        }
        Ok(())
    }

    /// The global as the last call left it. The next call will have to set it.
    fn take_mixed(&mut self) -> u64 {
        let global = self.instance.get_global(&mut self.store, "mixed").unwrap();
        let mixed = bits_of(&global.get(&mut self.store));
        global.set(&mut self.store, Val::I64(0)).unwrap();
        mixed
    }

    fn check_none(&mut self, bits: Bits) -> Result<()> {
        let vals = (self.to_vals)(bits);
        let f: TypedFunc<P, ()> = self.instance.get_typed_func(&mut self.store, "none")?;
        f.call(&mut self.store, (self.to_params)(bits))?;
        assert_eq!(self.take_mixed(), mixed(&vals), "{vals:x?}, typed");
        for _ in 0..2 {
            f.func().call(&mut self.store, &vals, &mut [])?;
            assert_eq!(self.take_mixed(), mixed(&vals), "{vals:x?}, untyped");
        }
        Ok(())
    }

    fn check_result<R: Number>(&mut self, bits: Bits) -> Result<()> {
        let vals = (self.to_vals)(bits);
        let f: TypedFunc<P, R> = self.instance.get_typed_func(&mut self.store, R::NAME)?;
        let expected = bits_of(&R::of(mixed(&vals) | R::SET).val());
        let found = f.call(&mut self.store, (self.to_params)(bits))?;
        assert_eq!(bits_of(&found.val()), expected, "{vals:x?} to {}, typed", R::NAME);
        assert_eq!(self.take_mixed(), mixed(&vals), "{vals:x?} to {}, typed", R::NAME);
        for _ in 0..2 {
            let mut found = [Val::I32(0)];
            f.func().call(&mut self.store, &vals, &mut found)?;
            assert_eq!(bits_of(&found[0]), expected, "{vals:x?} to {}, untyped", R::NAME);
            assert_eq!(self.take_mixed(), mixed(&vals), "{vals:x?} to {}, untyped", R::NAME);
        }
        Ok(())
    }
}

macro_rules! check {
    ($($ty:ident)*) => {
        Functions::<($($ty,)*)>::new(
            &[$(($ty::NAME, $ty::TO_BITS)),*],
            |bits| {
                let mut _bits = bits.into_iter();
                ($($ty::of(_bits.next().unwrap()),)*)
            },
            |bits| {
                let mut _bits = bits.into_iter();
                vec![$($ty::of(_bits.next().unwrap()).val()),*]
            },
        )?
        .check()?;
    };
}

/// Functions of these parameters, and of these and any order of one of each pair that follows, however many.
macro_rules! check_orders {
    ([$($ty:ident)*]) => {
        check!($($ty)*);
    };
    ([$($ty:ident)*] ($integer:ident $float:ident) $($others:tt)*) => {
        check!($($ty)*);
        check_orders!([$($ty)* $integer] $($others)*);
        check_orders!([$($ty)* $float] $($others)*);
    };
}

#[test]
fn any_order_of_integers_and_floats() -> Result<()> {
    check_orders!([] (i32 f64) (i64 f32) (i32 f32) (i64 f64) (i32 f64));
    Ok(())
}

#[test]
fn any_order_of_large_and_small_numbers() -> Result<()> {
    check_orders!([] (f32 f64) (f64 f32) (f32 f64));
    check_orders!([] (i64 i32) (f64 f32) (i32 i64));
    Ok(())
}

#[test]
fn more_floats_than_registers_for_integers() -> Result<()> {
    check!(f64 f64 f64 f64 f64 f64);
    check!(f32 i64 f64 i32 f32 i64);
    check!(i64 i32 i64 i32 i64 f64);
    Ok(())
}

/// `quotient` divides the integers in a function of its own, and `load` reads from the memory; `deep` calls itself as often as its argument
/// says; `host` calls the host.
const FAILS: &str = r#"(module
    (import "host" "f" (func $f (param f64) (result f64)))
    (memory 1)
    (data (i32.const 8) "\00\00\00\00\00\00\e0\3f")
    (func $divide (param i32 f32 i32) (result f32)
      (f32.add (local.get 1) (f32.convert_i32_s (i32.div_s (local.get 0) (local.get 2)))))
    (func $quotient (export "quotient") (param f64 i32 f32 i32) (result f32)
      (f32.add (call $divide (local.get 1) (local.get 2) (local.get 3)) (f32.demote_f64 (local.get 0))))
    (func $load (export "load") (param f64 i32) (result f64)
      (f64.add (local.get 0) (f64.load (local.get 1))))
    (func $deep (export "deep") (param f32 i32 f32) (result f32)
      (if (result f32) (i32.eqz (local.get 1))
        (then (local.get 2))
        (else (f32.add (local.get 0)
          (call $deep (local.get 0) (i32.sub (local.get 1) (i32.const 1)) (local.get 2))))))
    (func $host (export "host") (param i64 f64) (result f64)
      (f64.add (f64.convert_i64_s (local.get 0)) (call $f (local.get 1)))))"#;

type Quotient = TypedFunc<(f64, i32, f32, i32), f32>;

/// The functions in a backtrace.
fn names(error: &anyhow::Error) -> Vec<&str> {
    let frames = error.downcast_ref::<WasmBacktrace>().unwrap().frames();
    frames.iter().map(|frame| frame.func_name().unwrap()).collect()
}

/// Calls `quotient`, which traps every other time.
fn check_quotient(store: &mut impl aotc_loader::AsContextMut, f: Quotient, callers: &[&str]) {
    for _ in 0..2 {
        assert_eq!(f.call(&mut *store, (0.25, 7, 0.5, -2)).unwrap(), -2.25);
        let error = f.call(&mut *store, (0.25, 7, 0.5, 0)).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::IntegerDivisionByZero));
        assert_eq!(names(&error), [&["divide", "quotient"], callers].concat());
    }
}

#[test]
fn a_call_that_fails_leaves_the_next_as_it_was() -> Result<()> {
    let engine = Engine::default();
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "f", |mut caller: Caller<'_, ()>, value: f64| {
        let f = caller.get_export("quotient").unwrap().into_func().unwrap();
        let f = f.typed(&caller)?;
        check_quotient(&mut caller, f, &["host"]);
        if value.is_nan() {
            return Err(anyhow!("no number"));
        }
        assert!(value >= 0.0, "{value} is negative");
        Ok(2.0 * value)
    })?;
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &module(&engine, FAILS))?;
    let quotient: Quotient = instance.get_typed_func(&mut store, "quotient")?;
    let load = instance.get_typed_func::<(f64, i32), f64>(&mut store, "load")?;
    let deep = instance.get_typed_func::<(f32, i32, f32), f32>(&mut store, "deep")?;
    let host = instance.get_typed_func::<(i64, f64), f64>(&mut store, "host")?;
    for _ in 0..3 {
        check_quotient(&mut store, quotient, &[]);

        assert_eq!(load.call(&mut store, (0.25, 8))?, 0.75);
        let error = load.call(&mut store, (0.25, -8)).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds));
        assert_eq!(names(&error), ["load"]);

        assert_eq!(deep.call(&mut store, (0.5, 10, -1.0))?, 4.0);
        let error = deep.call(&mut store, (0.5, 100_000_000, -1.0)).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::StackOverflow));
        assert!(names(&error).iter().all(|&name| name == "deep"));

        assert_eq!(host.call(&mut store, (-1, 1.5))?, 2.0);
        let error = host.call(&mut store, (-1, f64::NAN)).unwrap_err();
        assert_eq!(error.root_cause().to_string(), "no number");
        assert_eq!(names(&error), ["host"]);
        let text = panic_text(|| drop(host.call(&mut store, (-1, -1.5))));
        assert_eq!(text, "-1.5 is negative");
    }
    Ok(())
}
