//! The component model's own test suite (`WebAssembly/component-model`, folder `test`), on the interpreted engine. It is
//! read from where cargo keeps the sources of the crate `wasm-tools`, which has it, and is no part of this project.
//!
//! Each `invoke` is on a fresh instance here, as everything that this engine calls is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use pirn_runner::engine::canonical::{Shape, Type, Value};
use pirn_runner::engine::door::Answer;
use pirn_runner::engine::interpreted::{Engine, Interpreted};
use pirn_runner::engine::{Allowance, Fault, Holds};
use wasmtime::component::Resource;
use wast::component::WastVal;
use wast::parser::{self, ParseBuffer};
use wast::{QuoteWat, Wast, WastArg, WastDirective, WastExecute, WastInvoke, WastRet};

/// The release whose tests these are.
const WASM_TOOLS: &str = "1.260.0";

/// What components live in that import nothing.
#[derive(Clone)]
struct Nothing;

impl Holds for Nothing {
    fn drop_resource<T: Send + 'static>(&self, _: Resource<T>) -> Answer<()> {
        Ok(())
    }
}

/// The suite, fetched by cargo if it is not there yet.
fn suite() -> PathBuf {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let sources = home.expect("neither CARGO_HOME nor HOME is set").join("registry/src");
    let there = || {
        let found = fs::read_dir(&sources).into_iter().flatten().flatten();
        let suite = |entry: fs::DirEntry| {
            entry.path().join(format!("wasm-tools-{WASM_TOOLS}/tests/component-model/test"))
        };
        found.map(suite).find(|suite| suite.is_dir())
    };
    if let Some(suite) = there() {
        return suite;
    }
    let scratch = tempfile::tempdir().unwrap();
    let manifest = format!(
        "[package]\nname = \"fetch\"\nversion = \"0.0.0\"\n[dependencies]\nwasm-tools = \"={WASM_TOOLS}\"\n[workspace]\n"
    );
    fs::write(scratch.path().join("Cargo.toml"), manifest).unwrap();
    fs::create_dir(scratch.path().join("src")).unwrap();
    fs::write(scratch.path().join("src/lib.rs"), "").unwrap();
    let fetched = Command::new("cargo").arg("fetch").current_dir(scratch.path()).status();
    assert!(
        fetched.is_ok_and(|status| status.success()),
        "fetch wasm-tools {WASM_TOOLS} with cargo"
    );
    there().expect("the crate wasm-tools has no component-model tests any more")
}

/// What a call came to: the type of its result, and the result.
type Outcome = Result<(Option<Type>, Option<Value>), String>;

/// What one file came to.
#[derive(Default)]
struct Tally {
    passed: usize,
    failed: Vec<String>,
    /// Later calls of an instance that differ: they may build on earlier ones.
    later: usize,
    /// What this engine does not take, by its own words.
    refused: Vec<String>,
}

struct Run<'a> {
    engine: &'a Engine<Nothing>,
    runtime: &'a tokio::runtime::Runtime,
    definitions: BTreeMap<String, Vec<u8>>,
    current: Option<Result<Interpreted<Nothing>, String>>,
    /// It was called already: the suite's instance may not be as fresh as ours.
    is_used: bool,
    tally: Tally,
}

impl Run<'_> {
    fn load(&self, bytes: &[u8]) -> Result<Interpreted<Nothing>, String> {
        self.engine.load(bytes).map_err(|error| error.to_string())
    }

    fn check(&mut self, place: &str, result: Result<(), String>) {
        match result {
            Ok(()) => self.tally.passed += 1,
            Err(_) if self.is_used => self.tally.later += 1,
            Err(why) => self.tally.failed.push(format!("{place}: {why}")),
        }
    }

    fn directive(&mut self, place: &str, directive: WastDirective<'_>) {
        match directive {
            WastDirective::Module(mut module) => {
                let loaded = module.encode().map_err(|e| e.to_string()).and_then(|b| self.load(&b));
                self.note(place, loaded);
            }
            WastDirective::ModuleDefinition(mut module) => {
                let name = module.name().map(|name| name.name().to_string()).unwrap_or_default();
                match module.encode() {
                    Ok(bytes) => drop(self.definitions.insert(name, bytes)),
                    Err(error) => self.tally.refused.push(format!("{place}: {error}")),
                }
            }
            WastDirective::ModuleInstance { module, .. } => {
                let name = module.map(|name| name.name().to_string()).unwrap_or_default();
                let bytes = self.definitions.get(&name).cloned().unwrap_or_default();
                let loaded = self.load(&bytes);
                self.note(place, loaded);
            }
            WastDirective::AssertInvalid { mut module, .. }
            | WastDirective::AssertMalformed { mut module, .. } => {
                self.is_used = false;
                let result = match module.encode().map(|bytes| self.load(&bytes)) {
                    Ok(Ok(_)) => Err("it was taken, and is not valid".into()),
                    Ok(Err(_)) | Err(_) => Ok(()),
                };
                self.check(place, result);
            }
            WastDirective::AssertReturn { exec, results, .. } => {
                let Some(outcome) = self.execute(exec) else { return };
                let result = outcome.and_then(|(ty, value)| agrees(ty.as_ref(), &value, &results));
                self.check(place, result);
                self.is_used = true;
            }
            WastDirective::AssertTrap { exec, message, .. } => {
                let Some(outcome) = self.execute(exec) else { return };
                let result = match outcome {
                    Err(why) if is_about(&why, message) => Ok(()),
                    Err(why) => Err(format!("it trapped with `{why}`, not `{message}`")),
                    Ok((_, value)) => Err(format!("it answered {value:?}, not `{message}`")),
                };
                self.check(place, result);
                self.is_used = true;
            }
            WastDirective::Invoke(invoke) => {
                if let Some(Err(why)) = self.invoke(invoke) {
                    self.check(place, Err(why));
                }
                self.is_used = true;
            }
            _ => self.tally.refused.push(format!("{place}: no such directive")),
        }
    }

    fn note(&mut self, place: &str, loaded: Result<Interpreted<Nothing>, String>) {
        if let Err(why) = &loaded {
            self.tally.refused.push(format!("{place}: {why}"));
        }
        self.current = Some(loaded);
        self.is_used = false;
    }

    /// `None` if there is nothing to call: that was noted already.
    fn execute(&mut self, exec: WastExecute<'_>) -> Option<Outcome> {
        match exec {
            WastExecute::Invoke(invoke) => self.invoke(invoke),
            WastExecute::Wat(module) => {
                // It traps when it is made: any function will do.
                let bytes = QuoteWat::Wat(module).encode().ok()?;
                let loaded = self.load(&bytes).ok()?;
                Some(
                    self.runtime
                        .block_on(loaded.call(usize::MAX, Nothing, ALLOWANCE, Vec::new()))
                        .map(|value| (None, value))
                        .map_err(|fault| fault.to_string()),
                )
            }
            WastExecute::Get { .. } => None,
        }
    }

    fn invoke(&mut self, invoke: WastInvoke<'_>) -> Option<Outcome> {
        let loaded = self.current.as_ref()?.as_ref().ok()?;
        let Some((ty, index)) = loaded.exported_function(invoke.name) else {
            return Some(Err(format!("it exports no `{}`", invoke.name)));
        };
        let types: Vec<Type> = match ty.params.as_ref().map(Type::shape) {
            Some(Shape::Tuple(types)) => types.to_vec(),
            _ => Vec::new(),
        };
        let params = types.iter().zip(&invoke.args).map(|(ty, arg)| match arg {
            WastArg::Component(val) => value(ty, val),
            _ => panic!("no core values here"),
        });
        let call = loaded.call(index, Nothing, ALLOWANCE, params.collect());
        let result: Result<Option<Value>, Fault> = self.runtime.block_on(call);
        Some(result.map(|value| (ty.result.clone(), value)).map_err(|fault| fault.to_string()))
    }
}

const ALLOWANCE: Allowance =
    Allowance { memory_bytes_max: 16 << 20, deadline: Duration::from_secs(20) };

/// Our value of this type.
fn value(ty: &Type, val: &WastVal<'_>) -> Value {
    let named = |cases: &[(Box<str>, Option<Type>)], name: &str, payload: Option<&WastVal<'_>>| {
        let index = cases.iter().position(|(case, _)| **case == *name).unwrap();
        let ty = cases[index].1.as_ref();
        Value::Case(index as u32, ty.zip(payload).map(|(ty, val)| Box::new(value(ty, val))))
    };
    let boxed = |ty: Option<&Type>, val: Option<&WastVal<'_>>| {
        ty.zip(val).map(|(ty, val)| Box::new(value(ty, val)))
    };
    match (ty.shape(), val) {
        (_, WastVal::Bool(bit)) => Value::Bits(u64::from(*bit)),
        (_, WastVal::U8(n)) => Value::Bits(u64::from(*n)),
        (_, WastVal::U16(n)) => Value::Bits(u64::from(*n)),
        (_, WastVal::U32(n)) => Value::Bits(u64::from(*n)),
        (_, WastVal::U64(n)) => Value::Bits(*n),
        (_, WastVal::S8(n)) => Value::Bits(i64::from(*n) as u64),
        (_, WastVal::S16(n)) => Value::Bits(i64::from(*n) as u64),
        (_, WastVal::S32(n)) => Value::Bits(i64::from(*n) as u64),
        (_, WastVal::S64(n)) => Value::Bits(*n as u64),
        (_, WastVal::F32(n)) => Value::Bits(u64::from(n.bits)),
        (_, WastVal::F64(n)) => Value::Bits(n.bits),
        (_, WastVal::Char(c)) => Value::Bits(u64::from(u32::from(*c))),
        (_, WastVal::String(text)) => Value::Text((*text).to_string()),
        (Shape::List(item), WastVal::List(vals)) if *item.shape() == Shape::U8 => {
            let byte = |val: &WastVal<'_>| match val {
                WastVal::U8(byte) => *byte,
                _ => panic!("no byte"),
            };
            Value::Bytes(vals.iter().map(byte).collect())
        }
        (Shape::List(item), WastVal::List(vals)) => {
            Value::List(vals.iter().map(|val| value(item, val)).collect())
        }
        (Shape::Record(fields), WastVal::Record(vals)) => {
            let field =
                |((_, ty), (_, val)): (&(Box<str>, Type), &(&str, WastVal<'_>))| value(ty, val);
            Value::Fields(fields.iter().zip(vals).map(field).collect())
        }
        (Shape::Tuple(types), WastVal::Tuple(vals)) => {
            Value::Fields(types.iter().zip(vals).map(|(ty, val)| value(ty, val)).collect())
        }
        (Shape::Variant(cases), WastVal::Variant(name, payload)) => {
            named(cases, name, payload.as_deref())
        }
        (Shape::Variant(cases), WastVal::Enum(name)) => named(cases, name, None),
        (Shape::Option(ty), WastVal::Option(payload)) => {
            Value::Case(u32::from(payload.is_some()), boxed(Some(ty), payload.as_deref()))
        }
        (Shape::Result(ok, err), WastVal::Result(result)) => match result {
            Ok(payload) => Value::Case(0, boxed(ok.as_ref(), payload.as_deref())),
            Err(payload) => Value::Case(1, boxed(err.as_ref(), payload.as_deref())),
        },
        (Shape::Flags(names), WastVal::Flags(set)) => {
            let bit =
                |name: &&str| 1_u64 << names.iter().position(|flag| **flag == **name).unwrap();
            Value::Bits(set.iter().map(bit).sum())
        }
        (shape, val) => panic!("{val:?} is no {shape:?}"),
    }
}

fn agrees(
    ty: Option<&Type>,
    found: &Option<Value>,
    expected: &[WastRet<'_>],
) -> Result<(), String> {
    let expected = expected.first().and_then(|ret| match ret {
        WastRet::Component(val) => Some(val),
        _ => None,
    });
    let expected = ty.zip(expected).map(|(ty, val)| value(ty, val));
    match *found == expected || expected.is_none() {
        true => Ok(()),
        false => Err(format!("it answered {found:?}, not {expected:?}")),
    }
}

/// Whether our sentence says what the suite's does. Where both sides name the same thing, ours is in other words.
fn is_about(ours: &str, theirs: &str) -> bool {
    let pairs = [("deadlock detected", "nobody will ever do"), ("unreachable", "unreachable")];
    ours.contains(theirs)
        || theirs.strip_prefix("wasm trap: ").is_some_and(|theirs| ours.contains(theirs))
        || pairs.iter().any(|(a, b)| theirs.contains(a) && ours.contains(b))
        || WORDS.iter().any(|(a, b)| theirs.contains(a) && ours.contains(b))
}

/// The suite's words and ours.
const WORDS: &[(&str, &str)] = &[
    ("cannot drop busy", "while a copy waited there"),
    ("cannot remove busy", "while a copy waited there"),
    ("borrow handles still remain", "kept a handle that was only lent"),
    ("cannot drop a subtask which has not yet resolved", "which was under way"),
    ("cannot drop waitable set with waiters", "in which it waits"),
    ("cannot drop waitable set with waiters", "which was not empty"),
    ("without first writing a value", "without a value"),
    ("cannot write to", "it wrote to handle"),
    ("cannot read from future after", "it read from handle"),
    ("cannot read from stream after", "it read from handle"),
    ("cannot lift", "it read from handle"),
    ("while it's in a waitable set", "while it was in a waitable set"),
    ("waitable cannot be used synchronously", "which is in a waitable set"),
    ("intra-component", "of its own what is more than a number"),
    ("concurrent operations", "while a copy waited there"),
    ("unknown handle index", "which it does not have"),
    ("handle index", "which it is not"),
    ("unaligned pointer", "which is not a multiple of"),
    ("result not aligned", "which is not a multiple of"),
    ("out-of-bounds", "outside of its memory"),
    ("out of bounds", "outside of its memory"),
    ("beyond end of memory", "outside of its memory"),
    ("`char` bit pattern", "as a character"),
    ("invalid variant discriminant", "of a type that has fewer"),
    ("cannot leave component instance", "where it may not"),
    ("while borrowed", "while it was lent"),
    ("used with the wrong type", "of another type"),
];

/// What fails, by file, because the suite is newer than both engines of this build: `wasmtime` of that release decides the
/// same, and so must this engine.
const NEWER: &[(&str, usize, &str)] = &[
    ("async/cancel-delivery.wast", 1, NESTED),
    ("async/cancel-instance-wide-resume.wast", 1, NESTED),
    ("async/cancel-subtask.wast", 1, NESTED),
    ("async/cancel-yield-loop.wast", 1, NESTED),
    ("async/reentrance.wast", 10, NESTED),
    ("async/idle-drop.wast", 2, "functions that may not wait may ask for what is there already"),
    ("binary/binary.wast", 3, "names that wasmparser of this build takes"),
    ("validation/kebab.wast", 5, "names that wasmparser of this build takes"),
];
const NESTED: &str = "components may call those within them, and those around them";

fn run(file: &Path, engine: &Engine<Nothing>, runtime: &tokio::runtime::Runtime) -> Tally {
    let text = fs::read_to_string(file).unwrap();
    let mut buffer = wast::lexer::Lexer::new(&text);
    buffer.allow_confusing_unicode(true);
    let buffer = ParseBuffer::new_with_lexer(buffer).unwrap();
    let mut run = Run {
        engine,
        runtime,
        definitions: BTreeMap::new(),
        current: None,
        is_used: false,
        tally: Tally::default(),
    };
    match parser::parse::<Wast<'_>>(&buffer) {
        Ok(wast) => {
            for directive in wast.directives {
                let line = directive.span().linecol_in(&text).0 + 1;
                run.directive(&line.to_string(), directive);
            }
        }
        Err(error) => run.tally.refused.push(format!("{error}")),
    }
    run.tally
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let listed = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        listed.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect();
    files.retain(|path| path.extension().is_some_and(|ext| ext == "wast"));
    files.sort();
    files
}

#[test]
fn the_suite_runs_as_it_says() {
    let suite = suite();
    let engine = Engine::start(|_| Ok(())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut passed = 0;
    for file in files(&suite) {
        let tally = run(&file, &engine, &runtime);
        let name = file.strip_prefix(&suite).unwrap().display().to_string();
        println!("{name}: {} passed, {} later", tally.passed, tally.later);
        tally.refused.iter().for_each(|why| println!("    refused {why}"));
        let newer =
            NEWER.iter().find(|(newer, ..)| *newer == name).map_or(0, |(_, count, _)| *count);
        assert_eq!(tally.failed.len(), newer, "{name}: {:#?}", tally.failed);
        passed += tally.passed;
    }
    // The rest needs threads or what else no engine of this build has, and says so.
    assert!(passed > 800, "{passed}");
}
