//! A level of the tree, and all below it.
//!
//! Most filters end in a level that nothing else has, or in a chain of such (`in/1234/set`). Both are kept
//! small, since there are thousands of them: a leaf with one value is no larger than that and a pointer, a level
//! of a chain one allocation.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// What is left of a filter or a topic below a node; `None` if it ends there.
pub(super) type Path<'a> = Option<&'a str>;

#[derive(Debug)]
pub(super) enum Node<T> {
    /// The root of an empty tree; no other stays.
    Empty,
    /// One value, and nothing below.
    Leaf(T),
    /// No value, and one level below.
    Link(Box<(Name, Node<T>)>),
    Full(Box<Full<T>>),
}

#[derive(Debug)]
pub(super) struct Full<T> {
    values: Vec<T>,
    below: BTreeMap<Name, Node<T>>,
}

/// The text of a level; most need no allocation of their own.
#[derive(Debug)]
pub(super) enum Name {
    Short(heapless::String<22, u8>),
    Long(Box<str>),
}

/// The first level, and what follows it.
pub(super) fn step(path: &str) -> (&str, Path<'_>) {
    path.split_once('/').map_or((path, None), |(level, rest)| (level, Some(rest)))
}

impl<T> Node<T> {
    pub(super) fn insert(&mut self, path: &str, value: T) {
        *self = std::mem::replace(self, Self::Empty).with(Some(path), value);
    }

    fn with(self, path: Path<'_>, value: T) -> Self {
        match (self, path.map(step)) {
            (Self::Empty, None) => Self::Leaf(value),
            (Self::Empty, Some((level, rest))) => {
                Self::Link(Box::new((Name::new(level), Self::Empty.with(rest, value))))
            }
            (Self::Link(mut link), Some((level, rest))) if link.0.is(level) => {
                link.1 = std::mem::replace(&mut link.1, Self::Empty).with(rest, value);
                Self::Link(link)
            }
            (node, next) => {
                let mut full = node.into_full();
                match next {
                    None => full.values.push(value),
                    Some((level, rest)) => {
                        let child = full.below.entry(Name::new(level)).or_insert(Self::Empty);
                        *child = std::mem::replace(child, Self::Empty).with(rest, value);
                    }
                }
                Self::Full(full)
            }
        }
    }

    fn into_full(self) -> Box<Full<T>> {
        let mut full = Full { values: Vec::new(), below: BTreeMap::new() };
        match self {
            Self::Empty => {}
            Self::Leaf(value) => full.values.push(value),
            Self::Link(link) => drop(full.below.insert(link.0, link.1)),
            Self::Full(full) => return full,
        }
        Box::new(full)
    }

    pub(super) fn remove(&mut self, path: Path<'_>, which: &mut dyn FnMut(&T) -> bool) -> usize {
        let removed = match (&mut *self, path.map(step)) {
            (Self::Leaf(value), None) => usize::from(which(value)),
            (Self::Link(link), Some((level, rest))) if link.0.is(level) => {
                link.1.remove(rest, which)
            }
            (Self::Full(full), None) => {
                let before = full.values.len();
                full.values.retain(|value| !which(value));
                before - full.values.len()
            }
            (Self::Full(full), Some((level, rest))) => {
                let Some(child) = full.below.get_mut(level.as_bytes()) else { return 0 };
                let removed = child.remove(rest, which);
                if child.is_empty() {
                    full.below.remove(level.as_bytes());
                }
                removed
            }
            _ => 0,
        };
        if removed > 0 {
            *self = std::mem::replace(self, Self::Empty).shrunk();
        }
        removed
    }

    /// The same, after something was removed, as small as it can be.
    fn shrunk(self) -> Self {
        let mut full = match self {
            // A leaf that has lost something has lost its value.
            Self::Empty | Self::Leaf(_) => return Self::Empty,
            Self::Link(link) if link.1.is_empty() => return Self::Empty,
            Self::Link(link) => return Self::Link(link),
            Self::Full(full) => full,
        };
        match (full.values.len(), full.below.len()) {
            (1, 0) => full.values.pop().map_or(Self::Empty, Self::Leaf),
            (0, 0 | 1) => {
                full.below.pop_first().map_or(Self::Empty, |entry| Self::Link(Box::new(entry)))
            }
            (values, _) => {
                full.values.shrink_to(2 * values);
                Self::Full(full)
            }
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    fn values(&self) -> &[T] {
        match self {
            Self::Empty | Self::Link(_) => &[],
            Self::Leaf(value) => std::slice::from_ref(value),
            Self::Full(full) => &full.values,
        }
    }

    pub(super) fn child(&self, level: &str) -> Option<&Self> {
        match self {
            Self::Empty | Self::Leaf(_) => None,
            Self::Link(link) => link.0.is(level).then_some(&link.1),
            Self::Full(full) => full.below.get(level.as_bytes()),
        }
    }

    pub(super) fn each_child(&self, each: &mut dyn FnMut(&[u8], &Self)) {
        match self {
            Self::Empty | Self::Leaf(_) => {}
            Self::Link(link) => each(link.0.borrow(), &link.1),
            Self::Full(full) => {
                full.below.iter().for_each(|(name, node)| each(name.borrow(), node));
            }
        }
    }

    pub(super) fn exactly(&self, path: &str) -> &[T] {
        let found = path.split('/').try_fold(self, |node, level| node.child(level));
        found.map_or(&[], Self::values)
    }

    pub(super) fn matching(&self, path: Path<'_>, each: &mut dyn FnMut(&T)) {
        self.open_end(each);
        let Some((level, rest)) = path.map(step) else {
            return self.values().iter().for_each(each);
        };
        for child in [self.child(level), self.child("+")].into_iter().flatten() {
            child.matching(rest, each);
        }
    }

    pub(super) fn covering(&self, path: Path<'_>, each: &mut dyn FnMut(&T)) {
        self.open_end(each);
        match path.map(step) {
            None => self.values().iter().for_each(each),
            Some(("#", _)) => {}
            Some((level, rest)) => {
                let same = self.child(level).filter(|_| level != "+");
                for child in [same, self.child("+")].into_iter().flatten() {
                    child.covering(rest, each);
                }
            }
        }
    }

    /// The values of `#` below this, which takes this level too.
    fn open_end(&self, each: &mut dyn FnMut(&T)) {
        if let Some(end) = self.child("#") {
            end.values().iter().for_each(each);
        }
    }

    pub(super) fn covered(&self, path: Path<'_>, each: &mut dyn FnMut(&T)) {
        match path.map(step) {
            None => self.values().iter().for_each(each),
            Some(("#", _)) => self.all(each),
            Some(("+", rest)) => self.each_child(&mut |level, child| {
                if level != b"#" {
                    child.covered(rest, each);
                }
            }),
            Some((level, rest)) => {
                self.child(level).inspect(|child| child.covered(rest, each));
            }
        }
    }

    pub(super) fn all(&self, each: &mut dyn FnMut(&T)) {
        self.values().iter().for_each(&mut *each);
        self.each_child(&mut |_, child| child.all(each));
    }

    /// An upper bound of the bytes that it takes, itself left out.
    #[cfg(test)]
    pub(super) fn bytes_max(&self) -> usize {
        /// The least that the standard library leaves in a node of its trees, and what such a node has room for.
        const ENTRIES: (usize, usize) = (5, 11);
        match self {
            Self::Empty | Self::Leaf(_) => 0,
            Self::Link(link) => size_of::<(Name, Self)>() + link.0.bytes() + link.1.bytes_max(),
            Self::Full(full) => {
                let node = 2 * size_of::<usize>() + ENTRIES.1 * size_of::<(Name, Self)>();
                let below = full.below.iter().map(|(name, node)| name.bytes() + node.bytes_max());
                size_of::<Full<T>>()
                    + full.values.capacity() * size_of::<T>()
                    + full.below.len().div_ceil(ENTRIES.0) * node
                    + below.sum::<usize>()
            }
        }
    }
}

impl Name {
    fn new(level: &str) -> Self {
        let mut short = heapless::String::new();
        match short.push_str(level) {
            Ok(()) => Self::Short(short),
            Err(_) => Self::Long(level.into()),
        }
    }

    fn is(&self, level: &str) -> bool {
        let name: &[u8] = self.borrow();
        name == level.as_bytes()
    }

    #[cfg(test)]
    fn bytes(&self) -> usize {
        match self {
            Self::Short(_) => 0,
            Self::Long(text) => text.len(),
        }
    }
}

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        match self {
            Self::Short(text) => text.as_bytes(),
            Self::Long(text) => text.as_bytes(),
        }
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        let (one, other): (&[u8], &[u8]) = (self.borrow(), other.borrow());
        one.cmp(other)
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Name {}
