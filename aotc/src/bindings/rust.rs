//! A Rust module that declares a WebAssembly module: through the loader's safe API, formatted as rustfmt does.

use aotc_abi::index::FuncIndex;
use aotc_abi::meta::ExternKind;
use aotc_abi::symbol::descriptor_symbol;
use aotc_abi::types::ValType;

use super::identifier::Language;
use super::items::{Item, WASI, calls_initialize, exports, imports, limits};
use super::writer::{LINE_WIDTH, LIST_WIDTH, Writer};
use super::{Identifiers, in_comment, parameters, type_text};
use crate::parse::{ConstOp, Global, Import, WasmModule};

/// Parameters, and results, that functions of Rust types may have.
const TYPED_MAX: usize = 17;

/// Methods that every declared type has.
const RESERVED: [&str; 5] = ["exports", "from_instance", "instance", "instantiate", "new"];

/// How a module is declared.
pub(crate) struct Settings {
    /// Name of the Rust module.
    pub(crate) module: String,
    /// Name of the wasm module, which decides the symbol.
    pub(crate) name: String,
    /// The static library to link.
    pub(crate) library: String,
    /// Name of the input, for the documentation.
    pub(crate) input: String,
    /// Path of the loader's crate.
    pub(crate) loader: String,
    /// Whether the imports of WASI are left to a linker.
    pub(crate) wasi: bool,
}

/// The declaration of `module`.
pub(crate) fn declare(module: &WasmModule<'_>, settings: &Settings) -> String {
    let mut out = Writer::default();
    let mut names = Identifiers::new(Language::Rust, &[]);
    let rust_module = names.lower(&settings.module);
    let mut types = Identifiers::new(Language::Rust, &["Exports", "Imports"]);
    let name = types.camel(&settings.module);
    let (wasi, asked): (Vec<&Import<'_>>, _) =
        module.imports.iter().partition(|import| settings.wasi && import.module == WASI);
    let declaration = Declaration {
        module,
        settings,
        name,
        imports: imports(module, &asked, Identifiers::new(Language::Rust, &[])),
        needs_linker: !wasi.is_empty(),
        exports: exports(module, Identifiers::new(Language::Rust, &RESERVED)),
    };
    let (input, version) = (in_comment(&settings.input), env!("CARGO_PKG_VERSION"));
    let wasm_name = in_comment(&settings.name);
    out.line(&format!("/// The module `{wasm_name}`, compiled from `{input}` by aotc {version}."));
    out.line("///");
    out.line("/// Written by the build step, which writes it again whenever the module changes.");
    out.line("#[allow(");
    out.nested(|out| {
        for lint in [
            "clippy::too_many_arguments",
            "clippy::type_complexity",
            "clippy::wrong_self_convention",
            "dead_code",
            "unreachable_pub",
            "unsafe_code",
        ] {
            out.line(&format!("{lint},"));
        }
        out.line("reason = \"the names and types are the module's, what of them is used is the program's choice\"");
    });
    out.line(")]");
    out.line(&format!("pub mod {rust_module} {{"));
    out.nested(|out| declaration.write(out));
    out.line("}");
    out.text
}

struct Declaration<'a> {
    module: &'a WasmModule<'a>,
    settings: &'a Settings,
    /// The type of instances.
    name: String,
    imports: Vec<Item<'a>>,
    /// Whether a linker has to define what is not among `imports`.
    needs_linker: bool,
    exports: Vec<Item<'a>>,
}

impl Declaration<'_> {
    fn write(&self, out: &mut Writer) {
        let Settings { loader, library, name, .. } = self.settings;
        let symbol = descriptor_symbol(name);
        match &**loader {
            "loader" => out.line("use loader;"),
            loader => out.line(&format!("use {loader} as loader;")),
        }
        out.blank();
        out.line(&format!("#[link(name = {library:?}, kind = \"static\")]"));
        out.block("unsafe extern \"C\"", |out| out.line(&format!("static {symbol}: u8;")));
        out.blank();
        self.constants(out);
        out.line("/// The compiled module, checked for this processor and the engine's settings. It can be instantiated any");
        out.line("/// number of times.");
        out.line("///");
        out.line("/// # Errors");
        out.line("/// `LoadError` of the loader: it was compiled for another processor, or with settings that the engine's");
        out.line("/// exclude.");
        out.block(
            "pub fn module(engine: &loader::Engine) -> loader::Result<loader::Module>",
            |out| {
                out.line(&format!("let descriptor = &raw const {symbol};"));
                out.line("// SAFETY: the symbol stands at the start of the object that the build step compiled and had linked with");
                out.line("// this very code, as it is. Both are in one program or library, so that whoever unloads the module also");
                out.line(
                    "// unloads the code that uses it, which no safe code can do while it runs.",
                );
                out.line("unsafe { loader::Module::from_linked(engine, descriptor) }");
            },
        );
        if !self.imports.is_empty() {
            out.blank();
            self.imports_trait(out);
            out.blank();
            self.add_to_linker(out);
        }
        out.blank();
        self.exports_struct(out);
        out.blank();
        let name = &self.name;
        out.line("/// An instance of the module, owned by its store: a handle, as good as any copy of it.");
        out.line("#[derive(Clone, Copy)]");
        out.block(&format!("pub struct {name}"), |out| {
            out.line("/// The instance.");
            out.line("pub instance: loader::Instance,");
            out.line("/// What it exports.");
            out.line("pub exports: Exports,");
        });
        out.blank();
        out.block(&format!("impl {name}"), |out| {
            self.constructors(out);
            for export in &self.exports {
                out.blank();
                self.method(export, out);
            }
        });
        self.helpers(out);
    }

    fn constants(&self, out: &mut Writer) {
        let mut names = Identifiers::new(Language::Rust, &["NAME"]);
        out.line("/// The module's name, as it stands in backtraces.");
        out.line(&format!("pub const NAME: &str = {:?};", self.settings.name));
        for export in &self.exports {
            let title = export.title();
            match export.kind {
                ExternKind::Memory => {
                    let memory = self.module.memories[export.index as usize];
                    out.line(&format!("/// Least size of the memory {title}, in pages of 64 KiB."));
                    let min = names.upper(&format!("{}_pages_min", export.identifier));
                    out.line(&format!("pub const {min}: u64 = {};", memory.min));
                    out.line(&format!("/// Largest size of the memory {title}, in pages of 64 KiB, if there is one."));
                    let max = names.upper(&format!("{}_pages_max", export.identifier));
                    out.line(&format!("pub const {max}: Option<u64> = {:?};", memory.max));
                }
                ExternKind::Global => {
                    let global = &self.module.globals[export.index as usize];
                    let Some((ty, value)) = constant(global) else { continue };
                    out.line(&format!("/// Value of the global {title}, which never changes."));
                    let constant = names.upper(&export.identifier);
                    out.line(&format!("pub const {constant}: {ty} = {value};"));
                }
                ExternKind::Func | ExternKind::Table => {}
            }
        }
        out.blank();
    }

    fn imports_trait(&self, out: &mut Writer) {
        out.line(
            "/// What the module imports. A program implements it for the data of its stores.",
        );
        out.block("pub trait Imports: Sized + 'static", |out| {
            for (index, import) in self.imports.iter().enumerate() {
                if index != 0 {
                    out.blank();
                }
                self.import(import, out);
            }
        });
    }

    fn import(&self, import: &Item<'_>, out: &mut Writer) {
        let title = import.title();
        let head = format!("fn {}", import.identifier);
        let store = "store: loader::StoreContextMut<'_, Self>".to_owned();
        let ty = match import.kind {
            ExternKind::Func => {
                let index = FuncIndex(import.index);
                let ty = self.module.function_type(index);
                out.line(&format!("/// The function {title}: `{}`.", type_text(ty)));
                out.line("///");
                out.line("/// # Errors");
                out.line("/// Whatever the program returns ends the call of WebAssembly, which returns it.");
                let caller = "caller: loader::Caller<'_, Self>".to_owned();
                if !is_typed(self.module, index) {
                    let slices =
                        ["params: &[loader::Val]".into(), "results: &mut [loader::Val]".into()];
                    let params: Vec<String> = [caller].into_iter().chain(slices).collect();
                    return out.signature(&head, &params, "loader::Result<()>", ";");
                }
                let mut params = vec![caller];
                let names = parameters(self.module, index, Language::Rust, &["caller"]);
                params.extend(
                    names.iter().zip(&ty.params).map(|(n, ty)| format!("{n}: {}", value(*ty))),
                );
                let result = format!("loader::Result<{}>", tuple(&ty.results));
                return out.signature(&head, &params, &result, ";");
            }
            ExternKind::Table => {
                let table = &self.module.tables[import.index as usize];
                let limits = limits(table.min, table.max);
                out.line(&format!(
                    "/// The table {title}: {limits} elements of `{}`.",
                    table.element
                ));
                "Table"
            }
            ExternKind::Memory => {
                let memory = self.module.memories[import.index as usize];
                let limits = limits(memory.min, memory.max);
                out.line(&format!("/// The memory {title}: {limits} pages of 64 KiB."));
                "Memory"
            }
            ExternKind::Global => {
                let global = &self.module.globals[import.index as usize];
                let kind = if global.mutable { "mutable" } else { "immutable" };
                out.line(&format!("/// The global {title}: {kind}, of type `{}`.", global.ty));
                "Global"
            }
        };
        out.line("///");
        out.line("/// # Errors");
        out.line("/// Whatever the program returns ends the instantiation, which returns it.");
        out.signature(&head, &[store], &format!("loader::Result<loader::{ty}>"), ";");
    }

    /// Whether an import is made in the store.
    fn imports_items(&self) -> bool {
        self.imports.iter().any(|import| import.kind != ExternKind::Func)
    }

    fn add_to_linker(&self, out: &mut Writer) {
        out.line("/// Defines what the module imports.");
        out.line("///");
        out.line("/// # Errors");
        out.line(
            "/// `LinkError` of the loader: something is defined under the same names already.",
        );
        if self.imports_items() {
            out.line("/// What [`Imports`] returns for imports that are no functions.");
        }
        let mut params = vec!["linker: &mut loader::Linker<T>".to_owned()];
        if self.imports_items() {
            params.push("mut store: impl loader::AsContextMut<Data = T>".to_owned());
        }
        out.signature("pub fn add_to_linker<T: Imports>", &params, "loader::Result<()>", " {");
        out.nested(|out| {
            for import in &self.imports {
                let names = [format!("{:?}", import.from), format!("{:?}", import.name)];
                let function = format!("T::{}", import.identifier);
                if import.kind != ExternKind::Func {
                    out.line(&format!("let item = {function}(store.as_context_mut())?;"));
                    let arguments = ["&store".to_owned()].into_iter().chain(names);
                    let arguments: Vec<_> = arguments.chain(["item".to_owned()]).collect();
                    out.call("linker.define", &arguments, "?;");
                } else if is_typed(self.module, FuncIndex(import.index)) {
                    let arguments: Vec<_> = names.into_iter().chain([function]).collect();
                    out.call("linker.func_wrap", &arguments, "?;");
                } else {
                    let ty = self.module.function_type(FuncIndex(import.index));
                    for (name, types) in [("params", &ty.params), ("results", &ty.results)] {
                        let types: Vec<_> = types.iter().map(|ty| val_type(*ty)).collect();
                        out.list(&format!("let {name} = "), ["[", "]"], &types, ";");
                    }
                    out.line("let ty = loader::FuncType::new(linker.engine(), params, results);");
                    let arguments: Vec<_> =
                        names.into_iter().chain(["ty".to_owned(), function]).collect();
                    out.call("linker.func_new", &arguments, "?;");
                }
            }
            out.line("Ok(())");
        });
        out.line("}");
    }

    fn exports_struct(&self, out: &mut Writer) {
        out.line("/// The exports of an instance.");
        out.line("#[derive(Clone, Copy)]");
        if self.exports.is_empty() {
            return out.line("pub struct Exports {}");
        }
        out.block("pub struct Exports", |out| {
            for export in &self.exports {
                let (title, name) = (export.title(), &export.identifier);
                let (what, ty) = match export.kind {
                    ExternKind::Func => ("function", "Func"),
                    ExternKind::Table => ("table", "Table"),
                    ExternKind::Memory => ("memory", "Memory"),
                    ExternKind::Global => ("global", "Global"),
                };
                out.line(&format!("/// The {what} {title}."));
                let index = FuncIndex(export.index);
                if export.kind == ExternKind::Func && is_typed(self.module, index) {
                    let ty = self.module.function_type(index);
                    out.typed_func(name, &ty.params, &ty.results);
                } else {
                    out.line(&format!("pub {name}: loader::{ty},"));
                }
            }
        });
    }

    fn constructors(&self, out: &mut Writer) {
        let bound = if self.imports.is_empty() { "'static" } else { "Imports" };
        let store = "mut store: impl loader::AsContextMut<Data = T>".to_owned();
        let module = "module: &loader::Module".to_owned();
        let linker = "linker: &loader::Linker<T>".to_owned();
        let is_reactor = calls_initialize(self.module, &self.exports);
        let errors = |out: &mut Writer| {
            out.line("///");
            out.line("/// # Errors");
            out.line("/// Those of the loader's `Instance::new`: among them a trap of the start function.");
        };
        if !self.needs_linker {
            out.line("/// Makes an instance in `store` of what [`module`] gave.");
            errors(out);
            let store =
                if self.imports_items() { store.clone() } else { store.replacen("mut ", "", 1) };
            let params = [store, module.clone()];
            out.signature(
                &format!("pub fn new<T: {bound}>"),
                &params,
                "loader::Result<Self>",
                " {",
            );
            out.nested(|out| {
                match self.imports.is_empty() {
                    true => out.line("let linker = loader::Linker::new(module.engine());"),
                    false => {
                        out.line("let mut linker = loader::Linker::new(module.engine());");
                        let store = if self.imports_items() { ", &mut store" } else { "" };
                        out.line(&format!("add_to_linker(&mut linker{store})?;"));
                    }
                }
                out.line("Self::instantiate(store, module, &linker)");
            });
            out.line("}");
            out.blank();
        }
        out.line(
            "/// Makes an instance in `store` of what [`module`] gave, with what `linker` defines.",
        );
        errors(out);
        let params = [store.clone(), module, linker];
        out.signature("pub fn instantiate<T: 'static>", &params, "loader::Result<Self>", " {");
        out.nested(|out| {
            out.line("let instance = linker.instantiate(&mut store, module)?;");
            if is_reactor {
                out.line("let name = \"_initialize\";");
                out.line("let initialize = instance.get_typed_func::<(), ()>(&mut store, name)?;");
                out.line("initialize.call(&mut store, ())?;");
            }
            out.line("Self::from_instance(store, instance)");
        });
        out.line("}");
        out.blank();
        out.line("/// Looks up what `instance`, which was made in `store`, exports.");
        out.line("///");
        out.line("/// # Errors");
        out.line("/// If it is an instance of another module, which lacks an export or has one of another type.");
        let store = match self.exports.is_empty() {
            true => "_store: impl loader::AsContextMut".to_owned(),
            false => "mut store: impl loader::AsContextMut".to_owned(),
        };
        let params = [store, "instance: loader::Instance".to_owned()];
        out.signature("pub fn from_instance", &params, "loader::Result<Self>", " {");
        out.nested(|out| {
            if self.exports.is_empty() {
                out.line("let exports = Exports {};");
            } else {
                out.block_with("let exports = Exports", ";", |out| {
                    for export in &self.exports {
                        self.look_up(export, out);
                    }
                });
            }
            out.line("Ok(Self { instance, exports })");
        });
        out.line("}");
    }

    fn look_up(&self, export: &Item<'_>, out: &mut Writer) {
        let name = &export.identifier;
        let helper = match export.kind {
            ExternKind::Func if is_typed(self.module, FuncIndex(export.index)) => "typed_func",
            ExternKind::Func => "func",
            ExternKind::Table => "table",
            ExternKind::Memory => "memory",
            ExternKind::Global => "global",
        };
        let mut arguments =
            vec!["&mut store".to_owned(), "instance".to_owned(), format!("{:?}", export.name)];
        if export.kind == ExternKind::Global {
            let global = &self.module.globals[export.index as usize];
            arguments.push(val_type(global.ty));
        }
        out.call(&format!("{name}: {helper}"), &arguments, "?,");
    }

    fn method(&self, export: &Item<'_>, out: &mut Writer) {
        let (title, name) = (export.title(), &export.identifier);
        let store = "store: impl loader::AsContextMut".to_owned();
        let this = "&self".to_owned();
        match export.kind {
            ExternKind::Func => {
                let index = FuncIndex(export.index);
                let ty = self.module.function_type(index);
                if !is_typed(self.module, index) {
                    out.line(&format!("/// The function {title}: `{}`.", type_text(ty)));
                    return out.accessor(name, "Func");
                }
                out.line(&format!("/// Calls the function {title}: `{}`.", type_text(ty)));
                let known = self.module.function_name(index);
                if !known.is_empty() && known != export.name {
                    out.line("///");
                    out.line(&format!("/// In its source it is called `{}`.", in_comment(known)));
                }
                out.line("///");
                out.line("/// # Errors");
                out.line("/// A `Trap` of the loader, or whatever error an import returned.");
                let names = parameters(
                    self.module,
                    index,
                    Language::Rust,
                    &["function", "params", "store"],
                );
                let typed =
                    names.iter().zip(&ty.params).map(|(n, ty)| format!("{n}: {}", value(*ty)));
                let params: Vec<_> = [this, store].into_iter().chain(typed).collect();
                let result = format!("loader::Result<{}>", tuple(&ty.results));
                out.signature(&format!("pub fn {name}"), &params, &result, " {");
                out.nested(|out| {
                    out.line(&format!("let function = &self.exports.{name};"));
                    match &*names {
                        [] => out.line("function.call(store, ())"),
                        [name] => out.line(&format!("function.call(store, {name})")),
                        names => {
                            out.call("let params = ", names, ";");
                            out.line("function.call(store, params)");
                        }
                    }
                });
                out.line("}");
            }
            ExternKind::Memory => {
                out.line(&format!("/// The memory {title}."));
                out.accessor(name, "Memory");
            }
            ExternKind::Table => {
                out.line(&format!("/// The table {title}."));
                out.accessor(name, "Table");
            }
            ExternKind::Global => {
                let global = &self.module.globals[export.index as usize];
                let (unwrap, make) = match global.ty {
                    ValType::I32 => ("i32", "I32(value)"),
                    ValType::I64 => ("i64", "I64(value)"),
                    ValType::F32 => ("f32", "F32(value.to_bits())"),
                    ValType::F64 => ("f64", "F64(value.to_bits())"),
                    ValType::V128 | ValType::FuncRef | ValType::ExternRef => {
                        out.line(&format!("/// The global {title}."));
                        return out.accessor(name, "Global");
                    }
                };
                out.line(&format!("/// The value of the global {title}."));
                let head = format!("pub fn {name}");
                out.signature(&head, &[this.clone(), store.clone()], value(global.ty), " {");
                out.nested(|out| {
                    out.line(&format!("let global = &self.exports.{name};"));
                    out.line(&format!("global.get(store).unwrap_{unwrap}()"));
                });
                out.line("}");
                if !global.mutable
                    || self.exports.iter().any(|other| other.identifier == format!("set_{name}"))
                {
                    return;
                }
                out.blank();
                out.line(&format!("/// Changes the value of the global {title}."));
                out.line("///");
                out.line("/// # Errors");
                out.line("/// None: the global is mutable, and of this type.");
                let params = [this, store, format!("value: {}", value(global.ty))];
                out.signature(&format!("pub fn set_{name}"), &params, "loader::Result<()>", " {");
                out.nested(|out| {
                    out.line(&format!("let global = &self.exports.{name};"));
                    out.line(&format!("global.set(store, loader::Val::{make})"));
                });
                out.line("}");
            }
        }
    }

    /// Functions that look up exports of a kind, for the kinds that there are.
    fn helpers(&self, out: &mut Writer) {
        let is_typed = |item: &Item<'_>| is_typed(self.module, FuncIndex(item.index));
        let has = |kind| self.exports.iter().any(|item| item.kind == kind);
        let funcs = || self.exports.iter().filter(|item| item.kind == ExternKind::Func);
        if funcs().any(is_typed) {
            out.blank();
            out.line("fn typed_func<P: loader::WasmParams, R: loader::WasmResults>(");
            out.nested(|out| {
                out.line("store: impl loader::AsContextMut,");
                out.line("instance: loader::Instance,");
                out.line("name: &str,");
            });
            out.line(") -> loader::Result<loader::TypedFunc<P, R>> {");
            out.nested(|out| out.line("instance.get_typed_func(store, name)"));
            out.line("}");
        }
        for (wanted, helper, ty) in [
            (funcs().any(|item| !is_typed(item)), "func", "Func"),
            (has(ExternKind::Table), "table", "Table"),
            (has(ExternKind::Memory), "memory", "Memory"),
        ] {
            if !wanted {
                continue;
            }
            out.blank();
            let params =
                ["store: impl loader::AsContextMut", "instance: loader::Instance", "name: &str"];
            out.signature(
                &format!("fn {helper}"),
                &params.map(str::to_owned),
                &format!("loader::Result<loader::{ty}>"),
                " {",
            );
            out.nested(|out| {
                out.line(&format!("let {helper} = instance.get_{helper}(store, name);"));
                out.line(&format!(
                    "{helper}.ok_or_else(|| loader::Error::msg(\"no such {helper} is exported\"))"
                ));
            });
            out.line("}");
        }
        if has(ExternKind::Global) {
            out.blank();
            out.line("fn global(");
            out.nested(|out| {
                out.line("mut store: impl loader::AsContextMut,");
                out.line("instance: loader::Instance,");
                out.line("name: &str,");
                out.line("ty: loader::ValType,");
            });
            out.line(") -> loader::Result<loader::Global> {");
            out.nested(|out| {
                out.line("let global = instance.get_global(&mut store, name);");
                out.line(
                    "let of_type = global.filter(|global| *global.ty(&store).content() == ty);",
                );
                out.line(
                    "of_type.ok_or_else(|| loader::Error::msg(\"no such global is exported\"))",
                );
            });
            out.line("}");
        }
    }
}

/// Whether a function has no more parameters and results than Rust types are written for.
fn is_typed(module: &WasmModule<'_>, func: FuncIndex) -> bool {
    let ty = module.function_type(func);
    ty.params.len() <= TYPED_MAX && ty.results.len() <= TYPED_MAX
}

/// The Rust type of values.
fn value(ty: ValType) -> &'static str {
    match ty {
        ValType::I32 => "i32",
        ValType::I64 => "i64",
        ValType::F32 => "f32",
        ValType::F64 => "f64",
        ValType::V128 => "loader::V128",
        ValType::FuncRef => "Option<loader::Func>",
        ValType::ExternRef => "Option<loader::ExternRef>",
    }
}

/// A value type as the loader's value.
fn val_type(ty: ValType) -> String {
    let name = match ty {
        ValType::I32 => "I32",
        ValType::I64 => "I64",
        ValType::F32 => "F32",
        ValType::F64 => "F64",
        ValType::V128 => "V128",
        ValType::FuncRef => "FUNCREF",
        ValType::ExternRef => "EXTERNREF",
    };
    format!("loader::ValType::{name}")
}

/// The Rust type of a list of values: one is itself as a result, and a tuple of one is not wanted there.
fn tuple(types: &[ValType]) -> String {
    match types {
        [ty] => value(*ty).to_owned(),
        _ => format!("({})", types.iter().map(|ty| value(*ty)).collect::<Vec<_>>().join(", ")),
    }
}

/// Type and value of a global that never changes and whose value is written down.
fn constant(global: &Global) -> Option<(&'static str, String)> {
    if global.mutable {
        return None;
    }
    let [op] = &*global.init.as_ref()?.0 else { return None };
    Some(match *op {
        ConstOp::I32(number) => ("i32", number.to_string()),
        ConstOp::I64(number) => ("i64", number.to_string()),
        ConstOp::F32(bits) => ("f32", format!("f32::from_bits({bits:#x})")),
        ConstOp::F64(bits) => ("f64", format!("f64::from_bits({bits:#x})")),
        _ => return None,
    })
}

/// What is written in Rust only.
impl Writer {
    /// `head(params) -> result tail`, on one line if it fits.
    fn signature(&mut self, head: &str, params: &[String], result: &str, tail: &str) {
        let line = format!("{head}({}) -> {result}{tail}", params.join(", "));
        if self.indent + line.len() <= LINE_WIDTH {
            return self.line(&line);
        }
        self.line(&format!("{head}("));
        self.nested(|out| params.iter().for_each(|param| out.line(&format!("{param},"))));
        self.line(&format!(") -> {result}{tail}"));
    }

    /// A public field with a function of Rust types.
    fn typed_func(&mut self, name: &str, params: &[ValType], results: &[ValType]) {
        let line = format!("pub {name}: loader::TypedFunc<{}, {}>,", tuple(params), tuple(results));
        if self.indent + line.len() <= LINE_WIDTH {
            return self.line(&line);
        }
        self.line(&format!("pub {name}: loader::TypedFunc<"));
        self.nested(|out| {
            for types in [params, results] {
                let names: Vec<_> = types.iter().map(|ty| value(*ty).to_owned()).collect();
                match &*names {
                    [name] => out.line(&format!("{name},")),
                    names if names.join(", ").len() <= LIST_WIDTH => {
                        out.line(&format!("({}),", names.join(", ")));
                    }
                    names => {
                        out.line("(");
                        out.nested(|out| {
                            names.iter().for_each(|name| out.line(&format!("{name},")))
                        });
                        out.line("),");
                    }
                }
            }
        });
        self.line(">,");
    }

    /// A method that gives an export of the type `loader::ty`.
    fn accessor(&mut self, name: &str, ty: &str) {
        self.block(&format!("pub fn {name}(&self) -> loader::{ty}"), |out| {
            out.line(&format!("self.exports.{name}"));
        });
    }
}
