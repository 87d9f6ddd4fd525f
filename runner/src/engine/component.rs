//! A loaded component, whichever engine runs it: what worlds see. A closed choice of two.

use std::fmt;
use std::time::Duration;

use wasmtime::component::{ComponentExportIndex, ComponentNamedList, Lift, Lower};

use super::canonical::{FuncType, Value, trap};
use super::compiled::{Called, Compiled};
use super::config::Code;
use super::described;
use super::door::Holds;
use super::fault::Fault;
use super::interpreted::Interpreted;
use super::offered::compatible;
use super::wire::Wire;

/// A component, ready for instances.
pub enum Component<H: Holds> {
    /// Native code or Pulley bytecode, on wasmtime.
    Compiled(Compiled<H>),
    /// As its compiler left it, on wasmi.
    Interpreted(Interpreted<H>),
}

/// How a component runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Compiled to this.
    Compiled(Code),
    /// Not at all compiled.
    Interpreted,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compiled(code) => code.fmt(f),
            Self::Interpreted => f.write_str("interpreted"),
        }
    }
}

/// What one instance may use.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    /// Linear memory, all memories together.
    pub memory_bytes_max: usize,
    /// Wall-clock time of the whole invocation.
    pub deadline: Duration,
}

/// An exported function of one component.
#[derive(Clone, Copy)]
pub struct Export(Place);

#[derive(Clone, Copy)]
enum Place {
    Compiled(ComponentExportIndex),
    Interpreted(usize),
}

impl<H: Holds> Component<H> {
    /// The exported function of this name, with its type in the words of WIT.
    pub fn exported_function(&self, name: &str) -> Option<(String, Export)> {
        let (ty, place): (FuncType, _) = match self {
            Self::Compiled(compiled) => {
                let (function, index) = compiled.exported_function(name)?;
                (described::func_type(&function)?, Place::Compiled(index))
            }
            Self::Interpreted(interpreted) => {
                let (ty, index) = interpreted.exported_function(name)?;
                (ty.clone(), Place::Interpreted(index))
            }
        };
        Some((ty.to_string(), Export(place)))
    }

    /// The function of this name that an exported interface has, with its type in the words of WIT. The interface is
    /// named with a version; the component may have another that is compatible.
    pub(crate) fn exported_member(&self, interface: &str, name: &str) -> Option<(String, Export)> {
        let (ty, place): (FuncType, _) = match self {
            Self::Compiled(compiled) => {
                let (function, index) = compiled.exported_member(interface, name)?;
                (described::func_type(&function)?, Place::Compiled(index))
            }
            Self::Interpreted(interpreted) => {
                let wanted = compatible(interface);
                let mut names = interpreted.export_names().into_iter();
                let full = names.find(|name| compatible(name) == wanted)?;
                let (ty, index) = interpreted.exported_member(&full, name)?;
                (ty.clone(), Place::Interpreted(index))
            }
        };
        Some((ty.to_string(), Export(place)))
    }

    /// Calls an exported function on a fresh instance, which is gone afterwards. The types must be
    /// those of the export. What the guest does after its answer is done first, as long as its deadline lets it. Dropping
    /// this future drops the guest where it stands.
    pub async fn call<P, R>(
        &self,
        export: Export,
        host: H,
        allowance: Allowance,
        params: P,
    ) -> Result<R, Fault>
    where
        P: ComponentNamedList + Lower + Wire + Send + Sync + 'static,
        R: ComponentNamedList + Lift + Wire + Send + Sync + 'static,
    {
        let mut answer = None;
        let answered = |result| answer = Some(result);
        let ended = self.call_and_go_on(export, host, allowance, params, answered).await;
        match (ended, answer) {
            (Ok(()) | Err(Fault::Deadline(_)), Some(answer)) => Ok(answer),
            (Err(fault), _) => Err(fault),
            (Ok(()), None) => Err(trap("it ended without giving a result")),
        }
    }

    /// The same for who wants the answer as soon as it is there, because it brings streams: the instance lives on until
    /// all that it does is done. What it failed of after its answer is an error here.
    pub async fn call_and_go_on<P, R>(
        &self,
        export: Export,
        host: H,
        allowance: Allowance,
        params: P,
        answered: impl FnOnce(R) + Send,
    ) -> Result<(), Fault>
    where
        P: ComponentNamedList + Lower + Wire + Send + Sync + 'static,
        R: ComponentNamedList + Lift + Wire + Send + Sync + 'static,
    {
        match (self, export.0) {
            (Self::Compiled(compiled), Place::Compiled(index)) => {
                let call: Called<'_, H> = Box::new(move |mut running| {
                    Box::pin(async move {
                        let ended = running.call(index, params).await.map(answered);
                        (running, ended)
                    })
                });
                compiled.run(host, allowance, call).await
            }
            (Self::Interpreted(interpreted), Place::Interpreted(index)) => {
                let Value::Fields(params) = params.into_value() else { return Err(stranger()) };
                let mut is_strange = false;
                let told = Box::new(|result: Option<Value>| {
                    let results = R::from_value(Value::Fields(result.into_iter().collect()));
                    is_strange = results.is_none();
                    if let Some(results) = results {
                        answered(results);
                    }
                });
                interpreted.call_and_go_on(index, host, allowance, params, told).await?;
                if is_strange { Err(stranger()) } else { Ok(()) }
            }
            _ => Err(stranger()),
        }
    }

    /// Names of everything the component exports, for messages.
    pub(crate) fn export_names(&self) -> Vec<String> {
        match self {
            Self::Compiled(compiled) => compiled.export_names(),
            Self::Interpreted(interpreted) => interpreted.export_names(),
        }
    }

    /// What it imports and this build does not offer, as `interface#name`: calls of these trap.
    pub fn missing_imports(&self) -> &[String] {
        match self {
            Self::Compiled(compiled) => compiled.missing_imports(),
            Self::Interpreted(interpreted) => interpreted.missing_imports(),
        }
    }

    /// How it runs.
    pub fn form(&self) -> Form {
        match self {
            Self::Compiled(compiled) => Form::Compiled(compiled.code()),
            Self::Interpreted(_) => Form::Interpreted,
        }
    }

    /// Linear memory that each instance starts with, if it is known before it runs.
    pub fn memory_bytes_min(&self) -> Option<usize> {
        match self {
            Self::Compiled(compiled) => compiled.memory_bytes_min(),
            Self::Interpreted(interpreted) => interpreted.memory_bytes_min(),
        }
    }

    /// Bytes of its code.
    pub fn code_bytes(&self) -> usize {
        match self {
            Self::Compiled(compiled) => compiled.code_bytes(),
            Self::Interpreted(interpreted) => interpreted.code_bytes(),
        }
    }
}

fn stranger() -> Fault {
    trap("its export is another component's")
}
