//! A module, with what it is started with.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use aotc_abi::exe::{Access, Environment, Settings};
use aotc_loader::{Instance, Linker, Module, Store, StoreLimits, Val, ValType, WasmCoreDump};
use aotc_wasi::{FsPerms, ProcExit, WasiCtx};

use crate::end::End;
use crate::limits::Limits;
use crate::values;

/// A module, with what it is started with. Its standard streams are those of the process.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    /// The module.
    pub module: &'a Module,
    /// What it gets of the host, and what is called.
    pub settings: &'a Settings,
    /// What it is allowed. Its engine must be made for that ([`Limits::configure`]).
    pub limits: Limits,
    /// What it is called: its first argument.
    pub name: &'a OsStr,
    /// Its other arguments; or those of the export that is called.
    pub args: &'a [OsString],
    /// Where a core dump goes if it traps. Its engine must make them (`Config::coredump_on_trap`).
    pub coredump: Option<&'a Path>,
}

/// What host functions know.
struct Host {
    wasi: WasiCtx,
    limits: StoreLimits,
}

impl Program<'_> {
    /// What WASI gives to the program.
    ///
    /// # Errors
    /// If a directory cannot be opened.
    pub fn context(&self) -> Result<WasiCtx> {
        let mut builder = WasiCtx::builder();
        builder.inherit_stdio();
        builder.arg(self.name);
        if self.settings.invoke.is_none() {
            builder.args(self.args);
        }
        match self.settings.environment {
            Environment::Listed => {}
            Environment::Inherited => {
                // A variable that is listed is not given twice.
                let listed = |name: &OsStr| {
                    self.settings.variables.iter().any(|variable| *variable.name == *name)
                };
                builder.envs(std::env::vars_os().filter(|(name, _)| !listed(name)));
            }
        }
        for variable in &self.settings.variables {
            let inherited = || std::env::var_os(&variable.name);
            if let Some(value) = variable.value.as_ref().map(OsString::from).or_else(inherited) {
                builder.env(&variable.name, value);
            }
        }
        for directory in &self.settings.directories {
            // Named by the option that it was given by.
            let (permissions, option) = match directory.access {
                Access::ReadOnly => (FsPerms::ReadOnly, "--read-only-dir"),
                Access::ReadWrite => (FsPerms::ReadWrite, "--dir"),
            };
            builder
                .preopened_dir(&directory.host, &directory.guest, permissions)
                .with_context(|| format!("{option} {}", directory.host))?;
        }
        Ok(builder.build())
    }

    /// Runs the program. With the name of an export in the settings, that is called and its results are printed; without
    /// one, `_start` is.
    pub fn run(&self, context: WasiCtx) -> End {
        End::of(self.execute(context))
    }

    fn execute(&self, context: WasiCtx) -> Result<()> {
        let engine = self.module.engine();
        let mut linker = Linker::new(engine);
        aotc_wasi::add_to_linker(&mut linker, |host: &mut Host| &mut host.wasi)?;
        let host = Host { wasi: context, limits: self.limits.store_limits() };
        let mut store = Store::new(engine, host);
        store.limiter(|host| &mut host.limits);
        self.limits.begin(&mut store)?;
        let outcome = self.execute_in(&mut store, &linker);
        if let (Err(error), Some(file)) = (&outcome, self.coredump)
            && let Some(dump) = error.downcast_ref::<WasmCoreDump>()
            && error.downcast_ref::<ProcExit>().is_none()
        {
            let dump = dump.serialize(&mut store, &self.name.display().to_string());
            std::fs::write(file, dump).with_context(|| format!("--coredump {}", file.display()))?;
            eprintln!("core dump written to {}", file.display());
        }
        outcome
    }

    fn execute_in(&self, mut store: &mut Store<Host>, linker: &Linker<Host>) -> Result<()> {
        let instance = linker.instantiate(&mut store, self.module)?;
        match &self.settings.invoke {
            Some(name) => {
                if let Some(initialize) = instance.get_func(&mut store, "_initialize") {
                    initialize.call(&mut store, &[], &mut [])?;
                }
                self.invoke(store, instance, name)
            }
            None => {
                let start = instance.get_func(&mut store, "_start").ok_or_else(|| {
                    anyhow!("the module exports no `_start`; `--invoke NAME` calls another export")
                })?;
                start.call(&mut store, &[], &mut [])
            }
        }
    }

    fn invoke(&self, store: &mut Store<Host>, instance: Instance, name: &str) -> Result<()> {
        let function = instance
            .get_func(&mut *store, name)
            .ok_or_else(|| anyhow!("the module exports no function called `{name}`"))?;
        let ty = function.ty(&*store);
        let params: Vec<ValType> = ty.params().collect();
        let args = values::arguments(&params, self.args)?;
        let mut results = vec![Val::I32(0); ty.results().len()];
        function.call(&mut *store, &args, &mut results)?;
        for result in &results {
            println!("{}", values::display(result));
        }
        Ok(())
    }
}
