//! The door between capabilities and engines. A capability offers its functions here, once, as plain
//! Rust functions over a [`Host`]; the engine decides how a guest's call reaches them. Capabilities
//! know nothing else of an engine.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{
    Component, ComponentNamedList, FutureReader, Lift, Linker, LinkerInstance, Lower, Resource,
    ResourceType, StreamReader,
};

use super::canonical::{FuncType, Shape, Type, Value};
use super::compiled::Guest;
use super::wire::Wire;
use crate::host::Host;

/// What a capability's function answers: a value for the guest, or an error that ends the guest.
pub type Answer<R> = wasmtime::Result<R>;

/// How a guest's bindings type the same function: Spin 2 and 3 wait, Spin 4 calls `async func`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twin {
    /// `func`
    Sync,
    /// `async func`
    Async,
}

/// Collects what is offered to guests, for one engine.
pub struct Door {
    /// The compiled engine's, if it is that engine's door.
    linker: Option<Linker<Guest>>,
    offered: Offered,
}

/// What is offered, by interface name with the version cut to what must be equal.
type Offered = BTreeMap<String, Offer>;

#[derive(Default)]
struct Offer {
    /// The interface's full name, as it stands in the linker.
    interface: String,
    items: BTreeMap<String, Offering>,
}

/// One thing that is offered.
enum Offering {
    /// It is in the compiled engine's linker.
    Linked,
    /// A function, for the interpreted engine.
    Function(Arc<Function>),
    /// A resource type, with what happens when the guest drops one.
    Resource(DropResource),
}

/// Ends a resource of a guest's.
pub type DropResource = fn(&Host, u32) -> Answer<()>;

/// A capability's function over values instead of Rust types.
pub struct Function {
    fits: fn(&FuncType) -> bool,
    act: Act,
}

/// An answer that may take a while.
pub(super) type Answering = Pin<Box<dyn Future<Output = Answer<Option<Value>>> + Send>>;

type AtOnce = dyn Fn(&Host, Vec<Value>) -> Answer<Option<Value>> + Send + Sync;
type Waiting = dyn Fn(Host, Vec<Value>) -> Answering + Send + Sync;

enum Act {
    AtOnce(Box<AtOnce>),
    Waiting(Box<Waiting>),
}

impl Function {
    /// Whether a component means the same by this function's type.
    pub(super) fn fits(&self, ty: &FuncType) -> bool {
        (self.fits)(ty)
    }

    /// Calls it. Dropped half-way when the guest's deadline passes, or when the guest gives up.
    pub(super) fn call(&self, host: &Host, params: Vec<Value>) -> Answering {
        match &self.act {
            Act::AtOnce(act) => Box::pin(std::future::ready(act(host, params))),
            Act::Waiting(act) => act(host.clone(), params),
        }
    }
}

/// Whether parameters and results of these types, as lists of both, are those of a function.
pub(super) fn signature_fits<P: Wire, R: Wire>(ty: &FuncType) -> bool {
    let listed = |ty: &Type| Type::new(Shape::Tuple(Box::new([ty.clone()]))).ok();
    list_fits::<P>(ty.params.as_ref())
        && list_fits::<R>(ty.result.as_ref().and_then(listed).as_ref())
}

/// The same of a function that answers with a stream of `T` and a future of how it ended.
fn streaming_fits<P: Wire, T: Wire, E: Wire>(ty: &FuncType) -> bool {
    let Some(Shape::Tuple(result)) = ty.result.as_ref().map(Type::shape) else { return false };
    let [stream, end] = &**result else { return false };
    let (Shape::Stream(Some(item)), Shape::Future(Some(end))) = (stream.shape(), end.shape())
    else {
        return false;
    };
    list_fits::<P>(ty.params.as_ref()) && T::fits(item) && <Result<(), E>>::fits(end)
}

/// What goes into a stream, and how that ended.
fn items_and_end<T, E>(answer: Result<Vec<T>, E>) -> (Vec<T>, Result<(), E>) {
    match answer {
        Ok(items) => (items, Ok(())),
        Err(error) => (Vec::new(), Err(error)),
    }
}

/// Both as values, with all that will ever come.
fn streamed<T: Wire, E: Wire>(answer: Result<Vec<T>, E>) -> Value {
    let (items, end) = items_and_end(answer);
    let items = items.into_iter().map(T::into_value).collect();
    Value::Fields(vec![Value::Stream(items), Value::Future(Box::new(end.into_value()))])
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
    taken.ok_or_else(|| wasmtime::Error::msg("it passed values of other types than it declared"))
}

/// The one result, or none.
fn given<R: Wire>(results: R) -> Option<Value> {
    match results.into_value() {
        Value::Fields(results) => results.into_iter().next(),
        result => Some(result),
    }
}

impl Door {
    /// A door for the compiled engine.
    pub(super) fn compiled(engine: &wasmtime::Engine) -> Self {
        Self { linker: Some(Linker::new(engine)), offered: Offered::new() }
    }

    /// A door for the interpreted engine.
    pub(super) fn interpreted() -> Self {
        Self { linker: None, offered: Offered::new() }
    }

    /// Opens an interface, by its full WIT name, to add functions to.
    pub fn interface(&mut self, name: &str) -> Answer<Interface<'_>> {
        let offer = self.offered.entry(compatible(name)).or_default();
        offer.interface = name.to_string();
        let linker = self.linker.as_mut().map(|linker| linker.instance(name)).transpose()?;
        Ok(Interface { linker, offer })
    }

    fn item(&self, interface: &str, name: &str) -> Option<&Offering> {
        self.offered.get(&compatible(interface))?.items.get(name)
    }

    /// The function that is offered to interpreted components under this name.
    pub(super) fn function(&self, interface: &str, name: &str) -> Option<&Arc<Function>> {
        match self.item(interface, name)? {
            Offering::Function(function) => Some(function),
            Offering::Linked | Offering::Resource(_) => None,
        }
    }

    /// The resource that is offered to interpreted components under this name.
    pub(super) fn resource(&self, interface: &str, name: &str) -> Option<DropResource> {
        match self.item(interface, name)? {
            Offering::Resource(drop) => Some(*drop),
            Offering::Linked | Offering::Function(_) => None,
        }
    }

    /// A linker for one component: what is offered, and traps that name what is not.
    pub(super) fn linker_for(&self, component: &Component) -> Answer<Linker<Guest>> {
        let Some(linker) = &self.linker else {
            return Err(wasmtime::Error::msg("this door is not the compiled engine's"));
        };
        let mut linker = linker.clone();
        for missing in self.missing(component) {
            match missing.interface {
                Some(interface) => {
                    // Stubs join the instance that is offered: one of the import's own (newer)
                    // version would hide it.
                    let offer = self.offered.get(&compatible(&interface));
                    let instance = offer.map_or(interface.as_str(), |o| &o.interface);
                    let mut stubs = linker.instance(instance)?;
                    stub(&mut stubs, &interface, &missing.name, &missing.item)?;
                }
                None => stub(&mut linker.root(), "world", &missing.name, &missing.item)?,
            }
        }
        Ok(linker)
    }

    /// What the component imports and nobody offers.
    pub(super) fn missing(&self, component: &Component) -> Vec<Missing> {
        let engine = component.engine();
        let mut missing = Vec::new();
        // A resource that one interface `use`s from another is imported again under the second
        // name; it must stay what the first one made of it.
        let mut known = Vec::new();
        for (name, import) in component.component_type().imports(engine) {
            let ComponentItem::ComponentInstance(instance) = import.ty else {
                missing.push(Missing { interface: None, name: name.into(), item: import.ty });
                continue;
            };
            let offer = self.offered.get(&compatible(name));
            for (item_name, item) in instance.exports(engine) {
                if let ComponentItem::Resource(resource) = item.ty {
                    if known.contains(&resource) {
                        continue;
                    }
                    known.push(resource);
                }
                if !offer.is_some_and(|o| o.items.contains_key(item_name)) {
                    let interface = Some(name.to_string());
                    missing.push(Missing { interface, name: item_name.into(), item: item.ty });
                }
            }
        }
        missing
    }
}

/// Something that a component imports and this build does not offer.
pub(super) struct Missing {
    interface: Option<String>,
    name: String,
    item: ComponentItem,
}

impl Missing {
    /// Its name for messages, unless it is a mere type, which nobody has to offer.
    pub(super) fn callable(&self) -> Option<String> {
        let interface = self.interface.as_deref().unwrap_or("world");
        match self.item {
            ComponentItem::Type(_) => None,
            _ => Some(format!("{interface}#{}", self.name)),
        }
    }
}

/// A name with its version cut to the part that makes two versions compatible: `a:b/c@0.2`.
fn compatible(name: &str) -> String {
    let Some((interface, version)) = name.split_once('@') else {
        return name.to_string();
    };
    let mut parts = version.split(['.', '-']);
    let major = parts.next().unwrap_or_default();
    match (major, parts.next()) {
        ("0", Some(minor)) => format!("{interface}@0.{minor}"),
        _ => format!("{interface}@{major}"),
    }
}

/// A function that this build does not offer: a sentence, when and if the guest calls it.
fn stub(
    instance: &mut LinkerInstance<'_, Guest>,
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
pub struct Interface<'a> {
    /// The compiled engine's, if it is that engine's door.
    linker: Option<LinkerInstance<'a, Guest>>,
    offer: &'a mut Offer,
}

impl Interface<'_> {
    fn note(&mut self, name: &str, offering: Offering) -> Answer<()> {
        self.offer.items.insert(name.to_string(), offering);
        Ok(())
    }

    fn function<P: Wire, R: Wire>(&mut self, name: &str, act: Act) -> Answer<()> {
        let function = Function { fits: signature_fits::<P, R>, act };
        self.note(name, Offering::Function(Arc::new(function)))
    }

    /// A function that answers at once.
    pub fn at_once<P, R>(&mut self, name: &str, f: fn(&Host, P) -> Answer<R>) -> Answer<()>
    where
        P: ComponentNamedList + Lift + Wire + 'static,
        R: ComponentNamedList + Lower + Wire + 'static,
    {
        if let Some(linker) = &mut self.linker {
            linker.func_wrap(name, move |store, params| f(&store.data().host, params))?;
            return self.note(name, Offering::Linked);
        }
        let act = move |host: &Host, params| Ok(given(f(host, taken(params)?)?));
        self.function::<P, R>(name, Act::AtOnce(Box::new(act)))
    }

    /// A function that may wait. Dropped half-way when the guest's deadline passes, so it must not
    /// hold work that has to be finished.
    pub fn waiting<P, R, Fut>(
        &mut self,
        twin: Twin,
        name: &str,
        f: impl Fn(Host, P) -> Fut + Copy + Send + Sync + 'static,
    ) -> Answer<()>
    where
        P: ComponentNamedList + Lift + Wire + Send + 'static,
        R: ComponentNamedList + Lower + Wire + Send + 'static,
        Fut: Future<Output = Answer<R>> + Send + 'static,
    {
        let Some(linker) = &mut self.linker else {
            let act = move |host: Host, params| -> Answering {
                Box::pin(async move { Ok(given(f(host, taken(params)?).await?)) })
            };
            return self.function::<P, R>(name, Act::Waiting(Box::new(act)));
        };
        match twin {
            Twin::Sync => linker.func_wrap_async(name, move |store, params| {
                Box::new(f(store.data().host.clone(), params))
            })?,
            Twin::Async => linker.func_wrap_concurrent(name, move |accessor, params| {
                let host = accessor.with(|mut access| access.get().host.clone());
                Box::pin(f(host, params))
            })?,
        }
        self.note(name, Offering::Linked)
    }

    /// An `async func` that answers with a stream of items and a future of how it ended.
    pub fn streaming<P, T, E, Fut>(
        &mut self,
        name: &str,
        f: impl Fn(Host, P) -> Fut + Copy + Send + Sync + 'static,
    ) -> Answer<()>
    where
        P: ComponentNamedList + Lift + Wire + Send + 'static,
        T: Lift + Lower + Wire + Unpin + Send + Sync + 'static,
        E: Lift + Lower + Wire + Send + Sync + 'static,
        Fut: Future<Output = Answer<Result<Vec<T>, E>>> + Send + 'static,
    {
        let Some(linker) = &mut self.linker else {
            let act = move |host: Host, params| -> Answering {
                Box::pin(async move { Ok(Some(streamed(f(host, taken(params)?).await?))) })
            };
            let function =
                Function { fits: streaming_fits::<P, T, E>, act: Act::Waiting(Box::new(act)) };
            return self.note(name, Offering::Function(Arc::new(function)));
        };
        linker.func_wrap_concurrent(name, move |accessor, params| {
            let host = accessor.with(|mut access| access.get().host.clone());
            Box::pin(async move {
                let (items, end) = items_and_end(f(host, params).await?);
                accessor.with(|mut access| {
                    let stream = StreamReader::<T>::new(&mut access, items)?;
                    let end = async move { Ok::<Result<(), E>, wasmtime::Error>(end) };
                    let future = FutureReader::<Result<(), E>>::new(&mut access, end)?;
                    Ok(((stream, future),))
                })
            })
        })?;
        self.note(name, Offering::Linked)
    }

    /// A resource type whose values live in the host's table until the guest drops them.
    pub fn resource<T: Send + 'static>(&mut self, name: &str) -> Answer<()> {
        let drop = |host: &Host, rep| host.drop_resource(Resource::<T>::new_own(rep));
        let Some(linker) = &mut self.linker else {
            return self.note(name, Offering::Resource(drop));
        };
        linker.resource(name, ResourceType::host::<T>(), move |store, rep| {
            drop(&store.data().host, rep)
        })?;
        self.note(name, Offering::Linked)
    }
}

#[cfg(test)]
mod tests {
    use super::compatible;

    #[test]
    fn versions_are_compatible_as_semantic_versioning_says() {
        assert_eq!(compatible("wasi:io/poll@0.2.6"), compatible("wasi:io/poll@0.2.0"));
        assert_ne!(compatible("wasi:io/poll@0.2.6"), compatible("wasi:io/poll@0.3.0"));
        assert_eq!(compatible("a:b/c@3.1.0"), compatible("a:b/c@3.0.0"));
        assert_ne!(compatible("a:b/c@2.0.0"), compatible("a:b/c@3.0.0"));
        assert_eq!(
            compatible("spin:mqtt-trigger/spin-mqtt-types"),
            "spin:mqtt-trigger/spin-mqtt-types"
        );
    }
}
