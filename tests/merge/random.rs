//! Random modules that share memories, tables and globals, whose segments may not fit and whose start functions may
//! trap. The host sees what happens in which order: each start function tells it, and memory and table of the host are
//! looked at in the end, also when the instantiation has failed.

use std::fmt::Write;

use anyhow::{Result, ensure};
use aotc::cli::wast::image_door;
use aotc::{Emit, LinkInput};
use aotc_loader::{
    Caller, Engine, Instance, Linker, Memory, MemoryType, Module, Ref, RefType, Store, Table,
    TableType, Trap,
};

use super::options;

/// How many sets of modules are tried.
const CASES: u64 = 300;

/// Both ways do the same, and the cases are of all kinds.
pub(super) fn agrees() -> Result<()> {
    let mut traps = 0;
    let mut unlinkable = 0;
    let mut ran = 0;
    for seed in 0..CASES {
        let modules = Generator(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1).modules();
        let separate = observe(&modules, Way::Separate)?;
        let merged = observe(&modules, Way::Merged)?;
        if merged.outcome == "unlinkable" {
            // It is refused before anything runs, which may trap otherwise.
            ensure!(separate.outcome != "ok", "case {seed}: {}", modules.join("\n"));
            unlinkable += 1;
            continue;
        }
        ensure!(
            separate == merged,
            "case {seed}: separate {separate:?}, merged {merged:?}\n{}",
            modules.join("\n")
        );
        match separate.outcome.as_str() {
            "ok" => ran += 1,
            _ => traps += 1,
        }
    }
    ensure!(ran > 20 && traps > 20 && unlinkable > 5, "{ran} ran, {traps} trapped, {unlinkable}");
    Ok(())
}

#[derive(Clone, Copy)]
enum Way {
    Separate,
    Merged,
}

/// What the host sees.
#[derive(Debug, PartialEq)]
struct Observed {
    /// `ok`, `unlinkable`, or the trap.
    outcome: String,
    /// Numbers that functions told, and what the calls of the main module gave.
    told: Vec<i32>,
    memory: Vec<u8>,
    /// What the functions in the host's table give.
    table: Vec<Option<i32>>,
}

/// Instantiates `modules`, the last being the main one, and calls what it exports.
fn observe(modules: &[String], way: Way) -> Result<Observed> {
    let engine = Engine::default();
    let mut store: Store<Vec<i32>> = Store::new(&engine, Vec::new());
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "tell", |mut caller: Caller<'_, Vec<i32>>, number: i32| {
        caller.data_mut().push(number);
    })?;
    let memory = Memory::new(&mut store, MemoryType::new(1, Some(2)))?;
    linker.define(&mut store, "host", "memory", memory)?;
    let ty = TableType::new(RefType::FUNCREF, 6, None);
    let table = Table::new(&mut store, ty, Ref::Func(None))?;
    linker.define(&mut store, "host", "table", table)?;
    let names: Vec<String> = (0..modules.len()).map(|number| format!("m{number}")).collect();
    let instantiated = (|| -> Result<Instance> {
        let (main, others) = modules.split_last().expect("there is a main module");
        let module = match way {
            Way::Separate => {
                for (name, text) in names.iter().zip(others) {
                    let module = image_door(&engine, text.as_bytes(), &options())?;
                    let instance = linker.instantiate(&mut store, &module)?;
                    linker.instance(&mut store, name, instance)?;
                }
                image_door(&engine, main.as_bytes(), &options())?
            }
            Way::Merged => {
                let others = names.iter().zip(others);
                let others: Vec<_> = others
                    .map(|(name, text)| LinkInput { name, file: name, bytes: text.as_bytes() })
                    .collect();
                let main = LinkInput { name: "", file: "main", bytes: main.as_bytes() };
                let linked = aotc::link(&main, &others, &options())?;
                Module::from_bytes(&engine, &linked.compile(Emit::Image, &options())?)?
            }
        };
        linker.instantiate(&mut store, &module)
    })();
    let outcome = match &instantiated {
        Ok(_) => "ok".to_owned(),
        Err(error) => match error.downcast_ref::<Trap>() {
            Some(trap) => trap.kind().message().to_owned(),
            None => {
                let text = format!("{error:#}");
                ensure!(text.contains("incompatible import type"), "{text}");
                "unlinkable".to_owned()
            }
        },
    };
    if let Ok(instance) = instantiated {
        for number in 0..4 {
            let name = format!("f{number}");
            let Ok(function) = instance.get_typed_func::<i32, i32>(&mut store, &name) else {
                continue;
            };
            for argument in [0, 1, 5] {
                let result = function.call(&mut store, argument).unwrap_or(-77);
                store.data_mut().push(result);
            }
        }
    }
    let mut results = Vec::new();
    for index in 0..table.size(&store) {
        let function = match table.get(&mut store, index) {
            Some(Ref::Func(Some(function))) => function,
            _ => {
                results.push(None);
                continue;
            }
        };
        let function = function.typed::<i32, i32>(&store)?;
        results.push(Some(function.call(&mut store, 2).unwrap_or(-77)));
    }
    let memory = memory.data(&store).to_vec();
    Ok(Observed { outcome, told: store.into_data(), memory, table: results })
}

/// Where random choices come from.
struct Generator(u64);

impl Generator {
    fn below(&mut self, count: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % count
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    /// Texts of two to four modules; each may import from those before it.
    fn modules(&mut self) -> Vec<String> {
        let count = 2 + self.below(3);
        (0..count).map(|number| self.module(number)).collect()
    }

    fn module(&mut self, number: u64) -> String {
        let mut text = String::from("(module\n  (type $unary (func (param i32) (result i32)))\n");
        text.push_str("  (import \"host\" \"tell\" (func $tell (param i32)))\n");
        let before = (number > 0).then(|| self.below(number.max(1)));
        // What it shares: the host's, an earlier module's, or its own.
        let shared = |this: &mut Self, from_before: &str, of_host: &str, own: &str| match before {
            Some(before) if !this.one_in(3) => from_before.replace("BEFORE", &format!("m{before}")),
            _ if this.one_in(2) => of_host.to_owned(),
            _ => own.to_owned(),
        };
        let min = if self.one_in(25) { 2 } else { 1 };
        let memory = shared(
            self,
            &format!("(import \"BEFORE\" \"memory\" (memory {min}))"),
            "(import \"host\" \"memory\" (memory 1 2))",
            "(memory 1 2)",
        );
        let table = shared(
            self,
            "(import \"BEFORE\" \"table\" (table 4 funcref))",
            "(import \"host\" \"table\" (table 5 funcref))",
            "(table 6 funcref)",
        );
        let global = shared(
            self,
            "(import \"BEFORE\" \"global\" (global $g i32))",
            "(global $g i32 (i32.const 3))",
            "(global $g i32 (i32.const 1))",
        );
        let counter = shared(
            self,
            "(import \"BEFORE\" \"counter\" (global $c (mut i32)))",
            "(global $c (mut i32) (i32.const 100))",
            "(global $c (mut i32) (i32.const 7))",
        );
        let reference = shared(
            self,
            "(import \"BEFORE\" \"reference\" (global $r funcref))",
            "(global $r funcref (ref.func $f0))",
            "(global $r funcref (ref.null func))",
        );
        let imported = match before {
            Some(before) => {
                format!("  (import \"m{before}\" \"f{}\" (func $i (type $unary)))\n", self.below(2))
            }
            None => String::new(),
        };
        text.push_str(&imported);
        // Constants may only use what is imported.
        let imported_global = global.starts_with("(import");
        let imported_reference = reference.starts_with("(import");
        let mut fields = vec![memory, table, global, counter, reference];
        // Imports come first.
        fields.sort_by_key(|field| !field.starts_with("(import"));
        for field in fields {
            writeln!(text, "  {field}").expect("a string");
        }
        for name in ["memory", "table"] {
            writeln!(text, "  (export \"{name}\" ({name} 0))").expect("a string");
        }
        for (name, id) in [("global", "g"), ("counter", "c"), ("reference", "r")] {
            writeln!(text, "  (export \"{name}\" (global ${id}))").expect("a string");
        }
        for function in 0..2 {
            // Either its own, or an import under its own name.
            if before.is_some() && self.one_in(4) {
                writeln!(text, "  (export \"f{function}\" (func $i))").expect("a string");
            } else {
                writeln!(text, "  (export \"f{function}\" (func $f{function}))").expect("a string");
            }
        }
        for function in 0..3 {
            let body = self.body(before.is_some(), number * 10 + function);
            writeln!(text, "  (func $f{function} (type $unary) {body})").expect("a string");
        }
        for _ in 0..self.below(3) {
            text.push_str(&self.segment(number, imported_global, imported_reference));
        }
        text.push_str("  (elem $passive func $f1 $f2)\n  (data $bytes \"passive\")\n");
        if self.one_in(2) {
            let told = 1000 + number;
            let end = match self.below(8) {
                0 => "(unreachable)",
                1 => "(table.init 0 $passive (i32.const 1) (i32.const 0) (i32.const 2))",
                2 => "(memory.init $bytes (i32.const 40) (i32.const 0) (i32.const 7))",
                3 => "(drop (call_indirect (type $unary) (i32.const 4) (i32.const 1)))",
                _ => "(call $tell (call $f1 (i32.const 3)))",
            };
            writeln!(
                text,
                "  (func $start (call $tell (i32.const {told})) {end})\n  (start $start)"
            )
            .expect("a string");
        }
        text.push(')');
        text
    }

    fn segment(&mut self, number: u64, with_global: bool, with_reference: bool) -> String {
        let offset = match self.below(6) {
            0 if with_global => "(global.get $g)".to_owned(),
            1 => "(i32.const 3)".to_owned(),
            _ => format!("(i32.const {})", self.below(4)),
        };
        if self.one_in(2) {
            let item = match self.below(4) {
                0 if with_reference => "funcref (global.get $r) (ref.null func)".to_owned(),
                1 => "func $f0 $f1".to_owned(),
                _ => format!("func $f{}", self.below(3)),
            };
            format!("  (elem {offset} {item})\n")
        } else if self.one_in(8) {
            "  (data (i32.const 65534) \"beyond\")\n".to_owned()
        } else {
            format!("  (data {offset} \"{number}{}\")\n", self.below(10))
        }
    }

    fn body(&mut self, has_import: bool, number: u64) -> String {
        match self.below(8) {
            0 if has_import => "(i32.add (i32.const 1) (call $i (local.get 0)))".to_owned(),
            1 => "(i32.load8_u (local.get 0))".to_owned(),
            2 => format!("(i32.store8 (local.get 0) (i32.const {number})) (memory.size)"),
            3 => {
                "(global.set $c (i32.add (global.get $c) (i32.const 1))) (global.get $c)".to_owned()
            }
            4 => "(i32.add (global.get $g) (local.get 0))".to_owned(),
            5 => "(ref.is_null (table.get 0 (local.get 0)))".to_owned(),
            6 => "(table.set 0 (i32.const 0) (ref.func $f1)) (table.size 0)".to_owned(),
            _ => format!("(call $tell (i32.const {number})) (i32.const {number})"),
        }
    }
}
