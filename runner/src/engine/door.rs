//! The door between capabilities and engines. A capability offers its functions here, once, as plain
//! Rust functions over a [`Host`]; the engine decides how a guest's call reaches them. Capabilities
//! know nothing else of an engine.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{
    Component, ComponentNamedList, FutureReader, Lift, Linker, LinkerInstance, Lower, Resource,
    ResourceType, StreamReader,
};

use super::compiled::Guest;
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

/// Collects what is offered to guests.
pub struct Door {
    linker: Linker<Guest>,
    offered: Offered,
}

/// What is offered, by interface name with the version cut to what must be equal.
type Offered = BTreeMap<String, Offer>;

#[derive(Default)]
struct Offer {
    /// The interface's full name, as it stands in the linker.
    interface: String,
    items: BTreeSet<String>,
}

impl Door {
    pub(super) fn new(engine: &wasmtime::Engine) -> Self {
        Self { linker: Linker::new(engine), offered: Offered::new() }
    }

    /// Opens an interface, by its full WIT name, to add functions to.
    pub fn interface(&mut self, name: &str) -> Answer<Interface<'_>> {
        let offer = self.offered.entry(compatible(name)).or_default();
        offer.interface = name.to_string();
        Ok(Interface { instance: self.linker.instance(name)?, offer })
    }

    /// A linker for one component: what is offered, and traps that name what is not.
    pub(super) fn linker_for(&self, component: &Component) -> Answer<Linker<Guest>> {
        let mut linker = self.linker.clone();
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
                if !offer.is_some_and(|o| o.items.contains(item_name)) {
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
    instance: LinkerInstance<'a, Guest>,
    offer: &'a mut Offer,
}

impl Interface<'_> {
    fn note(&mut self, name: &str) {
        self.offer.items.insert(name.to_string());
    }

    /// A function that answers at once.
    pub fn at_once<P, R>(&mut self, name: &str, f: fn(&Host, P) -> Answer<R>) -> Answer<()>
    where
        P: ComponentNamedList + Lift + 'static,
        R: ComponentNamedList + Lower + 'static,
    {
        self.note(name);
        self.instance.func_wrap(name, move |store, params| f(&store.data().host, params))
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
        P: ComponentNamedList + Lift + Send + 'static,
        R: ComponentNamedList + Lower + Send + 'static,
        Fut: Future<Output = Answer<R>> + Send + 'static,
    {
        self.note(name);
        match twin {
            Twin::Sync => self.instance.func_wrap_async(name, move |store, params| {
                Box::new(f(store.data().host.clone(), params))
            }),
            Twin::Async => self.instance.func_wrap_concurrent(name, move |accessor, params| {
                let host = accessor.with(|mut access| access.get().host.clone());
                Box::pin(f(host, params))
            }),
        }
    }

    /// An `async func` that answers with a stream of items and a future of how it ended.
    pub fn streaming<P, T, E, Fut>(
        &mut self,
        name: &str,
        f: impl Fn(Host, P) -> Fut + Copy + Send + Sync + 'static,
    ) -> Answer<()>
    where
        P: ComponentNamedList + Lift + Send + 'static,
        T: Lift + Lower + Unpin + Send + Sync + 'static,
        E: Lift + Lower + Send + Sync + 'static,
        Fut: Future<Output = Answer<Result<Vec<T>, E>>> + Send + 'static,
    {
        self.note(name);
        self.instance.func_wrap_concurrent(name, move |accessor, params| {
            let host = accessor.with(|mut access| access.get().host.clone());
            Box::pin(async move {
                let (items, end) = match f(host, params).await? {
                    Ok(items) => (items, Ok(())),
                    Err(error) => (Vec::new(), Err(error)),
                };
                accessor.with(|mut access| {
                    let stream = StreamReader::<T>::new(&mut access, items)?;
                    let end = async move { Ok::<Result<(), E>, wasmtime::Error>(end) };
                    let future = FutureReader::<Result<(), E>>::new(&mut access, end)?;
                    Ok(((stream, future),))
                })
            })
        })
    }

    /// A resource type whose values live in the host's table until the guest drops them.
    pub fn resource<T: Send + 'static>(&mut self, name: &str) -> Answer<()> {
        self.note(name);
        self.instance.resource(name, ResourceType::host::<T>(), |store, handle| {
            store.data().host.drop_resource(Resource::<T>::new_own(handle))
        })
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
