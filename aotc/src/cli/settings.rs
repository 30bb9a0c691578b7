//! What a program is given of its host, as it stands on the command line.

use crate::{Access, Directory, Environment, Settings, Variable};

#[derive(clap::Args, Clone, Debug)]
pub(super) struct SettingsArgs {
    /// Give the program a directory: HOST, or HOST::GUEST under another name.
    #[arg(long, value_name = "HOST[::GUEST]")]
    dir: Vec<String>,
    /// Give the program a directory in which it changes nothing.
    #[arg(long, value_name = "HOST[::GUEST]")]
    read_only_dir: Vec<String>,
    /// Give the program an environment variable: NAME=VALUE, or NAME with the host's value.
    #[arg(long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Give the program all environment variables of the host.
    #[arg(long)]
    inherit_env: bool,
    /// Call this export with the arguments, and print its results, instead of running `_start`.
    #[arg(long, value_name = "NAME")]
    invoke: Option<String>,
}

impl SettingsArgs {
    pub(super) fn to_settings(&self) -> Settings {
        let writable = self.dir.iter().map(|dir| directory(dir, Access::ReadWrite));
        let readable = self.read_only_dir.iter().map(|dir| directory(dir, Access::ReadOnly));
        Settings {
            environment: if self.inherit_env {
                Environment::Inherited
            } else {
                Environment::Listed
            },
            variables: self.env.iter().map(|variable| self::variable(variable)).collect(),
            directories: writable.chain(readable).collect(),
            invoke: self.invoke.clone(),
        }
    }
}

fn directory(dir: &str, access: Access) -> Directory {
    let (host, guest) = dir.split_once("::").unwrap_or((dir, dir));
    Directory { host: host.to_owned(), guest: guest.to_owned(), access }
}

fn variable(variable: &str) -> Variable {
    match variable.split_once('=') {
        Some((name, value)) => Variable { name: name.to_owned(), value: Some(value.to_owned()) },
        None => Variable { name: variable.to_owned(), value: None },
    }
}
