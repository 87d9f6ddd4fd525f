//! What is offered to guests, by name: what an interface has, and what a component imports that nobody
//! offers. Nothing here knows what is behind an offer; that is the door's.

use std::collections::BTreeMap;

use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use super::canonical::FuncType;
use super::described;

/// All that is offered, by interface name with the version cut to what must be equal.
#[derive(Default)]
pub(super) struct Offered(BTreeMap<String, Offer>);

/// What one interface offers.
#[derive(Default)]
pub(super) struct Offer {
    /// The interface's full name, as it stands in the linker.
    interface: String,
    items: BTreeMap<String, Offering>,
}

/// One thing that is offered.
pub(super) enum Offering {
    /// A function.
    Function(Callable),
    /// A resource type: its place among those behind the interpreted engine's door.
    Resource(usize),
}

/// A function that is offered.
#[derive(Clone, Copy)]
pub(super) struct Callable {
    /// Its place among those behind the interpreted engine's door.
    pub(super) place: usize,
    /// Whether a component means the same by this function's type.
    pub(super) fits: fn(&FuncType) -> bool,
}

impl Offer {
    /// One more thing is offered.
    pub(super) fn note(&mut self, name: &str, offering: Offering) {
        self.items.insert(name.to_string(), offering);
    }
}

impl Offered {
    /// Opens an interface, by its full WIT name, to note what it offers.
    pub(super) fn open(&mut self, name: &str) -> &mut Offer {
        let offer = self.0.entry(compatible(name)).or_default();
        offer.interface = name.to_string();
        offer
    }

    /// The full name under which this interface is offered.
    pub(super) fn interface(&self, name: &str) -> Option<&str> {
        self.0.get(&compatible(name)).map(|offer| offer.interface.as_str())
    }

    fn item(&self, interface: &str, name: &str) -> Option<&Offering> {
        self.0.get(&compatible(interface))?.items.get(name)
    }

    /// The function that is offered under this name.
    pub(super) fn function(&self, interface: &str, name: &str) -> Option<Callable> {
        match self.item(interface, name)? {
            Offering::Function(function) => Some(*function),
            Offering::Resource(_) => None,
        }
    }

    /// The place of the resource that is offered under this name.
    pub(super) fn resource(&self, interface: &str, name: &str) -> Option<usize> {
        match self.item(interface, name)? {
            Offering::Resource(place) => Some(*place),
            Offering::Function(_) => None,
        }
    }

    /// Whether a compiled component means the same by each function that it imports and is offered; a sentence if not.
    pub(super) fn fits(&self, component: &Component) -> Result<(), String> {
        let engine = component.engine();
        for (interface, import) in component.component_type().imports(engine) {
            let ComponentItem::ComponentInstance(instance) = import.ty else { continue };
            for (name, item) in instance.exports(engine) {
                let ComponentItem::ComponentFunc(function) = &item.ty else { continue };
                let Some(offered) = self.function(interface, name) else { continue };
                if !described::func_type(function).is_some_and(|ty| (offered.fits)(&ty)) {
                    return Err(another_type(interface, name));
                }
            }
        }
        Ok(())
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
            let offer = self.0.get(&compatible(name));
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
    /// `None` if it is no interface's.
    pub(super) interface: Option<String>,
    pub(super) name: String,
    pub(super) item: ComponentItem,
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

/// What is said of a function that a component imports and that is offered with another type.
pub(super) fn another_type(interface: &str, name: &str) -> String {
    format!("its import `{interface}#{name}` has another type than this build offers")
}

/// A name with its version cut to the part that makes two versions compatible: `a:b/c@0.2`. A draft is compatible with
/// itself alone.
pub(super) fn compatible(name: &str) -> String {
    let Some((interface, version)) = name.split_once('@') else {
        return name.to_string();
    };
    if version.contains('-') {
        return name.to_string();
    }
    let mut parts = version.split('.');
    let major = parts.next().unwrap_or_default();
    match (major, parts.next()) {
        ("0", Some(minor)) => format!("{interface}@0.{minor}"),
        _ => format!("{interface}@{major}"),
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
        let draft = "wasi:io/poll@0.2.0-rc-2023-10-18";
        assert_ne!(compatible(draft), compatible("wasi:io/poll@0.2.0"));
        assert_ne!(compatible(draft), compatible("wasi:io/poll@0.2.0-rc-2023-11-10"));
        assert_eq!(
            compatible("spin:mqtt-trigger/spin-mqtt-types"),
            "spin:mqtt-trigger/spin-mqtt-types"
        );
    }
}
