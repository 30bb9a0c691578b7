//! Functions: of instances and of the host.

mod arity;
#[cfg(feature = "async")]
mod asynchronous;
mod caller;
mod direct;
mod direct_func;
mod host;
mod into_func;
mod numbers;
mod raw;
mod typed;

use core::fmt;

use anyhow::{Result, bail};
use aotc_abi::vmctx::VmValue;

pub(crate) use arity::for_each_arity;
#[cfg(feature = "async")]
pub use asynchronous::WasmTyList;
pub use caller::Caller;
pub use direct_func::{DirectFunc, DirectWays};
pub(crate) use host::{HostFunc, call_host, host_record};
pub use into_func::{IntoFunc, WasmRet};
pub(crate) use numbers::NumberFunc;
pub use raw::ValRaw;
pub use typed::{TypedFunc, WasmParams, WasmResults};

use crate::call::{self, Callee};
use crate::prelude::*;
use crate::store::{AsContext, AsContextMut, StoreId, StoreOpaque};
use crate::types::{FuncType, ValType};
use crate::value::Val;

/// A function of a store: an instance's, or the host's.
///
/// ```
/// use aotc_loader::{Engine, Func, FuncType, Store, Val, ValType};
///
/// # fn main() -> anyhow::Result<()> {
/// let engine = Engine::default();
/// let mut store = Store::new(&engine, 10);
///
/// // Types follow from a closure; the store's data comes with the caller.
/// let add = Func::wrap(&mut store, |a: i32, b: i32| a + b);
/// assert_eq!(add.ty(&store).to_string(), "(func (param i32 i32) (result i32))");
/// let mut sum = [Val::I32(0)];
/// add.call(&mut store, &[Val::I32(1), Val::I32(2)], &mut sum)?;
/// assert_eq!(sum[0].unwrap_i32(), 3);
///
/// // Or types are made at run time.
/// let ty = FuncType::new(&engine, [ValType::I64], [ValType::I64]);
/// let add_data = Func::new(&mut store, ty, |caller, params, results| {
///     results[0] = Val::I64(params[0].unwrap_i64() + caller.data());
///     Ok(())
/// });
/// let add_data = add_data.typed::<i64, i64>(&store)?;
/// assert_eq!(add_data.call(&mut store, 32)?, 42);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct Func {
    pub(crate) store: StoreId,
    pub(crate) raw: RawFunc,
}

/// Calls with no more values than this allocate nothing.
const FEW: usize = 8;

/// A function as a store's records describe it. All addresses are alive as long as the store.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawFunc {
    /// The context: an instance's, or the address of a [`aotc_abi::vmctx::VmHostFunc`].
    pub(crate) ctx: u64,
    /// Wasm-call entry; 0 for a host function, which is called directly.
    pub(crate) code: u64,
    /// Identity of the type.
    pub(crate) hash: u64,
    /// Address of a [`aotc_abi::vmctx::VmFuncRef`], or 0 if there is none yet.
    pub(crate) func_ref: u64,
}

impl Func {
    /// A host function of type `ty` that takes and gives [`Val`]s. Results are zero and null unless it sets them. If it
    /// returns an error, that ends the WebAssembly code that called it, and is what the call from the host gives.
    ///
    /// # Panics
    /// If the store's engine holds another type with the same 64-bit identity.
    pub fn new<T: 'static>(
        store: impl AsContextMut<Data = T>,
        ty: FuncType,
        func: impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::try_new(store, ty, func).expect("function type with a hash of its own")
    }

    /// As [`Func::new`].
    ///
    /// # Errors
    /// [`crate::LoadError::TypeHashCollision`] where that panics.
    pub fn try_new<T: 'static>(
        mut store: impl AsContextMut<Data = T>,
        ty: FuncType,
        func: impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
    ) -> Result<Self> {
        let store = &mut store.as_context_mut().0.opaque;
        store.engine.types().add(&ty)?;
        Ok(store.add_host_func(alloc::sync::Arc::new(HostFunc::dynamic(ty, func))))
    }

    /// A host function from a closure; its type follows from the closure's.
    pub fn wrap<T: 'static, Params, Results>(
        mut store: impl AsContextMut<Data = T>,
        func: impl IntoFunc<T, Params, Results>,
    ) -> Self {
        let store = &mut store.as_context_mut().0.opaque;
        let func = func.into_host_func(&store.engine);
        store.add_host_func(alloc::sync::Arc::new(func))
    }

    /// As [`Func::wrap`], in the shape of a call that may fail.
    ///
    /// # Errors
    /// None in this version.
    pub fn try_wrap<T: 'static, Params, Results>(
        store: impl AsContextMut<Data = T>,
        func: impl IntoFunc<T, Params, Results>,
    ) -> Result<Self> {
        Ok(Self::wrap(store, func))
    }

    /// The type.
    ///
    /// # Panics
    /// If the function belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> FuncType {
        let store = &store.as_context().0.opaque;
        store.check(self.store);
        store.func_type(self.raw.hash)
    }

    /// Whether the function can stand where one of type `ty` is expected.
    ///
    /// # Panics
    /// If the function belongs to another store.
    pub fn matches_ty(&self, store: impl AsContext, ty: &FuncType) -> bool {
        self.ty(store).matches(ty)
    }

    /// Calls the function; `results` must be as many as the type has.
    ///
    /// # Errors
    /// If the values do not fit the type; a [`crate::Trap`]; whatever error a host function returned.
    ///
    /// # Panics
    /// If the function or a reference among the values belongs to another store, and with the panic
    /// of a host function.
    pub fn call(
        &self,
        mut store: impl AsContextMut,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<()> {
        let store = &mut store.as_context_mut().0.opaque;
        store.check(self.store);
        if store.is_plain()
            && let Some((ty, entry)) = store.known_numbers(&self.raw)
            && let Some(mut slots) = ty.to_slots(params, results.len())
        {
            call::call(
                store,
                Callee { ctx: self.raw.ctx, code: self.raw.code, entry },
                &mut slots,
            )?;
            ty.put_results(&slots, results);
            return Ok(());
        }
        self.call_otherwise(store, params, results)
    }

    /// A call whose values are others than a few numbers, or that is the first of its type.
    #[inline(never)]
    fn call_otherwise(
        &self,
        store: &mut StoreOpaque,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<()> {
        store.synchronously(|store| self.call_here(store, params, results))
    }

    /// The call itself, on whatever stack.
    #[inline]
    fn call_here(
        &self,
        store: &mut StoreOpaque,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<()> {
        let known = store.take_known_type(&self.raw)?;
        check_values(&known.ty, params, results.len())?;
        let slots = params.len().max(results.len());
        let (mut few, mut many);
        let values = if slots <= FEW {
            few = [VmValue::default(); FEW];
            &mut few[..]
        } else {
            many = vec![VmValue::default(); slots];
            &mut many[..]
        };
        for (slot, value) in values.iter_mut().zip(params) {
            value.to_slot(store, slot);
        }
        let callee = Callee { ctx: self.raw.ctx, code: self.raw.code, entry: known.entry };
        call::call(store, callee, values)?;
        for ((result, slot), ty) in results.iter_mut().zip(&*values).zip(known.ty.results()) {
            *result = Val::from_slot(slot, ty, store);
        }
        store.keep_known_type(known);
        Ok(())
    }

    /// The function for calls with Rust types.
    ///
    /// # Errors
    /// If the types differ from the function's.
    ///
    /// # Panics
    /// If the function belongs to another store.
    pub fn typed<Params: WasmParams, Results: WasmResults>(
        &self,
        store: impl AsContext,
    ) -> Result<TypedFunc<Params, Results>> {
        let store = &store.as_context().0.opaque;
        store.check(self.store);
        TypedFunc::new(*self, store)
    }

    pub(crate) fn callee(&self, store: &StoreOpaque) -> Result<Callee> {
        store.callee(&self.raw)
    }
}

#[inline]
fn check_values(ty: &FuncType, params: &[Val], results: usize) -> Result<()> {
    if ty.params().len() != params.len() {
        bail!("expected {} arguments, got {}", ty.params().len(), params.len());
    }
    if ty.results().len() != results {
        bail!("expected {} results, got {results}", ty.results().len());
    }
    for (index, (expected, value)) in ty.params().zip(params).enumerate() {
        let found: ValType = value.val_type();
        if expected != found {
            bail!("argument {index}: type mismatch: expected {expected}, found {found}");
        }
    }
    Ok(())
}

impl fmt::Debug for Func {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Func").field("ctx", &format_args!("{:#x}", self.raw.ctx)).finish()
    }
}
