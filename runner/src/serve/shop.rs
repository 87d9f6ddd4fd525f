//! The shop: code for all apps of a process. A component is loaded once, whoever uses it, and gone when nobody does;
//! engines, with their places for instances, are made once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::loading::LoadAppError;
use crate::engine::artifact::{ArtifactError, digest};
use crate::engine::compiled::{Pool, StartError};
use crate::engine::config::Code;
use crate::engine::private::Private;
use crate::engine::{Engine, interpreted};
use crate::files::board::Board;
use crate::flow::crew::Crew;
use crate::host::{self, Component, Host};
use crate::plan::App;
use crate::plan::bundle::LockedArtifact;

/// What the apps of a process have in common.
pub struct Process {
    shop: Mutex<Shop>,
    /// As many hands as there may be instances.
    crew: Arc<Crew>,
    /// Where the process keeps what is not one app's; `None`: with the app.
    state_dir: Option<PathBuf>,
}

impl Process {
    /// For one app: places for instances are as large as its largest memory.
    pub fn for_app(app: &App) -> Arc<Self> {
        let memories = app.components.iter().map(|plan| plan.limits.memory_bytes_max);
        Self::with_memories(&app.board, memories.max().unwrap_or(0), None)
    }

    /// For any number of apps on this board: places are as large as a component may ask for.
    pub fn for_board(board: &Board, state_dir: &Path) -> Arc<Self> {
        let state_dir = Some(state_dir.to_owned());
        Self::with_memories(board, board.component.memory_bytes.max, state_dir)
    }

    fn with_memories(
        board: &Board,
        memory_bytes_max: u64,
        state_dir: Option<PathBuf>,
    ) -> Arc<Self> {
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let pool = Pool {
            instances: board.instances_max,
            memory_bytes_max: size(memory_bytes_max),
            stack_bytes: size(board.memory.stack_bytes),
        };
        Arc::new(Self {
            shop: Mutex::new(Shop::new(pool)),
            crew: Crew::new(board.instances_max),
            state_dir,
        })
    }

    pub(super) fn crew(&self) -> Arc<Crew> {
        Arc::clone(&self.crew)
    }

    pub(super) fn state_dir(&self) -> Option<&Path> {
        self.state_dir.as_deref()
    }

    /// The component that is loaded from there. `private` is where the app keeps its own copy of compiled code.
    pub(super) fn component(
        &self,
        origin: Origin,
        private: &mut Private,
    ) -> Result<Arc<Component>, LoadAppError> {
        self.shop.lock().unwrap_or_else(PoisonError::into_inner).component(origin, private)
    }
}

/// What a component is loaded from.
pub(super) enum Origin {
    /// An artifact of the lock file's, with its path.
    Artifact(PathBuf, LockedArtifact),
    /// The component itself. It is checked like any input, so nobody has to vouch for it.
    Component(PathBuf),
}

struct Shop {
    compiled: Vec<Engine<Host>>,
    interpreted: Option<interpreted::Engine<Host>>,
    pool: Pool,
    /// By digest: components made from the same bytes are the same.
    loaded: BTreeMap<String, Weak<Component>>,
}

impl Shop {
    fn new(pool: Pool) -> Self {
        Self { compiled: Vec::new(), interpreted: None, pool, loaded: BTreeMap::new() }
    }

    fn component(
        &mut self,
        origin: Origin,
        private: &mut Private,
    ) -> Result<Arc<Component>, LoadAppError> {
        self.loaded.retain(|_, code| code.strong_count() > 0);
        let (key, code) = match origin {
            Origin::Artifact(path, artifact) => {
                // Looked at in any case: an app keeps its own copy, and an altered file is an error.
                let file = private.open(&path, &artifact.sha256)?;
                if let Some(code) = self.known(&artifact.sha256) {
                    return Ok(code);
                }
                let compiled = self.compiled(artifact.code)?.load(&file);
                let compiled = compiled.map_err(|error| LoadAppError::Load { path, error })?;
                (artifact.sha256, Component::Compiled(compiled))
            }
            Origin::Component(path) => {
                let bytes = std::fs::read(&path).map_err(|error| unreadable(&path, error))?;
                let key = digest(&mut &*bytes).map_err(|error| unreadable(&path, error))?;
                if let Some(code) = self.known(&key) {
                    return Ok(code);
                }
                let loaded = self.interpreted()?.load(&bytes);
                let loaded = loaded.map_err(|error| LoadAppError::Interpret { path, error })?;
                (key, Component::Interpreted(loaded))
            }
        };
        let code = Arc::new(code);
        self.loaded.insert(key, Arc::downgrade(&code));
        Ok(code)
    }

    fn known(&self, key: &str) -> Option<Arc<Component>> {
        self.loaded.get(key).and_then(Weak::upgrade)
    }

    fn compiled(&mut self, code: Code) -> Result<&Engine<Host>, StartError> {
        let index = match self.compiled.iter().position(|engine| engine.code() == code) {
            Some(index) => index,
            None => {
                self.compiled.push(Engine::start(code, self.pool, host::offer)?);
                self.compiled.len() - 1
            }
        };
        Ok(&self.compiled[index])
    }

    fn interpreted(&mut self) -> Result<&interpreted::Engine<Host>, StartError> {
        let engine = match self.interpreted.take() {
            Some(engine) => engine,
            None => interpreted::Engine::with_stack(self.pool.stack_bytes, host::offer)
                .map_err(StartError::Engine)?,
        };
        Ok(self.interpreted.insert(engine))
    }
}

fn unreadable(path: &Path, error: std::io::Error) -> ArtifactError {
    ArtifactError::Unreadable { path: path.display().to_string(), error }
}
