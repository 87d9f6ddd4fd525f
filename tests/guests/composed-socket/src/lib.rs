//! The half of the composed guest that the trigger calls. It does what the last level of the topic says with
//! series of readings, which the other half keeps, and answers on `answer/<command>`.
//!
//! A reading is a line of the payload, `SENSOR CELSIUS [MARK[,MARK…]]`.
//!
//! | topic | payload | answer |
//! |---|---|---|
//! | `…/sum-up` | readings | a summary of them |
//! | `…/join` | readings | a summary of one series joined of one for each sensor |
//! | `…/keep` | readings | a summary, kept under the first sensor's name |
//! | `…/kept` | a sensor | what was kept under its name, or `none` |
//!
//! Each answer ends with how many series the other half still holds. Its errors are answered as `error: …`.

mod bindings {
    wit_bindgen::generate!({
        path: ["../../../runner/wit", "../composed-wit"],
        world: "test:series/socket",
        generate_all,
    });
}

use bindings::fermyon::spin::mqtt::{Connection, Qos};
use bindings::fermyon::spin::variables;
use bindings::test::series::series::{self, Reading, Series, Summary};
use bindings::{Error, Guest, Metadata, Payload};
use std::collections::BTreeMap;

struct Component;

bindings::export!(Component with_types_in bindings);

impl Guest for Component {
    fn handle_message(message: Payload, metadata: Metadata) -> Result<(), Error> {
        let command = metadata.topic.rsplit('/').next().unwrap_or_default();
        let text = String::from_utf8_lossy(&message);
        let answer = obey(command, &text).unwrap_or_else(|error| format!("error: {error:?}"));
        let answer = format!("{answer}; {} alive", series::alive());
        publish(&format!("answer/{command}"), &answer).map_err(Error::Other)
    }
}

fn obey(command: &str, text: &str) -> Result<String, series::Error> {
    let readings: Vec<Reading> = text.lines().map(reading).collect();
    let name = readings.first().map_or("nobody", |reading| &reading.sensor).to_owned();
    match command {
        "sum-up" => filled(&name, readings).map(|series| describe(&series.summary())),
        "join" => join(readings),
        "keep" => {
            let series = filled(&name, readings)?;
            let summary = series.summary();
            Series::keep(series)?;
            Ok(describe(&summary))
        }
        "kept" => Ok(series::kept(text)?.unwrap_or_else(|| "none".to_owned())),
        _ => Ok(format!("unknown command {command:?}")),
    }
}

fn reading(line: &str) -> Reading {
    let mut words = line.split(' ');
    let sensor = words.next().unwrap_or_default().to_owned();
    let celsius = words.next().and_then(|word| word.parse().ok()).unwrap_or(f64::NAN);
    let marks = words.next().map(|marks| marks.split(',').map(str::to_owned).collect());
    Reading { sensor, celsius, marks: marks.unwrap_or_default() }
}

fn filled(name: &str, readings: Vec<Reading>) -> Result<Series, series::Error> {
    let series = Series::new(name);
    series.add(&readings)?;
    Ok(series)
}

/// One series for each sensor, and one of them all; then all are dropped.
fn join(readings: Vec<Reading>) -> Result<String, series::Error> {
    let mut sensors: BTreeMap<String, Vec<Reading>> = BTreeMap::new();
    for reading in readings {
        sensors.entry(reading.sensor.clone()).or_default().push(reading);
    }
    let parts = sensors.into_iter().map(|(name, readings)| filled(&name, readings));
    let parts = parts.collect::<Result<Vec<Series>, _>>()?;
    let whole = Series::join("all", &parts.iter().collect::<Vec<&Series>>());
    Ok(format!("{} while {} alive", describe(&whole.summary()), series::alive()))
}

fn describe(summary: &Summary) -> String {
    let Summary { name, count, range, marks } = summary;
    let range = range.map_or("no range".to_owned(), |(low, high)| format!("{low} to {high}"));
    format!("{name}: {count}, {range}, [{}]", marks.join("+"))
}

fn publish(topic: &str, text: &str) -> Result<(), String> {
    let broker = variables::get("broker").map_err(|error| format!("{error:?}"))?;
    Connection::open(&broker, "", "", 30)
        .and_then(|connection| connection.publish(topic, text.as_bytes(), Qos::AtLeastOnce))
        .map_err(|error| format!("{error:?}"))
}
