//! Apps that come and go within one process. The set of apps is a folder: each entry is an app's folder, or a link to one,
//! and its name is the app's. So the set is what `ls` shows, and every change of it is one step of the file system's:
//! after a power cut it is there or it is not.
//!
//! Changes are made one after the other. One that fails leaves things as they were.

mod neighbours;
mod seat;
mod set;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pirn_triggers::gpio::Chips;
use tokio::task::{JoinSet, spawn_blocking};

use self::seat::{Seat, Work};
use super::control::Control;
use super::link::Links;
use super::log_files::LogFiles;
use super::runner::Runner;
use super::shop::Process;
use crate::limits::dispatch::FAREWELL_GRACE;
use crate::plan::{App, AppFiles};
use crate::report::{Named, Report, Reporter};
use crate::store::folder;

pub use set::AppSet;

/// Makes what takes the reports of an app, from where its log goes.
pub type MakeReporter = dyn Fn(Option<LogFiles>) -> Arc<dyn Reporter> + Send + Sync;

/// The apps of a process.
pub struct Tenants {
    set: AppSet,
    /// For each app its state folder below this.
    states: PathBuf,
    /// What the command line says of all of them.
    files: AppFiles,
    process: Arc<Process>,
    links: Links,
    chips: Chips,
    make_reporter: Arc<MakeReporter>,
    /// For all apps whose log has no files of its own.
    reporter: Arc<dyn Reporter>,
    /// One change at a time.
    turn: tokio::sync::Mutex<()>,
    places: Mutex<BTreeMap<String, Place>>,
}

/// Below the state folder: of each app, of each connection.
const STATES: &str = "state";
const SESSIONS: &str = "sessions";

/// An app of the set.
enum Place {
    Taken(Arc<Seat>),
    /// It could not even be loaded.
    Wrong(String),
}

/// How an app is, for those who ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name in the set.
    pub name: String,
    /// `running`, `stopped` or `wrong`.
    pub state: &'static str,
    /// Its components, or what is wrong.
    pub about: String,
}

impl Tenants {
    /// The apps of a set; none of them runs yet. `root` is the process's state folder, which is ours.
    pub fn new(
        set: AppSet,
        root: &Path,
        files: AppFiles,
        process: Arc<Process>,
        chips: Chips,
        make_reporter: Arc<MakeReporter>,
    ) -> Arc<Self> {
        let reporter = make_reporter(None);
        let (sessions, crew) = (root.join(SESSIONS), process.crew());
        Arc::new(Self {
            set,
            states: root.join(STATES),
            files,
            process,
            links: Links::new(sessions, crew, Arc::clone(&reporter)),
            chips,
            make_reporter,
            reporter,
            turn: tokio::sync::Mutex::default(),
            places: Mutex::default(),
        })
    }

    /// Starts all that are not stopped. How many run, of how many; one that is wrong holds up nobody.
    pub async fn start_all(&self) -> Result<(usize, usize), String> {
        let _turn = self.turn.lock().await;
        let names = self.set.names()?;
        // All have joined their connections before one of them is begun: what is subscribed is known at once.
        for name in &names {
            let place = match self.seated(name).await {
                Ok(seat) => {
                    seat.join();
                    Place::Taken(Arc::new(seat))
                }
                Err(error) => self.wrong(name, error),
            };
            self.places().insert(name.clone(), place);
        }
        let mut running = 0;
        for name in &names {
            let Some(seat) = self.seat(name) else { continue };
            match self.is_stopped(name) {
                true => seat.hold(Work::Stopped),
                false => match seat.connect(&self.chips).and_then(|outside| seat.begin(outside)) {
                    Ok(()) => running += 1,
                    Err(error) => self.hold_wrong(name, &seat, error),
                },
            }
        }
        for link in self.links.all_links() {
            // Of apps that are stopped, too: what comes for them is written down.
            if let Err(error) = link.start() {
                self.reporter.report(&Report::Warning(&error.to_string()));
            }
        }
        self.tidy();
        Ok((running, names.len()))
    }

    /// Adds the app in this folder, under this name or its own, and starts it.
    pub async fn add(&self, path: &Path, name: Option<&str>) -> Result<String, String> {
        let _turn = self.turn.lock().await;
        let folder = set::folder(path)?;
        let name = match name {
            Some(name) => name.to_owned(),
            None => self.manifest(&folder, "new")?.name,
        };
        set::check_name(&name)?;
        if self.set.has(&name) {
            return Err(format!(
                "there is an app {name} already: `replace` it, or give this one another name"
            ));
        }
        let runner = self.checked(&name, &folder).await?;
        self.set.link(&name, &folder)?;
        let put = match self.set_stopped(&name, false) {
            Ok(()) => self.put(&name, runner).await,
            Err(error) => Err(error),
        };
        if let Err(error) = put {
            self.take_out(&name).await?;
            return Err(error);
        }
        Ok(name)
    }

    /// Stops an app and takes it out of the set. What it kept stays in its state folder.
    pub async fn remove(&self, name: &str) -> Result<(), String> {
        let _turn = self.turn.lock().await;
        self.set.check_link(name)?;
        self.take_out(name).await?;
        self.set_stopped(name, false)
    }

    async fn take_out(&self, name: &str) -> Result<(), String> {
        if let Some(seat) = self.seat(name) {
            seat.rest().await;
            seat.go().await;
        }
        self.places().remove(name);
        self.set.unlink(name)?;
        self.links.drop_unused(FAREWELL_GRACE).await;
        self.tidy();
        Ok(())
    }

    /// Starts an app that is stopped or was wrong.
    pub async fn start(&self, name: &str) -> Result<(), String> {
        let _turn = self.turn.lock().await;
        self.known(name)?;
        self.set_stopped(name, false)?;
        match self.seat(name).is_some_and(|seat| seat.is_running()) {
            true => Ok(()),
            false => self.renew(name).await,
        }
    }

    /// Stops an app; it stays stopped over a restart. What comes for it is written down.
    pub async fn stop(&self, name: &str) -> Result<(), String> {
        let _turn = self.turn.lock().await;
        self.known(name)?;
        self.set_stopped(name, true)?;
        if let Some(seat) = self.seat(name).filter(|seat| seat.is_running()) {
            seat.rest().await;
            seat.hold(Work::Stopped);
        }
        Ok(())
    }

    /// Stops an app and starts it as its files are now.
    pub async fn restart(&self, name: &str) -> Result<(), String> {
        let _turn = self.turn.lock().await;
        self.known(name)?;
        self.renew(name).await?;
        self.set_stopped(name, false)
    }

    /// Puts another version in an app's place. It is loaded and checked first; then events that run end on the old one,
    /// what waits goes on with the new one, in order, and its data is what the old one left.
    pub async fn replace(&self, name: &str, path: &Path) -> Result<(), String> {
        let _turn = self.turn.lock().await;
        let folder = set::folder(path)?;
        self.set.check_link(name)?;
        let before = self.set.target(name)?;
        let runner = self.checked(name, &folder).await?;
        self.set.link(name, &folder)?;
        match self.put(name, runner).await {
            Ok(()) => {
                self.tidy();
                self.set_stopped(name, false)
            }
            Err(error) => {
                self.set.link(name, &before)?;
                self.again(name, error).await
            }
        }
    }

    /// Loads an app as its files are now, and lets it take its own place.
    async fn renew(&self, name: &str) -> Result<(), String> {
        let checked = self.checked(name, &self.set.path(name)).await;
        let runner = match (checked, self.seat(name)) {
            (Ok(runner), _) => runner,
            // It goes on as it was.
            (Err(error), Some(seat)) if seat.is_running() => return Err(error),
            (Err(error), Some(seat)) => {
                self.hold_wrong(name, &seat, error.clone());
                return Err(error);
            }
            (Err(error), None) => {
                let wrong = self.wrong(name, error.clone());
                self.places().insert(name.to_owned(), wrong);
                return Err(error);
            }
        };
        match self.put(name, runner).await {
            Ok(()) => Ok(()),
            Err(error) => self.again(name, error).await,
        }
    }

    /// A version could not take the place of the one before, for this reason: that one works again, if it can.
    async fn again(&self, name: &str, error: String) -> Result<(), String> {
        let Some(seat) = self.seat(name) else { return Err(error) };
        let back = match self.checked(name, &self.set.path(name)).await {
            Ok(runner) => self.put(name, runner).await,
            Err(why) => Err(why),
        };
        match back {
            Ok(()) => Err(error),
            Err(why) => {
                self.hold_wrong(name, &seat, why.clone());
                Err(format!("{error}; and the one before: {why}"))
            }
        }
    }

    /// Lets an app that was checked work, in the place of the version that is there. If it cannot, that one rests and
    /// has all that waits.
    async fn put(&self, name: &str, runner: Runner) -> Result<(), String> {
        let old = self.seat(name);
        let _kept = old.as_ref().and_then(|old| old.keep_gate());
        if let Some(old) = &old {
            old.rest().await;
            old.close().await;
        }
        let seat = Arc::new(Seat::new(runner, &self.links).await?);
        let outside = seat.connect(&self.chips)?;
        match &old {
            Some(old) => seat.replace(old),
            None => seat.join(),
        }
        self.places().insert(name.to_owned(), Place::Taken(Arc::clone(&seat)));
        let begun = seat.begin(outside);
        drop(old);
        self.links.drop_unused(FAREWELL_GRACE).await;
        begun
    }

    /// What an app is asked about itself.
    pub fn control(&self, name: &str) -> Result<Control, String> {
        self.known(name)?;
        match self.places().get(name) {
            Some(Place::Taken(seat)) => Ok(seat.control()),
            Some(Place::Wrong(error)) => Err(format!("{name} is wrong: {error}")),
            None => Err(format!("{name} is not started")),
        }
    }

    /// Where an app keeps its state.
    pub fn state_dir(&self, name: &str) -> PathBuf {
        self.states.join(name)
    }

    /// Sets what all apps drive to its safe levels: the last act of a process that cannot go on.
    pub fn make_lines_safe(&self) {
        for place in self.places().values() {
            if let Place::Taken(seat) = place {
                seat.make_lines_safe();
            }
        }
    }

    /// Stops all of them, together; they are in the set as before.
    pub async fn close(&self) {
        let _turn = self.turn.lock().await;
        let places = std::mem::take(&mut *self.places());
        let links = self.links.all_links();
        links.iter().for_each(|link| link.close());
        let mut resting = JoinSet::new();
        for place in places.into_values() {
            if let Place::Taken(seat) = place {
                resting.spawn(async move {
                    seat.rest().await;
                    seat.close().await;
                });
            }
        }
        while resting.join_next().await.is_some() {}
        for link in links {
            link.stop(FAREWELL_GRACE).await;
        }
    }

    fn known(&self, name: &str) -> Result<(), String> {
        match self.set.has(name) {
            true => Ok(()),
            false => Err(format!("there is no app {name}; `pirnd app list` shows those that are")),
        }
    }

    fn seat(&self, name: &str) -> Option<Arc<Seat>> {
        match self.places().get(name) {
            Some(Place::Taken(seat)) => Some(Arc::clone(seat)),
            _ => None,
        }
    }

    /// An app under its name in the set: two may be of one manifest, and nothing of one is the other's.
    fn plan(&self, folder: &Path, name: &str) -> Result<App, String> {
        Ok(App { name: name.to_owned(), ..self.manifest(folder, name)? })
    }

    /// An app under the name that its manifest gives it.
    fn manifest(&self, folder: &Path, name: &str) -> Result<App, String> {
        let files = AppFiles {
            manifest: folder.to_owned(),
            state_dir: Some(self.state_dir(name)),
            log_dir: self.files.log_dir.as_ref().map(|dir| dir.join(name)),
            ..self.files.clone()
        };
        App::load(&files).map_err(|error| error.to_string())
    }

    /// An app of the set, as far as that goes without its code.
    async fn seated(&self, name: &str) -> Result<Seat, String> {
        let runner = self.runner(name, &self.set.path(name))?;
        Seat::new(runner, &self.links).await
    }

    /// An app that could run here: its code was loaded for that.
    async fn checked(&self, name: &str, folder: &Path) -> Result<Runner, String> {
        let runner = self.runner(name, folder)?;
        // Read, hashed, copied: not on the loop, where other apps have their events.
        let loaded = spawn_blocking(move || runner.load_code().map(|()| runner)).await;
        let loaded = loaded.map_err(|error| error.to_string())?;
        let runner = loaded.map_err(|error| error.to_string())?;
        runner.verify(&self.chips).map_err(|error| error.to_string())?;
        Ok(runner)
    }

    fn runner(&self, name: &str, folder: &Path) -> Result<Runner, String> {
        let app = self.plan(folder, name)?;
        // Somebody may run it there with `pirnd up`.
        folder::check_free(&app.state_dir).map_err(|error| error.to_string())?;
        self.check_neighbours(name, &app)?;
        let reporter = match app.log_dir.clone() {
            None => Arc::clone(&self.reporter),
            Some(dir) => {
                let files = LogFiles::new(dir).map_err(|error| format!("log folder: {error}"))?;
                (self.make_reporter)(Some(files))
            }
        };
        let reporter: Arc<dyn Reporter> = Arc::new(Named::new(name, reporter));
        for warning in app.warnings.iter().chain(&app.exposed()) {
            reporter.report(&Report::Warning(warning));
        }
        let runner = Runner::beside(app, Arc::clone(&self.process), reporter);
        let runner = runner.map_err(|error| error.to_string())?;
        self.check_sum(name, &runner)?;
        runner.check_room().map_err(|error| error.to_string())?;
        Ok(runner)
    }

    fn hold_wrong(&self, name: &str, seat: &Seat, error: String) {
        self.say_wrong(name, &error);
        seat.hold(Work::Wrong(error));
    }

    fn wrong(&self, name: &str, error: String) -> Place {
        self.say_wrong(name, &error);
        Place::Wrong(error)
    }

    fn say_wrong(&self, name: &str, error: &str) {
        let reporter = Named::new(name, Arc::clone(&self.reporter));
        reporter.report(&Report::Warning(&format!("does not run: {error}")));
    }

    fn places(&self) -> MutexGuard<'_, BTreeMap<String, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopped(&self, name: &str) -> bool {
        set::is_stopped(&self.state_dir(name))
    }

    fn set_stopped(&self, name: &str, stopped: bool) -> Result<(), String> {
        set::set_stopped(&self.state_dir(name), stopped)
    }
}
