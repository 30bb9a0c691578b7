//! The programs of `fixtures/programs`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// Most that a program may write to standard output.
pub(crate) const OUTPUT_BYTES_MAX: usize = 16 << 20;

/// Sizes for which a program takes 0.2 to 0.5 s, and the programs that are measured.
const SIZES: [(&str, &str); 12] = [
    ("fib", "38"),
    ("matrix", "150"),
    ("nbody", "3000000"),
    ("sieve", "80"),
    ("simd", "600"),
    ("strings", "80"),
    ("objects", "150"),
    ("words", "250"),
    ("bzip2", "900"),
    ("lua", "50"),
    ("sqlite", "25000"),
    ("zstd", "1200"),
];

#[derive(Deserialize)]
struct Description {
    programs: Vec<Built>,
}

/// A program as `programs.json` describes it.
#[derive(Deserialize)]
struct Built {
    name: String,
    wasm: PathBuf,
    native: PathBuf,
    stdin: Option<PathBuf>,
    preopened_directory: bool,
}

/// A program.
pub(crate) struct Program {
    pub(crate) wasm: PathBuf,
    pub(crate) native: PathBuf,
    pub(crate) run: Run,
}

/// What a run of a program is given.
pub(crate) struct Run {
    /// The program's name, its first argument.
    pub(crate) name: String,
    /// How much it is to do, its second argument.
    pub(crate) size: String,
    /// Standard input.
    pub(crate) stdin: Vec<u8>,
    /// An empty folder to write to, which it leaves empty.
    pub(crate) folder: Option<PathBuf>,
}

/// The programs that were built and have a size.
pub(crate) fn programs(artifacts: &Path) -> Result<Vec<Program>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/programs");
    let list = root.join("programs.json");
    let text = std::fs::read_to_string(&list).with_context(|| {
        format!("failed to read `{}`: fixtures/programs/build.py makes it", list.display())
    })?;
    let description: Description = serde_json::from_str(&text)?;
    let mut programs = Vec::new();
    for (name, size) in SIZES {
        let Some(built) = description.programs.iter().find(|built| built.name == name) else {
            eprintln!("{name}: not built, left out");
            continue;
        };
        let stdin = match &built.stdin {
            Some(path) => std::fs::read(root.join(path))?,
            None => Vec::new(),
        };
        let folder = built.preopened_directory.then(|| artifacts.join("folder"));
        if let Some(folder) = &folder {
            std::fs::create_dir_all(folder)?;
        }
        let run = Run { name: name.to_owned(), size: size.to_owned(), stdin, folder };
        programs.push(Program {
            wasm: root.join(&built.wasm),
            native: root.join(&built.native).canonicalize()?,
            run,
        });
    }
    Ok(programs)
}

impl Program {
    /// Runs the native program, and gives what it wrote to standard output and the seconds it took, with the start
    /// of a process.
    pub(crate) fn run_native(&self, artifacts: &Path) -> Result<(Vec<u8>, f64)> {
        let stdin = artifacts.join("stdin");
        std::fs::write(&stdin, &self.run.stdin)?;
        let mut command = Command::new(&self.native);
        command
            .arg(&self.run.size)
            .current_dir(self.run.folder.as_deref().unwrap_or(artifacts))
            .stdin(std::fs::File::open(&stdin)?)
            .stderr(Stdio::inherit());
        let start = Instant::now();
        let output = command.output()?;
        let seconds = start.elapsed().as_secs_f64();
        ensure!(output.status.success(), "{}: {}", self.run.name, output.status);
        Ok((output.stdout, seconds))
    }
}
