//! Which code is certain to be over so soon that it need not look at the epoch.
//!
//! * A **short loop**: its rounds are counted in a local that is a constant when it begins, that nothing else in the
//!   loop sets, and that the loop's only branch back has just stepped and compared with a constant; it calls
//!   nothing, works on no number of bytes that is found at run time, and every loop in it is short. Its operators
//!   times its rounds are at most [`OPERATORS_MAX`].
//! * A **short function**: it calls nothing, works on no such number of bytes, all its loops are short, and it executes at most
//!   [`OPERATORS_MAX`] operators.
//!
//! Between two checks there is then no loop that is not short and no function entry but those of short functions,
//! so at most [`OPERATORS_MAX`] operators for each operator that stands in the function. A function is of
//! bounded size, and calls that branch out like a tree, which could take exponential time without a loop, go
//! through functions that are not short.

use std::collections::{HashMap, HashSet};

use wasmparser::{FunctionBody, Operator};

use crate::error::Result;

/// Most operators that a short loop or function executes.
const OPERATORS_MAX: u64 = 1024;

/// What a scan of a function found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Stretches {
    /// Where the operators of short loops stand in the file.
    short_loops: HashSet<u64>,
    is_short: bool,
}

impl Stretches {
    /// Scans a valid function. `params` is the number of its parameters.
    ///
    /// # Errors
    /// Those of reading the body.
    pub(super) fn scan(body: &FunctionBody<'_>, params: u32) -> Result<Self> {
        let mut scan = Scan::default();
        let mut locals = body.get_locals_reader()?;
        let mut local = params;
        for _ in 0..locals.get_count() {
            let (count, ty) = locals.read()?;
            if matches!(ty, wasmparser::ValType::I32 | wasmparser::ValType::I64) {
                // Beyond these, nobody's counters are.
                scan.known.extend((local..local + count).take(64).map(|local| (local, 0)));
            }
            local += count;
        }
        scan.open(Kind::Block);
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let (operator, offset) = operators.read_with_offset()?;
            scan.operator(&operator, offset);
        }
        Ok(Self {
            is_short: scan.operators <= OPERATORS_MAX && !scan.has_long,
            short_loops: scan.short_loops,
        })
    }

    /// Whether the loop at this place in the file is short.
    pub(super) fn is_short_loop(&self, offset: u64) -> bool {
        self.short_loops.contains(&offset)
    }

    /// Whether the whole function is.
    pub(super) fn is_short(&self) -> bool {
        self.is_short
    }
}

/// How a counter is compared at the end of a round: the loop goes on if this holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    NotEqual,
    LessSigned,
    LessUnsigned,
    LessOrEqualSigned,
    LessOrEqualUnsigned,
    GreaterSigned,
    GreaterUnsigned,
    GreaterOrEqualSigned,
    GreaterOrEqualUnsigned,
}

/// Width of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    Bits32,
    Bits64,
}

/// An operator, as far as the end of a round needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Get(u32),
    Const(Width, i64),
    Add(Width),
    Sub(Width),
    Tee(u32),
    Compare(Width, Comparison),
    Other,
}

/// Operators that are remembered: get, step, add, tee, bound, comparison.
const SEEN: usize = 6;

enum Kind {
    Block,
    Loop(Loop),
}

/// A loop whose end has not been reached.
struct Loop {
    offset: u64,
    /// Operators before it.
    operators_before: u64,
    has_long_before: bool,
    /// Locals that are constants when it begins.
    known: HashMap<u32, i64>,
    /// How often each local is set in it.
    sets: HashMap<u32, u32>,
    /// How the one branch back counts.
    counter: Option<Counter>,
    branches_back: u32,
}

struct Counter {
    local: u32,
    width: Width,
    step: i64,
    comparison: Comparison,
    bound: i64,
}

impl Counter {
    /// Rounds when the counter begins at `value`; `None` for more than [`OPERATORS_MAX`].
    fn rounds(&self, mut value: i64) -> Option<u64> {
        (1..=OPERATORS_MAX).find(|_| {
            value = match self.width {
                Width::Bits32 => i64::from((value as i32).wrapping_add(self.step as i32)),
                Width::Bits64 => value.wrapping_add(self.step),
            };
            !self.goes_on(value)
        })
    }

    fn goes_on(&self, value: i64) -> bool {
        let (signed, unsigned) = match self.width {
            Width::Bits32 => (
                i64::from(value as i32).cmp(&i64::from(self.bound as i32)),
                (value as u32).cmp(&(self.bound as u32)),
            ),
            Width::Bits64 => (value.cmp(&self.bound), (value as u64).cmp(&(self.bound as u64))),
        };
        match self.comparison {
            Comparison::NotEqual => signed.is_ne(),
            Comparison::LessSigned => signed.is_lt(),
            Comparison::LessUnsigned => unsigned.is_lt(),
            Comparison::LessOrEqualSigned => signed.is_le(),
            Comparison::LessOrEqualUnsigned => unsigned.is_le(),
            Comparison::GreaterSigned => signed.is_gt(),
            Comparison::GreaterUnsigned => unsigned.is_gt(),
            Comparison::GreaterOrEqualSigned => signed.is_ge(),
            Comparison::GreaterOrEqualUnsigned => unsigned.is_ge(),
        }
    }
}

#[derive(Default)]
struct Scan {
    frames: Vec<Kind>,
    /// Locals that are constants at this point, whatever way led here.
    known: HashMap<u32, i64>,
    seen: [Option<Seen>; SEEN],
    /// Operators so far, those of short loops as often as they are executed.
    operators: u64,
    /// Whether something that is not short was met.
    has_long: bool,
    short_loops: HashSet<u64>,
}

impl Scan {
    fn open(&mut self, kind: Kind) {
        self.frames.push(kind);
    }

    fn operator(&mut self, operator: &Operator<'_>, offset: u64) {
        use Operator as O;
        self.operators += 1;
        match *operator {
            O::Block { .. } | O::If { .. } => self.open(Kind::Block),
            O::Loop { .. } => {
                let known = std::mem::take(&mut self.known);
                let (operators_before, has_long_before) = (self.operators, self.has_long);
                self.has_long = false;
                let (sets, counter) = (HashMap::new(), None);
                let looping = Loop {
                    offset,
                    operators_before,
                    has_long_before,
                    known,
                    sets,
                    counter,
                    branches_back: 0,
                };
                self.open(Kind::Loop(looping));
            }
            O::Else => self.known.clear(),
            O::End => {
                self.known.clear();
                if let Some(Kind::Loop(looping)) = self.frames.pop() {
                    self.close(looping);
                }
            }
            O::Br { relative_depth } => self.branch(relative_depth, None),
            O::BrIf { relative_depth } => {
                let counter = self.counter();
                self.branch(relative_depth, counter);
            }
            O::BrTable { ref targets } => {
                for depth in targets.targets().flatten().chain([targets.default()]) {
                    self.branch(depth, None);
                }
            }
            O::LocalSet { local_index } | O::LocalTee { local_index } => self.set(local_index),
            O::Call { .. } | O::CallIndirect { .. } => self.has_long = true,
            O::MemoryCopy { .. }
            | O::MemoryFill { .. }
            | O::MemoryInit { .. }
            | O::MemoryGrow { .. }
            | O::TableCopy { .. }
            | O::TableFill { .. }
            | O::TableInit { .. }
            | O::TableGrow { .. } => self.has_long = true,
            _ => {}
        }
        self.seen.rotate_left(1);
        self.seen[SEEN - 1] = Some(seen(operator));
    }

    fn set(&mut self, local: u32) {
        match self.seen[SEEN - 1] {
            Some(Seen::Const(_, value)) => self.known.insert(local, value),
            _ => self.known.remove(&local),
        };
        for frame in &mut self.frames {
            if let Kind::Loop(looping) = frame {
                *looping.sets.entry(local).or_default() += 1;
            }
        }
    }

    /// What the condition of a branch compares, if it is a counter's.
    fn counter(&self) -> Option<Counter> {
        use Seen as S;
        let [a, b, c, d, e, f] = self.seen.map(|seen| seen.unwrap_or(S::Other));
        let (get, step, add, tee, comparison, bound) = match (e, f) {
            (S::Const(width, bound), S::Compare(compared, comparison)) if width == compared => {
                (a, b, c, d, comparison, bound)
            }
            // Down to zero, without a comparison.
            _ => (c, d, e, f, Comparison::NotEqual, 0),
        };
        let (S::Get(local), S::Const(width, step), S::Tee(set)) = (get, step, tee) else {
            return None;
        };
        let step = match add {
            S::Add(added) if added == width => step,
            S::Sub(subtracted) if subtracted == width => step.wrapping_neg(),
            _ => return None,
        };
        let is_compared_alike = match f {
            S::Compare(compared, _) => compared == width,
            _ => width == Width::Bits32,
        };
        (local == set && is_compared_alike).then_some(Counter {
            local,
            width,
            step,
            comparison,
            bound,
        })
    }

    fn branch(&mut self, depth: u32, counter: Option<Counter>) {
        let Some(target) = self.frames.len().checked_sub(1 + depth as usize) else { return };
        // A branch from within another loop may be passed more than once a round.
        let is_direct = !self.frames[target + 1..].iter().any(|kind| matches!(kind, Kind::Loop(_)));
        if let Kind::Loop(looping) = &mut self.frames[target] {
            looping.branches_back += 1;
            looping.counter = counter.filter(|_| is_direct);
        }
    }

    /// At a loop's end: decides whether it is short.
    fn close(&mut self, looping: Loop) {
        let operators = self.operators - looping.operators_before;
        match looping.rounds().and_then(|rounds| rounds.checked_mul(operators)) {
            Some(total) if total <= OPERATORS_MAX && !self.has_long => {
                self.short_loops.insert(looping.offset);
                self.operators = looping.operators_before + total;
                self.has_long = looping.has_long_before;
            }
            _ => self.has_long = true,
        }
    }
}

impl Loop {
    /// Most rounds, if that is known and they are few.
    fn rounds(&self) -> Option<u64> {
        match (self.branches_back, &self.counter) {
            (0, _) => Some(1),
            (1, Some(counter)) if self.sets.get(&counter.local) == Some(&1) => {
                counter.rounds(*self.known.get(&counter.local)?)
            }
            _ => None,
        }
    }
}

fn seen(operator: &Operator<'_>) -> Seen {
    use Comparison as C;
    use Operator as O;
    use Width::{Bits32, Bits64};
    match *operator {
        O::LocalGet { local_index } => Seen::Get(local_index),
        O::LocalTee { local_index } => Seen::Tee(local_index),
        O::I32Const { value } => Seen::Const(Bits32, value.into()),
        O::I64Const { value } => Seen::Const(Bits64, value),
        O::I32Add => Seen::Add(Bits32),
        O::I64Add => Seen::Add(Bits64),
        O::I32Sub => Seen::Sub(Bits32),
        O::I64Sub => Seen::Sub(Bits64),
        O::I32Ne => Seen::Compare(Bits32, C::NotEqual),
        O::I32LtS => Seen::Compare(Bits32, C::LessSigned),
        O::I32LtU => Seen::Compare(Bits32, C::LessUnsigned),
        O::I32LeS => Seen::Compare(Bits32, C::LessOrEqualSigned),
        O::I32LeU => Seen::Compare(Bits32, C::LessOrEqualUnsigned),
        O::I32GtS => Seen::Compare(Bits32, C::GreaterSigned),
        O::I32GtU => Seen::Compare(Bits32, C::GreaterUnsigned),
        O::I32GeS => Seen::Compare(Bits32, C::GreaterOrEqualSigned),
        O::I32GeU => Seen::Compare(Bits32, C::GreaterOrEqualUnsigned),
        O::I64Ne => Seen::Compare(Bits64, C::NotEqual),
        O::I64LtS => Seen::Compare(Bits64, C::LessSigned),
        O::I64LtU => Seen::Compare(Bits64, C::LessUnsigned),
        O::I64LeS => Seen::Compare(Bits64, C::LessOrEqualSigned),
        O::I64LeU => Seen::Compare(Bits64, C::LessOrEqualUnsigned),
        O::I64GtS => Seen::Compare(Bits64, C::GreaterSigned),
        O::I64GtU => Seen::Compare(Bits64, C::GreaterUnsigned),
        O::I64GeS => Seen::Compare(Bits64, C::GreaterOrEqualSigned),
        O::I64GeU => Seen::Compare(Bits64, C::GreaterOrEqualUnsigned),
        _ => Seen::Other,
    }
}
