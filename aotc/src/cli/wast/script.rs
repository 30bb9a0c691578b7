//! One script: its modules, instances, and directives.

use std::collections::HashMap;

use anyhow::{Context, Result, anyhow, bail, ensure};
use aotc_loader::{Engine, Extern, Instance, Linker, Module, Store, Trap, Val};
use wast::parser::{self, ParseBuffer};
use wast::token::{Id, Span};
use wast::{QuoteWat, QuoteWatTest, Wast, WastDirective, WastExecute, WastInvoke, Wat};

use super::{Door, Outcome, compare, spectest, values};

/// Runs a script.
pub(super) fn run(text: &str, door: &Door<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    let parsed = (|| -> Result<(), wast::Error> {
        let mut lexer = wast::lexer::Lexer::new(text);
        // The suite has a test of confusing characters.
        lexer.allow_confusing_unicode(true);
        let buffer = ParseBuffer::new_with_lexer(lexer)?;
        let script = parser::parse::<Wast<'_>>(&buffer)?;
        match Script::new(text, door) {
            Ok(mut state) => state.directives(script.directives, &mut outcome),
            Err(error) => outcome.failures.push(format!("0: cannot prepare: {error:#}")),
        }
        Ok(())
    })();
    if let Err(error) = parsed {
        let line = error.span().linecol_in(text).0 + 1;
        outcome.failures.push(format!("{line}: cannot parse the script: {}", error.message()));
    }
    outcome
}

/// The state of a script.
struct Script<'a> {
    text: &'a str,
    door: &'a Door<'a>,
    engine: Engine,
    store: Store<()>,
    linker: Linker<()>,
    /// By name; the latest under the empty name.
    instances: HashMap<String, Instance>,
    /// By name; the latest under the empty name.
    definitions: HashMap<String, Module>,
}

impl<'a> Script<'a> {
    fn new(text: &'a str, door: &'a Door<'a>) -> Result<Self> {
        let engine = Engine::default();
        let mut store = Store::new(&engine, ());
        let mut linker = Linker::new(&engine);
        linker.allow_shadowing(true);
        spectest::define(&mut linker, &mut store)?;
        let (instances, definitions) = (HashMap::new(), HashMap::new());
        Ok(Self { text, door, engine, store, linker, instances, definitions })
    }

    fn directives(&mut self, directives: Vec<WastDirective<'_>>, outcome: &mut Outcome) {
        for directive in directives {
            let span = directive.span();
            match self.directive(directive) {
                Ok(()) => outcome.passed += 1,
                Err(error) => {
                    let line = self.line(span);
                    outcome.failures.push(format!("{line}: {error:#}"));
                }
            }
        }
    }

    fn line(&self, span: Span) -> usize {
        span.linecol_in(self.text).0 + 1
    }

    fn directive(&mut self, directive: WastDirective<'_>) -> Result<()> {
        match directive {
            WastDirective::Module(mut module) => {
                let name = module.name();
                let wasm = module.encode()?;
                let module = self.compile(&wasm)?;
                let instance = self.linker.instantiate(&mut self.store, &module)?;
                self.name_instance(name, instance);
                Ok(())
            }
            WastDirective::ModuleDefinition(mut module) => {
                let name = module.name();
                let wasm = module.encode()?;
                let module = self.compile(&wasm)?;
                self.definitions.insert(key(name), module.clone());
                self.definitions.insert(String::new(), module);
                Ok(())
            }
            WastDirective::ModuleInstance { instance, module, .. } => {
                let module = self.definitions.get(&key(module)).context("no such definition")?;
                let created = self.linker.instantiate(&mut self.store, &module.clone())?;
                self.name_instance(instance, created);
                Ok(())
            }
            WastDirective::Register { name, module, .. } => {
                let instance = self.instance(module)?;
                self.linker.instance(&mut self.store, name, instance)?;
                Ok(())
            }
            WastDirective::Invoke(invoke) => self.invoke(&invoke).map(drop),
            WastDirective::AssertReturn { exec, results, .. } => self.assert_return(exec, &results),
            WastDirective::AssertTrap { exec, message, .. } => {
                let result = self.execute(exec);
                assert_fails(result, message)
            }
            WastDirective::AssertExhaustion { call, message, .. } => {
                let result = self.invoke(&call);
                assert_fails(result, message)
            }
            WastDirective::AssertUnlinkable { module, message, .. } => {
                let result = self.instantiate(module);
                assert_fails(result, message)
            }
            WastDirective::AssertInvalid { module, message, .. } => {
                self.assert_rejected(module, message)
            }
            WastDirective::AssertMalformed { module, message, .. } => {
                self.assert_rejected(module, message)
            }
            other => bail!("unsupported directive {other:?}"),
        }
    }

    fn compile(&self, wasm: &[u8]) -> Result<Module> {
        (self.door)(&self.engine, wasm)
    }

    fn name_instance(&mut self, name: Option<Id<'_>>, instance: Instance) {
        self.instances.insert(key(name), instance);
        self.instances.insert(String::new(), instance);
    }

    fn instance(&self, name: Option<Id<'_>>) -> Result<Instance> {
        self.instances.get(&key(name)).copied().with_context(|| match name {
            Some(name) => format!("no instance called ${}", name.name()),
            None => "no instance yet".to_owned(),
        })
    }

    fn instantiate(&mut self, mut module: Wat<'_>) -> Result<Vec<Val>> {
        let module = self.compile(&module.encode()?)?;
        self.linker.instantiate(&mut self.store, &module)?;
        Ok(Vec::new())
    }

    fn execute(&mut self, exec: WastExecute<'_>) -> Result<Vec<Val>> {
        match exec {
            WastExecute::Invoke(invoke) => self.invoke(&invoke),
            WastExecute::Wat(module) => self.instantiate(module),
            WastExecute::Get { module, global, .. } => {
                let instance = self.instance(module)?;
                match instance.get_export(&mut self.store, global) {
                    Some(Extern::Global(global)) => Ok(vec![global.get(&mut self.store)]),
                    _ => bail!("no exported global called {global}"),
                }
            }
        }
    }

    fn invoke(&mut self, invoke: &WastInvoke<'_>) -> Result<Vec<Val>> {
        let instance = self.instance(invoke.module)?;
        let function = instance
            .get_func(&mut self.store, invoke.name)
            .with_context(|| format!("no exported function called {}", invoke.name))?;
        let args: Vec<Val> = invoke
            .args
            .iter()
            .map(|argument| values::argument(&mut self.store, argument))
            .collect::<Result<_>>()?;
        let count = function.ty(&self.store).results().len();
        let mut results = vec![Val::I32(0); count];
        function.call(&mut self.store, &args, &mut results)?;
        Ok(results)
    }

    fn assert_return(
        &mut self,
        exec: WastExecute<'_>,
        expected: &[wast::WastRet<'_>],
    ) -> Result<()> {
        let found = self.execute(exec)?;
        let same = expected.len() == found.len()
            && expected
                .iter()
                .zip(&found)
                .all(|(expected, found)| compare::matches(&self.store, expected, found));
        ensure!(same, "expected {expected:?}, found {found:?}");
        Ok(())
    }

    /// The module must be refused, before anything runs. The text in the script is not compared:
    /// every implementation has its own.
    fn assert_rejected(&mut self, mut module: QuoteWat<'_>, message: &str) -> Result<()> {
        let wasm = match module.to_test() {
            // The text format is wast's own business.
            Err(_) => return Ok(()),
            Ok(QuoteWatTest::Binary(wasm)) => wasm,
            Ok(QuoteWatTest::Text(text)) => text,
        };
        match self.compile(&wasm) {
            Ok(_) => Err(anyhow!("expected to be refused ({message}), found to be accepted")),
            Err(error) if error.downcast_ref::<crate::Error>().is_some_and(is_rejection) => Ok(()),
            Err(error) => Err(error.context(format!("expected to be refused ({message})"))),
        }
    }
}

/// Whether the error blames the module.
fn is_rejection(error: &crate::Error) -> bool {
    matches!(error, crate::Error::Text(_) | crate::Error::Invalid { .. })
}

fn key(name: Option<Id<'_>>) -> String {
    name.map_or_else(String::new, |name| name.name().to_owned())
}

/// The result must be an error with this text in it, or a trap whose text this one begins with: some
/// scripts expect more detail, such as the index of an uninitialized element.
fn assert_fails(result: Result<Vec<Val>>, message: &str) -> Result<()> {
    match result {
        Ok(values) => bail!("expected {message:?}, found the results {values:?}"),
        Err(error) => {
            let found = format!("{error:#}");
            let trap = error.downcast_ref::<Trap>().map(|trap| trap.kind().message());
            let as_expected =
                found.contains(message) || trap.is_some_and(|trap| message.starts_with(trap));
            ensure!(as_expected, "expected {message:?}, found: {found}");
            Ok(())
        }
    }
}
