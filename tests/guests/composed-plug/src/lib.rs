//! The half of the composed guest that offers series of readings as a resource. It keeps them in memory of its
//! own, and summaries in a key-value store; it knows nothing of MQTT.

mod bindings {
    wit_bindgen::generate!({
        path: ["../../../runner/wit", "../composed-wit"],
        world: "test:series/plug",
        generate_all,
    });
}

use bindings::exports::test::series::series::{
    Error, Guest, GuestSeries, Reading, Series as Handle, SeriesBorrow, Summary,
};
use bindings::fermyon::spin::key_value::Store;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};

const ABSOLUTE_ZERO_CELSIUS: f64 = -273.15;

static ALIVE: AtomicU32 = AtomicU32::new(0);

struct Component;

bindings::export!(Component with_types_in bindings);

struct Series {
    name: String,
    readings: RefCell<Vec<Reading>>,
}

impl Series {
    fn of(name: String, readings: Vec<Reading>) -> Self {
        ALIVE.fetch_add(1, Ordering::Relaxed);
        Self { name, readings: RefCell::new(readings) }
    }
}

impl Drop for Series {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::Relaxed);
        println!("dropped {}", self.name);
    }
}

impl GuestSeries for Series {
    fn new(name: String) -> Self {
        Self::of(name, Vec::new())
    }

    fn add(&self, readings: Vec<Reading>) -> Result<u32, Error> {
        for (index, reading) in (0..).zip(&readings) {
            if reading.celsius < ABSOLUTE_ZERO_CELSIUS {
                return Err(Error::Impossible((index, reading.celsius)));
            }
        }
        let mut all = self.readings.borrow_mut();
        all.extend(readings);
        Ok(count(&all))
    }

    fn summary(&self) -> Summary {
        let readings = self.readings.borrow();
        let degrees = || readings.iter().map(|reading| reading.celsius);
        let lowest = degrees().reduce(f64::min);
        let marks: BTreeSet<&String> = readings.iter().flat_map(|reading| &reading.marks).collect();
        Summary {
            name: self.name.clone(),
            count: count(&readings),
            range: lowest.zip(degrees().reduce(f64::max)),
            marks: marks.into_iter().cloned().collect(),
        }
    }

    fn join(name: String, parts: Vec<SeriesBorrow<'_>>) -> Handle {
        let readings = |part: &SeriesBorrow<'_>| part.get::<Self>().readings.borrow().clone();
        Handle::new(Self::of(name, parts.iter().flat_map(readings).collect()))
    }

    fn keep(series: Handle) -> Result<(), Error> {
        let summary = series.get::<Self>().summary();
        let line = format!("{} readings, {}", summary.count, summary.marks.join("+"));
        store()?.set(&summary.name, line.as_bytes()).map_err(storage)
    }
}

impl Guest for Component {
    type Series = Series;

    fn kept(name: String) -> Result<Option<String>, Error> {
        let value = store()?.get(&name).map_err(storage)?;
        Ok(value.map(|value| String::from_utf8_lossy(&value).into_owned()))
    }

    fn alive() -> u32 {
        ALIVE.load(Ordering::Relaxed)
    }
}

fn count(readings: &[Reading]) -> u32 {
    u32::try_from(readings.len()).unwrap_or(u32::MAX)
}

fn store() -> Result<Store, Error> {
    Store::open("default").map_err(storage)
}

fn storage(error: bindings::fermyon::spin::key_value::Error) -> Error {
    Error::Storage(format!("{error:?}"))
}
