//! Linkers: definitions by name.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::marker::PhantomData;

use anyhow::{Context, Result, anyhow, bail};

use crate::engine::Engine;
use crate::error::LinkError;
use crate::extern_::Extern;
use crate::func::{Caller, Func, HostFunc, IntoFunc};
#[cfg(feature = "async")]
use crate::func::{WasmRet, WasmTyList};
use crate::instance::{self, Given, Instance, InstancePre, Item};
use crate::module::Module;
use crate::prelude::*;
use crate::store::{AsContext, AsContextMut, StoreOpaque};
use crate::types::{ExternType, FuncType};
use crate::value::Val;

/// Definitions by module name and name, from which modules get their imports. Host functions in it
/// are bound to no store and can be used with any store of `T`.
pub struct Linker<T: 'static> {
    engine: Engine,
    shadowing: Shadowing,
    modules: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Definition>>,
    data: PhantomData<fn() -> T>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shadowing {
    Refused,
    Allowed,
}

#[derive(Clone)]
struct Definition {
    item: Item,
    /// As it was when it was defined.
    ty: ExternType,
    guard_bytes: Option<u64>,
}

impl<T: 'static> Clone for Linker<T> {
    fn clone(&self) -> Self {
        Self {
            engine: self.engine.clone(),
            shadowing: self.shadowing,
            modules: self.modules.clone(),
            data: PhantomData,
        }
    }
}

impl<T: 'static> Linker<T> {
    /// A linker without definitions.
    pub fn new(engine: &Engine) -> Self {
        Self {
            engine: engine.clone(),
            shadowing: Shadowing::Refused,
            modules: BTreeMap::new(),
            data: PhantomData,
        }
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Whether a definition may take the place of another; refused at first.
    pub fn allow_shadowing(&mut self, allow: bool) -> &mut Self {
        self.shadowing = if allow { Shadowing::Allowed } else { Shadowing::Refused };
        self
    }

    /// Defines an item of a store.
    ///
    /// # Errors
    /// [`LinkError::DuplicateDefinition`].
    ///
    /// # Panics
    /// If the item belongs to another store.
    pub fn define(
        &mut self,
        store: impl AsContext<Data = T>,
        module: &str,
        name: &str,
        item: impl Into<Extern>,
    ) -> Result<&mut Self> {
        self.insert_item(&store.as_context().0.opaque, module, name, item.into())
    }

    /// Defines a host function of type `ty` that takes and gives [`Val`]s.
    ///
    /// # Errors
    /// [`LinkError::DuplicateDefinition`].
    pub fn func_new(
        &mut self,
        module: &str,
        name: &str,
        ty: FuncType,
        func: impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
    ) -> Result<&mut Self> {
        self.engine.types().add(&ty)?;
        self.insert_func(module, name, HostFunc::dynamic(ty, func))
    }

    /// Defines a host function from a closure; its type follows from the closure's.
    ///
    /// # Errors
    /// [`LinkError::DuplicateDefinition`].
    pub fn func_wrap<Params, Results>(
        &mut self,
        module: &str,
        name: &str,
        func: impl IntoFunc<T, Params, Results>,
    ) -> Result<&mut Self> {
        let func = func.into_host_func(&self.engine);
        self.insert_func(module, name, func)
    }

    /// Defines every export of an instance under `module`.
    ///
    /// # Errors
    /// [`LinkError::DuplicateDefinition`].
    pub fn instance(
        &mut self,
        mut store: impl AsContextMut<Data = T>,
        module: &str,
        instance: Instance,
    ) -> Result<&mut Self> {
        let exports: Vec<(String, Extern)> = instance
            .exports(store.as_context_mut())
            .map(|export| (export.name().to_owned(), export.into_extern()))
            .collect();
        for (name, item) in exports {
            self.define(&store, module, &name, item)?;
        }
        Ok(self)
    }

    /// Instantiates `module` and defines its exports under `name`. A command (with `_start`) is instantiated
    /// anew for every call of one of its functions; of anything else there is one instance, whose `_initialize`
    /// is called.
    ///
    /// # Errors
    /// As [`Linker::instantiate`], and [`LinkError::DuplicateDefinition`].
    pub fn module(
        &mut self,
        mut store: impl AsContextMut<Data = T>,
        name: &str,
        module: &Module,
    ) -> Result<&mut Self> {
        if matches!(module.get_export("_start"), Some(ExternType::Func(_))) {
            return self.command(store, name, module);
        }
        let instance = self.instantiate(&mut store, module)?;
        if let Some(initialize) = instance.get_func(&mut store, "_initialize") {
            let initialize =
                initialize.typed::<(), ()>(&store).context("calling the `_initialize` function")?;
            initialize.call(&mut store, ()).context("calling the `_initialize` function")?;
        }
        self.instance(store, name, instance)
    }

    fn command(
        &mut self,
        store: impl AsContext<Data = T>,
        name: &str,
        module: &Module,
    ) -> Result<&mut Self> {
        let items = self.resolve(Some(&store.as_context().0.opaque), module)?;
        let pre: InstancePre<T> = InstancePre { module: module.clone(), items, data: PhantomData };
        for export in module.exports() {
            let (Some(ty), export) = (export.ty().func().cloned(), export.name().to_owned()) else {
                continue;
            };
            let (pre, export_name) = (pre.clone(), export.clone());
            self.func_new(name, &export, ty, move |mut caller, params, results| {
                let instance = pre.instantiate(&mut caller)?;
                let func = instance
                    .get_func(&mut caller, &export_name)
                    .ok_or_else(|| anyhow!("failed to find function export `{export_name}`"))?;
                func.call(&mut caller, params, results)
            })?;
        }
        Ok(self)
    }

    /// Defines what is under one pair of names under another, too.
    ///
    /// # Errors
    /// If there is no such definition, or [`LinkError::DuplicateDefinition`].
    pub fn alias(
        &mut self,
        module: &str,
        name: &str,
        as_module: &str,
        as_name: &str,
    ) -> Result<&mut Self> {
        let definition = self.find(module, name).cloned();
        let definition = definition.ok_or_else(|| anyhow!("`{module}::{name}` is not defined"))?;
        self.insert(as_module, as_name, definition)
    }

    /// Defines all that is under one module name under another, too.
    ///
    /// # Errors
    /// [`LinkError::DuplicateDefinition`].
    pub fn alias_module(&mut self, module: &str, as_module: &str) -> Result<()> {
        let definitions: Vec<_> = self
            .modules
            .get(module)
            .into_iter()
            .flatten()
            .map(|(name, definition)| (name.clone(), definition.clone()))
            .collect();
        for (name, definition) in definitions {
            self.insert(as_module, &name, definition)?;
        }
        Ok(())
    }

    /// Defines a function that returns an error for each import of `module` that is a function and not defined.
    ///
    /// # Errors
    /// If an import that is not defined is not a function.
    pub fn define_unknown_imports_as_traps(&mut self, module: &Module) -> Result<()> {
        for (index, import) in module.imports().enumerate() {
            if self.find(import.module(), import.name()).is_some() {
                continue;
            }
            let ExternType::Func(ty) = import.ty() else {
                bail!(instance::unknown(module, index));
            };
            let error = instance::unknown(module, index).to_string();
            self.func_new(import.module(), import.name(), ty, move |_, _, _| bail!("{error}"))?;
        }
        Ok(())
    }

    /// Defines a function that returns zeros and nulls for each import of `module` that is a function and not
    /// defined.
    ///
    /// # Errors
    /// If an import that is not defined is not a function.
    pub fn define_unknown_imports_as_default_values(&mut self, module: &Module) -> Result<()> {
        for (index, import) in module.imports().enumerate() {
            if self.find(import.module(), import.name()).is_some() {
                continue;
            }
            let ExternType::Func(ty) = import.ty() else {
                bail!(instance::unknown(module, index));
            };
            // Results are zero and null unless the function sets them.
            self.func_new(import.module(), import.name(), ty, |_, _, _| Ok(()))?;
        }
        Ok(())
    }

    /// The definition under these names, in `store`.
    ///
    /// # Panics
    /// If it is of another store.
    pub fn get(
        &self,
        mut store: impl AsContextMut<Data = T>,
        module: &str,
        name: &str,
    ) -> Option<Extern> {
        let definition = self.find(module, name)?;
        let store = &mut store.as_context_mut().0.opaque;
        Some(match &definition.item {
            Item::Extern(item) => {
                store.check(item.store());
                *item
            }
            Item::Host(func) => store.add_host_func(func.clone()).into(),
        })
    }

    /// What the default export of the module called `name` is: its `""` or `_start` function, or nothing to do.
    ///
    /// # Errors
    /// If one of these is defined as something else than a function.
    pub fn get_default(&self, mut store: impl AsContextMut<Data = T>, name: &str) -> Result<Func> {
        for export in ["", "_start"] {
            match self.get(&mut store, name, export) {
                None => {}
                Some(Extern::Func(func)) => return Ok(func),
                Some(_) => bail!("default export in `{name}` is not a function"),
            }
        }
        Ok(Func::wrap(store, || {}))
    }

    /// Makes an instance of `module` with what is defined, and runs its start function.
    ///
    /// # Errors
    /// As [`Instance::new`], and [`LinkError::UnknownImport`].
    pub fn instantiate(
        &self,
        mut store: impl AsContextMut<Data = T>,
        module: &Module,
    ) -> Result<Instance> {
        let store = &mut store.as_context_mut().0.opaque;
        let items = self.resolve(Some(store), module)?;
        instance::note_async(store, &items);
        store.synchronously(|store| instance::instantiate(store, module, &items))
    }

    /// Finds and matches the imports of `module` once, for many instances. Items of stores are matched with the
    /// size they had when they were defined.
    ///
    /// # Errors
    /// As [`Linker::instantiate`], except what depends on the store.
    pub fn instantiate_pre(&self, module: &Module) -> Result<InstancePre<T>> {
        let items = self.resolve(None, module)?;
        Ok(InstancePre { module: module.clone(), items, data: PhantomData })
    }

    fn resolve(&self, store: Option<&StoreOpaque>, module: &Module) -> Result<Arc<[Item]>> {
        if !Engine::same(&self.engine, module.engine()) {
            return Err(LinkError::OtherEngine.into());
        }
        let data = module.data();
        let mut items = Vec::with_capacity(data.imports().len());
        for (index, import) in data.imports().iter().enumerate() {
            let definition = self
                .find(data.str(import.module), data.str(import.name))
                .ok_or_else(|| instance::unknown(module, index))?;
            let given = match store {
                Some(store) => {
                    if matches!(&definition.item, Item::Extern(item) if item.store() != store.id) {
                        return Err(LinkError::OtherStore.into());
                    }
                    definition.item.given(store)
                }
                None => Given { ty: definition.ty.clone(), guard_bytes: definition.guard_bytes },
            };
            instance::check(module, index, &given)?;
            items.push(definition.item.clone());
        }
        Ok(items.into())
    }

    fn insert_func(&mut self, module: &str, name: &str, func: HostFunc) -> Result<&mut Self> {
        let ty = func.ty().clone().into();
        self.insert(
            module,
            name,
            Definition { item: Item::Host(Arc::new(func)), ty, guard_bytes: None },
        )
    }

    fn insert_item(
        &mut self,
        store: &StoreOpaque,
        module: &str,
        name: &str,
        item: Extern,
    ) -> Result<&mut Self> {
        let item = Item::Extern(item);
        let Given { ty, guard_bytes } = item.given(store);
        self.insert(module, name, Definition { item, ty, guard_bytes })
    }

    fn insert(&mut self, module: &str, name: &str, definition: Definition) -> Result<&mut Self> {
        if self.shadowing == Shadowing::Refused && self.find(module, name).is_some() {
            let (module, name) = (module.to_owned(), name.to_owned());
            return Err(LinkError::DuplicateDefinition { module, name }.into());
        }
        self.modules.entry(module.into()).or_default().insert(name.into(), definition);
        Ok(self)
    }

    fn find(&self, module: &str, name: &str) -> Option<&Definition> {
        self.modules.get(module)?.get(name)
    }
}

/// What waits.
#[cfg(feature = "async")]
impl<T: 'static> Linker<T> {
    /// Defines a host function from a closure whose result is waited for; its type follows from the closure's, whose
    /// parameters come as a tuple. A store with an instance that imports it is used through the `*_async` functions only.
    ///
    /// # Errors
    /// [`LinkError::DuplicateDefinition`].
    pub fn func_wrap_async<F, Params, R>(
        &mut self,
        module: &str,
        name: &str,
        func: F,
    ) -> Result<&mut Self>
    where
        F: for<'a> Fn(Caller<'a, T>, Params) -> Box<dyn Future<Output = R> + Send + 'a>
            + Send
            + Sync
            + 'static,
        Params: WasmTyList + 'static,
        R: WasmRet + 'static,
        T: Send,
    {
        let func = HostFunc::wrap_async(&self.engine, func);
        self.insert_func(module, name, func)
    }

    /// Defines a host function of type `ty` that takes and gives [`Val`]s, and may wait. See
    /// [`Linker::func_wrap_async`].
    ///
    /// # Errors
    /// [`LinkError::DuplicateDefinition`].
    pub fn func_new_async<F>(
        &mut self,
        module: &str,
        name: &str,
        ty: FuncType,
        func: F,
    ) -> Result<&mut Self>
    where
        F: for<'a> Fn(
                Caller<'a, T>,
                &'a [Val],
                &'a mut [Val],
            ) -> Box<dyn Future<Output = Result<()>> + Send + 'a>
            + Send
            + Sync
            + 'static,
        T: Send,
    {
        self.engine.types().add(&ty)?;
        self.insert_func(module, name, HostFunc::dynamic_async(ty, func))
    }

    /// As [`Linker::module`]; what is called may wait.
    ///
    /// # Errors
    /// As [`Linker::module`].
    pub async fn module_async(
        &mut self,
        mut store: impl AsContextMut<Data = T>,
        name: &str,
        module: &Module,
    ) -> Result<&mut Self>
    where
        T: Send,
    {
        if matches!(module.get_export("_start"), Some(ExternType::Func(_))) {
            return self.command_async(store, name, module);
        }
        let instance = self.instantiate_async(&mut store, module).await?;
        if let Some(initialize) = instance.get_func(&mut store, "_initialize") {
            let initialize =
                initialize.typed::<(), ()>(&store).context("calling the `_initialize` function")?;
            initialize
                .call_async(&mut store, ())
                .await
                .context("calling the `_initialize` function")?;
        }
        self.instance(store, name, instance)
    }

    fn command_async(
        &mut self,
        store: impl AsContext<Data = T>,
        name: &str,
        module: &Module,
    ) -> Result<&mut Self>
    where
        T: Send,
    {
        let items = self.resolve(Some(&store.as_context().0.opaque), module)?;
        let pre: InstancePre<T> = InstancePre { module: module.clone(), items, data: PhantomData };
        for export in module.exports() {
            let (Some(ty), export) = (export.ty().func().cloned(), export.name().to_owned()) else {
                continue;
            };
            let (pre, export_name) = (pre.clone(), export.clone());
            self.func_new_async(name, &export, ty, move |mut caller, params, results| {
                let (pre, export_name) = (pre.clone(), export_name.clone());
                Box::new(async move {
                    let instance = pre.instantiate_async(&mut caller).await?;
                    let func = instance
                        .get_func(&mut caller, &export_name)
                        .ok_or_else(|| anyhow!("failed to find function export `{export_name}`"))?;
                    func.call_async(&mut caller, params, results).await
                })
            })?;
        }
        Ok(self)
    }

    /// As [`Linker::instantiate`]; the start function may wait.
    ///
    /// # Errors
    /// As [`Linker::instantiate`].
    pub async fn instantiate_async(
        &self,
        mut store: impl AsContextMut<Data = T>,
        module: &Module,
    ) -> Result<Instance>
    where
        T: Send,
    {
        let items = self.resolve(Some(&store.as_context_mut().0.opaque), module)?;
        let pre: InstancePre<T> = InstancePre { module: module.clone(), items, data: PhantomData };
        pre.instantiate_async(store).await
    }
}
