//! Modules that were linked into libraries for other operating systems, and are mapped into this program by hand.
//!
//! ```text
//!   modules --aotc, --target--> objects --ld64.lld | lld-link--> one library --tests/mapped.rs--> memory --from_linked--> Module
//! ```

use std::collections::HashMap;
use std::num::NonZero;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, thread};

use anyhow::{Context, Result, ensure};
use aotc::{Emit, Options, parse_target};
use aotc_loader::{Engine, Module};

use crate::linked_file::LinkedFile;
use crate::linkers::installed;
use crate::mapped::Mapped;

/// A library for an operating system, made when it is first needed.
pub(crate) struct Foreign {
    pub(crate) os: &'static str,
    linker: &'static str,
    arguments: &'static str,
    made: OnceLock<Result<Made, String>>,
}

struct Made {
    library: Mapped,
    /// The number of each module by its bytes.
    numbers: HashMap<Vec<u8>, usize>,
}

/// A library for macOS and one for Windows.
pub(crate) static LIBRARIES: [Foreign; 2] = [
    Foreign {
        os: "macos",
        linker: "ld64.lld",
        arguments: "-arch x86_64 -platform_version macos 11.0 11.0 -dylib -dead_strip -o",
        made: OnceLock::new(),
    },
    Foreign {
        os: "windows",
        linker: "lld-link",
        arguments: "/dll /noentry /opt:ref,icf /out:",
        made: OnceLock::new(),
    },
];

impl Foreign {
    /// Whether there is a linker for it.
    pub(crate) fn has_linker(&self) -> bool {
        installed(self.linker).is_some()
    }

    /// The module with these bytes, if it is among `modules`, which are what the library is made of.
    pub(crate) fn module(
        &self,
        engine: &Engine,
        modules: &[&[u8]],
        wasm: &[u8],
    ) -> Result<Option<Module>> {
        let made =
            self.made.get_or_init(|| self.make(modules).map_err(|error| format!("{error:#}")));
        let made = made.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?;
        let Some(number) = made.numbers.get(wasm) else { return Ok(None) };
        made.library.module(engine, &format!("aotc_module_spec_{number}")).map(Some)
    }

    fn make(&self, modules: &[&[u8]]) -> Result<Made> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("foreign-{}", self.os));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        let objects = self.compile(modules, &folder)?;
        let mut words = String::new();
        for (number, object) in objects.iter().enumerate() {
            words.push_str(&format!("{object:?}\n"));
            if self.os == "windows" {
                words.push_str(&format!("/export:aotc_module_spec_{number},DATA\n"));
            }
        }
        let response = folder.join("objects.rsp");
        fs::write(&response, words)?;
        let library = folder.join("library");
        let linker = installed(self.linker).with_context(|| format!("no {}", self.linker))?;
        let mut command = Command::new(linker);
        let (options, output) =
            self.arguments.rsplit_once(' ').context("the last names the output")?;
        command.args(options.split(' '));
        match output.strip_suffix(':') {
            Some(_) => command.arg(format!("{output}{}", library.display())),
            None => command.arg(output).arg(&library),
        };
        let output = command.arg(format!("@{}", response.display())).output()?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{command:?}: {}\n{stderr}", output.status);
        let library = Mapped::new(LinkedFile::parse(&fs::read(&library)?)?)?;
        fs::remove_dir_all(folder)?;
        let numbers = modules.iter().enumerate().map(|(number, wasm)| (wasm.to_vec(), number));
        Ok(Made { library, numbers: numbers.collect() })
    }

    /// The objects of the modules, in order.
    fn compile(&self, modules: &[&[u8]], folder: &Path) -> Result<Vec<std::path::PathBuf>> {
        let target = parse_target(&format!("x86_64-{}", self.os))?;
        let path = |number| folder.join(format!("{number}.o"));
        let next = AtomicUsize::new(0);
        let work = || -> Result<()> {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(wasm) = modules.get(number) else { return Ok(()) };
                let options = Options {
                    target,
                    name: Some(format!("spec_{number}")),
                    threads: NonZero::new(1),
                    ..Options::default()
                };
                fs::write(path(number), aotc::compile(wasm, Emit::Object, &options)?)?;
            }
        };
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| worker.join().expect("no panic"))
        })?;
        Ok((0..modules.len()).map(path).collect())
    }
}
