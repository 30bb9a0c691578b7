//! The headers of the C API, compared with the library: what one has, the other has, with the same numbers and
//! kinds of parameters.
//!
//! The compiler says what the headers declare (`-aux-info`), macros expanded. What Rust defines is read from the
//! sources; most functions stand in macros of a simple form, rows of names, which are expanded here.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{installed, output_folder, succeeded};
use crate::support::root;

/// The result and the parameters of a function, each as its class.
type Signatures = BTreeMap<String, Vec<String>>;

/// The headers.
const HEADERS: [&str; 3] = ["wasm.h", "aotc.h", "aotc_bind.h"];

/// Every function is declared and exported, and with the same signature on both sides.
pub(super) fn functions() -> Result<()> {
    let declared = declared()?;
    let defined = defined()?;
    let exported = exported()?;
    let mut problems = Vec::new();
    for (name, c) in &declared {
        match defined.get(name) {
            None => problems.push(format!("{name}: declared, but not defined")),
            Some(rust) if rust != c => {
                problems.push(format!("{name}: C has {c:?}, Rust has {rust:?}"));
            }
            Some(_) => {}
        }
    }
    problems.extend(
        defined
            .keys()
            .filter(|name| !declared.contains_key(*name))
            .map(|name| format!("{name}: defined, but not declared")),
    );
    problems.extend(
        exported
            .iter()
            .filter(|name| !defined.contains_key(*name))
            .map(|name| format!("{name}: exported, but not found in the sources")),
    );
    problems.extend(
        defined
            .keys()
            .filter(|name| !exported.contains(name))
            .map(|name| format!("{name}: defined, but not exported")),
    );
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    ensure!(declared.len() > 300, "only {} functions", declared.len());
    Ok(())
}

/// Each header can be included alone and twice, in C and C++, without a warning.
pub(super) fn stand_alone() -> Result<()> {
    let folder = output_folder()?;
    for header in HEADERS {
        for (compiler, standard, extension) in
            [("cc", "c11", "c"), ("cc", "c17", "c"), ("c++", "c++11", "cc"), ("c++", "c++20", "cc")]
        {
            let source = folder.join(format!("alone.{extension}"));
            let include = format!("#include \"{header}\"\n");
            fs::write(&source, format!("{include}{include}int main(void) {{ return 0; }}\n"))?;
            let mut command = Command::new(compiler);
            command.arg(format!("-std={standard}"));
            command.args(["-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only", "-I"]);
            succeeded(command.arg(root().join("capi/include")).arg(&source))?;
        }
    }
    Ok(())
}

/// What the headers declare.
fn declared() -> Result<Signatures> {
    let folder = output_folder()?;
    let (source, info) = (folder.join("declared.c"), folder.join("declared.txt"));
    let includes: String = HEADERS.map(|header| format!("#include \"{header}\"\n")).concat();
    fs::write(&source, includes)?;
    let mut gcc = Command::new("gcc");
    gcc.arg("-I").arg(root().join("capi/include")).arg("-aux-info").arg(&info);
    succeeded(gcc.arg("-fsyntax-only").arg(&source))?;
    let typedefs = typedefs()?;
    let mut signatures = Signatures::new();
    // `/* FILE:LINE:NC */ extern RESULT NAME (PARAMETERS);`
    for line in fs::read_to_string(info)?.lines() {
        let Some((place, rest)) = line.split_once(" */ extern ") else { continue };
        if !HEADERS.iter().any(|header| place.contains(&format!("/{header}:"))) {
            continue;
        }
        let (head, parameters) = rest.split_once(" (").context("a prototype")?;
        let parameters = parameters.rsplit_once(");").context("the end of a prototype")?.0;
        let start = head.rfind([' ', '*']).context("a result")? + 1;
        let (result, name) = head.split_at(start);
        let mut signature = vec![class_of_c(result, &typedefs)];
        if parameters != "void" {
            signature.extend(split(parameters).iter().map(|ty| class_of_c(ty, &typedefs)));
        }
        signatures.insert(name.to_owned(), signature);
    }
    Ok(signatures)
}

/// The headers' names for other types.
fn typedefs() -> Result<BTreeMap<String, String>> {
    let mut typedefs = BTreeMap::new();
    for header in HEADERS {
        let text = fs::read_to_string(root().join("capi/include").join(header))?;
        for line in text.lines() {
            let Some(rest) = line.strip_prefix("typedef ") else { continue };
            if let Some((_, name)) = rest.split_once("(*") {
                let name = name.split(')').next().unwrap_or_default();
                typedefs.insert(name.to_owned(), "*".to_owned());
            } else if let Some((ty, name)) = rest.trim_end_matches(';').rsplit_once(' ') {
                typedefs.insert(name.to_owned(), ty.to_owned());
            }
        }
    }
    Ok(typedefs)
}

/// How a type of C is passed.
fn class_of_c(ty: &str, typedefs: &BTreeMap<String, String>) -> String {
    if ty.contains(['*', '[']) {
        return "pointer".to_owned();
    }
    let name = ty.split_whitespace().filter(|word| *word != "const").collect::<Vec<_>>().join(" ");
    match &*name {
        "uint8_t" => "u8",
        "uint32_t" => "u32",
        "uint64_t" => "u64",
        "int32_t" => "i32",
        "size_t" => "usize",
        "_Bool" => "bool",
        "void" => "void",
        other => match typedefs.get(other) {
            Some(ty) => return class_of_c(ty, typedefs),
            // A struct.
            None => other,
        },
    }
    .to_owned()
}

/// What the library exports.
fn exported() -> Result<Vec<String>> {
    let library = installed()?.join("lib/libaotc.so");
    let output = succeeded(Command::new("nm").args(["-D", "--defined-only"]).arg(library))?;
    let symbols = String::from_utf8(output.stdout)?;
    Ok(symbols.lines().filter_map(|line| line.rsplit(' ').next()).map(str::to_owned).collect())
}

/// What the sources define.
fn defined() -> Result<Signatures> {
    let mut signatures = Signatures::new();
    for entry in fs::read_dir(root().join("capi/src"))? {
        let path = entry?.path();
        // What is only in the library without `std`, which is not the one that is compared.
        if path.ends_with("tiny.rs") {
            continue;
        }
        let text = without_comments(&fs::read_to_string(&path)?);
        let text = expand(&text).with_context(|| path.display().to_string())?;
        // The first piece has no function.
        for definition in text.split("extern \"C\" fn ").skip(1) {
            let Some((name, rest)) = definition.split_once('(') else { continue };
            if name.is_empty() || name.starts_with('$') {
                continue;
            }
            let end = matching(rest).context("the end of the parameters")?;
            let result = rest[end + 1..].split('{').next().unwrap_or_default().trim();
            let result = result.strip_prefix("->").map_or("void", str::trim);
            let mut signature = vec![class_of_rust(result)];
            for parameter in split(&rest[..end]) {
                let ty = parameter.split_once(':').context("a parameter with a type")?.1;
                signature.push(class_of_rust(ty.trim()));
            }
            signatures.insert(name.to_owned(), signature);
        }
    }
    Ok(signatures)
}

/// How a type of Rust is passed.
fn class_of_rust(ty: &str) -> String {
    // Types that macros make are called after them.
    let ty = ty.strip_prefix("of_").and_then(|ty| ty.split('!').next()).unwrap_or(ty);
    let pointers = ["&", "*", "Box<", "Option<", "Failure", "Trapped"];
    let is_pointer = pointers.iter().any(|start| ty.starts_with(start)) || ty.ends_with("Callback");
    match ty {
        _ if is_pointer => "pointer".to_owned(),
        // It does not return.
        "!" => "void".to_owned(),
        _ => ty.to_owned(),
    }
}

fn without_comments(text: &str) -> String {
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// Place of the parenthesis that closes what is open where `text` begins.
fn matching(text: &str) -> Option<usize> {
    let mut open = 1;
    for (place, c) in text.char_indices() {
        match c {
            '(' | '{' | '[' => open += 1,
            ')' | '}' | ']' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(place);
        }
    }
    None
}

/// The parts between the commas that are in no parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut open, mut start) = (0, 0);
    for (place, c) in text.char_indices() {
        match c {
            '(' | '<' | '[' => open += 1,
            // Not the end of an arrow.
            '>' if text[..place].ends_with('-') => {}
            ')' | '>' | ']' => open -= 1,
            ',' if open == 0 => {
                parts.push(text[start..place].trim());
                start = place + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

/// The text with what the macros in it make of their rows that define functions.
fn expand(text: &str) -> Result<String> {
    let mut expanded = text.to_owned();
    for definition in text.split("macro_rules! ").skip(1) {
        let (name, rest) = definition.split_once(" {").context("a macro's name")?;
        let body = &rest[..matching(rest).context("the end of a macro")?];
        if !body.contains("extern \"C\" fn $") {
            continue;
        }
        let (pattern, body) = body.split_once("=> {$(").context("a macro over rows")?;
        let pattern = pattern.trim().strip_prefix("($(").context("a pattern of rows")?;
        let pattern = pattern.strip_suffix(";)*)").context("rows that end with `;`")?;
        let rows = text.split(&format!("\n{name}! {{")).nth(1).context("the use of a macro")?;
        let rows = &rows[..matching(rows).context("the end of rows")?];
        for row in rows.split(';').filter(|row| !row.trim().is_empty()) {
            let bindings = bind(pattern, row).with_context(|| format!("{name}: {row}"))?;
            let body = repeat(body, &bindings).with_context(|| format!("{name}: {row}"))?;
            expanded.push_str(&replace(&body, &bindings));
        }
    }
    Ok(expanded)
}

/// A variable, and what it stands for: several things if it stands in a repetition.
type Binding = (String, Vec<String>);

/// The text with what variables stand for once.
fn replace(text: &str, bindings: &[Binding]) -> String {
    let mut bindings: Vec<&Binding> = bindings.iter().collect();
    // Longer names first: they may begin with shorter ones.
    bindings.sort_by_key(|(variable, _)| std::cmp::Reverse(variable.len()));
    let mut text = text.to_owned();
    for (variable, values) in bindings {
        if let [value] = &values[..] {
            text = text.replace(variable, value);
        }
    }
    text
}

/// The text with each `$(...)*` in it as often as its variable stands for something.
fn repeat(text: &str, bindings: &[Binding]) -> Result<String> {
    let mut repeated = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("$(") {
        let end = matching(after).context("the end of a repetition")?;
        let inner = &after[..end];
        let after = &after[end + 1..];
        let sign = after.find(['*', '+']).context("a repetition")?;
        let (separator, after) = (&after[..sign], &after[sign + 1..]);
        repeated.push_str(before);
        let of = bindings.iter().find(|(variable, _)| inner.contains(variable));
        let (variable, values) = of.context("a variable in a repetition")?;
        let parts = values.iter().map(|value| inner.replace(variable, value));
        repeated.push_str(&parts.collect::<Vec<_>>().join(separator));
        rest = after;
    }
    repeated.push_str(rest);
    Ok(repeated)
}

/// What the variables of a pattern stand for in a row.
fn bind(pattern: &str, row: &str) -> Result<Vec<Binding>> {
    let (pattern, row) = (tokens(pattern), tokens(row));
    let (mut pattern, mut row) = (pattern.iter().peekable(), row.iter().peekable());
    let mut bindings = Vec::new();
    while let Some(token) = pattern.next() {
        if !token.starts_with('$') {
            let found = row.next().context("a row that goes on")?;
            ensure!(token == found || token.starts_with('('), "expected {token}, found {found}");
            // A repetition of one variable.
            let variable = token.strip_prefix("($(").and_then(|token| token.split(':').next());
            if let Some(variable) = variable {
                let values = found.trim_matches(['(', ')']).split([' ', '|']);
                let values = values.filter(|value| !value.is_empty()).map(str::to_owned);
                bindings.push((variable.to_owned(), values.collect()));
            }
            continue;
        }
        ensure!(pattern.next().is_some_and(|colon| colon == ":"), "no type of {token}");
        let mut value = row.next().context("a row that goes on")?.clone();
        if pattern.next().is_some_and(|ty| ty == "ty") {
            while let Some(more) = row.next_if(|token| Some(token) != pattern.peek()) {
                value.push_str(more);
            }
        }
        bindings.push((token.clone(), vec![value]));
    }
    ensure!(row.next().is_none(), "a row that is too long");
    Ok(bindings)
}

/// Words, signs, and what stands in parentheses or quotes.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let end = match first {
            '(' => matching(&rest[1..]).map_or(rest.len(), |end| end + 2),
            '$' => 1 + rest[1..].find(|c| !is_word(c)).unwrap_or(rest.len() - 1),
            '"' => rest[1..].find('"').map_or(rest.len(), |end| end + 2),
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        tokens.push(rest[..end].to_owned());
        rest = rest[end..].trim_start();
    }
    tokens
}
