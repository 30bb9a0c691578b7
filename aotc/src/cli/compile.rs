//! `aotc compile`.
//!
//! ```text
//!   arguments --response files--> Args --loader's settings--> Options --+
//!   input, and modules to link with ----------------------------------- +--compile--> artifacts --+--> outputs
//!                                              names of all that was read --> depfile ------------+
//! ```
//!
//! Outputs appear together, when everything else has gone well.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::emit::{Kind, Made, Request};
use super::exe::{ExeArgs, Part};
use super::link::{self, LinkAs};
use super::messages::MessageFormat;
use super::options::{CompileOptions, InterruptionOptions};
use super::output::{Execute, Outputs};
use super::{EXIT_USAGE, Failure, depfile, for_loader, in_file, output};
use crate::input::Input;
use crate::{Binding, CHeader, Emit, Options};

#[derive(clap::Args)]
pub(super) struct Args {
    /// The module: binary or text format; `-` for standard input.
    input: PathBuf,
    /// Where the result goes; `-` for standard output. Default: the input's name with the ending of
    /// what is emitted (.o, .a, .aot, none, .clif, .s).
    #[arg(short)]
    output: Option<PathBuf>,
    /// What to emit, each perhaps to a file of its own: obj (a relocatable object), archive (a static library), image (for the
    /// loader), exe (a program that runs by itself), clif (Cranelift's intermediate representation), asm (machine code as text), header (for the C and C++ programs that an object or
    /// library is linked into). Default: by the ending of the
    /// output, .o or .a, else image.
    #[arg(long, value_name = "KIND[=FILE]", value_delimiter = ',')]
    emit: Vec<Request>,
    /// What the names in a header begin with. Default: the module's name.
    #[arg(long)]
    symbol_prefix: Option<String>,
    /// A module to link with: what it exports satisfies imports of `NAME` by the modules after it, the input being the
    /// last. Once for each.
    #[arg(long, value_name = "NAME=FILE")]
    link_as: Vec<LinkAs>,
    /// Write a rule for Make here that names every file that was read, like `cc -MF`.
    #[arg(long, value_name = "FILE")]
    depfile: Option<PathBuf>,
    /// How to say what is wrong, on standard error.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = MessageFormat::Human)]
    pub(super) message_format: MessageFormat,
    /// Keep the exports named in this file, a name per line, as with `--keep-exports`.
    #[arg(long, value_name = "FILE")]
    keep_exports_file: Option<PathBuf>,
    /// Bind the imports listed in this file, one per line, as with `--bind`.
    #[arg(long, value_name = "FILE")]
    bind_file: Option<PathBuf>,
    /// Keep compiled code in this folder, and compile only what changed since.
    #[arg(long, value_name = "DIR")]
    incremental: Option<PathBuf>,
    /// Compile for the loader that wrote this file (`Engine::compile_settings`, `aotc loader-config`).
    #[arg(long, value_name = "FILE")]
    for_loader: Option<PathBuf>,
    #[command(flatten)]
    options: CompileOptions,
    #[command(flatten)]
    interruption: InterruptionOptions,
    #[command(flatten)]
    exe: ExeArgs,
    /// Response files that the arguments came from.
    #[arg(skip)]
    pub(super) response_files: Vec<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let requests = requests(args)?;
    let mut outputs = Outputs::new(requests.iter().map(|request| &*request.1));
    let options = options(args)?;
    let part = match requests.iter().any(|(kind, _)| kind.made == Made::Executable) {
        true => {
            args.exe.check_target(options.target)?;
            Some(args.exe.part()?)
        }
        false => {
            args.exe.check_unused()?;
            None
        }
    };
    let read_files = read_files(args, part.as_ref());
    let rule = args.depfile.as_ref().map(|path| {
        outputs.add(path);
        depfile_rule(&requests, &read_files)
    });
    let rule = rule.transpose()?;
    outputs.check_distinct_from(&read_files)?;
    let bytes = output::read(&args.input)?;
    let linked = match &args.link_as[..] {
        [] => None,
        others => Some(link::link(&args.input, &bytes, others, &options)?),
    };
    let input = linked.as_ref().map_or(Input::Module(&bytes), Input::Linked);
    let emit = |(kind, _): &(Kind, PathBuf)| match kind.made {
        Made::Compiled(emit) => Some(emit),
        Made::Executable => Some(args.exe.made_of()),
        Made::Header => None,
    };
    let emits: Vec<Emit> = requests.iter().filter_map(emit).collect();
    let compiled = input.compile_all(&emits, &options);
    let mut compiled = compiled.map_err(|error| in_file(&args.input, error))?;
    let mut made = std::mem::take(&mut compiled.artifacts).into_iter();
    for (kind, _) in &requests {
        let mut next = || made.next().expect("an artifact for each that was asked for");
        compiled.artifacts.push(match kind.made {
            Made::Compiled(_) => next(),
            Made::Executable => {
                let part = part.as_ref().expect("executables have another part");
                args.exe.make(&next(), part)?
            }
            Made::Header => header(args, input, &options)?.into_bytes(),
        });
    }
    if let (Some(path), Some(rule)) = (&args.depfile, &rule) {
        outputs.stage(path, rule.as_bytes(), Execute::Nobody)?;
    }
    for ((kind, path), artifact) in requests.iter().zip(&compiled.artifacts) {
        let execute = match kind.made {
            Made::Executable => Execute::Readers,
            Made::Compiled(_) | Made::Header => Execute::Nobody,
        };
        outputs.stage(path, artifact, execute)?;
    }
    outputs.commit()?;
    report(args, &requests, &compiled);
    if let (Some(path), Some(rule)) = (&args.depfile, &rule) {
        args.message_format.artifact(path, "depfile", rule.len());
    }
    Ok(ExitCode::SUCCESS)
}

fn header(args: &Args, input: Input<'_>, options: &Options) -> Result<String, Failure> {
    let name = args.input.file_name().unwrap_or_default().to_string_lossy();
    let header = CHeader { prefix: args.symbol_prefix.clone(), input: name.into_owned() };
    input.c_header(&header, options).map_err(|error| in_file(&args.input, error))
}

/// What to emit, and where.
fn requests(args: &Args) -> Result<Vec<(Kind, PathBuf)>, Failure> {
    let output = args.output.as_deref();
    let default = [Request { kind: Kind::of_output(output), file: None }];
    let requests = if args.emit.is_empty() { &default[..] } else { &args.emit };
    let unnamed = requests.iter().filter(|request| request.file.is_none()).count();
    if unnamed != 1 && output.is_some() {
        return Err(usage(format!(
            "`-o` names the file of one artifact, and {unnamed} have no name: `--emit KIND=FILE` gives each its own"
        )));
    }
    let path = |request: &Request| match (&request.file, output) {
        (Some(file), _) => file.clone(),
        (None, Some(output)) => output.to_owned(),
        (None, None) => default_output(&args.input, request.kind),
    };
    Ok(requests.iter().map(|request| (request.kind, path(request))).collect())
}

fn default_output(input: &Path, kind: Kind) -> PathBuf {
    if input == Path::new("-") {
        return PathBuf::from("-");
    }
    input.with_extension(kind.extension)
}

/// Every file that the result depends on: `part` is that of executables.
fn read_files(args: &Args, part: Option<&Part>) -> Vec<PathBuf> {
    let modules = std::iter::once(&args.input).chain(args.link_as.iter().map(|other| &other.file));
    let modules = modules.filter(|module| *module != Path::new("-"));
    let files =
        modules.chain(&args.keep_exports_file).chain(&args.bind_file).chain(&args.for_loader);
    let files = files.chain(part.and_then(Part::file));
    files.chain(&args.response_files).cloned().collect()
}

fn depfile_rule(requests: &[(Kind, PathBuf)], read_files: &[PathBuf]) -> Result<String, Failure> {
    let targets: Vec<PathBuf> = requests.iter().map(|(_, path)| path.clone()).collect();
    if targets.iter().any(|target| target == Path::new("-")) {
        return Err(usage("a depfile is about files: the output cannot be `-`".to_owned()));
    }
    depfile::rule(&targets, read_files)
}

fn options(args: &Args) -> Result<Options, Failure> {
    let interruption = args.interruption.to_interruption();
    let mut options = match &args.for_loader {
        Some(path) => for_loader::options(&args.options, interruption, path)?,
        None => args.options.to_options(interruption)?,
    };
    options.name = options.name.or_else(|| module_name(&args.input));
    options.incremental = args.incremental.clone();
    if let Some(path) = &args.bind_file {
        let bindings = Binding::parse_list(&output::read_text(path)?);
        options.bind.extend(bindings.map_err(|error| in_file(path, error))?);
    }
    if let Some(path) = &args.keep_exports_file {
        let names = output::read_text(path)?;
        let kept = options.keep_exports.get_or_insert_default();
        kept.extend(names.lines().filter(|name| !name.is_empty()).map(str::to_owned));
    }
    Ok(options)
}

/// The input's file name without its ending.
fn module_name(input: &Path) -> Option<String> {
    let stem = input.file_stem()?.to_str()?;
    (stem != "-").then(|| stem.to_owned())
}

fn report(args: &Args, requests: &[(Kind, PathBuf)], compiled: &crate::Compiled) {
    let format = args.message_format;
    if let Some(reuse) = &compiled.reuse {
        if let Some(problem) = &reuse.problem {
            format.warning("incremental", &format!("--incremental: {problem}"));
        }
        format.incremental(reuse);
    }
    for ((kind, path), artifact) in requests.iter().zip(&compiled.artifacts) {
        format.artifact(path, kind.name, artifact.len());
    }
}

fn usage(message: String) -> Failure {
    Failure::new(EXIT_USAGE, anyhow::Error::msg(message))
}
