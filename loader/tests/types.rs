//! Types: what they consist of, what matches, what they print as, their default values.

use anyhow::Result;
use aotc_loader::{
    Engine, Extern, ExternType, FuncType, GlobalType, HeapType, MemoryType, Mutability, RefType,
    Store, TableType, ValType,
};

use crate::support::{chain, panic_text};

#[test]
fn value_types() {
    let all = [
        (ValType::I32, "i32"),
        (ValType::I64, "i64"),
        (ValType::F32, "f32"),
        (ValType::F64, "f64"),
        (ValType::V128, "v128"),
        (ValType::FUNCREF, "funcref"),
        (ValType::EXTERNREF, "externref"),
    ];
    for (index, (ty, name)) in all.into_iter().enumerate() {
        assert_eq!(ty.to_string(), name);
        let is = [
            ty.is_i32(),
            ty.is_i64(),
            ty.is_f32(),
            ty.is_f64(),
            ty.is_v128(),
            ty.is_funcref(),
            ty.is_externref(),
        ];
        for (other, is) in is.into_iter().enumerate() {
            assert_eq!(is, index == other, "{ty}");
            assert_eq!(ty.matches(&all[other].0), index == other);
            assert_eq!(ValType::eq(&ty, &all[other].0), index == other);
        }
        assert_eq!((ty.is_num(), ty.is_ref()), (index < 4, index > 4));
        assert_eq!(ty.as_ref().map(|ty| ty.to_string()), ty.is_ref().then(|| name.to_owned()));
        let value = ty.default_value().expect("a default value");
        let mut store = Store::new(&Engine::default(), ());
        assert_eq!(value.ty(&store).ok(), Some(ty));
        let global = GlobalType::new(ty, Mutability::Const).default_value(&mut store);
        assert_eq!(global.expect("a global").get(&mut store).ty(&store).ok(), Some(ty));
    }
    assert_eq!(panic_text(|| _ = ValType::I32.unwrap_ref()), "expected a reference type");
}

#[test]
fn reference_types() {
    for (heap, name, ty) in [
        (HeapType::Func, "func", RefType::FUNCREF),
        (HeapType::Extern, "extern", RefType::EXTERNREF),
    ] {
        assert_eq!(heap.to_string(), name);
        assert_eq!(RefType::new(true, heap), ty);
        assert_eq!((ty.heap_type(), ty.is_nullable()), (&heap, true));
        assert_eq!((heap.is_func(), heap.is_extern()), (name == "func", name == "extern"));
        assert!(heap.is_abstract() && !heap.is_concrete() && heap.is_top() && heap.top() == heap);
        assert!(heap.matches(&heap) && ty.matches(&ty) && ValType::from(ty).is_ref());
    }
    assert!(!HeapType::Func.matches(&HeapType::Extern));
    assert!(!RefType::FUNCREF.matches(&RefType::EXTERNREF));
    assert_eq!(
        panic_text(|| _ = RefType::new(false, HeapType::Func)),
        "references that are not nullable are not supported"
    );
}

#[test]
fn function_types() -> Result<()> {
    let (engine, other) = (Engine::default(), Engine::default());
    let ty = FuncType::new(&engine, [ValType::I32, ValType::V128], [ValType::EXTERNREF]);
    assert_eq!((ty.params().len(), ty.results().len()), (2, 1));
    assert_eq!((ty.param(1), ty.param(2)), (Some(ValType::V128), None));
    assert_eq!((ty.result(0), ty.result(1)), (Some(ValType::EXTERNREF), None));
    assert_eq!(ty.params().collect::<Vec<_>>(), [ValType::I32, ValType::V128]);
    assert_eq!(ty.results().collect::<Vec<_>>(), [ValType::EXTERNREF]);
    let same = FuncType::try_new(&other, ty.params(), ty.results())?;
    assert!(ty.matches(&same) && FuncType::eq(&ty, &same));
    // The same types, differently divided.
    let shifted = FuncType::new(&engine, [ValType::I32], [ValType::V128, ValType::EXTERNREF]);
    assert!(!ty.matches(&shifted));
    // A type of another engine is as good.
    let mut store = Store::new(&other, ());
    let func = ty.default_value(&mut store)?;
    assert!(func.matches_ty(&store, &same));
    let params = [ValType::I32, ValType::V128].map(|ty| ty.default_value().expect("a value"));
    let mut results = [params[0]];
    func.call(&mut store, &params, &mut results)?;
    assert!(results[0].unwrap_extern_ref().is_none());
    Ok(())
}

#[test]
fn item_types() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    assert!(
        Mutability::Var.is_var() && !Mutability::Var.is_const() && Mutability::Const.is_const()
    );
    let table = TableType::new(RefType::EXTERNREF, 2, Some(3));
    assert!(!table.is_64());
    let memory = MemoryType::new(1, None);
    assert!(!memory.is_64() && !memory.is_shared());
    assert_eq!((memory.page_size(), memory.page_size_log2()), (65536, 16));
    let types: [(ExternType, &str); 4] = [
        (FuncType::new(&engine, [], []).into(), "(func)"),
        (GlobalType::new(ValType::F32, Mutability::Var).into(), "(global (mut f32))"),
        (table.into(), "(table 2 3 externref)"),
        (memory.into(), "(memory 1)"),
    ];
    for (ty, text) in types {
        assert_eq!(ty.to_string(), text);
        let item = ty.default_value(&mut store)?;
        assert_eq!(item.ty(&store), ty);
        let is = [
            ty.func().is_some(),
            ty.global().is_some(),
            ty.table().is_some(),
            ty.memory().is_some(),
        ];
        let found = [
            item.into_func().is_some(),
            item.into_global().is_some(),
            item.into_table().is_some(),
            item.into_memory().is_some(),
        ];
        assert_eq!(is, found);
        assert_eq!(is.iter().filter(|is| **is).count(), 1);
        if let Extern::Table(table) = item {
            assert!(table.get(&mut store, 1).is_some_and(|value| value.is_null()));
            assert!(table.get(&mut store, 2).is_none());
        }
    }
    let text = panic_text(|| _ = ExternType::from(MemoryType::new(1, None)).unwrap_func());
    assert_eq!(text, "expected func");
    let mut other = Store::new(&engine, ());
    let item = ExternType::from(MemoryType::new(1, None)).default_value(&mut other)?;
    assert_eq!(panic_text(|| _ = item.ty(&store)), "object used with the wrong store");
    Ok(())
}

#[test]
fn memory_types_are_built() -> Result<()> {
    let ty = MemoryType::builder().min(3).max(Some(65536)).page_size_log2(16).build()?;
    assert_eq!(ty, MemoryType::new(3, Some(65536)));
    assert_eq!(MemoryType::builder().build()?, MemoryType::new(0, None));
    let refused = [
        (
            MemoryType::builder().min(2).max(Some(1)).build(),
            "maximum size must not be smaller than the minimum",
        ),
        (MemoryType::builder().min(65537).build(), "memories have at most 65536 pages"),
        (MemoryType::builder().max(Some(65537)).build(), "memories have at most 65536 pages"),
        (
            MemoryType::builder().memory64(true).build(),
            "memories with 64-bit indices are not supported",
        ),
        (
            MemoryType::builder().shared(true).max(Some(1)).build(),
            "shared memories are not supported",
        ),
        (
            MemoryType::builder().page_size_log2(0).build(),
            "memories with pages of 2^0 bytes are not supported",
        ),
    ];
    for (result, text) in refused {
        assert_eq!(chain(result), text);
    }
    Ok(())
}
