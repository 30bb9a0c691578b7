//! Lines of source text, as formatters leave them.

use std::fmt::Write as _;

/// Longest line.
pub(super) const LINE_WIDTH: usize = 100;
/// Longest list of items on one line.
pub(super) const LIST_WIDTH: usize = 60;
/// Longest item of which several stand on a line of a longer list.
const SHORT_ITEM_WIDTH: usize = 10;

/// Writes lines as rustfmt leaves them.
#[derive(Default)]
pub(super) struct Writer {
    pub(super) text: String,
    pub(super) indent: usize,
}

impl Writer {
    pub(super) fn line(&mut self, line: &str) {
        writeln!(self.text, "{:width$}{line}", "", width = self.indent).expect("a string grows");
    }

    pub(super) fn blank(&mut self) {
        self.text.push('\n');
    }

    pub(super) fn nested(&mut self, write: impl FnOnce(&mut Self)) {
        self.indent += 4;
        write(self);
        self.indent -= 4;
    }

    pub(super) fn block(&mut self, head: &str, write: impl FnOnce(&mut Self)) {
        self.block_with(head, "", write);
    }

    pub(super) fn block_with(&mut self, head: &str, tail: &str, write: impl FnOnce(&mut Self)) {
        self.line(&format!("{head} {{"));
        self.nested(write);
        self.line(&format!("}}{tail}"));
    }

    /// `head(arguments) tail`, on one line if it fits.
    pub(super) fn call(&mut self, head: &str, arguments: &[String], tail: &str) {
        self.list(head, ["(", ")"], arguments, tail);
    }

    /// `head(items) tail` between any brackets: on one line if it fits, short items filling lines, or one to a line.
    pub(super) fn list(
        &mut self,
        head: &str,
        [open, close]: [&str; 2],
        items: &[String],
        tail: &str,
    ) {
        let list = items.join(", ");
        let line = format!("{head}{open}{list}{close}{tail}");
        if list.len() <= LIST_WIDTH && self.indent + line.len() <= LINE_WIDTH {
            return self.line(&line);
        }
        self.line(&format!("{head}{open}"));
        self.nested(|out| {
            let short = items.iter().all(|item| item.len() <= SHORT_ITEM_WIDTH);
            let width = if short { LINE_WIDTH - out.indent } else { 0 };
            let mut line = String::new();
            for item in items {
                if !line.is_empty() && line.len() + item.len() + 2 > width {
                    out.line(&std::mem::take(&mut line));
                }
                let space = if line.is_empty() { "" } else { " " };
                line.push_str(&format!("{space}{item},"));
            }
            out.line(&line);
        });
        self.line(&format!("{close}{tail}"));
    }
}
