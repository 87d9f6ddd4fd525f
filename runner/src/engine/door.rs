//! The door between capabilities and engines. A capability offers its functions here, once, as plain
//! Rust functions over a host `H`; the engine decides how a guest's call reaches them. Capabilities
//! know nothing else of an engine, and an engine of a host only that it [`Holds`] what handles stand for.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Accessor, Component, Linker, LinkerInstance, Resource, ResourceType};
use wasmtime::{AsContextMut as _, StoreContextMut};

use super::canonical::{FuncType, Shape, Type, Value};
use super::compiled::Guest;
use super::crossing::Crossing;
use super::offered::{Callable, Offer, Offered, Offering};
use super::streams::{Item, Payload, Promise, Stream};
use super::wire::{Bound, Wire};

/// What a capability's function answers: a value for the guest, or an error that ends the guest.
pub type Answer<R> = wasmtime::Result<R>;

/// What capabilities live in: one value for each invocation, cheap to clone, which keeps the objects
/// behind its guest's handles.
pub trait Holds: Clone + Send + Sync + 'static {
    /// The guest dropped its handle.
    fn drop_resource<T: Send + 'static>(&self, handle: Resource<T>) -> Answer<()>;
}

/// How a guest's bindings type the same function: Spin 2 and 3 wait, Spin 4 calls `async func`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twin {
    /// `func`
    Sync,
    /// `async func`
    Async,
}

/// Collects what is offered to guests, for one engine.
pub struct Door<H: Holds> {
    /// The compiled engine's, if it is that engine's door.
    linker: Option<Linker<Guest<H>>>,
    pub(super) offered: Offered,
    pub(super) behind: Behind<H>,
}

/// What is behind the interpreted engine's door, each thing at its place.
pub(super) struct Behind<H> {
    pub(super) functions: Vec<Act<H>>,
    pub(super) resources: Vec<DropResource<H>>,
}

/// Ends a resource of a guest's.
pub(super) type DropResource<H> = fn(&H, u32) -> Answer<()>;

/// An answer that may take a while.
pub(super) type Answering = Pin<Box<dyn Future<Output = Answer<Option<Value>>> + Send>>;

type AtOnce<H> = dyn Fn(&H, Vec<Value>) -> Answer<Option<Value>> + Send + Sync;
type Waiting<H> = dyn Fn(H, Vec<Value>) -> Answering + Send + Sync;
type Store<'a, H> = StoreContextMut<'a, Guest<H>>;
/// Does something in a store to all values that cross, into a function or out of it.
type Joint<H, V> = fn(&mut Store<'_, H>, V) -> Answer<V>;

/// A capability's function over values instead of Rust types.
pub(super) enum Act<H> {
    AtOnce(Box<AtOnce<H>>),
    Waiting(Twin, Box<Waiting<H>>),
}

impl<H: Clone> Act<H> {
    /// Calls it. Dropped half-way when the guest's deadline passes, or when the guest gives up.
    pub(super) fn call(&self, host: &H, params: Vec<Value>) -> Answering {
        match self {
            Self::AtOnce(act) => Box::pin(std::future::ready(act(host, params))),
            Self::Waiting(_, act) => act(host.clone(), params),
        }
    }
}

/// What the compiled engine has to do beside, where there are streams or futures.
struct Function<H: Holds> {
    act: Act<H>,
    /// In what it takes: makes pipes of those that come from a guest.
    enters: Option<Joint<H, Vec<Value>>>,
    /// In what it answers: makes a guest's of pipes.
    leaves: Option<Joint<H, Option<Value>>>,
}

impl<H: Holds> Function<H> {
    fn new<P: Wire, R: Wire>(act: Act<H>) -> Self {
        Self {
            act,
            enters: P::FLOWS.then_some(|store, params| {
                let mut params: P = taken(params)?;
                params.connect(store, Bound::Host)?;
                Ok(listed(params))
            }),
            leaves: R::FLOWS.then_some(|store, result| {
                let mut results: R = taken(result.into_iter().collect())?;
                results.connect(store, Bound::Guest)?;
                Ok(given(results))
            }),
        }
    }

    fn taken_from(&self, store: &mut Store<'_, H>, params: Vec<Value>) -> Answer<Vec<Value>> {
        match self.enters {
            Some(enters) => enters(store, params),
            None => Ok(params),
        }
    }

    fn asked_from(&self, store: &mut Store<'_, H>, params: Vec<Value>) -> Answer<Answering> {
        let params = self.taken_from(store, params)?;
        Ok(self.act.call(&store.data().host, params))
    }

    fn given_to(&self, store: &mut Store<'_, H>, result: Option<Value>) -> Answer<Crossing> {
        let result = match self.leaves {
            Some(leaves) => leaves(store, result)?,
            None => result,
        };
        Ok(Crossing(result.into_iter().collect()))
    }
}

/// Puts a function into the compiled engine's linker.
fn link<H: Holds>(
    linker: &mut LinkerInstance<'_, Guest<H>>,
    name: &str,
    function: Function<H>,
) -> Answer<()> {
    let function = Arc::new(function);
    match function.act {
        Act::AtOnce(_) => linker.func_wrap(name, move |mut store, Crossing(params)| {
            let params = function.taken_from(&mut store, params)?;
            let Act::AtOnce(act) = &function.act else { return Err(stranger()) };
            let result = act(&store.data().host, params)?;
            function.given_to(&mut store, result)
        }),
        Act::Waiting(Twin::Sync, _) => {
            linker.func_wrap_async(name, move |mut store, Crossing(params)| {
                let function = Arc::clone(&function);
                Box::new(async move {
                    let result = function.asked_from(&mut store, params)?.await?;
                    function.given_to(&mut store, result)
                })
            })
        }
        Act::Waiting(Twin::Async, _) => {
            linker.func_wrap_concurrent(name, move |guest: &Accessor<_>, Crossing(params)| {
                let function = Arc::clone(&function);
                let asked = guest
                    .with(|mut store| function.asked_from(&mut store.as_context_mut(), params));
                Box::pin(async move {
                    let result = asked?.await?;
                    guest.with(|mut store| function.given_to(&mut store.as_context_mut(), result))
                })
            })
        }
    }
}

/// Whether parameters and results of these types, as lists of both, are those of a function.
pub(super) fn signature_fits<P: Wire, R: Wire>(ty: &FuncType) -> bool {
    let listed = |ty: &Type| Type::new(Shape::Tuple(Box::new([ty.clone()]))).ok();
    list_fits::<P>(ty.params.as_ref())
        && list_fits::<R>(ty.result.as_ref().and_then(listed).as_ref())
}

/// What goes into a stream, and how that ended.
fn items_and_end<T, E>(answer: Result<Vec<T>, E>) -> (Vec<T>, Result<(), E>) {
    match answer {
        Ok(items) => (items, Ok(())),
        Err(error) => (Vec::new(), Err(error)),
    }
}

fn list_fits<L: Wire>(list: Option<&Type>) -> bool {
    match list {
        Some(list) => L::fits(list),
        None => L::from_value(Value::Fields(Vec::new())).is_some(),
    }
}

/// A guest's parameters as the Rust types they were found to fit.
fn taken<P: Wire>(params: Vec<Value>) -> Answer<P> {
    let taken = P::from_value(Value::Fields(params));
    taken.ok_or_else(stranger)
}

fn stranger() -> wasmtime::Error {
    wasmtime::Error::msg("it passed values of other types than it declared")
}

fn listed<L: Wire>(list: L) -> Vec<Value> {
    match list.into_value() {
        Value::Fields(values) => values,
        value => vec![value],
    }
}

/// The one result, or none.
fn given<R: Wire>(results: R) -> Option<Value> {
    listed(results).into_iter().next()
}

impl<H: Holds> Door<H> {
    /// A door for the compiled engine.
    pub(super) fn compiled(engine: &wasmtime::Engine) -> Self {
        Self::with(Some(Linker::new(engine)))
    }

    /// A door for the interpreted engine.
    pub(super) fn interpreted() -> Self {
        Self::with(None)
    }

    fn with(linker: Option<Linker<Guest<H>>>) -> Self {
        let behind = Behind { functions: Vec::new(), resources: Vec::new() };
        Self { linker, offered: Offered::default(), behind }
    }

    /// Opens an interface, by its full WIT name, to add functions to.
    pub fn interface(&mut self, name: &str) -> Answer<Interface<'_, H>> {
        let offer = self.offered.open(name);
        let linker = self.linker.as_mut().map(|linker| linker.instance(name)).transpose()?;
        Ok(Interface { linker, offer, behind: &mut self.behind })
    }

    /// A linker for one component: what is offered, and traps that name what is not.
    pub(super) fn linker_for(&self, component: &Component) -> Answer<Linker<Guest<H>>> {
        let Some(linker) = &self.linker else {
            return Err(wasmtime::Error::msg("this door is not the compiled engine's"));
        };
        self.offered.fits(component).map_err(wasmtime::Error::msg)?;
        let mut linker = linker.clone();
        for missing in self.offered.missing(component) {
            match missing.interface {
                Some(interface) => {
                    // Stubs join the instance that is offered: one of the import's own (newer)
                    // version would hide it.
                    let instance = self.offered.interface(&interface).unwrap_or(&interface);
                    let mut stubs = linker.instance(instance)?;
                    stub(&mut stubs, &interface, &missing.name, &missing.item)?;
                }
                None => stub(&mut linker.root(), "world", &missing.name, &missing.item)?,
            }
        }
        Ok(linker)
    }
}

/// A function that this build does not offer: a sentence, when and if the guest calls it.
fn stub<H: Holds>(
    instance: &mut LinkerInstance<'_, Guest<H>>,
    interface: &str,
    name: &str,
    item: &ComponentItem,
) -> Answer<()> {
    let sentence: Arc<str> =
        format!("it called `{interface}#{name}`, which this build does not offer").into();
    match item {
        ComponentItem::ComponentFunc(function) if function.async_() => instance
            .func_new_concurrent(name, move |_, _, _, _| {
                let sentence = Arc::clone(&sentence);
                Box::pin(async move { Err(wasmtime::Error::msg(sentence.to_string())) })
            }),
        ComponentItem::ComponentFunc(_) => instance
            .func_new(name, move |_, _, _, _| Err(wasmtime::Error::msg(sentence.to_string()))),
        ComponentItem::Resource(_) => {
            instance.resource(name, ResourceType::host::<Nothing>(), |_, _| Ok(()))
        }
        _ => Ok(()),
    }
}

/// The type behind resources that this build does not offer; no value of it exists.
enum Nothing {}

/// One interface that a capability fills.
pub struct Interface<'a, H: Holds> {
    /// The compiled engine's, if it is that engine's door.
    linker: Option<LinkerInstance<'a, Guest<H>>>,
    offer: &'a mut Offer,
    behind: &'a mut Behind<H>,
}

impl<H: Holds> Interface<'_, H> {
    fn function<P: Wire, R: Wire>(&mut self, name: &str, act: Act<H>) -> Answer<()> {
        let place = self.behind.functions.len();
        match &mut self.linker {
            Some(linker) => link(linker, name, Function::new::<P, R>(act))?,
            None => self.behind.functions.push(act),
        }
        let fits = signature_fits::<P, R>;
        self.offer.note(name, Offering::Function(Callable { place, fits }));
        Ok(())
    }

    /// A function that answers at once.
    pub fn at_once<P, R>(&mut self, name: &str, f: fn(&H, P) -> Answer<R>) -> Answer<()>
    where
        P: Wire + 'static,
        R: Wire + 'static,
    {
        let act = move |host: &H, params| Ok(given(f(host, taken(params)?)?));
        self.function::<P, R>(name, Act::AtOnce(Box::new(act)))
    }

    /// A function that may wait. Dropped half-way when the guest's deadline passes, so it must not
    /// hold work that has to be finished.
    pub fn waiting<P, R, Fut>(
        &mut self,
        twin: Twin,
        name: &str,
        f: impl Fn(H, P) -> Fut + Copy + Send + Sync + 'static,
    ) -> Answer<()>
    where
        P: Wire + Send + 'static,
        R: Wire + Send + 'static,
        Fut: Future<Output = Answer<R>> + Send + 'static,
    {
        let act = move |host: H, params| -> Answering {
            let asked = taken(params).map(|params| f(host, params));
            Box::pin(async move { Ok(given(asked?.await?)) })
        };
        self.function::<P, R>(name, Act::Waiting(twin, Box::new(act)))
    }

    /// An `async func` that answers with a stream of items and a future of how it ended.
    pub fn streaming<P, T, E, Fut>(
        &mut self,
        name: &str,
        f: impl Fn(H, P) -> Fut + Copy + Send + Sync + 'static,
    ) -> Answer<()>
    where
        P: Wire + Send + 'static,
        T: Item,
        E: Payload,
        Fut: Future<Output = Answer<Result<Vec<T>, E>>> + Send + 'static,
    {
        self.waiting(Twin::Async, name, move |host, params| async move {
            let (items, end) = items_and_end(f(host, params).await?);
            Ok(((Stream::of(items), Promise::ready(end)),))
        })
    }

    /// A resource type whose values live in the host's table until the guest drops them.
    pub fn resource<T: Send + 'static>(&mut self, name: &str) -> Answer<()> {
        let drop = |host: &H, rep| host.drop_resource(Resource::<T>::new_own(rep));
        let place = self.behind.resources.len();
        match &mut self.linker {
            Some(linker) => {
                linker.resource(name, ResourceType::host::<T>(), move |store, rep| {
                    drop(&store.data().host, rep)
                })?;
            }
            None => self.behind.resources.push(drop),
        }
        self.offer.note(name, Offering::Resource(place));
        Ok(())
    }
}
