//! An app from its plan to its end, the same for all who run one: the board's runner and the workbench. Its state folder
//! comes first: a second process there would write to the first one's files.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pirn_triggers::gpio::{Chips, Outputs};
use tokio::time::timeout;

use super::control::{Control, ControlSocket};
use super::loading::LoadAppError;
use super::runner::{Outside, Runner, Until};
use super::shop::Process;
use super::status::Source;
use crate::limits::dispatch::STORE_CLOSE_GRACE;
use crate::plan::App;
use crate::report::{Report, Reporter};
use crate::store::folder::{ClaimError, StateFolder};

/// An app whose state folder is ours. Nothing of it is opened or loaded.
pub struct Claimed {
    app: App,
    folder: StateFolder,
}

/// An app that is loaded and about to work, alone in its state folder.
pub struct Tenant {
    runner: Runner,
    reporter: Arc<dyn Reporter>,
    folder: StateFolder,
    /// The lines that it drives, while it runs.
    outputs: Mutex<Option<Outputs>>,
}

impl Claimed {
    /// Takes the app's state folder.
    pub fn claim(app: App, reporter: &dyn Reporter) -> Result<Self, ClaimError> {
        let folder = StateFolder::claim(&app.state_dir, reporter)?;
        Ok(Self { app, folder })
    }

    /// The plan.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Loads everything that the plan names.
    pub fn load(self, reporter: Arc<dyn Reporter>) -> Result<Tenant, LoadAppError> {
        let Self { app, folder } = self;
        let runner = Runner::load(app, Arc::clone(&reporter))?;
        Ok(Tenant { runner, reporter, folder, outputs: Mutex::default() })
    }

    /// The same beside other apps of the process.
    pub fn load_beside(
        self,
        process: Arc<Process>,
        reporter: Arc<dyn Reporter>,
    ) -> Result<Tenant, LoadAppError> {
        let Self { app, folder } = self;
        let runner = Runner::beside(app, process, Arc::clone(&reporter))?;
        Ok(Tenant { runner, reporter, folder, outputs: Mutex::default() })
    }
}

impl Tenant {
    /// The loaded app.
    pub fn runner(&self) -> &Runner {
        &self.runner
    }

    /// Whoever watches it.
    pub fn reporter(&self) -> &Arc<dyn Reporter> {
        &self.reporter
    }

    /// Runs until `stop` is done, or as `until` says. It can be asked how it is before it is connected to anything;
    /// `ready` is called when it is at work, and what that returns is held until outputs are safe and sessions over.
    pub async fn serve<Held>(
        &self,
        chips: &Chips,
        ready: impl FnOnce(&Outside) -> Held,
        stop: impl Future<Output = ()>,
        until: Until,
    ) -> Result<(), LoadAppError> {
        let Self { runner, reporter, folder, .. } = self;
        let socket = ControlSocket::bind(folder);
        let outside = runner.connect(chips)?;
        let lanes = Arc::new(runner.lanes().await);
        let status = Source::new(runner, &outside, &lanes);
        let control = Arc::new(Control {
            status,
            store: runner.store().clone(),
            lanes: Some(Arc::clone(&lanes)),
        });
        let told = match socket {
            Ok(socket) => Some(tokio::spawn(socket.serve(control))),
            Err(error) => {
                reporter.report(&Report::Warning(&format!("no control socket: {error}")));
                None
            }
        };
        *self.outputs() = Some(outside.outputs().clone());
        let held = ready(&outside);
        runner.run(outside, &lanes, stop, until).await;
        // What is in its log is folded back, so that the next start has nothing to recover.
        if timeout(STORE_CLOSE_GRACE, runner.store().close()).await.is_err() {
            let sentence =
                "the store takes long to close; what was answered is on the disk all the same";
            reporter.report(&Report::Warning(sentence));
        }
        if let Some(told) = told {
            told.abort();
        }
        drop(held);
        *self.outputs() = None;
        Ok(())
    }

    /// Sets what it drives to its safe levels: the last act of a process that cannot go on.
    pub fn make_lines_safe(&self) {
        if let Some(outputs) = &*self.outputs() {
            outputs.stop();
        }
    }

    fn outputs(&self) -> MutexGuard<'_, Option<Outputs>> {
        self.outputs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
