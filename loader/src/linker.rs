//! Linkers: definitions by name.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::fmt;
use core::marker::PhantomData;

use anyhow::{Context, Result, anyhow, bail};

use crate::engine::Engine;
use crate::error::{Hint, LinkError, UnknownImportError};
use crate::extern_::Extern;
use crate::func::{Caller, Func, HostFunc, IntoFunc};
#[cfg(feature = "async")]
use crate::func::{WasmRet, WasmTyList};
use crate::handle::Handle;
use crate::instance::{self, Given, Instance, InstancePre, Item, Items};
use crate::module::Module;
use crate::prelude::*;
use crate::similar;
use crate::store::{AsContext, AsContextMut, StoreOpaque};
use crate::types::{ExternType, FuncType, ImportType};
use crate::value::Val;

/// Definitions by module name and name, from which modules get their imports. Host functions in it
/// are bound to no store and can be used with any store of `T`.
///
/// ```
/// use aotc_loader::{Caller, Engine, Linker, Module, Store};
///
/// # fn main() -> anyhow::Result<()> {
/// # fn compile(text: &str) -> Vec<u8> {
/// #     aotc::compile(text.as_bytes(), aotc::Emit::Image, &aotc::Options::default()).unwrap()
/// # }
/// let image = compile(
///     r#"(module
///       (import "host" "add" (func $add (param i32)))
///       (func (export "run") (call $add (i32.const 40)) (call $add (i32.const 2))))"#,
/// );
/// let engine = Engine::default();
/// let module = Module::from_bytes(&engine, &image)?;
/// let mut linker = Linker::new(&engine);
/// linker.func_wrap("host", "add", |mut caller: Caller<'_, i32>, number: i32| {
///     *caller.data_mut() += number;
/// })?;
///
/// // Imports are found and matched once, for any number of instances.
/// let ready = linker.instantiate_pre(&module)?;
/// let mut store = Store::new(&engine, 0);
/// let instance = ready.instantiate(&mut store)?;
/// instance.get_typed_func::<(), ()>(&mut store, "run")?.call(&mut store, ())?;
/// assert_eq!(*store.data(), 42);
/// # Ok(())
/// # }
/// ```
pub struct Linker<T: 'static> {
    engine: Engine,
    shadowing: Shadowing,
    unknown_exports: UnknownExports,
    modules: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Definition>>,
    data: PhantomData<fn() -> T>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shadowing {
    Refused,
    Allowed,
}

/// What [`Linker::module`] does with exports of commands that are not functions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum UnknownExports {
    Refused,
    Ignored,
}

/// Whether a module is instantiated once or for each call.
enum ModuleKind {
    /// For each call of an export.
    Command,
    /// Once.
    Reactor,
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
            unknown_exports: self.unknown_exports,
            modules: self.modules.clone(),
            data: PhantomData,
        }
    }
}

impl<T: 'static> Default for Linker<T> {
    /// A linker of an engine of its own.
    fn default() -> Self {
        Self::new(&Engine::default())
    }
}

impl<T: 'static> fmt::Debug for Linker<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let definitions = self.modules.iter().flat_map(|(module, definitions)| {
            let names = definitions.iter();
            names.map(move |(name, definition)| (format!("{module}::{name}"), &definition.ty))
        });
        f.debug_map().entries(definitions).finish()
    }
}

impl<T: 'static> Linker<T> {
    /// A linker without definitions.
    pub fn new(engine: &Engine) -> Self {
        Self {
            engine: engine.clone(),
            shadowing: Shadowing::Refused,
            unknown_exports: UnknownExports::Refused,
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

    /// Whether [`Linker::module`] takes commands that export something else than functions and what toolchains
    /// are known to export; refused at first. Such exports are not defined.
    pub fn allow_unknown_exports(&mut self, allow: bool) -> &mut Self {
        self.unknown_exports =
            if allow { UnknownExports::Ignored } else { UnknownExports::Refused };
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
    /// anew for every call of one of its functions; of anything else, a reactor, there is one instance, whose
    /// `_initialize` is called.
    ///
    /// # Errors
    /// As [`Linker::instantiate`], and [`LinkError::DuplicateDefinition`]; if the module is command and reactor at
    /// once, or a command with exports that cannot be defined (see [`Linker::allow_unknown_exports`]).
    ///
    /// # Panics
    /// If store and linker belong to different engines.
    pub fn module(
        &mut self,
        mut store: impl AsContextMut<Data = T>,
        name: &str,
        module: &Module,
    ) -> Result<&mut Self> {
        self.check_engine(&store.as_context().0.opaque);
        match ModuleKind::of(module)? {
            ModuleKind::Command => self.command(store, name, module),
            ModuleKind::Reactor => {
                let instance = self.instantiate(&mut store, module)?;
                if let Some(initialize) = instance.get_func(&mut store, INITIALIZE) {
                    let initialize = initialize.typed::<(), ()>(&store).context(INITIALIZING)?;
                    initialize.call(&mut store, ()).context(INITIALIZING)?;
                }
                self.instance(store, name, instance)
            }
        }
    }

    fn command(
        &mut self,
        store: impl AsContext<Data = T>,
        name: &str,
        module: &Module,
    ) -> Result<&mut Self> {
        let items = self.resolve(Some(&store.as_context().0.opaque), module)?;
        let pre: InstancePre<T> = InstancePre::new(module, items);
        for (export, ty) in self.command_functions(module)? {
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

    /// The functions that a command exports.
    fn command_functions(&self, module: &Module) -> Result<Vec<(String, FuncType)>> {
        let mut functions = Vec::new();
        for export in module.exports() {
            let name = export.name();
            match export.ty() {
                ExternType::Func(ty) => functions.push((name.to_owned(), ty)),
                ty if self.unknown_exports == UnknownExports::Ignored
                    || is_known_export(name, &ty) => {}
                _ => bail!("command export `{name}` is not a function"),
            }
        }
        Ok(functions)
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
        let definition =
            definition.ok_or_else(|| anyhow!("no item named `{module}::{name}` defined"))?;
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

    /// Defines a function that returns an [`UnknownImportError`] for each import of `module` that is a function and
    /// not defined. Other imports are left as they are.
    ///
    /// # Errors
    /// None that is known; instantiation fails if something is still not defined.
    pub fn define_unknown_imports_as_traps(&mut self, module: &Module) -> Result<()> {
        for import in module.imports() {
            if self.find(import.module(), import.name()).is_some() {
                continue;
            }
            if let ExternType::Func(ty) = import.ty() {
                let error = self.unknown(&import);
                self.func_new(import.module(), import.name(), ty, move |_, _, _| {
                    Err(error.clone().into())
                })?;
            }
        }
        Ok(())
    }

    /// Defines for each import of `module` that is not defined what [`ExternType::default_value`] gives: functions
    /// that return zeros and nulls, and globals, tables and memories of `store`.
    ///
    /// # Errors
    /// If one of them cannot be made.
    pub fn define_unknown_imports_as_default_values(
        &mut self,
        mut store: impl AsContextMut<Data = T>,
        module: &Module,
    ) -> Result<()> {
        for import in module.imports() {
            if self.find(import.module(), import.name()).is_some() {
                continue;
            }
            if let ExternType::Func(ty) = import.ty() {
                // Results are zero and null unless the function sets them; it needs no store.
                self.func_new(import.module(), import.name(), ty, |_, _, _| Ok(()))?;
                continue;
            }
            let item = import.ty().default_value(&mut store).with_context(|| {
                format!(
                    "no default value for `{}::{}` of type `{}`",
                    import.module(),
                    import.name(),
                    import.ty()
                )
            })?;
            self.define(&store, import.module(), import.name(), item)?;
        }
        Ok(())
    }

    /// All definitions, in `store`, with their names, in the order of these.
    ///
    /// # Panics
    /// If store and linker belong to different engines, or a definition is of another store.
    pub fn iter<'a: 'p, 'p>(
        &'a self,
        mut store: impl AsContextMut<Data = T> + 'p,
    ) -> impl Iterator<Item = (&'a str, &'a str, Extern)> + 'p {
        self.modules
            .iter()
            .flat_map(|(module, definitions)| {
                definitions.iter().map(move |(name, definition)| (&**module, &**name, definition))
            })
            .map(move |(module, name, definition)| {
                let store = &mut store.as_context_mut().0.opaque;
                (module, name, self.item(store, definition))
            })
    }

    /// The definition under these names, in `store`.
    ///
    /// # Errors
    /// If there is none.
    ///
    /// # Panics
    /// If store and linker belong to different engines, or the definition is of another store.
    pub fn get(
        &self,
        mut store: impl AsContextMut<Data = T>,
        module: &str,
        name: &str,
    ) -> Result<Extern> {
        let definition = self.find(module, name);
        let definition =
            definition.ok_or_else(|| anyhow!("missing definition for `{module}::{name}`"))?;
        Ok(self.item(&mut store.as_context_mut().0.opaque, definition))
    }

    /// The definition under an import's names, in `store`, whatever its type.
    ///
    /// # Panics
    /// As [`Linker::get`].
    pub fn get_by_import(
        &self,
        mut store: impl AsContextMut<Data = T>,
        import: &ImportType<'_>,
    ) -> Option<Extern> {
        let definition = self.find(import.module(), import.name())?;
        Some(self.item(&mut store.as_context_mut().0.opaque, definition))
    }

    /// As [`Linker::get_by_import`], in the shape of a call that may fail.
    ///
    /// # Errors
    /// None in this version.
    ///
    /// # Panics
    /// As [`Linker::get`].
    pub fn try_get_by_import(
        &self,
        store: impl AsContextMut<Data = T>,
        import: &ImportType<'_>,
    ) -> Result<Option<Extern>> {
        Ok(self.get_by_import(store, import))
    }

    /// What the default export of the module called `name` is: its `""` or `_start` function, or one that does
    /// nothing.
    ///
    /// # Errors
    /// If one of these is defined as something else than a function.
    ///
    /// # Panics
    /// As [`Linker::get`].
    pub fn get_default(&self, mut store: impl AsContextMut<Data = T>, name: &str) -> Result<Func> {
        for export in ["", START] {
            let Some(definition) = self.find(name, export) else { continue };
            match self.item(&mut store.as_context_mut().0.opaque, definition) {
                Extern::Func(func) => return Ok(func),
                _ if export.is_empty() => {
                    bail!("default export in `{name}` is not a function")
                }
                _ => bail!("`{export}` in `{name}` is not a function"),
            }
        }
        Ok(Func::wrap(store, || {}))
    }

    /// Makes an instance of `module` with what is defined, and runs its start function.
    ///
    /// # Errors
    /// As [`Instance::new`], and [`UnknownImportError`].
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
        Ok(InstancePre::new(module, items))
    }

    fn resolve(&self, store: Option<&StoreOpaque>, module: &Module) -> Result<Handle<Items>> {
        if !Engine::same(&self.engine, module.engine()) {
            return Err(LinkError::OtherEngine.into());
        }
        Items::new(module.imports().enumerate().map(|(index, import)| {
            let definition =
                self.find(import.module(), import.name()).ok_or_else(|| self.unknown(&import))?;
            let given = match store {
                Some(store) => {
                    instance::check_store(store, module, index, &definition.item)?;
                    definition.item.given(store)
                }
                None => Given { ty: definition.ty.clone(), guard_bytes: definition.guard_bytes },
            };
            instance::check(module, index, &given)?;
            Ok(definition.item.clone())
        }))
    }

    pub(crate) fn insert_func(
        &mut self,
        module: &str,
        name: &str,
        func: HostFunc,
    ) -> Result<&mut Self> {
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

    /// The error for an import under whose names nothing is defined.
    fn unknown(&self, import: &ImportType<'_>) -> UnknownImportError {
        let (module, name) = (import.module(), import.name());
        UnknownImportError {
            module: module.to_owned(),
            name: name.to_owned(),
            ty: import.ty(),
            hint: self.hint(module, name),
        }
    }

    /// What there is in place of names that are not defined.
    fn hint(&self, module: &str, name: &str) -> Hint {
        /// Most pairs of names that are offered.
        const NEAR_MAX: usize = 3;
        /// Most names that are listed.
        const LISTED_MAX: usize = 8;
        let mut near: Vec<(usize, &str, &str)> = Vec::new();
        for (known_module, definitions) in &self.modules {
            for known in definitions.keys() {
                let distance = similar::near_pair((module, name), (known_module, known));
                let Some(distance) = distance else { continue };
                let found = (distance, &**known_module, &**known);
                near.insert(near.partition_point(|nearer| *nearer < found), found);
                near.truncate(NEAR_MAX);
            }
        }
        if !near.is_empty() {
            let pairs = near.iter();
            return Hint::Near(pairs.map(|(_, a, b)| (a.to_string(), b.to_string())).collect());
        }
        let list = |names: &mut dyn ExactSizeIterator<Item = &Arc<str>>| {
            let more = names.len().saturating_sub(LISTED_MAX);
            (names.take(LISTED_MAX).map(|name| name.to_string()).collect(), more)
        };
        match self.modules.get(module) {
            Some(definitions) => {
                let (names, more) = list(&mut definitions.keys());
                Hint::Module { names, more }
            }
            None => {
                let (modules, more) = list(&mut self.modules.keys());
                Hint::NoModule { modules, more }
            }
        }
    }

    /// What is defined, in `store`.
    fn item(&self, store: &mut StoreOpaque, definition: &Definition) -> Extern {
        self.check_engine(store);
        match &definition.item {
            Item::Extern(item) => {
                store.check(item.store());
                *item
            }
            Item::Host(func) => store.add_host_func(func.clone()).into(),
        }
    }

    #[track_caller]
    fn check_engine(&self, store: &StoreOpaque) {
        let same = Engine::same(&self.engine, &store.engine);
        assert!(same, "different engines for this linker and the store provided");
    }
}

/// What a command is started by.
const START: &str = "_start";
/// What a reactor is made ready by.
const INITIALIZE: &str = "_initialize";
/// What failed if that failed.
const INITIALIZING: &str = "calling the reactor's initialization function";

impl ModuleKind {
    fn of(module: &Module) -> Result<Self> {
        match (module.get_export(START), module.get_export(INITIALIZE)) {
            (Some(_), Some(_)) => bail!("a program cannot be both a command and a reactor"),
            (Some(ExternType::Func(_)), None) => Ok(Self::Command),
            (Some(_), None) => bail!("`{START}` must be a function"),
            (None, None | Some(ExternType::Func(_))) => Ok(Self::Reactor),
            (None, Some(_)) => bail!("`{INITIALIZE}` must be a function"),
        }
    }
}

/// Whether toolchains give every command such an export.
fn is_known_export(name: &str, ty: &ExternType) -> bool {
    match ty {
        ExternType::Func(_) => true,
        ExternType::Memory(_) => name == "memory",
        ExternType::Table(_) => ["__indirect_function_table", "table"].contains(&name),
        ExternType::Global(_) => {
            ["__data_end", "__heap_base", "__dso_handle", "__rtti_base"].contains(&name)
        }
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
        self.check_engine(&store.as_context().0.opaque);
        match ModuleKind::of(module)? {
            ModuleKind::Command => self.command_async(store, name, module),
            ModuleKind::Reactor => {
                let instance = self.instantiate_async(&mut store, module).await?;
                if let Some(initialize) = instance.get_func(&mut store, INITIALIZE) {
                    let initialize = initialize.typed::<(), ()>(&store).context(INITIALIZING)?;
                    initialize.call_async(&mut store, ()).await.context(INITIALIZING)?;
                }
                self.instance(store, name, instance)
            }
        }
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
        let pre: InstancePre<T> = InstancePre::new(module, items);
        for (export, ty) in self.command_functions(module)? {
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
        let pre: InstancePre<T> = InstancePre::new(module, items);
        pre.instantiate_async(store).await
    }
}
