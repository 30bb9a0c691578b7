//! Where the loader meets preview 1: one row for each of its 46 functions.

use anyhow::anyhow;
use aotc_loader::{AsContextMut, Caller, Extern, Linker, WasmTy};

use crate::ctx::WasiCtx;
use crate::errno::Result;
use crate::memory::GuestMemory;
use crate::process::ProcExit;
use crate::{
    arguments, attributes, clocks, directory, files, open, paths, poll, process, random, sockets,
};

const MODULE: &str = "wasi_snapshot_preview1";

/// Defines the functions of `wasi_snapshot_preview1` in a linker. `ctx_of` finds the guest's context in the store's
/// data.
///
/// The functions use the memory that their caller exports as `memory`. A call from an instance without such an export
/// is an error of the embedder and ends the guest; errors of the guest are numbers that it gets back.
///
/// # Errors
///
/// When the linker has one of the functions already.
pub fn add_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    ctx_of: impl Fn(&mut T) -> &mut WasiCtx + Copy + Send + Sync + 'static,
) -> anyhow::Result<()> {
    let to = &mut Definitions { linker, ctx_of };
    to.define("args_get", arguments::args_get)?;
    to.define("args_sizes_get", arguments::args_sizes_get)?;
    to.define("environ_get", arguments::environ_get)?;
    to.define("environ_sizes_get", arguments::environ_sizes_get)?;
    to.define("clock_res_get", clocks::clock_res_get)?;
    to.define("clock_time_get", clocks::clock_time_get)?;
    to.define("fd_advise", files::fd_advise)?;
    to.define("fd_allocate", files::fd_allocate)?;
    to.define("fd_close", files::fd_close)?;
    to.define("fd_datasync", files::fd_datasync)?;
    to.define("fd_fdstat_get", attributes::fd_fdstat_get)?;
    to.define("fd_fdstat_set_flags", attributes::fd_fdstat_set_flags)?;
    to.define("fd_fdstat_set_rights", attributes::fd_fdstat_set_rights)?;
    to.define("fd_filestat_get", attributes::fd_filestat_get)?;
    to.define("fd_filestat_set_size", attributes::fd_filestat_set_size)?;
    to.define("fd_filestat_set_times", attributes::fd_filestat_set_times)?;
    to.define("fd_pread", files::fd_pread)?;
    to.define("fd_prestat_dir_name", directory::fd_prestat_dir_name)?;
    to.define("fd_prestat_get", directory::fd_prestat_get)?;
    to.define("fd_pwrite", files::fd_pwrite)?;
    to.define("fd_read", files::fd_read)?;
    to.define("fd_readdir", directory::fd_readdir)?;
    to.define("fd_renumber", files::fd_renumber)?;
    to.define("fd_seek", files::fd_seek)?;
    to.define("fd_sync", files::fd_sync)?;
    to.define("fd_tell", files::fd_tell)?;
    to.define("fd_write", files::fd_write)?;
    to.define("path_create_directory", paths::path_create_directory)?;
    to.define("path_filestat_get", paths::path_filestat_get)?;
    to.define("path_filestat_set_times", paths::path_filestat_set_times)?;
    to.define("path_link", paths::path_link)?;
    to.define("path_open", open::path_open)?;
    to.define("path_readlink", paths::path_readlink)?;
    to.define("path_remove_directory", paths::path_remove_directory)?;
    to.define("path_rename", paths::path_rename)?;
    to.define("path_symlink", paths::path_symlink)?;
    to.define("path_unlink_file", paths::path_unlink_file)?;
    to.define("poll_oneoff", poll::poll_oneoff)?;
    to.define("proc_raise", process::proc_raise)?;
    to.define("random_get", random::random_get)?;
    to.define("sched_yield", process::sched_yield)?;
    to.define("sock_accept", sockets::sock_accept)?;
    to.define("sock_recv", sockets::sock_recv)?;
    to.define("sock_send", sockets::sock_send)?;
    to.define("sock_shutdown", sockets::sock_shutdown)?;
    to.linker.func_wrap(MODULE, "proc_exit", |code: i32| -> anyhow::Result<()> {
        Err(ProcExit(code).into())
    })?;
    Ok(())
}

struct Definitions<'l, T: 'static, G> {
    linker: &'l mut Linker<T>,
    ctx_of: G,
}

impl<T: 'static, G: Fn(&mut T) -> &mut WasiCtx + Copy + Send + Sync + 'static>
    Definitions<'_, T, G>
{
    fn define<Parameters>(
        &mut self,
        name: &str,
        function: impl Function<Parameters>,
    ) -> anyhow::Result<()> {
        function.define(self.linker, name, self.ctx_of)
    }
}

/// A function of preview 1: it takes the context, the caller's memory and its own parameters, and gives an error
/// number.
trait Function<Parameters> {
    fn define<T: 'static>(
        self,
        linker: &mut Linker<T>,
        name: &str,
        ctx_of: impl Fn(&mut T) -> &mut WasiCtx + Copy + Send + Sync + 'static,
    ) -> anyhow::Result<()>;
}

macro_rules! function_of_arity {
    ($($parameter:ident)*) => {
        impl<Func, $($parameter: WasmTy),*> Function<($($parameter,)*)> for Func
        where
            Func: Fn(&mut WasiCtx, &mut GuestMemory<'_>, $($parameter),*) -> Result<()> + Send + Sync + 'static,
        {
            fn define<T: 'static>(
                self,
                linker: &mut Linker<T>,
                name: &str,
                ctx_of: impl Fn(&mut T) -> &mut WasiCtx + Copy + Send + Sync + 'static,
            ) -> anyhow::Result<()> {
                #[allow(non_snake_case, reason = "parameters are named like their types")]
                let adapter = move |mut caller: Caller<'_, T>, $($parameter: $parameter),*| {
                    call(&mut caller, ctx_of, |ctx, memory| self(ctx, memory, $($parameter),*))
                };
                linker.func_wrap(MODULE, name, adapter)?;
                Ok(())
            }
        }
    };
}

function_of_arity!();
function_of_arity!(A);
function_of_arity!(A B);
function_of_arity!(A B C);
function_of_arity!(A B C D);
function_of_arity!(A B C D E);
function_of_arity!(A B C D E F);
function_of_arity!(A B C D E F G);
function_of_arity!(A B C D E F G H I);

/// Calls a function with the caller's memory and context.
fn call<T: 'static>(
    caller: &mut Caller<'_, T>,
    ctx_of: impl Fn(&mut T) -> &mut WasiCtx,
    function: impl FnOnce(&mut WasiCtx, &mut GuestMemory<'_>) -> Result<()>,
) -> anyhow::Result<i32> {
    let memory = caller.get_export("memory").and_then(Extern::into_memory).ok_or_else(|| {
        anyhow!("{MODULE} was called by an instance that does not export its memory as `memory`")
    })?;
    let (bytes, data) = memory.data_and_store_mut(AsContextMut::as_context_mut(caller));
    match function(ctx_of(data), &mut GuestMemory::new(bytes)) {
        Ok(()) => Ok(0),
        Err(errno) => Ok(i32::from(errno as u16)),
    }
}
