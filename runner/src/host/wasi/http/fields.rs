//! `resource fields`: the fields of a head or of trailers. Names are lower case, values are bytes; what only the connection
//! decides, a guest cannot write.

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, header};
use wasmtime::component::{ComponentType, Lift, Lower, Resource};

use super::{Door, Host, Interface};
use crate::engine::door::Answer;
use crate::engine::fault::Fault;
use crate::engine::wire::wire;
use crate::limits::http::{FIELD_OVERHEAD_BYTES, FIELDS_BYTES_MAX};

/// `resource fields`
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    map: HeaderMap,
    bytes: usize,
    /// They are another resource's: a guest only reads them.
    is_frozen: bool,
}

wire! {
    /// `variant header-error`, cases in the order of the WIT.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(variant)]
    pub(crate) enum HeaderError {
        #[component(name = "invalid-syntax")]
        InvalidSyntax,
        #[component(name = "forbidden")]
        Forbidden,
        #[component(name = "immutable")]
        Immutable,
    }
}

/// A field as a guest has it.
pub(crate) type Entry = (String, Vec<u8>);

/// What the connection decides.
fn is_forbidden(name: &HeaderName) -> bool {
    const MORE: [&str; 3] = ["keep-alive", "proxy-connection", "http2-settings"];
    [
        header::CONNECTION,
        header::HOST,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ]
    .contains(name)
        || MORE.contains(&name.as_str())
}

impl Fields {
    /// Of somebody else, to be read.
    pub(crate) fn frozen(map: HeaderMap) -> Self {
        Self { map, bytes: 0, is_frozen: true }
    }

    /// As they go over the wire.
    pub(crate) fn into_map(self) -> HeaderMap {
        self.map
    }

    /// The same for whoever copies them: to be written again.
    pub(crate) fn thawed(&self) -> Self {
        let bytes = self.map.iter().map(|(name, value)| size(name, value)).sum();
        Self { map: self.map.clone(), bytes, is_frozen: false }
    }

    /// All of them from a guest's list.
    pub(crate) fn of(entries: Vec<Entry>) -> Answer<Result<Self, HeaderError>> {
        let mut fields = Self::default();
        for (name, value) in entries {
            if let Err(error) = fields.append(&name, &value)? {
                return Ok(Err(error));
            }
        }
        Ok(Ok(fields))
    }

    /// All of them, for a guest.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let entry = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.as_str().to_owned(), value.as_bytes().to_vec())
        };
        self.map.iter().map(entry).collect()
    }

    pub(crate) fn get(&self, name: &str) -> Vec<Vec<u8>> {
        self.map.get_all(name).iter().map(|value| value.as_bytes().to_vec()).collect()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    /// The name, if a guest may write it.
    fn writable(&self, name: &str) -> Result<HeaderName, HeaderError> {
        if self.is_frozen {
            return Err(HeaderError::Immutable);
        }
        let name = HeaderName::from_bytes(name.as_bytes());
        let name = name.map_err(|_| HeaderError::InvalidSyntax)?;
        if is_forbidden(&name) { Err(HeaderError::Forbidden) } else { Ok(name) }
    }

    /// Takes the place of all of this name.
    pub(crate) fn set(
        &mut self,
        name: &str,
        values: &[Vec<u8>],
    ) -> Answer<Result<(), HeaderError>> {
        let readable = |value: &Vec<u8>| HeaderValue::from_bytes(value);
        if self.writable(name).is_ok() && values.iter().any(|value| readable(value).is_err()) {
            return Ok(Err(HeaderError::InvalidSyntax));
        }
        if let Err(error) = self.delete(name) {
            return Ok(Err(error));
        }
        for value in values {
            if let Err(error) = self.append(name, value)? {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    pub(crate) fn delete(&mut self, name: &str) -> Result<(), HeaderError> {
        let name = self.writable(name)?;
        let gone: usize = self.map.get_all(&name).iter().map(|value| size(&name, value)).sum();
        self.bytes = self.bytes.saturating_sub(gone);
        self.map.remove(name);
        Ok(())
    }

    /// One more. More than all may have end the guest.
    pub(crate) fn append(&mut self, name: &str, value: &[u8]) -> Answer<Result<(), HeaderError>> {
        let name = match self.writable(name) {
            Ok(name) => name,
            Err(error) => return Ok(Err(error)),
        };
        let Ok(value) = HeaderValue::from_bytes(value) else {
            return Ok(Err(HeaderError::InvalidSyntax));
        };
        self.bytes = self.bytes.saturating_add(size(&name, &value));
        if self.bytes > FIELDS_BYTES_MAX || self.map.try_append(name, value).is_err() {
            let sentence = format!("it wrote more than {FIELDS_BYTES_MAX} bytes of fields");
            return Fault::Limit(sentence).end();
        }
        Ok(Ok(()))
    }
}

fn size(name: &HeaderName, value: &HeaderValue) -> usize {
    name.as_str().len() + value.len() + FIELD_OVERHEAD_BYTES
}

type Handle = Resource<Fields>;
type Written = Answer<(Result<(), HeaderError>,)>;

pub(super) fn offer(types: &mut Interface<'_>) -> Answer<()> {
    offer_reading(types)?;
    types.at_once("[constructor]fields", |host: &Host, ()| Ok((host.push(Fields::default())?,)))?;
    types.at_once("[static]fields.from-list", |host: &Host, (entries,): (Vec<Entry>,)| {
        Ok((match Fields::of(entries)? {
            Ok(fields) => Ok(host.push(fields)?),
            Err(error) => Err(error),
        },))
    })?;
    types.at_once("[method]fields.has", |host: &Host, (fields, name): (Handle, String)| {
        Ok((host.with(&fields, |fields| fields.has(&name))?,))
    })?;
    types.at_once("[method]fields.set", set)?;
    types.at_once("[method]fields.delete", |host: &Host, (fields, name): (Handle, String)| {
        Ok((host.with(&fields, |fields| fields.delete(&name))?,))
    })?;
    types.at_once("[method]fields.append", append)
}

/// What every version of them has.
pub(super) fn offer_reading(types: &mut Interface<'_>) -> Answer<()> {
    types.resource::<Fields>("fields")?;
    types.at_once("[method]fields.get", |host: &Host, (fields, name): (Handle, String)| {
        Ok((host.with(&fields, |fields| fields.get(&name))?,))
    })?;
    types.at_once("[method]fields.entries", |host: &Host, (fields,): (Handle,)| {
        Ok((host.with(&fields, |fields| fields.entries())?,))
    })?;
    types.at_once("[method]fields.clone", |host: &Host, (fields,): (Handle,)| {
        let copy = host.with(&fields, |fields| fields.thawed())?;
        Ok((host.push(copy)?,))
    })
}

fn set(host: &Host, (fields, name, values): (Handle, String, Vec<Vec<u8>>)) -> Written {
    Ok((host.with(&fields, |fields| fields.set(&name, &values))??,))
}

fn append(host: &Host, (fields, name, value): (Handle, String, Vec<u8>)) -> Written {
    Ok((host.with(&fields, |fields| fields.append(&name, &value))??,))
}

/// Opens `wasi:http/types`.
pub(super) fn types(door: &mut Door) -> Answer<Interface<'_>> {
    super::super::interface(door, "http/types")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(entries: &[(&str, &str)]) -> Result<Fields, HeaderError> {
        let entry = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
        Fields::of(entries.iter().map(entry).collect()).unwrap()
    }

    #[test]
    fn fields_are_found_by_any_case_and_keep_all_values() {
        let mut fields = of(&[("X-A", "1"), ("x-b", "2"), ("x-a", "3")]).unwrap();
        assert_eq!(fields.get("x-A"), [b"1".to_vec(), b"3".to_vec()]);
        assert!(fields.has("X-B") && !fields.has("x-c") && !fields.has("no name"));
        fields.set("x-a", &[b"4".to_vec()]).unwrap().unwrap();
        fields.delete("x-b").unwrap();
        assert_eq!(fields.entries(), [("x-a".to_owned(), b"4".to_vec())]);
    }

    #[test]
    fn what_is_the_connections_and_what_is_no_field_is_refused() {
        for name in ["Connection", "host", "Transfer-Encoding", "keep-alive", "http2-settings"] {
            assert_eq!(of(&[(name, "x")]).unwrap_err(), HeaderError::Forbidden, "{name}");
        }
        for (name, value) in [("a b", "x"), ("", "x"), ("x", "a\r\nb: c"), ("x", "\0")] {
            assert_eq!(of(&[(name, value)]).unwrap_err(), HeaderError::InvalidSyntax, "{name}");
        }
        let mut kept = of(&[("x", "1")]).unwrap();
        assert_eq!(kept.set("x", &[b"a\nb".to_vec()]).unwrap(), Err(HeaderError::InvalidSyntax));
        assert_eq!(kept.get("x"), [b"1".to_vec()]);
    }

    #[test]
    fn fields_of_somebody_else_are_only_read_and_their_copy_is_written() {
        let mut frozen = Fields::frozen(of(&[("x", "1")]).unwrap().into_map());
        assert_eq!(frozen.append("x", b"2").unwrap(), Err(HeaderError::Immutable));
        assert_eq!(frozen.delete("x"), Err(HeaderError::Immutable));
        let mut copy = frozen.thawed();
        assert_eq!(copy.append("x", b"2").unwrap(), Ok(()));
        assert_eq!((frozen.get("x").len(), copy.get("x").len()), (1, 2));
    }

    #[test]
    fn fields_without_end_end_the_guest() {
        let mut fields = Fields::default();
        let ended = (0..100_000).find_map(|_| fields.append("x", b"1234567890").err());
        assert!(ended.is_some());
    }
}
