//! An app from its plan to its end, the same for all who run one: the board's runner and the workbench. Its state folder
//! comes first: a second process there would write to the first one's files.

use std::future::Future;
use std::sync::Arc;

use pirn_triggers::gpio::Chips;

use super::at_work::Outside;
use super::control::{Control, ControlSocket};
use super::loading::LoadAppError;
use super::runner::{Runner, Until};
use super::status::{Seen, Source};
use crate::limits::dispatch::FAREWELL_GRACE;
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
        Ok(Tenant { runner, reporter, folder })
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

    /// Runs until `stop` is done, or as `until` says; an app that has nothing but commands, until they have run. It can be asked how it is before it is connected to anything;
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
        let link = runner.link()?;
        let outside = runner.connect(chips, link.clone())?;
        let lanes = Arc::new(runner.lanes().await);
        let status = Source::new(runner, &Seen::of(&outside), &lanes);
        let store = runner.store().clone();
        let control = Arc::new(Control { status, store, lanes: Some(Arc::clone(&lanes)) });
        let told = match socket {
            Ok(socket) => Some(tokio::spawn(socket.serve(control))),
            Err(error) => {
                reporter.report(&Report::Warning(&format!("no control socket: {error}")));
                None
            }
        };
        let held = ready(&outside);
        if let Some(link) = &link {
            link.join(&lanes);
        }
        let at_work = runner.begin(outside, &lanes)?;
        let first_event = async {
            match until {
                Until::OneEvent => runner.process().crew().settled.notified().await,
                Until::Stopped => runner.commands_alone_ended().await,
            }
        };
        let over = async {
            match &link {
                Some(link) => link.over().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop => {}
            () = first_event => {}
            () = over => {}
        }
        if let Some(link) = &link {
            link.close();
        }
        runner.rest(at_work, &lanes).await;
        if let Some(link) = &link {
            link.stop(FAREWELL_GRACE).await;
        }
        runner.close_store().await;
        if let Some(told) = told {
            told.abort();
        }
        drop(held);
        Ok(())
    }
}
