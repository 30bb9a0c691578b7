//! The table: rows are printed as soon as they are measured.

/// What a row's numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    Bytes,
}

/// A row. Less is better.
pub(crate) struct Row {
    pub(crate) unit: Unit,
    pub(crate) aotc: f64,
    pub(crate) wasmtime: f64,
    /// What the same takes without WebAssembly, where there is such a thing.
    pub(crate) native: Option<f64>,
}

/// Prints rows whose label contains the filter.
pub(crate) struct Table {
    filter: String,
    header: Header,
}

#[derive(PartialEq, Eq)]
enum Header {
    Due,
    Printed,
}

impl Table {
    /// A table with the filter that is the process's first argument.
    pub(crate) fn new() -> Self {
        Self { filter: std::env::args().nth(1).unwrap_or_default(), header: Header::Due }
    }

    /// Whether the row is to be measured.
    pub(crate) fn wants(&self, label: &str) -> bool {
        label.contains(&self.filter)
    }

    pub(crate) fn print(&mut self, label: &str, row: &Row) {
        if self.header == Header::Due {
            println!("| | aotc | Wasmtime | aotc / Wasmtime | native |");
            println!("|---|---:|---:|---:|---:|");
            self.header = Header::Printed;
        }
        let Row { unit, aotc, wasmtime, native } = *row;
        println!(
            "| {label} | {} | {} | {} | {} |",
            number(unit, aotc),
            number(unit, wasmtime),
            if wasmtime == 0.0 { String::new() } else { format!("{:.2}", aotc / wasmtime) },
            native.map(|native| number(unit, native)).unwrap_or_default(),
        );
    }
}

/// Three significant digits, with a unit.
fn number(unit: Unit, value: f64) -> String {
    let (scaled, name) = match unit {
        Unit::Bytes => return format!("{value} B"),
        Unit::Seconds if value < 1e-6 => (value * 1e9, "ns"),
        Unit::Seconds if value < 1e-3 => (value * 1e6, "µs"),
        Unit::Seconds if value < 1.0 => (value * 1e3, "ms"),
        Unit::Seconds => (value, "s"),
    };
    let decimals = if scaled < 10.0 { 2 } else { usize::from(scaled < 100.0) };
    format!("{scaled:.decimals$} {name}")
}
