//! Runs fuzz bodies over random inputs.
//!
//! ```text
//! cargo run --release --manifest-path fuzz/Cargo.toml -- BODY [--seed S] [--count N] [--bytes B] [--seconds T]
//! cargo run --release --manifest-path fuzz/Cargo.toml -- module --seed S [--bytes B] > module.wasm
//! cargo run --release --manifest-path fuzz/Cargo.toml -- compare module.wasm [--seed S]
//! ```
//!
//! Input number `n` is made from the seed `S + n`, so `--seed S+n --count 1` repeats it. A child process does the
//! work and says which seed it is at; if it dies, that is a failure like any other.
#![forbid(unsafe_code)]

use std::io::{BufRead, BufReader, Write};
use std::panic::{self, AssertUnwindSafe};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use aotc_fuzz::generate::{self, Purpose};
use aotc_fuzz::random::Random;
use aotc_fuzz::{BODIES, Body, Verdict, differential};

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    match arguments.words()[..] {
        ["module"] => {
            let data = input(arguments.seed, arguments.bytes);
            let wasm = generate::module(&data, Purpose::Run).context("too few bytes")?;
            std::io::stdout().write_all(&wasm)?;
            // What the body gives to the comparison.
            eprintln!("compare with --seed {}", Random::from_bytes(&data).next());
            Ok(ExitCode::SUCCESS)
        }
        ["compare", path] => {
            let wasm = std::fs::read(path).with_context(|| format!("failed to read `{path}`"))?;
            println!("{:?}", differential::compare(&wasm, arguments.seed));
            Ok(ExitCode::SUCCESS)
        }
        ["child", name] => {
            work(body(name)?, &arguments);
            Ok(ExitCode::SUCCESS)
        }
        [name] => supervise(body(name)?, &arguments),
        _ => bail!("expected a body, `module`, or `compare` and a file"),
    }
}

fn body(name: &str) -> Result<&'static Body> {
    BODIES.iter().find(|body| body.name == name).with_context(|| {
        let names: Vec<&str> = BODIES.iter().map(|body| body.name).collect();
        format!("unknown body `{name}`: expected {}", names.join(", "))
    })
}

/// The command line.
struct Arguments {
    words: Vec<String>,
    seed: u64,
    count: u64,
    /// Most bytes of an input.
    bytes: usize,
    /// When to stop.
    seconds: u64,
}

impl Arguments {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut parsed =
            Self { words: Vec::new(), seed: 0, count: u64::MAX, bytes: 16_000, seconds: u64::MAX };
        while let Some(argument) = arguments.next() {
            let mut number = || -> Result<u64> {
                let value =
                    arguments.next().with_context(|| format!("`{argument}` needs a number"))?;
                value.parse().with_context(|| format!("`{argument} {value}`"))
            };
            match argument.as_str() {
                "--seed" => parsed.seed = number()?,
                "--count" => parsed.count = number()?,
                "--bytes" => parsed.bytes = number()? as usize,
                "--seconds" => parsed.seconds = number()?,
                option if option.starts_with('-') => bail!("unknown option `{option}`"),
                _ => parsed.words.push(argument),
            }
        }
        Ok(parsed)
    }

    fn words(&self) -> Vec<&str> {
        self.words.iter().map(String::as_str).collect()
    }
}

/// The bytes of a seed.
fn input(seed: u64, bytes_max: usize) -> Vec<u8> {
    let mut random = Random::new(seed);
    let length = 16 + random.below(bytes_max.max(1));
    random.bytes(length)
}

/// Checks input after input; a line of standard output says which is next, and what became of it.
fn work(body: &Body, arguments: &Arguments) {
    let end = arguments.seed.saturating_add(arguments.count);
    let mut out = std::io::stdout().lock();
    for seed in arguments.seed..end {
        // If nobody reads any more, there is nothing to do.
        if writeln!(out, "{seed}").and_then(|()| out.flush()).is_err() {
            return;
        }
        let data = input(seed, arguments.bytes);
        let verdict = panic::catch_unwind(AssertUnwindSafe(|| (body.run)(&data)));
        let word = match verdict {
            Ok(Verdict::Checked) => "checked",
            Ok(Verdict::Skipped) => "skipped",
            Err(_) => {
                eprintln!(
                    "failure: {} --seed {seed} --count 1 --bytes {}",
                    body.name, arguments.bytes
                );
                "failed"
            }
        };
        if writeln!(out, "{word}").is_err() {
            return;
        }
    }
}

/// What became of the inputs.
#[derive(Debug, Default)]
struct Tally {
    checked: u64,
    skipped: u64,
    failed: u64,
}

fn supervise(body: &Body, arguments: &Arguments) -> Result<ExitCode> {
    let start = Instant::now();
    let deadline = Duration::from_secs(arguments.seconds);
    let end = arguments.seed.saturating_add(arguments.count);
    let mut tally = Tally::default();
    let mut seed = arguments.seed;
    while seed < end && start.elapsed() < deadline {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["child", body.name, "--seed", &seed.to_string()])
            .args(["--count", &(end - seed).to_string(), "--bytes", &arguments.bytes.to_string()])
            .stdout(Stdio::piped())
            .spawn()?;
        let lines = BufReader::new(child.stdout.take().context("no standard output")?).lines();
        let mut ended = true;
        for line in lines {
            match line?.as_str() {
                "checked" => tally.checked += 1,
                "skipped" => tally.skipped += 1,
                "failed" => tally.failed += 1,
                number => {
                    seed = number.parse().with_context(|| format!("the child said `{number}`"))?;
                    ended = false;
                    if seed.is_multiple_of(1_000) {
                        eprintln!("{} {seed}: {tally:?}", body.name);
                    }
                    if start.elapsed() >= deadline {
                        break;
                    }
                    continue;
                }
            }
            ended = true;
        }
        if start.elapsed() >= deadline {
            child.kill()?;
            child.wait()?;
            break;
        }
        let status = child.wait()?;
        if !ended {
            tally.failed += 1;
            eprintln!(
                "failure: {status}: {} --seed {seed} --count 1 --bytes {}",
                body.name, arguments.bytes
            );
        }
        seed += 1;
    }
    println!("{}: {tally:?} in {:.0?}", body.name, start.elapsed());
    Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
