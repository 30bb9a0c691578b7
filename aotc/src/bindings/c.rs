//! A header that declares a WebAssembly module to C and C++, for a program that the module's object and the loader's C library
//! are linked into.
//!
//! ```text
//!   plugin_imports_t   what the program implements: a function pointer for each imported function
//!   plugin_t           an instance: a callee for each exported function of numbers, a handle for anything else
//!   plugin_add(...)    a typed call, inline: arguments in registers, no values in memory
//! ```
//!
//! All of it is inline functions over `aotc.h`, so that nothing but the object has to be linked.

use aotc_abi::index::FuncIndex;
use aotc_abi::meta::ExternKind;
use aotc_abi::symbol::descriptor_symbol;
use aotc_abi::types::{ValType, can_call_directly};

use super::c_text::{
    c_string, c_type, call, comment, constant, declared, get, kind, kinds, member, parameter_names,
    put, result_names, result_pointers, signature,
};
use super::identifier::Language;
use super::items::{Item, WASI, calls_initialize, exports, imports, limits};
use super::writer::Writer;
use super::{Identifiers, in_comment, parameters, type_text};
use crate::bind::{BindStyle, Binding};
use crate::parse::{FuncType, Import, WasmModule};

/// What every declared module has, behind the prefix.
const RESERVED: [&str; 10] = [
    "add_to_linker",
    "delete",
    "from_instance",
    "imports",
    "imports_t",
    "instance",
    "instantiate",
    "module",
    "new",
    "t",
];

/// How a module is declared.
pub(crate) struct Settings {
    /// What every name begins with, behind which comes an underscore.
    pub(crate) prefix: String,
    /// Name of the wasm module, which decides the symbol.
    pub(crate) name: String,
    /// Name of the input, for the comment at the top.
    pub(crate) input: String,
}

/// The header for `module`.
pub(crate) fn declare(module: &WasmModule<'_>, settings: &Settings) -> String {
    let prefix = Identifiers::new(Language::C, &["aotc", "wasm"]).lower(&settings.prefix);
    let (wasi, asked): (Vec<&Import<'_>>, _) =
        module.imports.iter().partition(|import| import.module == WASI);
    let imports = imports(module, &asked, Identifiers::new(Language::C, &["env"]));
    let adapters: Vec<String> =
        imports.iter().map(|import| adapter_name(&import.identifier)).collect();
    let reserved: Vec<&str> =
        RESERVED.into_iter().chain(adapters.iter().map(String::as_str)).collect();
    let header = Header {
        module,
        settings,
        uses_wasi: !wasi.is_empty(),
        imports,
        exports: exports(module, Identifiers::new(Language::C, &reserved)),
        prefix,
    };
    let mut out = Writer::default();
    header.write(&mut out);
    out.text
}

/// Name of the function between the library and what the program has for an import, behind the prefix.
fn adapter_name(import: &str) -> String {
    format!("imports_{import}")
}

struct Header<'a> {
    module: &'a WasmModule<'a>,
    settings: &'a Settings,
    prefix: String,
    /// Whether the module imports functions of WASI, which are the library's.
    uses_wasi: bool,
    /// The other imports.
    imports: Vec<Item<'a>>,
    exports: Vec<Item<'a>>,
}

impl<'a> Header<'a> {
    fn write(&self, out: &mut Writer) {
        let (prefix, version) = (&self.prefix, env!("CARGO_PKG_VERSION"));
        let (name, input) = (in_comment(&self.settings.name), in_comment(&self.settings.input));
        let guard = format!("AOTC_MODULE_{}_H", prefix.to_ascii_uppercase());
        let symbol = descriptor_symbol(&self.settings.name);
        comment(
            out,
            &[
                &format!(
                    "The module `{name}`, compiled from `{input}` by aotc {version}: what a program needs"
                ),
                "that it is linked into. Written by `aotc compile --emit header`.",
                "",
                "A function that returns an `aotc_error_t*` returns NULL if it succeeded; otherwise the caller deletes the",
                "error, and what is behind pointers for results is not changed. Such pointers are never NULL. References that are",
                "results are the caller's to delete; arguments stay whose they were.",
            ],
        );
        out.line(&format!("#ifndef {guard}"));
        out.line(&format!("#define {guard}"));
        out.blank();
        out.line("#include <string.h>");
        out.blank();
        out.line("#include <aotc.h>");
        if !self.module.bound.is_empty() {
            out.line("#include <aotc_bind.h>");
        }
        out.blank();
        out.line("#ifdef __cplusplus");
        out.line("extern \"C\" {");
        out.line("#endif");
        out.blank();
        self.constants(out);
        comment(out, &["The compiled module, as the linker put it into the program."]);
        out.line(&format!("extern const uint8_t {symbol}[];"));
        out.blank();
        comment(
            out,
            &[
                "The module, checked for this processor and the engine's settings. It can be instantiated any number of times.",
            ],
        );
        self.function(
            out,
            "module",
            &["const wasm_engine_t* engine", "wasm_module_t** out"],
            |out| {
                out.line(&format!("return aotc_module_from_linked(engine, {symbol}, out);"));
            },
        );
        self.bound(out);
        if !self.imports.is_empty() {
            self.imports_struct(out);
            for import in &self.imports {
                self.import_adapter(import, out);
            }
        }
        if self.has_imports() {
            self.add_to_linker(out);
        }
        self.instance_struct(out);
        self.life(out);
        for export in &self.exports {
            self.export(export, out);
        }
        out.line("#ifdef __cplusplus");
        out.line("}");
        out.line("#endif");
        out.blank();
        out.line("#endif");
    }

    /// Whether there is something to define.
    fn has_imports(&self) -> bool {
        self.uses_wasi || !self.imports.is_empty()
    }

    /// The parameter for what the program implements, if there is something.
    fn imports_param(&self) -> Option<String> {
        let has_some = !self.imports.is_empty();
        has_some.then(|| format!("const {}_imports_t* imports", self.prefix))
    }

    /// `static inline aotc_error_t* <prefix>_<name>(params) { body }`.
    fn function(
        &self,
        out: &mut Writer,
        name: &str,
        params: &[&str],
        body: impl FnOnce(&mut Writer),
    ) {
        self.function_of("aotc_error_t*", out, name, params, body);
    }

    fn function_of(
        &self,
        result: &str,
        out: &mut Writer,
        name: &str,
        params: &[&str],
        body: impl FnOnce(&mut Writer),
    ) {
        let head = format!("static inline {result} {}_{name}", self.prefix);
        signature(out, &head, params, " {");
        out.nested(body);
        out.line("}");
        out.blank();
    }

    fn constants(&self, out: &mut Writer) {
        let mut any = false;
        for export in &self.exports {
            let title = export.title();
            let mut define = |what: &str, suffix: &str, value: String| {
                comment(out, &[what]);
                let name = format!("{}_{}{suffix}", self.prefix, export.identifier);
                out.line(&format!("#define {} {value}", name.to_ascii_uppercase()));
                any = true;
            };
            match export.kind {
                ExternKind::Memory => {
                    let memory = self.module.memories[export.index as usize];
                    let what = format!("Least size of the memory {title}, in pages of 64 KiB.");
                    define(&what, "_pages_min", format!("UINT64_C({})", memory.min));
                    if let Some(max) = memory.max {
                        let what =
                            format!("Largest size of the memory {title}, in pages of 64 KiB.");
                        define(&what, "_pages_max", format!("UINT64_C({max})"));
                    }
                }
                ExternKind::Global => {
                    let global = &self.module.globals[export.index as usize];
                    if let Some(value) = constant(global) {
                        let what = format!("Value of the global {title}, which never changes.");
                        define(&what, "_value", value);
                    }
                }
                ExternKind::Func | ExternKind::Table => {}
            }
        }
        if any {
            out.blank();
        }
    }

    /// Prototypes of the C functions that imports are bound to: a definition that does not fit is an error of the C compiler.
    fn bound(&self, out: &mut Writer) {
        for bound in &self.module.bound {
            let index = FuncIndex(self.module.imported_functions + bound.function.0);
            let ty = self.module.function_type(index);
            let Binding { module, name, symbol, style } = &bound.binding;
            let import = in_comment(&format!("{module}::{name}"));
            let ty_text = type_text(ty);
            comment(
                out,
                &[&format!(
                    "The program defines it: the import `{import}` is bound to it: `{ty_text}`."
                )],
            );
            let result = ty.results.first().map_or("void", |&ty| c_type(ty));
            let mut params = match style {
                BindStyle::Plain => Vec::new(),
                BindStyle::WithCaller => vec!["aotc_bound_caller_t* caller".to_owned()],
            };
            let names = parameters(self.module, index, Language::C, &["caller"]);
            params.extend(declared(&names, &ty.params));
            if params.is_empty() {
                params.push("void".to_owned());
            }
            let params: Vec<&str> = params.iter().map(String::as_str).collect();
            signature(out, &format!("{result} {symbol}"), &params, ";");
            out.blank();
        }
    }

    fn imports_struct(&self, out: &mut Writer) {
        comment(
            out,
            &[
                "What the module imports. Functions get `env` first, and what they know of their caller; an error that one returns",
                "ends the call of WebAssembly, which returns it. No exception and no longjmp may leave a function. What is NULL is not",
                "defined: somebody else defines it for the same linker, or instantiating fails.",
            ],
        );
        out.block_with(
            &format!("typedef struct {}_imports_t", self.prefix),
            &format!(" {}_imports_t;", self.prefix),
            |out| {
                comment(out, &["What the functions are given. It may be NULL."]);
                out.line("void* env;");
                for import in &self.imports {
                    let (title, name) = (import.title(), &import.identifier);
                    match import.kind {
                        ExternKind::Func => {
                            let index = FuncIndex(import.index);
                            let ty = self.module.function_type(index);
                            comment(out, &[&format!("The function {title}: `{}`.", type_text(ty))]);
                            let names = parameter_names(self.module, index, &["env", "caller"]);
                            let mut params = vec![
                                "void* env".to_owned(),
                                "const aotc_caller_t* caller".to_owned(),
                            ];
                            params.extend(declared(&names, &ty.params));
                            params.extend(result_pointers(&ty.results));
                            let params: Vec<&str> = params.iter().map(String::as_str).collect();
                            signature(out, &format!("aotc_error_t* (*{name})"), &params, ";");
                        }
                        ExternKind::Table => {
                            let table = &self.module.tables[import.index as usize];
                            let limits = limits(table.min, table.max);
                            comment(
                                out,
                                &[&format!(
                                    "The table {title}: {limits} elements of `{}`.",
                                    table.element
                                )],
                            );
                            out.line(&format!("wasm_table_t* {name};"));
                        }
                        ExternKind::Memory => {
                            let memory = self.module.memories[import.index as usize];
                            let limits = limits(memory.min, memory.max);
                            comment(
                                out,
                                &[&format!("The memory {title}: {limits} pages of 64 KiB.")],
                            );
                            out.line(&format!("wasm_memory_t* {name};"));
                        }
                        ExternKind::Global => {
                            let global = &self.module.globals[import.index as usize];
                            let kind = if global.mutable { "mutable" } else { "immutable" };
                            comment(
                                out,
                                &[&format!("The global {title}: {kind}, of type `{}`.", global.ty)],
                            );
                            out.line(&format!("wasm_global_t* {name};"));
                        }
                    }
                }
            },
        );
        out.blank();
    }

    /// From values in memory to the program's function.
    fn import_adapter(&self, import: &Item<'_>, out: &mut Writer) {
        if import.kind != ExternKind::Func {
            return;
        }
        let ty = self.module.function_type(FuncIndex(import.index));
        let name = &import.identifier;
        let params = [
            "void* env",
            "const aotc_caller_t* caller",
            "const aotc_val_t* args",
            "size_t arg_count",
            "aotc_val_t* results",
            "size_t result_count",
        ];
        self.function(out, &adapter_name(name), &params, |out| {
            let prefix = &self.prefix;
            out.line(&format!(
                "const {prefix}_imports_t* imports = (const {prefix}_imports_t*)env;"
            ));
            if ty.params.is_empty() {
                out.line("(void)args;");
            }
            out.line("(void)arg_count;");
            if ty.results.is_empty() {
                out.line("(void)results;");
            }
            out.line("(void)result_count;");
            let mut arguments = vec!["imports->env".to_owned(), "caller".to_owned()];
            let args = ty.params.iter().enumerate();
            arguments.extend(args.map(|(index, ty)| get(&format!("args[{index}]"), *ty)));
            let vectors: Vec<usize> =
                (0..ty.results.len()).filter(|&index| ty.results[index] == ValType::V128).collect();
            arguments.extend(ty.results.iter().enumerate().map(|(index, ty)| match ty {
                ValType::V128 => format!("&vector{index}"),
                _ => format!("&results[{index}].of.{}", member(*ty)),
            }));
            if vectors.is_empty() {
                return call(out, &format!("return imports->{name}"), &arguments, ";");
            }
            for index in &vectors {
                out.line(&format!("aotc_v128_t vector{index} = {{{{0}}}};"));
            }
            call(out, &format!("aotc_error_t* error = imports->{name}"), &arguments, ";");
            for index in vectors {
                out.line(&format!("memcpy(results[{index}].of.v128, vector{index}.bytes, 16);"));
            }
            out.line("return error;");
        });
    }

    fn add_to_linker(&self, out: &mut Writer) {
        let needs_store = self.imports.iter().any(|import| import.kind != ExternKind::Func);
        let mut lines = match (&*self.imports, needs_store) {
            ([], _) => vec!["Defines what the module imports."],
            (_, true) => vec![
                "Defines what the module imports. `imports` stays where it is, and as it is, as long as the linker and what it has",
                "instantiated.",
            ],
            (_, false) => vec![
                "Defines what the module imports. `imports` stays where it is, and as it is, as long as the linker and what it has",
                "instantiated. `store` may be NULL.",
            ],
        };
        if self.uses_wasi {
            lines.push("The functions of WASI are the library's: what they give the module is set by `aotc_store_set_wasi`.");
        }
        comment(out, &lines);
        let mut params = vec!["aotc_linker_t* linker", "wasm_store_t* store"];
        let imports = self.imports_param();
        params.extend(imports.as_deref());
        self.function(out, "add_to_linker", &params, |out| {
            let error = if self.uses_wasi { "aotc_linker_define_wasi(linker)" } else { "NULL" };
            out.line(&format!("aotc_error_t* error = {error};"));
            if !needs_store {
                out.line("(void)store;");
            }
            for import in &self.imports {
                let names = [c_string(import.from), c_string(import.name)];
                let name = &import.identifier;
                out.block(&format!("if (error == NULL && imports->{name} != NULL)"), |out| {
                    if import.kind != ExternKind::Func {
                        let kind = match import.kind {
                            ExternKind::Table => "table",
                            ExternKind::Memory => "memory",
                            ExternKind::Global | ExternKind::Func => "global",
                        };
                        let item = format!("wasm_{kind}_as_extern(imports->{name})");
                        let arguments = ["linker".to_owned(), "store".to_owned()];
                        let arguments: Vec<_> =
                            arguments.into_iter().chain(names).chain([item]).collect();
                        return call(out, "error = aotc_linker_define", &arguments, ";");
                    }
                    let ty = self.module.function_type(FuncIndex(import.index));
                    let params = kinds(out, "params", &ty.params);
                    let results = kinds(out, "results", &ty.results);
                    let arguments = [params, results].concat();
                    call(out, "wasm_functype_t* type = aotc_functype_new", &arguments, ";");
                    let arguments: Vec<_> = ["linker".to_owned()]
                        .into_iter()
                        .chain(names)
                        .chain([
                            "type".to_owned(),
                            format!("{}_{}", self.prefix, adapter_name(name)),
                            "(void*)imports".to_owned(),
                            "NULL".to_owned(),
                        ])
                        .collect();
                    call(out, "error = aotc_linker_define_func", &arguments, ";");
                    out.line("wasm_functype_delete(type);");
                });
            }
            out.line("return error;");
        });
    }

    fn instance_struct(&self, out: &mut Writer) {
        let prefix = &self.prefix;
        comment(
            out,
            &["An instance. It is made by one of the functions below, and deleted by another."],
        );
        out.block_with(&format!("typedef struct {prefix}_t"), &format!(" {prefix}_t;"), |out| {
            comment(out, &["The instance."]);
            out.line("wasm_instance_t* instance;");
            for export in &self.exports {
                let (title, name) = (export.title(), &export.identifier);
                let (what, ty) = match export.kind {
                    ExternKind::Func if self.is_direct(export) => ("function", "aotc_callee_t "),
                    ExternKind::Func => ("function", "wasm_func_t* "),
                    ExternKind::Table => ("table", "wasm_table_t* "),
                    ExternKind::Memory => ("memory", "wasm_memory_t* "),
                    ExternKind::Global => ("global", "wasm_global_t* "),
                };
                comment(out, &[&format!("The {what} {title}.")]);
                out.line(&format!("{ty}{name};"));
            }
        });
        out.blank();
    }

    /// Making instances, and deleting them.
    fn life(&self, out: &mut Writer) {
        let prefix = &self.prefix;
        let handle = format!("{prefix}_t* self");
        comment(out, &["Deletes the handles. The instance lives as long as its store."]);
        self.function_of("void", out, "delete", &[&handle], |out| {
            for export in &self.exports {
                let delete = match export.kind {
                    ExternKind::Func if self.is_direct(export) => continue,
                    ExternKind::Func => "func",
                    ExternKind::Table => "table",
                    ExternKind::Memory => "memory",
                    ExternKind::Global => "global",
                };
                out.line(&format!("wasm_{delete}_delete(self->{});", export.identifier));
            }
            out.line("wasm_instance_delete(self->instance);");
            out.line("memset(self, 0, sizeof *self);");
        });
        let result = format!("{prefix}_t* out");
        comment(
            out,
            &[
                "Looks up what `instance`, which becomes the result's, exports. It is an error if it is an instance of another module,",
                "which lacks an export or has one of another type.",
            ],
        );
        self.function(out, "from_instance", &["wasm_instance_t* instance", &result], |out| {
            out.line("aotc_error_t* error = NULL;");
            out.line("memset(out, 0, sizeof *out);");
            out.line("out->instance = instance;");
            for export in &self.exports {
                out.block("if (error == NULL)", |out| self.look_up(export, out));
            }
            out.block("if (error != NULL)", |out| out.line(&format!("{prefix}_delete(out);")));
            out.line("return error;");
        });
        comment(
            out,
            &[
                "Makes an instance in `store` of what the function for the module gave, with what `linker` defines.",
            ],
        );
        let params = [
            "wasm_store_t* store",
            "const wasm_module_t* module",
            "const aotc_linker_t* linker",
            &*result,
        ];
        self.function(out, "instantiate", &params, |out| {
            out.line("wasm_instance_t* instance = NULL;");
            out.line("aotc_error_t* error = aotc_linker_instantiate(linker, store, module, &instance);");
            if calls_initialize(self.module, &self.exports) {
                out.block("if (error == NULL)", |out| {
                    out.line("aotc_callee_t initialize;");
                    out.line("error = aotc_instance_callee(instance, \"_initialize\", NULL, 0, NULL, 0, &initialize);");
                    out.block("if (error == NULL)", |out| {
                        out.line("error = aotc_call_0(&initialize).error;");
                    });
                    out.block("if (error != NULL)", |out| {
                        out.line("wasm_instance_delete(instance);");
                    });
                });
            }
            out.line(&format!("return error != NULL ? error : {prefix}_from_instance(instance, out);"));
        });
        comment(out, &["Makes an instance in `store` of what the function for the module gave."]);
        let mut params = vec!["wasm_store_t* store", "const wasm_module_t* module"];
        let imports = self.imports_param();
        params.extend(imports.as_deref());
        params.push(&result);
        self.function(out, "new", &params, |out| {
            out.line("wasm_engine_t* engine = aotc_store_engine(store);");
            out.line("aotc_linker_t* linker = aotc_linker_new(engine);");
            let imports = if imports.is_some() { ", imports" } else { "" };
            let instantiate = format!("{prefix}_instantiate(store, module, linker, out);");
            if self.has_imports() {
                let define = format!("{prefix}_add_to_linker(linker, store{imports});");
                out.line(&format!("aotc_error_t* error = {define}"));
                out.block("if (error == NULL)", |out| out.line(&format!("error = {instantiate}")));
            } else {
                out.line(&format!("aotc_error_t* error = {instantiate}"));
            }
            out.line("aotc_linker_delete(linker);");
            out.line("wasm_engine_delete(engine);");
            out.line("return error;");
        });
    }

    fn look_up(&self, export: &Item<'_>, out: &mut Writer) {
        let (name, exported) = (&export.identifier, c_string(export.name));
        let kind = match export.kind {
            ExternKind::Func => {
                let ty = self.module.function_type(FuncIndex(export.index));
                let params = kinds(out, "params", &ty.params);
                let results = kinds(out, "results", &ty.results);
                let function = if self.is_direct(export) { "callee" } else { "func_of" };
                let first = ["instance".to_owned(), exported];
                let last = [format!("&out->{name}")];
                let arguments: Vec<_> =
                    first.into_iter().chain(params).chain(results).chain(last).collect();
                return call(out, &format!("error = aotc_instance_{function}"), &arguments, ";");
            }
            ExternKind::Global => {
                let kind = kind(self.module.globals[export.index as usize].ty);
                let arguments =
                    ["instance".to_owned(), exported, kind.to_owned(), format!("&out->{name}")];
                return call(out, "error = aotc_instance_global_of", &arguments, ";");
            }
            ExternKind::Table => "table",
            ExternKind::Memory => "memory",
        };
        let arguments = ["instance".to_owned(), exported, format!("&out->{name}")];
        call(out, &format!("error = aotc_instance_{kind}_of"), &arguments, ";");
    }

    fn export(&self, export: &Item<'_>, out: &mut Writer) {
        let (title, name) = (export.title(), &export.identifier);
        let this = format!("const {}_t* self", self.prefix);
        match export.kind {
            ExternKind::Func => self.typed_call(export, out),
            ExternKind::Memory => {
                comment(
                    out,
                    &[
                        &format!(
                            "The address of `bytes` bytes at `offset` of the memory {title}, valid until it grows or the store is"
                        ),
                        "deleted; NULL if they are not all inside.",
                    ],
                );
                let params = [&*this, "uint64_t offset", "uint64_t bytes"];
                self.function_of("uint8_t*", out, name, &params, |out| {
                    out.line(&format!("return aotc_memory_at(self->{name}, offset, bytes);"));
                });
            }
            // The field is all there is to say.
            ExternKind::Table => {}
            ExternKind::Global => {
                let global = &self.module.globals[export.index as usize];
                let (ty, kind) = (c_type(global.ty), kind(global.ty));
                comment(out, &[&format!("The value of the global {title}.")]);
                self.function_of(ty, out, name, &[&this], |out| {
                    out.line("aotc_val_t value;");
                    out.line(&format!("aotc_global_get(self->{name}, &value);"));
                    out.line(&format!("return {};", get("value", global.ty)));
                });
                let setter = format!("set_{name}");
                if !global.mutable || self.exports.iter().any(|other| other.identifier == setter) {
                    return;
                }
                comment(out, &[&format!("Changes the value of the global {title}.")]);
                let value = format!("{ty} value");
                self.function_of("void", out, &setter, &[&this, &value], |out| {
                    out.line("aotc_val_t set;");
                    out.line(&format!("set.kind = {kind};"));
                    out.line(&put("set", "value", global.ty));
                    out.line(&format!("(void)aotc_global_set(self->{name}, &set);"));
                });
            }
        }
    }

    /// A typed call.
    fn typed_call(&self, export: &Item<'a>, out: &mut Writer) {
        let index = FuncIndex(export.index);
        let ty = self.module.function_type(index);
        let (title, name) = (export.title(), &export.identifier);
        let known = self.module.function_name(index);
        let mut lines = vec![format!("Calls the function {title}: `{}`.", type_text(ty))];
        if !known.is_empty() && known != export.name {
            lines.push(format!("In its source it is called `{}`.", in_comment(known)));
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        comment(out, &lines);
        let reserved = ["args", "called", "error", "results", "self"];
        let names = parameter_names(self.module, index, &reserved);
        let mut params = vec![format!("const {}_t* self", self.prefix)];
        params.extend(declared(&names, &ty.params));
        params.extend(result_pointers(&ty.results));
        let params: Vec<&str> = params.iter().map(String::as_str).collect();
        self.function(out, name, &params, |out| match self.is_direct(export) {
            true => direct_call(out, name, &names, ty),
            false => array_call(out, name, &names, ty),
        });
    }

    /// Whether calls of a function need no values in memory.
    fn is_direct(&self, export: &Item<'_>) -> bool {
        let ty = self.module.function_type(FuncIndex(export.index));
        let mut types = ty.params.iter().chain(&ty.results);
        can_call_directly(ty.params.iter().copied(), ty.results.iter().copied())
            && !types.any(|ty| ty.is_ref())
    }
}

fn direct_call(out: &mut Writer, name: &str, names: &[String], ty: &FuncType) {
    let bits = names.iter().zip(&ty.params).map(|(name, ty)| match ty {
        ValType::I32 => format!("(uint32_t){name}"),
        ValType::I64 => format!("(uint64_t){name}"),
        ValType::F32 => format!("aotc_f32_bits({name})"),
        ValType::F64 => format!("aotc_f64_bits({name})"),
        ValType::V128 | ValType::FuncRef | ValType::ExternRef => {
            unreachable!("direct calls are of numbers")
        }
    });
    let arguments: Vec<String> = [format!("&self->{name}")].into_iter().chain(bits).collect();
    let function = format!("aotc_call_{}", names.len());
    let Some(result) = ty.results.first() else {
        return call(out, &format!("return {function}"), &arguments, ".error;");
    };
    call(out, &format!("aotc_called_t called = {function}"), &arguments, ";");
    let value = match result {
        ValType::F32 => "aotc_f32_of_bits((uint32_t)called.bits)".to_owned(),
        ValType::F64 => "aotc_f64_of_bits(called.bits)".to_owned(),
        other => format!("({})called.bits", c_type(*other)),
    };
    out.block("if (called.error == NULL)", |out| out.line(&format!("*result = {value};")));
    out.line("return called.error;");
}

fn array_call(out: &mut Writer, name: &str, names: &[String], ty: &FuncType) {
    let (params, results) = (names.len(), ty.results.len());
    for (list, count) in [("args", params), ("results", results)] {
        if count > 0 {
            out.line(&format!("aotc_val_t {list}[{count}];"));
        }
    }
    for (index, (name, ty)) in names.iter().zip(&ty.params).enumerate() {
        out.line(&format!("args[{index}].kind = {};", kind(*ty)));
        out.line(&put(&format!("args[{index}]"), name, *ty));
    }
    let list = |name: &str, count| match count {
        0 => ["NULL".to_owned(), "0".to_owned()],
        count => [name.to_owned(), format!("{count}")],
    };
    let arguments = [format!("self->{name}")].into_iter();
    let arguments: Vec<_> =
        arguments.chain(list("args", params)).chain(list("results", results)).collect();
    if results == 0 {
        return call(out, "return aotc_func_call", &arguments, ";");
    }
    call(out, "aotc_error_t* error = aotc_func_call", &arguments, ";");
    out.block("if (error == NULL)", |out| {
        for (index, (pointer, ty)) in result_names(results).iter().zip(&ty.results).enumerate() {
            out.line(&format!("*{pointer} = {};", get(&format!("results[{index}]"), *ty)));
        }
    });
    out.line("return error;");
}
