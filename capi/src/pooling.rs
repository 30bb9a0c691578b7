//! Pools of instances, for which an operating system is needed.

use aotc_loader::PoolingAllocationConfig;

use crate::engine::wasm_config_t;

/// `aotc_pooling_t`. What is 0 stays as it is.
#[repr(C)]
pub(crate) struct aotc_pooling_t {
    pub(crate) instances: u32,
    pub(crate) memories: u32,
    pub(crate) tables: u32,
    pub(crate) table_elements: usize,
    pub(crate) memory_bytes: usize,
    pub(crate) warm_slots: u32,
}

#[unsafe(no_mangle)]
extern "C" fn aotc_config_pooling(config: &mut wasm_config_t, pooling: &aotc_pooling_t) {
    let mut pool = PoolingAllocationConfig::new();
    if pooling.instances != 0 {
        pool.total_core_instances(pooling.instances);
    }
    if pooling.memories != 0 {
        pool.total_memories(pooling.memories);
    }
    if pooling.tables != 0 {
        pool.total_tables(pooling.tables);
    }
    if pooling.table_elements != 0 {
        pool.table_elements(pooling.table_elements);
    }
    if pooling.memory_bytes != 0 {
        pool.max_memory_size(pooling.memory_bytes);
    }
    if pooling.warm_slots != 0 {
        pool.max_unused_warm_slots(pooling.warm_slots);
    }
    config.0.allocation_strategy(pool);
}
