//! Dead letters that somebody wants tried again: each goes back to its component's lane, as what it was, and is gone
//! only when it was handled.

use std::sync::Arc;

use pirn_triggers::mqtt::topic_matches;
use tokio::time::sleep;

use super::all::Lanes;
use super::event::Event;
use super::house::House;
use super::lanes::Entry;
use crate::happening::Happening;
use crate::limits::dispatch as limits;
use crate::plan::{App, TriggerPlan, TriggerPlanKind};
use crate::report::Report;
use crate::store::{Kept, StoreError};

/// Takes those that are marked, until none is. Dropped half-way, a letter in work is tried again after the next start.
pub(crate) async fn retry(lanes: Arc<Lanes>) {
    let Lanes { app, house, entries, .. } = &*lanes;
    while !house.is_stopping() {
        match house.store().take_retries(limits::LETTERS_TAKEN_MAX).await {
            Ok(letters) if letters.is_empty() => return,
            Ok(letters) => {
                for letter in letters {
                    let id = letter.id;
                    if let Err(why) = hand_over(app, house, entries, letter) {
                        give_back(house, id, why).await;
                    }
                }
            }
            Err(StoreError::Stopped) => return,
            Err(_) => sleep(limits::BURY_AGAIN_MAX).await,
        }
    }
}

fn hand_over(app: &App, house: &House, lanes: &[Entry], kept: Kept) -> Result<(), &'static str> {
    let component = kept.letter.component.clone();
    let settled = Arc::clone(house.settled());
    let event = Event::of_letter(kept, settled).ok_or("it is no event that can be run again")?;
    let place = app.components.iter().position(|plan| plan.id == component);
    let place = place.ok_or("the app no longer has its component")?;
    let fits = |(_, trigger): &(u32, &TriggerPlan)| {
        trigger.component == place && fires(app, trigger, &event)
    };
    let trigger = (0..).zip(&app.triggers).find(fits);
    let (number, _) = trigger.ok_or("the app no longer has its trigger")?;
    let lane = lanes.get(place).ok_or("the app no longer has its component")?;
    lane.offer(Arc::new(event), number);
    Ok(())
}

/// Whether an event could be of this trigger.
fn fires(app: &App, trigger: &TriggerPlan, event: &Event) -> bool {
    match (&trigger.kind, &event.what) {
        (TriggerPlanKind::Mqtt { topic, .. }, Happening::Message { .. }) => {
            topic_matches(topic.as_str(), &event.source)
        }
        (TriggerPlanKind::Gpio { input, .. }, Happening::Edge(_)) => {
            let line = app.pins.inputs.get(*input).map(|pin| &pin.options.line.name);
            line.is_some_and(|name| **name == *event.source)
        }
        (TriggerPlanKind::Timer { .. }, Happening::Tick)
        | (TriggerPlanKind::Cron { .. }, Happening::Time { .. }) => trigger.id == *event.source,
        _ => false,
    }
}

async fn give_back(house: &House, id: i64, why: &str) {
    if let Err(error) = house.store().letter_failed(id, 0, why.to_string()).await {
        let sentence = format!("dead letter {id} ({why}) cannot be put back: {error}");
        house.reporter().report(&Report::Warning(&sentence));
    }
}
