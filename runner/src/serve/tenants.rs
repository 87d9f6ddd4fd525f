//! Apps that come and go within one process. The set of apps is a folder: each entry is an app's folder, or a link to one,
//! and its name is the app's. So the set is what `ls` shows, and every change of it is one step of the file system's:
//! after a power cut it is there or it is not.
//!
//! Changes are made one after the other. One that fails leaves things as they were.

mod set;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pirn_triggers::gpio::Chips;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::log_files::LogFiles;
use super::readiness::check_folders;
use super::runner::{Runner, Until};
use super::shop::Process;
use super::tenant::{Claimed, Tenant};
use crate::plan::{App, AppFiles};
use crate::report::{Named, Report, Reporter};

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
    chips: Chips,
    reporter: Arc<MakeReporter>,
    /// One change at a time.
    turn: tokio::sync::Mutex<()>,
    seats: Mutex<BTreeMap<String, Seat>>,
}

/// How an app is.
enum Seat {
    Running {
        tenant: Arc<Tenant>,
        stop: oneshot::Sender<()>,
        task: JoinHandle<()>,
    },
    /// Why it does not run.
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
    /// The apps of a set; none of them runs yet.
    pub fn new(
        set: AppSet,
        states: PathBuf,
        files: AppFiles,
        process: Arc<Process>,
        chips: Chips,
        reporter: Arc<MakeReporter>,
    ) -> Arc<Self> {
        let (turn, seats) = (tokio::sync::Mutex::default(), Mutex::default());
        Arc::new(Self { set, states, files, process, chips, reporter, turn, seats })
    }

    /// Starts all that are not stopped. How many run, of how many; one that is wrong holds up nobody.
    pub async fn start_all(self: &Arc<Self>) -> Result<(usize, usize), String> {
        let _turn = self.turn.lock().await;
        let names = self.set.names()?;
        let mut running = 0;
        for name in names.iter().filter(|name| !self.is_stopped(name)) {
            running += usize::from(self.begin(name).await.is_ok());
        }
        Ok((running, names.len()))
    }

    /// Adds the app in this folder, under this name or its own, and starts it.
    pub async fn add(self: &Arc<Self>, path: &Path, name: Option<&str>) -> Result<String, String> {
        let _turn = self.turn.lock().await;
        let folder = set::folder(path)?;
        let name = match name {
            Some(name) => name.to_owned(),
            None => self.plan(&folder, "new")?.name,
        };
        set::check_name(&name)?;
        if self.set.has(&name) {
            return Err(format!(
                "there is an app {name} already: `replace` it, or give this one another name"
            ));
        }
        let tenant = self.load(&name, &folder)?;
        self.set.link(&name, &folder)?;
        self.set_stopped(&name, false)?;
        match self.seat(&name, tenant).await {
            Ok(()) => Ok(name),
            Err(error) => {
                self.forget(&name);
                self.set.unlink(&name)?;
                Err(error)
            }
        }
    }

    /// Stops an app and takes it out of the set. What it kept stays in its state folder.
    pub async fn remove(self: &Arc<Self>, name: &str) -> Result<(), String> {
        let _turn = self.turn.lock().await;
        self.set.check_link(name)?;
        self.end(name).await;
        self.set.unlink(name)?;
        self.set_stopped(name, false)
    }

    /// Starts an app that is stopped or was wrong.
    pub async fn start(self: &Arc<Self>, name: &str) -> Result<(), String> {
        let _turn = self.turn.lock().await;
        self.known(name)?;
        self.set_stopped(name, false)?;
        match self.is_running(name) {
            true => Ok(()),
            false => self.begin(name).await,
        }
    }

    /// Stops an app; it stays stopped over a restart.
    pub async fn stop(self: &Arc<Self>, name: &str) -> Result<(), String> {
        let _turn = self.turn.lock().await;
        self.known(name)?;
        self.set_stopped(name, true)?;
        self.end(name).await;
        Ok(())
    }

    /// Stops an app and starts it as its files are now.
    pub async fn restart(self: &Arc<Self>, name: &str) -> Result<(), String> {
        let _turn = self.turn.lock().await;
        self.known(name)?;
        // Held, so that it need not be loaded twice.
        let _checked = self.check(name, &self.set.path(name))?;
        self.end(name).await;
        self.set_stopped(name, false)?;
        self.begin(name).await
    }

    /// Puts another version in an app's place. It is loaded and checked first; then events that run end on the old one,
    /// what waits goes on with the new one, in order, and its data is what the old one left.
    pub async fn replace(self: &Arc<Self>, name: &str, path: &Path) -> Result<(), String> {
        let _turn = self.turn.lock().await;
        let folder = set::folder(path)?;
        self.set.check_link(name)?;
        let old = self.set.target(name)?;
        // Held, so that it need not be loaded twice.
        let _checked = self.check(name, &folder)?;
        self.end(name).await;
        let Err(error) = self.put(name, &folder).await else { return Ok(()) };
        let Err(again) = self.put(name, &old).await else { return Err(error) };
        self.say_wrong(name, again.clone());
        Err(format!("{error}; and the one before: {again}"))
    }

    /// Has a name lead to a folder, and lets what is there run.
    async fn put(self: &Arc<Self>, name: &str, folder: &Path) -> Result<(), String> {
        let tenant = self.load(name, folder)?;
        self.set.link(name, folder)?;
        self.set_stopped(name, false)?;
        self.seat(name, tenant).await
    }

    /// How all of them are.
    pub fn rows(&self) -> Result<Vec<Row>, String> {
        let names = self.set.names()?;
        let seats = self.seats();
        let row = |name: String| {
            let (state, about) = match seats.get(&name) {
                Some(Seat::Running { tenant, .. }) => ("running", tenant.runner().described()),
                Some(Seat::Wrong(error)) => ("wrong", error.clone()),
                None => ("stopped", String::new()),
            };
            Row { name, state, about }
        };
        Ok(names.into_iter().map(row).collect())
    }

    /// Where an app keeps its state, and its own control socket while it runs.
    pub fn state_dir(&self, name: &str) -> PathBuf {
        self.states.join(name)
    }

    /// Sets what all apps drive to its safe levels: the last act of a process that cannot go on.
    pub fn make_lines_safe(&self) {
        for seat in self.seats().values() {
            if let Seat::Running { tenant, .. } = seat {
                tenant.make_lines_safe();
            }
        }
    }

    /// Stops all of them, together; they are in the set as before.
    pub async fn close(self: &Arc<Self>) {
        let _turn = self.turn.lock().await;
        let seats = std::mem::take(&mut *self.seats());
        let mut tasks = Vec::new();
        for seat in seats.into_values() {
            if let Seat::Running { stop, task, .. } = seat {
                drop(stop);
                tasks.push(task);
            }
        }
        for task in tasks {
            let _ = task.await;
        }
    }

    fn known(&self, name: &str) -> Result<(), String> {
        match self.set.has(name) {
            true => Ok(()),
            false => Err(format!("there is no app {name}; `pirnd app list` shows those that are")),
        }
    }

    fn is_running(&self, name: &str) -> bool {
        let seats = self.seats();
        matches!(seats.get(name), Some(Seat::Running { .. }))
    }

    fn plan(&self, folder: &Path, name: &str) -> Result<App, String> {
        let files = AppFiles {
            manifest: folder.to_owned(),
            state_dir: Some(self.state_dir(name)),
            log_dir: self.files.log_dir.as_ref().map(|dir| dir.join(name)),
            ..self.files.clone()
        };
        App::load(&files).map_err(|error| error.to_string())
    }

    /// What of an app no other may have as well.
    fn check_neighbours(&self, name: &str, app: &App) -> Result<(), String> {
        let seats = self.seats();
        let others = seats.iter().filter(|(other, _)| *other != name);
        for (other, seat) in others {
            let Seat::Running { tenant, .. } = seat else { continue };
            let theirs = tenant.runner().app();
            if let Some(line) =
                app.pins.lines().find(|line| theirs.pins.lines().any(|held| held == *line))
            {
                return Err(format!("line {line} is held by the app {other}"));
            }
            let session = |app: &App| {
                let plan = app.broker.as_ref()?;
                Some((plan.address.clone(), plan.client_id.clone()?))
            };
            if let Some((_, id)) = session(app).filter(|own| Some(own) == session(theirs).as_ref())
            {
                return Err(format!(
                    "the client id {id} is the app {other}'s: two sessions under one name end each other"
                ));
            }
        }
        Ok(())
    }

    /// Whether an app could run here. What is loaded for that stays as long as the answer.
    fn check(&self, name: &str, folder: &Path) -> Result<Runner, String> {
        let app = self.plan(folder, name)?;
        check_folders(&app).map_err(|error| error.to_string())?;
        self.check_neighbours(name, &app)?;
        let reporter: Arc<dyn Reporter> = Arc::new(crate::report::Nobody);
        let runner = Runner::beside(app, Arc::clone(&self.process), reporter);
        let runner = runner.map_err(|error| error.to_string())?;
        runner.load_code().map_err(|error| error.to_string())?;
        runner.verify(&self.chips).map_err(|error| error.to_string())?;
        Ok(runner)
    }

    fn load(&self, name: &str, folder: &Path) -> Result<Tenant, String> {
        let app = self.plan(folder, name)?;
        check_folders(&app).map_err(|error| error.to_string())?;
        self.check_neighbours(name, &app)?;
        let files = app.log_dir.clone().map(LogFiles::new).transpose();
        let files = files.map_err(|error| format!("log folder: {error}"))?;
        let reporter: Arc<dyn Reporter> = Arc::new(Named::new(name, (self.reporter)(files)));
        let claimed = Claimed::claim(app, &*reporter).map_err(|error| error.to_string())?;
        for warning in claimed.app().warnings.iter().chain(&claimed.app().exposed()) {
            reporter.report(&Report::Warning(warning));
        }
        let process = Arc::clone(&self.process);
        claimed.load_beside(process, reporter).map_err(|error| error.to_string())
    }

    /// Loads an app of the set and lets it run. One that cannot is wrong from here on.
    async fn begin(self: &Arc<Self>, name: &str) -> Result<(), String> {
        match self.load(name, &self.set.path(name)) {
            Ok(tenant) => self.seat(name, tenant).await,
            Err(error) => {
                self.say_wrong(name, error.clone());
                Err(error)
            }
        }
    }

    /// Lets a loaded app run. Comes back when it is at work, or why it is not.
    async fn seat(self: &Arc<Self>, name: &str, tenant: Tenant) -> Result<(), String> {
        let tenant = Arc::new(tenant);
        let (stop, stopped) = oneshot::channel::<()>();
        let (begun, at_work) = oneshot::channel::<()>();
        let (tenants, name, running) = (Arc::clone(self), name.to_owned(), Arc::clone(&tenant));
        let place = name.clone();
        let task = tokio::spawn(async move {
            // Dropped is stopped, too.
            let stop = async { drop(stopped.await) };
            let ready = |_: &_| {
                let _ = begun.send(());
            };
            if let Err(error) = running.serve(&tenants.chips, ready, stop, Until::Stopped).await {
                tenants.say_wrong(&name, error.to_string());
            }
        });
        let seat = Seat::Running { tenant, stop, task };
        self.seats().insert(place.clone(), seat);
        let _ = at_work.await;
        match self.seats().get(&place) {
            Some(Seat::Wrong(error)) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    fn forget(&self, name: &str) {
        self.seats().remove(name);
    }

    fn seats(&self) -> MutexGuard<'_, BTreeMap<String, Seat>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops an app, if it runs, and waits until its state folder is free.
    async fn end(&self, name: &str) {
        let seat = self.seats().remove(name);
        if let Some(Seat::Running { stop, task, .. }) = seat {
            drop(stop);
            let _ = task.await;
        }
    }

    fn say_wrong(&self, name: &str, error: String) {
        let reporter = Named::new(name, (self.reporter)(None));
        reporter.report(&Report::Warning(&format!("does not run: {error}")));
        let mut seats = self.seats();
        seats.insert(name.to_owned(), Seat::Wrong(error));
    }

    fn is_stopped(&self, name: &str) -> bool {
        set::is_stopped(&self.state_dir(name))
    }

    fn set_stopped(&self, name: &str, stopped: bool) -> Result<(), String> {
        set::set_stopped(&self.state_dir(name), stopped)
    }
}
