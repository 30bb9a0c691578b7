//! Small modules, in the text format.

/// No code, no memory.
pub(crate) const EMPTY: &str = "(module)";

/// A page of memory with a little data. `touch` writes to it and reads from it.
pub(crate) const SMALL_MEMORY: &str = r#"(module
  (memory (export "memory") 1)
  (data (i32.const 16) "hello, world")
  (func (export "touch") (result i32)
    (i32.store (i32.const 1024) (i32.const 1))
    (i32.load (i32.const 16))))"#;

/// Calls in both directions. The loops run as often as their argument says; `loop` has all but the call.
pub(crate) const CALLS: &str = r#"(module
  (import "host" "next" (func $next (param i32) (result i32)))
  (import "host" "next_with_caller" (func $next_with_caller (param i32) (result i32)))
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "unreachable") unreachable)
  (func (export "loop") (param i64) (result i32) (local i32)
    (loop
      (local.set 1 (i32.add (local.get 1) (i32.const 1)))
      (br_if 0 (i64.ne (i64.const 0)
        (local.tee 0 (i64.sub (local.get 0) (i64.const 1))))))
    (local.get 1))
  (func (export "host_calls") (param i64) (result i32) (local i32)
    (loop
      (local.set 1 (call $next (local.get 1)))
      (br_if 0 (i64.ne (i64.const 0)
        (local.tee 0 (i64.sub (local.get 0) (i64.const 1))))))
    (local.get 1))
  (func (export "host_calls_with_caller") (param i64) (result i32) (local i32)
    (loop
      (local.set 1 (call $next_with_caller (local.get 1)))
      (br_if 0 (i64.ne (i64.const 0)
        (local.tee 0 (i64.sub (local.get 0) (i64.const 1))))))
    (local.get 1)))"#;

/// A mebibyte of data. `touch` writes to it and reads from it.
pub(crate) fn large_memory() -> String {
    let data = "data".repeat((1 << 20) / 4);
    format!(
        r#"(module
  (memory (export "memory") 17)
  (data (i32.const 0) "{data}")
  (func (export "touch") (result i32)
    (i32.store (i32.const 1024) (i32.const 1))
    (i32.load (i32.const 524288))))"#
    )
}

/// A table of 10,000 functions. `touch` calls one of them. If it is exported, anyone may change it.
pub(crate) fn large_table(export: &str) -> String {
    let elements = "$f ".repeat(10_000);
    format!(
        r#"(module
  (type $ty (func (result i32)))
  (table {export} 10000 funcref)
  (elem (i32.const 0) func {elements})
  (func $f (result i32) (i32.const 1))
  (func (export "touch") (result i32)
    (call_indirect (type $ty) (i32.const 5000))))"#
    )
}
