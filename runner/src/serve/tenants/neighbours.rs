//! Apps beside each other: what of one no other may have as well, how they are, and what all of them take together.

use super::{Place, Row, Tenants};
use crate::files::board::Overcommit;
use crate::files::config::Bytes;
use crate::plan::{App, OverBudget};
use crate::serve::overview::{Overview, Used};
use crate::serve::runner::Runner;
use crate::serve::shop::Ware;

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

    /// Where nothing may be planned that does not fit at once: whether this app fits beside all others of the set.
    pub(super) fn check_sum(&self, name: &str, runner: &Runner) -> Result<(), String> {
        let board = &runner.app().board;
        if board.memory.overcommit == Overcommit::Admit {
            return Ok(());
        }
        let places = self.places();
        let others = places.iter().filter_map(|(other, place)| match place {
            Place::Taken(seat) if other != name => Some(seat.runner()),
            Place::Taken(_) | Place::Wrong(_) => None,
        });
        let apps = others.chain([runner]).map(|of| (&**of.app(), of.code_bytes()));
        match App::budget_of_all(board, apps).check() {
            Ok(_) => Ok(()),
            Err(OverBudget { budget }) => Err(format!(
                "the apps do not fit the board \"{}\" together: with {name} they need {}, the board grants {}, \
                 and its file says overcommit = \"none\" in [memory]",
                budget.board,
                Bytes(budget.total_bytes()),
                Bytes(budget.limit_bytes)
            )),
        }
    }

    /// How all of them are.
    pub fn rows(&self) -> Result<Vec<Row>, String> {
        let names = self.set.names()?;
        let places = self.places();
        let row = |name: String| {
            let (state, about) = match places.get(&name) {
                Some(Place::Taken(seat)) => seat.shown(),
                Some(Place::Wrong(error)) => ("wrong", error.clone()),
                // Somebody put it there by hand.
                None => ("stopped", String::new()),
            };
            Row { name, state, about }
        };
        Ok(names.into_iter().map(row).collect())
    }

    /// How the process is as a whole.
    pub fn overview(&self) -> Result<Overview, String> {
        let apps = self.set.names()?.len();
        let is_running = |place: &&Place| matches!(place, Place::Taken(seat) if seat.is_running());
        let running = self.places().values().filter(is_running).count();
        let instances = self.process.crew().ledger.account();
        let (code, code_max) = self.process.code_bytes();
        let (open, files_max) =
            self.process.desk().map_or((0, 0), |desk| (desk.open_files(), desk.files_max()));
        Ok(Overview {
            apps,
            running,
            instances_kib: Used {
                now: instances.in_use.into(),
                most: instances.most.into(),
                of: instances.all.unwrap_or(0).into(),
            },
            code_kib: Used { now: code / 1024, most: 0, of: code_max.unwrap_or(0) / 1024 },
            databases: Used { now: open as u64, most: 0, of: files_max as u64 },
            connections: self.links.all_links().len(),
        })
    }

    /// Removes copies of code that no app has any more.
    pub(super) fn tidy(&self) {
        let places = self.places();
        let seats = places.values().filter_map(|place| match place {
            Place::Taken(seat) => Some(seat),
            Place::Wrong(_) => None,
        });
        let wares: Vec<&Ware> = seats.flat_map(|seat| seat.runner().wares()).collect();
        self.process.keep_only(wares.into_iter());
    }
}
