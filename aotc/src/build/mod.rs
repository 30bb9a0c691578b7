//! The step of a package's `build.rs` that compiles a module and has it linked into the package.
//!
//! ```text
//!   plugin.wasm --compile--> object --archive--> OUT_DIR/libaotc_plugin.a    linked where the declaration is
//!              '--declare--> OUT_DIR/plugin.rs --include!--> pub mod plugin
//! ```

use std::fmt;
use std::num::NonZero;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::{env, fs, process};

use aotc_abi::target::{Arch, BoundsStyle, CPU_FEATURES, Interruption, Os, Target, TrapStyle};

use crate::bind::Binding;
use crate::bindings::rust;
use crate::input::Input;
use crate::options::{AddressMapStyle, Cpu, DebugLinesStyle, Features, OptLevel, Options};
use crate::parse::WasmModule;
use crate::{Emit, Error, LinkInput, Reuse};

/// Compiles a module in a package's `build.rs` and has it linked into the package.
///
/// ```no_run
/// // In `main` of build.rs:
/// aotc::Build::new("plugin.wasm").compile();
/// ```
///
/// The package then includes the module's declaration, which uses the crate `aotc-loader`:
///
/// ```ignore
/// aotc_loader::include_module!("plugin");
///
/// fn main() -> aotc_loader::Result<()> {
///     let engine = aotc_loader::Engine::default();
///     let mut store = aotc_loader::Store::new(&engine, ());
///     let plugin = plugin::Plugin::new(&mut store, &plugin::module(&engine)?)?;
///     println!("{}", plugin.add(&mut store, 2, 3)?);
///     Ok(())
/// }
/// ```
///
/// Target and processor are those that cargo builds for. Errors name the file with line or offset, and for
/// options the line of `build.rs`.
#[derive(Clone, Debug)]
pub struct Build {
    input: PathBuf,
    options: Options,
    /// A CPU by name, and where it was named.
    cpu: Option<(String, &'static Location<'static>)>,
    target: Option<Target>,
    name: Option<String>,
    prefix: Option<String>,
    /// Modules to link with: names and files.
    link_as: Vec<(String, PathBuf)>,
    wasi: bool,
    bindings: bool,
    loader: String,
    out_dir: Option<PathBuf>,
    /// Where it was made.
    location: &'static Location<'static>,
}

/// The files that [`Build::try_compile`] wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The object.
    pub object: PathBuf,
    /// The static library with the object in it.
    pub library: PathBuf,
    /// The declaration in Rust, if it was asked for.
    pub bindings: Option<PathBuf>,
    /// The symbol at the start of the module data, for `Module::from_linked`.
    pub symbol: String,
    /// What was taken from a folder of compiled code, if there is one (`Build::incremental`).
    pub reuse: Option<Reuse>,
}

/// Why a module was not built: what failed, and where.
#[derive(Debug)]
pub struct BuildError(String);

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BuildError {}

impl Build {
    /// A build of the module in the file `input`, in the binary or the text format. The path is relative to the
    /// package.
    #[track_caller]
    pub fn new(input: impl AsRef<Path>) -> Self {
        Self {
            input: input.as_ref().to_owned(),
            options: Options::default(),
            cpu: None,
            target: None,
            name: None,
            prefix: None,
            link_as: Vec::new(),
            wasi: false,
            bindings: true,
            loader: "::aotc_loader".to_owned(),
            out_dir: None,
            location: Location::caller(),
        }
    }

    /// Name of the Rust module, of the file `<name>.rs` and, behind the prefix, of the module in backtraces. Default:
    /// the input's file name without its ending.
    pub fn name(&mut self, name: impl Into<String>) -> &mut Self {
        self.name = Some(name.into());
        self
    }

    /// What the module's name begins with in symbols and backtraces, to tell apart what several packages link into
    /// one program. Default: the package's name and `::`.
    pub fn prefix(&mut self, prefix: impl Into<String>) -> &mut Self {
        self.prefix = Some(prefix.into());
        self
    }

    /// Links the module with the one in the file `input`: what that exports satisfies imports of `name` by the modules
    /// that are linked after it, and by this one, which is the last ([`crate::link`]). Once for each.
    pub fn link_as(&mut self, name: impl Into<String>, input: impl AsRef<Path>) -> &mut Self {
        self.link_as.push((name.into(), input.as_ref().to_owned()));
        self
    }

    /// Binds an import to a C function, which is linked into the package. See [`Options::bind`]. Once for each.
    pub fn bind(&mut self, binding: Binding) -> &mut Self {
        self.options.bind.push(binding);
        self
    }

    /// Whether the functions of WASI preview 1 are left to a linker, instead of being in the trait of the imports.
    /// Default: not.
    pub fn wasi(&mut self, wasi: bool) -> &mut Self {
        self.wasi = wasi;
        self
    }

    /// Whether a declaration in Rust is written. Default: yes. Without, the library is linked into the whole package,
    /// and [`Built::symbol`] leads to the module.
    pub fn emit_bindings(&mut self, emit: bool) -> &mut Self {
        self.bindings = emit;
        self
    }

    /// Path of the loader's crate in the declaration, for packages that know it under another name. Default:
    /// `::aotc_loader`.
    pub fn loader_path(&mut self, path: impl Into<String>) -> &mut Self {
        self.loader = path.into();
        self
    }

    /// Where files are written. Default: `OUT_DIR`, which is where the macro looks.
    pub fn out_dir(&mut self, folder: impl AsRef<Path>) -> &mut Self {
        self.out_dir = Some(folder.as_ref().to_owned());
        self
    }

    /// The target. Default: cargo's.
    pub fn target(&mut self, target: Target) -> &mut Self {
        self.target = Some(target);
        self
    }

    /// The CPU that the code may use, as [`Cpu::parse`] takes it. Default: [`Cpu::baseline`] and what the package
    /// itself is compiled for.
    #[track_caller]
    pub fn cpu(&mut self, cpu: impl Into<String>) -> &mut Self {
        self.cpu = Some((cpu.into(), Location::caller()));
        self
    }

    /// See [`Options::features`].
    pub fn features(&mut self, features: Features) -> &mut Self {
        self.options.features = features;
        self
    }

    /// See [`Options::opt_level`].
    pub fn opt_level(&mut self, level: OptLevel) -> &mut Self {
        self.options.opt_level = level;
        self
    }

    /// See [`Options::trap_style`]. Explicit traps come with explicit bounds.
    pub fn trap_style(&mut self, style: TrapStyle) -> &mut Self {
        self.options.trap_style = style;
        if style == TrapStyle::Explicit {
            self.options.bounds_style = BoundsStyle::Explicit;
        }
        self
    }

    /// See [`Options::bounds_style`].
    pub fn bounds_style(&mut self, style: BoundsStyle) -> &mut Self {
        self.options.bounds_style = style;
        self
    }

    /// See [`Options::interruption`].
    pub fn interruption(&mut self, interruption: Interruption) -> &mut Self {
        self.options.interruption = interruption;
        self
    }

    /// See [`Options::address_map`].
    pub fn address_map(&mut self, style: AddressMapStyle) -> &mut Self {
        self.options.address_map = style;
        self
    }

    /// See [`Options::debug_lines`].
    pub fn debug_lines(&mut self, style: DebugLinesStyle) -> &mut Self {
        self.options.debug_lines = style;
        self
    }

    /// Keeps only these exports, and leaves out whatever only others lead to. Default: all. See [`Options::keep_exports`].
    pub fn keep_exports(
        &mut self,
        names: impl IntoIterator<Item = impl Into<String>>,
    ) -> &mut Self {
        self.options.keep_exports = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Keeps compiled code in `folder`, so that the next build compiles only the functions that changed. See
    /// [`Options::incremental`]. A folder in `OUT_DIR` is there as long as what cargo keeps of the package. Default: none.
    #[cfg(feature = "incremental")]
    pub fn incremental(&mut self, folder: impl AsRef<Path>) -> &mut Self {
        self.options.incremental = Some(folder.as_ref().to_owned());
        self
    }

    /// See [`Options::threads`]. Default: as many as cargo has jobs.
    pub fn threads(&mut self, threads: NonZero<usize>) -> &mut Self {
        self.options.threads = Some(threads);
        self
    }

    /// Compiles, writes the files, and tells cargo what to link and when to build again.
    ///
    /// If that fails, the error is shown as cargo's, and the process ends with exit code 1.
    #[track_caller]
    pub fn compile(&self) -> Built {
        match self.try_compile() {
            Ok(built) => built,
            Err(error) => {
                for line in error.to_string().lines() {
                    println!("cargo::error={line}");
                }
                process::exit(1);
            }
        }
    }

    /// As [`Build::compile`].
    ///
    /// # Errors
    /// The module cannot be read or is not valid, an option does not exist or does not fit, or a file cannot be
    /// written.
    pub fn try_compile(&self) -> Result<Built, BuildError> {
        println!("cargo::rerun-if-changed={}", self.input.display());
        let stem = self.input.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let name = self.name.clone().or(stem).filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| self.at("the input has no name, and none is given"))?;
        if name.contains(['/', '\\', '"', '\n']) {
            return Err(self.at(&format!("`{name}` cannot be the name of a file")));
        }
        let full_name = self.name_prefix()? + &name;
        let options = self.options(full_name.clone())?;
        let out_dir = match &self.out_dir {
            Some(folder) => folder.clone(),
            None => variable("OUT_DIR")
                .map(PathBuf::from)
                .ok_or_else(|| self.at("`OUT_DIR` is not set: this is for a package's build.rs"))?,
        };
        let wasm = self.read(&self.input)?;
        let others = self.others()?;
        let symbol = aotc_abi::symbol::descriptor_symbol(&full_name);
        let library =
            format!("aotc_{}", symbol.trim_start_matches(aotc_abi::symbol::DESCRIPTOR_PREFIX));
        let settings = rust::Settings {
            module: name.clone(),
            name: full_name,
            library: library.clone(),
            input: self.input.display().to_string(),
            loader: self.loader.clone(),
            wasi: self.wasi,
        };
        let compiled = self.with_module(&wasm, &others, &options, |module| {
            let compiled = crate::compile_module(module, &[Emit::Object, Emit::Archive], &options)?;
            let bindings = self.bindings.then(|| rust::declare(module, &settings));
            Ok((compiled.artifacts, compiled.reuse, bindings))
        });
        let (artifacts, reuse, bindings) = compiled.map_err(|error| match error {
            // Of several modules, it knows which.
            Error::Text(error) if error.path().is_some() => self.at(&error.to_string()),
            Error::Text(error) => self.at(&error.in_file(&self.input).to_string()),
            Error::Options(message) => self.at(&message),
            // It names the file itself.
            error @ Error::In { .. } => self.at(&error.to_string()),
            error => self.at_input(&error.to_string()),
        })?;
        let path = |file: &str| out_dir.join(file);
        let built = Built {
            object: path(&format!("{name}.o")),
            library: path(&format!("lib{library}.a")),
            bindings: bindings.as_ref().map(|_| path(&format!("{name}.rs"))),
            symbol,
            reuse,
        };
        if let Some(problem) = built.reuse.as_ref().and_then(|reuse| reuse.problem.as_ref()) {
            println!("cargo::warning={}: {problem}", self.input.display());
        }
        for (path, artifact) in [&built.object, &built.library].into_iter().zip(&artifacts) {
            self.write(path, artifact)?;
        }
        if let (Some(path), Some(text)) = (&built.bindings, &bindings) {
            self.write(path, text.as_bytes())?;
        }
        println!("cargo::rustc-link-search=native={}", out_dir.display());
        // A declaration says itself what it is linked with.
        if !self.bindings {
            println!("cargo::rustc-link-lib=static={library}");
        }
        Ok(built)
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, BuildError> {
        fs::read(path)
            .map_err(|error| self.at(&format!("{}: cannot be read: {error}", path.display())))
    }

    /// The contents of the modules to link with.
    fn others(&self) -> Result<Vec<Vec<u8>>, BuildError> {
        let files = self.link_as.iter().map(|(_, file)| file);
        files
            .map(|file| {
                println!("cargo::rerun-if-changed={}", file.display());
                self.read(file)
            })
            .collect()
    }

    /// Parses the module, with those it is linked with, and does something with it.
    fn with_module<R>(
        &self,
        wasm: &[u8],
        others: &[Vec<u8>],
        options: &Options,
        then: impl FnOnce(&WasmModule<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        if others.is_empty() {
            return Input::Module(wasm).with_module(options, then);
        }
        let shown = |path: &Path| path.display().to_string();
        let file = shown(&self.input);
        let files: Vec<String> = self.link_as.iter().map(|(_, path)| shown(path)).collect();
        let main = LinkInput { name: "", file: &file, bytes: wasm };
        let others: Vec<LinkInput<'_>> = (self.link_as.iter().zip(&files).zip(others))
            .map(|(((name, _), file), bytes)| LinkInput { name, file, bytes })
            .collect();
        let linked = crate::link(&main, &others, options)?;
        Input::Linked(&linked).with_module(options, then)
    }

    /// What the module's name begins with.
    fn name_prefix(&self) -> Result<String, BuildError> {
        match (&self.prefix, variable("CARGO_PKG_NAME")) {
            (Some(prefix), _) => Ok(prefix.clone()),
            (None, Some(package)) => Ok(format!("{package}::")),
            (None, None) => {
                Err(self.at("`CARGO_PKG_NAME` is not set: this is for a package's build.rs"))
            }
        }
    }

    fn options(&self, name: String) -> Result<Options, BuildError> {
        let target = match self.target {
            Some(target) => target,
            None => self.cargo_target()?,
        };
        let cpu = match &self.cpu {
            Some((text, location)) => Cpu::parse(text, target.arch)
                .map_err(|error| BuildError(format!("{location}: {error}")))?,
            None => self.cargo_cpu(target.arch),
        };
        let jobs = || variable("NUM_JOBS").and_then(|jobs| jobs.parse().ok());
        let threads = self.options.threads.or_else(jobs);
        Ok(Options { target, cpu, name: Some(name), threads, ..self.options.clone() })
    }

    /// The target that cargo builds for.
    fn cargo_target(&self) -> Result<Target, BuildError> {
        let of_cargo = |name: &str| variable(name).unwrap_or_default();
        let (arch_name, os_name) =
            (of_cargo("CARGO_CFG_TARGET_ARCH"), of_cargo("CARGO_CFG_TARGET_OS"));
        let arch = match &*arch_name {
            "x86_64" => Some(Arch::X86_64),
            "aarch64" => Some(Arch::Aarch64),
            "riscv64" => Some(Arch::Riscv64),
            _ => None,
        };
        let os = match &*os_name {
            // What counts on a bare machine is the object format and the calling convention.
            "linux" | "none" => Some(Os::Linux),
            "macos" => Some(Os::MacOs),
            "windows" => Some(Os::Windows),
            _ => None,
        };
        match (arch, os) {
            (Some(arch), Some(os)) => Ok(Target { arch, os }),
            _ => Err(self.at(&format!(
                "no code can be made for {arch_name}-{os_name}, which cargo builds for: `Build::target` names another target"
            ))),
        }
    }

    /// The default CPU, with what the package may use itself.
    fn cargo_cpu(&self, arch: Arch) -> Cpu {
        let base = Cpu::baseline(arch).features;
        let enabled = variable("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
        let is_enabled = |name: &str| enabled.split(',').any(|feature| feature == name);
        let of_arch = CPU_FEATURES.iter().filter(|feature| feature.arch == arch);
        let features = of_arch.filter(|feature| is_enabled(feature.name));
        Cpu { features: features.fold(base, |set, feature| set.with(feature)) }
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
        fs::write(path, bytes)
            .map_err(|error| self.at(&format!("cannot write {}: {error}", path.display())))
    }

    fn at_input(&self, message: &str) -> BuildError {
        self.at(&format!("{}: {message}", self.input.display()))
    }

    /// An error of what `build.rs` asked for.
    fn at(&self, message: &str) -> BuildError {
        BuildError(format!("{}: {message}", self.location))
    }
}

/// A variable that cargo sets for build scripts.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}
