//! The measured work, in the API that both engines have. This file is a module of each: `super` is
//! the engine, with its [`Side`], its types, and what differs.

#![allow(
    clippy::needless_question_mark,
    clippy::useless_conversion,
    reason = "the errors of one engine are `anyhow`'s, those of the other are not"
)]

use std::hint::black_box;
use std::num::NonZero;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    Caller, Engine, Host, Instance, InstancePre, Linker, NAME, Output, Side, Store, Trap, Val,
    compile, exit_code, open, wasi_host, wasi_linker,
};
use crate::engines::{Contender, Use, Work};
use crate::programs::Run;

impl Contender for Side {
    fn name(&self) -> &'static str {
        NAME
    }

    fn compile(&self, wasm: &[u8], threads: Option<NonZero<usize>>) -> Result<Vec<u8>> {
        compile(wasm, threads)
    }

    fn load<'a>(&'a self, artifact: &Path) -> Work<'a> {
        let (engine, artifact) = (&self.engine, artifact.to_owned());
        Box::new(move |times| {
            for _ in 0..times {
                black_box(open(engine, &artifact)?);
            }
            Ok(())
        })
    }

    fn instantiate<'a>(
        &'a self,
        artifact: &Path,
        used: Use,
        threads: NonZero<usize>,
    ) -> Result<Work<'a>> {
        let engine = &self.engine;
        let pre = pre(engine, artifact)?;
        let cycles = move |times| -> Result<()> {
            for _ in 0..times {
                let mut store = Store::new(engine, ());
                let instance = pre.instantiate(&mut store)?;
                if used == Use::Touch {
                    let touch = instance.get_typed_func::<(), i32>(&mut store, "touch")?;
                    touch.call(&mut store, ())?;
                }
            }
            Ok(())
        };
        Ok(Box::new(move |times| {
            thread::scope(|scope| {
                let others: Vec<_> =
                    (1..threads.get()).map(|_| scope.spawn(|| cycles(times))).collect();
                let own = cycles(times);
                others.into_iter().try_for_each(|other| other.join().expect("no panic"))?;
                own
            })
        }))
    }

    fn typed_call<'a>(&'a self, artifact: &Path) -> Result<Work<'a>> {
        let (mut store, instance) = instance(&self.engine, artifact)?;
        let add = instance.get_typed_func::<(i32, i32), i32>(&mut store, "add")?;
        Ok(Box::new(move |times| {
            for _ in 0..times {
                black_box(add.call(&mut store, black_box((1, 2)))?);
            }
            Ok(())
        }))
    }

    fn untyped_call<'a>(&'a self, artifact: &Path) -> Result<Work<'a>> {
        let (mut store, instance) = instance(&self.engine, artifact)?;
        let add = instance.get_func(&mut store, "add").context("no `add`")?;
        Ok(Box::new(move |times| {
            let mut results = [Val::I32(0)];
            for _ in 0..times {
                add.call(&mut store, black_box(&[Val::I32(1), Val::I32(2)]), &mut results)?;
                black_box(&results);
            }
            Ok(())
        }))
    }

    fn async_call<'a>(&'a self, artifact: &Path) -> Result<Work<'a>> {
        let (mut store, instance) = instance(&self.engine, artifact)?;
        let add = instance.get_typed_func::<(i32, i32), i32>(&mut store, "add")?;
        Ok(Box::new(move |times| {
            let mut context = Context::from_waker(Waker::noop());
            for _ in 0..times {
                let call = pin!(add.call_async(&mut store, black_box((1, 2))));
                match call.poll(&mut context) {
                    Poll::Ready(result) => black_box(result?),
                    Poll::Pending => bail!("it has nothing to wait for"),
                };
            }
            Ok(())
        }))
    }

    fn counted_call<'a>(&'a self, artifact: &Path, export: &'static str) -> Result<Work<'a>> {
        let (mut store, instance) = instance(&self.engine, artifact)?;
        let counted = instance.get_typed_func::<i64, i32>(&mut store, export)?;
        Ok(Box::new(move |times| {
            black_box(counted.call(&mut store, times as i64)?);
            Ok(())
        }))
    }

    fn trap<'a>(&'a self, artifact: &Path) -> Result<Work<'a>> {
        let (mut store, instance) = instance(&self.engine, artifact)?;
        let traps = instance.get_typed_func::<(), ()>(&mut store, "unreachable")?;
        Ok(Box::new(move |times| {
            for _ in 0..times {
                let error = traps.call(&mut store, ()).err().context("no trap")?;
                ensure!(error.downcast_ref::<Trap>().is_some(), "not a trap: {error}");
            }
            Ok(())
        }))
    }

    fn program<'a>(&'a self, artifact: &Path, run: &'a Run) -> Result<Work<'a>> {
        let engine = &self.engine;
        let module = open(engine, artifact)?;
        let pre = wasi_linker(engine)?.instantiate_pre(&module)?;
        Ok(Box::new(move |times| {
            for _ in 0..times {
                black_box(run_program(engine, &pre, run)?);
            }
            Ok(())
        }))
    }

    fn program_output(&self, artifact: &Path, run: &Run) -> Result<Vec<u8>> {
        let engine = &self.engine;
        let module = open(engine, artifact)?;
        let pre = wasi_linker(engine)?.instantiate_pre(&module)?;
        Ok(run_program(engine, &pre, run)?.contents().to_vec())
    }
}

fn run_program(engine: &Engine, pre: &InstancePre<Host>, run: &Run) -> Result<Output> {
    let (host, output) = wasi_host(run)?;
    let mut store = Store::new(engine, host);
    let instance = pre.instantiate(&mut store)?;
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
    if let Err(error) = start.call(&mut store, ()) {
        match exit_code(&error) {
            Some(code) => ensure!(code == 0, "exit code {code}"),
            None => return Err(error.into()),
        }
    }
    Ok(output)
}

fn instance(engine: &Engine, artifact: &Path) -> Result<(Store<()>, Instance)> {
    let mut store = Store::new(engine, ());
    let instance = pre(engine, artifact)?.instantiate(&mut store)?;
    Ok((store, instance))
}

/// The module with the host functions that `modules.rs` knows.
fn pre(engine: &Engine, artifact: &Path) -> Result<InstancePre<()>> {
    let mut linker = Linker::new(engine);
    linker.func_wrap("host", "next", |value: i32| value.wrapping_add(1))?;
    linker.func_wrap("host", "next_with_caller", |_: Caller<'_, ()>, value: i32| {
        value.wrapping_add(1)
    })?;
    Ok(linker.instantiate_pre(&open(engine, artifact)?)?)
}
