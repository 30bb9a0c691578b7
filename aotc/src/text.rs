//! The text format: to the binary format, and from a place in the binary back to the line it was made from.
//!
//! The way back is taken only when something is wrong. The text is parsed again, this time with the
//! place of every instruction, and encoded again, which gives the same bytes. The encoding keeps
//! order and number: item `n` of a section is field `n` of its kind, and operator `n` of a body is
//! instruction `n` of its function. So the place in the binary is found by counting, without a table.

use std::fmt;
use std::path::{Path, PathBuf};

use wasmparser::{FromReader, FunctionBody, Parser, Payload, SectionLimited};
use wast::Wat;
use wast::core::{Expression, FuncKind, ModuleField, ModuleKind};
use wast::parser::{self, ParseBuffer};
use wast::token::Span;

use crate::error::{Error, Result};

/// What is wrong in a module's text, and where. Shown with the line, as compilers do:
///
/// ```text
/// unknown operator or unexpected token
///      --> sum.wat:3:10
///       |
///     3 |     (i32.ad (local.get 0))
///       |          ^
/// ```
#[derive(Debug)]
pub struct TextError {
    error: wast::Error,
    path: Option<PathBuf>,
    line: usize,
    column: usize,
    source_line: String,
}

impl TextError {
    fn new(mut error: wast::Error, text: &str) -> Self {
        let (line, column) = error.span().linecol_in(text);
        let source_line = text.lines().nth(line).unwrap_or_default().to_owned();
        error.set_text(text);
        Self { error, path: None, line: line + 1, column: column + 1, source_line }
    }

    /// Names the file that the text is from.
    #[must_use]
    pub fn in_file(mut self, path: &Path) -> Self {
        self.error.set_path(path);
        self.path = Some(path.to_owned());
        self
    }

    /// What is wrong, without the place.
    pub fn message(&self) -> String {
        self.error.message()
    }

    /// The file that the text is from, if it was named.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The line, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The column in the line, in bytes, from 1.
    pub fn column(&self) -> usize {
        self.column
    }

    /// The line itself.
    pub fn source_line(&self) -> &str {
        &self.source_line
    }
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for TextError {}

/// The binary format of `text`.
///
/// # Errors
/// [`Error::Text`].
pub(crate) fn to_binary(text: &str) -> Result<Vec<u8>> {
    let encode = || {
        let buffer = ParseBuffer::new(text)?;
        match parser::parse(&buffer)? {
            Wat::Module(mut module) => module.encode(),
            Wat::Component(component) => {
                let message = "expected a module, found a component".to_owned();
                Err(wast::Error::new(component.span, message))
            }
        }
    };
    encode().map_err(|error| at_line(error, text))
}

/// Turns an error with an offset in the binary that [`to_binary`] made of `text` into one with the
/// line, if the offset leads to one.
pub(crate) fn with_line(error: Error, text: &str) -> Error {
    let (message, offset) = match &error {
        Error::Invalid { message, offset } => (format!("invalid WebAssembly: {message}"), *offset),
        Error::Link { message, offset } => (message.clone(), *offset),
        _ => return error,
    };
    match find(text, offset) {
        Some(span) => at_line(wast::Error::new(span, message), text),
        None => error,
    }
}

fn at_line(error: wast::Error, text: &str) -> Error {
    Error::Text(TextError::new(error, text))
}

/// The place in `text` that became what is at `offset` in the binary.
fn find(text: &str, offset: u64) -> Option<Span> {
    let mut buffer = ParseBuffer::new(text).ok()?;
    buffer.track_instr_spans(true);
    let Wat::Module(mut module) = parser::parse(&buffer).ok()? else { return None };
    let wasm = module.encode().ok()?;
    let ModuleKind::Text(fields) = &module.kind else { return None };
    let mut bodies = 0;
    for payload in Parser::new(0).parse_all(&wasm) {
        match payload.ok()? {
            Payload::CodeSectionEntry(body) => {
                if body.range().contains(&offset) {
                    return in_function(fields, bodies, &body, offset);
                }
                bodies += 1;
            }
            Payload::StartSection { range, .. } if range.contains(&offset) => {
                return fields.iter().find_map(start);
            }
            Payload::TypeSection(items) => {
                if let Some(item) = item_at(items, offset) {
                    return fields.iter().filter_map(type_).nth(item);
                }
            }
            Payload::ImportSection(items) => {
                if let Some(item) = item_at(items, offset) {
                    return fields.iter().filter_map(import).nth(item);
                }
            }
            Payload::FunctionSection(items) => {
                if let Some(item) = item_at(items, offset) {
                    return functions(fields).map(|function| function.0).nth(item);
                }
            }
            Payload::TableSection(items) => {
                if let Some(item) = item_at(items, offset) {
                    return fields.iter().filter_map(table).nth(item);
                }
            }
            Payload::TagSection(items) => {
                if let Some(item) = item_at(items, offset) {
                    return fields.iter().filter_map(tag).nth(item);
                }
            }
            Payload::MemorySection(items) => {
                if let Some(item) = item_at(items, offset) {
                    return fields.iter().filter_map(memory).nth(item);
                }
            }
            Payload::GlobalSection(items) => {
                if let Some(item) = item_at(items, offset) {
                    return fields.iter().filter_map(global).nth(item);
                }
            }
            Payload::ExportSection(items) => {
                if let Some(item) = item_at(items, offset) {
                    return fields.iter().filter_map(export).nth(item);
                }
            }
            Payload::ElementSection(items) => {
                if let Some(item) = item_at(items, offset) {
                    return fields.iter().filter_map(elem).nth(item);
                }
            }
            Payload::DataSection(items) => {
                if let Some(item) = item_at(items, offset) {
                    return fields.iter().filter_map(data).nth(item);
                }
            }
            _ => {}
        }
    }
    None
}

/// The instruction at `offset` in body `index`, or the function itself for what has no text: its
/// locals' encoding and the `end` that closes it.
fn in_function(
    fields: &[ModuleField<'_>],
    index: usize,
    body: &FunctionBody<'_>,
    offset: u64,
) -> Option<Span> {
    let (function, expression) = functions(fields).nth(index)?;
    let operators = body.get_operators_reader().ok()?.into_iter_with_offsets();
    let begun = operators.map_while(|item| item.ok()).take_while(|&(_, at)| at <= offset).count();
    let spans = expression.instr_spans.as_ref()?;
    let instruction = begun.checked_sub(1).and_then(|operator| spans.get(operator));
    Some(instruction.copied().unwrap_or(function))
}

/// Number of the section's item in which `offset` lies, if it lies in the section; the first for what
/// stands before the items.
fn item_at<'a, T: FromReader<'a>>(items: SectionLimited<'a, T>, offset: u64) -> Option<usize> {
    let range = items.range();
    if !(range.start..=range.end).contains(&offset) {
        return None;
    }
    let mut begun = 0;
    for item in items.into_iter_with_offsets() {
        match item {
            Ok((at, _)) if at <= offset => begun += 1,
            Ok(_) => break,
            // The item that cannot be read is the one.
            Err(_) => return Some(begun),
        }
    }
    Some(begun.saturating_sub(1))
}

// One for each kind of field that has a section. What was written inside another field is a field of
// its own once the module is encoded, with the place of the field it was written in.

fn type_(field: &ModuleField<'_>) -> Option<Span> {
    match field {
        ModuleField::Type(ty) => Some(ty.span),
        ModuleField::Rec(group) => Some(group.span),
        _ => None,
    }
}

fn import(field: &ModuleField<'_>) -> Option<Span> {
    if let ModuleField::Import(import) = field { Some(import.span) } else { None }
}

fn table(field: &ModuleField<'_>) -> Option<Span> {
    if let ModuleField::Table(table) = field { Some(table.span) } else { None }
}

fn memory(field: &ModuleField<'_>) -> Option<Span> {
    if let ModuleField::Memory(memory) = field { Some(memory.span) } else { None }
}

fn tag(field: &ModuleField<'_>) -> Option<Span> {
    if let ModuleField::Tag(tag) = field { Some(tag.span) } else { None }
}

fn global(field: &ModuleField<'_>) -> Option<Span> {
    if let ModuleField::Global(global) = field { Some(global.span) } else { None }
}

fn export(field: &ModuleField<'_>) -> Option<Span> {
    if let ModuleField::Export(export) = field { Some(export.span) } else { None }
}

fn start(field: &ModuleField<'_>) -> Option<Span> {
    if let ModuleField::Start(function) = field { Some(function.span()) } else { None }
}

fn elem(field: &ModuleField<'_>) -> Option<Span> {
    if let ModuleField::Elem(elem) = field { Some(elem.span) } else { None }
}

fn data(field: &ModuleField<'_>) -> Option<Span> {
    if let ModuleField::Data(data) = field { Some(data.span) } else { None }
}

/// The functions with a body, in order.
fn functions<'f, 'a>(
    fields: &'f [ModuleField<'a>],
) -> impl Iterator<Item = (Span, &'f Expression<'a>)> {
    fields.iter().filter_map(|field| match field {
        ModuleField::Func(function) => match &function.kind {
            FuncKind::Inline { expression, .. } => Some((function.span, expression)),
            FuncKind::Import(..) => None,
        },
        _ => None,
    })
}
