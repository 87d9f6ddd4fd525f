//! What of an app no other of the process may have as well.

use super::{Place, Tenants};
use crate::plan::App;

impl Tenants {
    /// Lines that another app holds, and another's name with a broker, are refused with its name.
    pub(super) fn check_neighbours(&self, name: &str, app: &App) -> Result<(), String> {
        let session = |app: &App| {
            let plan = app.broker.as_ref()?;
            Some((plan.address.clone(), plan.client_id.clone()?))
        };
        let own = session(app);
        if own.is_none() && app.pins.lines().next().is_none() {
            return Ok(());
        }
        let places = self.places();
        for (other, place) in places.iter().filter(|(other, _)| *other != name) {
            let Place::Taken(seat) = place else { continue };
            let theirs = seat.app();
            if let Some(line) =
                app.pins.lines().find(|line| theirs.pins.lines().any(|held| held == *line))
            {
                return Err(format!("line {line} is held by the app {other}"));
            }
            if let Some((_, id)) = own.as_ref().filter(|own| Some(*own) == session(theirs).as_ref())
            {
                return Err(format!(
                    "the client id {id} is the app {other}'s: two sessions under one name end each other"
                ));
            }
        }
        Ok(())
    }
}
