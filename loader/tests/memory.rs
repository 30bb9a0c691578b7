//! Values and text in memories.

use aotc_loader::{Engine, Memory, MemoryTextError, MemoryType, Store};

fn memory() -> (Store<u8>, Memory) {
    let mut store = Store::new(&Engine::default(), 0);
    let memory = Memory::new(&mut store, MemoryType::new(1, Some(2))).unwrap();
    (store, memory)
}

#[test]
fn values_are_little_endian_at_any_offset() {
    let (mut store, memory) = memory();
    memory.write_value(&mut store, 3, -2i64).unwrap();
    assert_eq!(memory.data(&store)[2..12], [0, 254, 255, 255, 255, 255, 255, 255, 255, 0]);
    assert_eq!(memory.read_value::<u16>(&store, 10).unwrap(), 0xff);
    assert_eq!(memory.read_value::<i8>(&store, 3).unwrap(), -2);
    memory.write_value(&mut store, 65_535, 7u8).unwrap();
    memory.write_value(&mut store, 65_520, f64::MAX).unwrap();
    assert_eq!(memory.read_value::<f64>(&store, 65_520).unwrap(), f64::MAX);
    memory.write_value(&mut store, 1, u128::MAX - 5).unwrap();
    assert_eq!(memory.read_value::<u128>(&store, 1).unwrap(), u128::MAX - 5);
}

#[test]
fn lists_of_values() {
    let (mut store, memory) = memory();
    let list = [1u32, 70_000, u32::MAX];
    memory.write_values(&mut store, 65_536 - 12, &list).unwrap();
    let values = memory.values::<u32>(&store, 65_536 - 12, 3).unwrap();
    assert_eq!(values.len(), 3);
    assert_eq!(values.collect::<Vec<_>>(), list);
    assert_eq!(memory.values::<u64>(&store, 65_536, 0).unwrap().len(), 0);
    assert_eq!(memory.write_values::<u16>(&mut store, 65_536, &[]), Ok(()));
}

#[test]
fn what_leads_outside_is_an_error_and_writes_nothing() {
    let (mut store, memory) = memory();
    assert!(memory.read_value::<u32>(&store, 65_533).is_err());
    assert!(memory.write_value(&mut store, 65_533, 1u32).is_err());
    assert!(memory.write_values(&mut store, 65_534, &[1u8, 2, 3]).is_err());
    assert!(memory.data(&store).iter().all(|&byte| byte == 0));
    for offset in [usize::MAX, usize::MAX - 3, 1 << 32] {
        assert!(memory.read_value::<u32>(&store, offset).is_err());
        assert!(memory.write_value(&mut store, offset, 1u32).is_err());
    }
    assert!(memory.values::<u64>(&store, 0, usize::MAX / 4).is_err());
    memory.grow(&mut store, 1).unwrap();
    assert_eq!(memory.read_value::<u32>(&store, 65_533), Ok(0));
}

#[test]
fn text() {
    let (mut store, memory) = memory();
    memory.write(&mut store, 10, "grün".as_bytes()).unwrap();
    assert_eq!(memory.read_str(&store, 10, 5), Ok("grün"));
    assert!(matches!(memory.read_str(&store, 10, 3), Err(MemoryTextError::Utf8(_))));
    let error = memory.read_str(&store, 65_530, 10).unwrap_err();
    assert!(matches!(error, MemoryTextError::Access(_)));
    assert_eq!(error.to_string(), "out of bounds memory access");
}
