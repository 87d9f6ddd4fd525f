//! `resource request-options` of `wasi:http/types@0.3`: how long a guest waits for an answer to its own request.

use std::time::Duration;

use pirn_triggers::net::http::Timeouts;
use wasmtime::component::{ComponentType, Lift, Lower, Resource};

use super::{Host, Interface};
use crate::engine::door::Answer;
use crate::engine::wire::wire;

/// Times in nanoseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestOptions {
    times: [Option<u64>; 3],
    /// They are a request's: a guest only reads them.
    is_frozen: bool,
}

impl RequestOptions {
    /// How long things may take, as usual where nothing is said.
    pub(super) fn timeouts(&self) -> Timeouts {
        let usual = Timeouts::default();
        let of = |time: Option<u64>, usual| time.map_or(usual, Duration::from_nanos);
        let [connect, first_byte, between_bytes] = self.times;
        Timeouts {
            connect: of(connect, usual.connect),
            first_byte: of(first_byte, usual.first_byte),
            between_bytes: of(between_bytes, usual.between_bytes),
        }
    }

    /// Of somebody else, to be read.
    pub(super) fn frozen(&self) -> Self {
        Self { is_frozen: true, ..self.clone() }
    }
}

wire! {
    /// `variant request-options-error`, cases in the order of the WIT.
    #[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(variant)]
    enum OptionsError {
        #[component(name = "not-supported")]
        NotSupported,
        #[component(name = "immutable")]
        Immutable,
        #[component(name = "other")]
        Other(Option<String>),
    }
}

type Options = Resource<RequestOptions>;
type Set = Answer<(Result<(), OptionsError>,)>;

pub(super) fn offer(types: &mut Interface<'_>) -> Answer<()> {
    types.resource::<RequestOptions>("request-options")?;
    types.at_once("[constructor]request-options", |host: &Host, ()| {
        Ok((host.push(RequestOptions::default())?,))
    })?;
    types.at_once("[method]request-options.get-connect-timeout", get::<0>)?;
    types.at_once("[method]request-options.set-connect-timeout", set::<0>)?;
    types.at_once("[method]request-options.get-first-byte-timeout", get::<1>)?;
    types.at_once("[method]request-options.set-first-byte-timeout", set::<1>)?;
    types.at_once("[method]request-options.get-between-bytes-timeout", get::<2>)?;
    types.at_once("[method]request-options.set-between-bytes-timeout", set::<2>)?;
    types.at_once("[method]request-options.clone", |host: &Host, (options,): (Options,)| {
        let copy =
            host.with(&options, |options| RequestOptions { is_frozen: false, ..options.clone() })?;
        Ok((host.push(copy)?,))
    })
}

fn get<const WHICH: usize>(host: &Host, (options,): (Options,)) -> Answer<(Option<u64>,)> {
    Ok((host.with(&options, |options| options.times[WHICH])?,))
}

fn set<const WHICH: usize>(host: &Host, (options, ns): (Options, Option<u64>)) -> Set {
    Ok((host.with(&options, |options| match options.is_frozen {
        true => Err(OptionsError::Immutable),
        false => {
            options.times[WHICH] = ns;
            Ok(())
        }
    })?,))
}
