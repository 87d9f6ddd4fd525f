//! The shop: code for all apps of a process. A component is loaded when it is first needed, once, whoever uses it; it
//! stays at hand until others need its place. Engines, with their places for instances, are made once.

mod ware;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Semaphore;

use self::ware::Goods;
pub(super) use self::ware::{Origin, Ware};
use super::gate::Addresses;
use super::loading::LoadAppError;
use super::readiness::schedule_of;
use crate::engine::compiled::{Pool, StartError};
use crate::engine::private::Private;
use crate::engine::{Engine, config, interpreted};
use crate::files::board::{Board, BoardMemory, Overcommit};
use crate::flow::clock::Clock;
use crate::flow::crew::Crew;
use crate::flow::ledger::Ledger;
use crate::flow::unit::Loaded;
use crate::host::{self, Component, Host};
use crate::limits::serve::{CODE_SHARE, LOADS_MAX};
use crate::limits::store;
use crate::plan::App;
use crate::plan::bundle::LockedArtifact;
use crate::report::Reporter;
use crate::store::Desk;

/// What the apps of a process have in common.
pub struct Process {
    shop: Mutex<Shop>,
    /// Our own copies of compiled code.
    private: Private,
    /// As many hands as there may be instances.
    crew: Arc<Crew>,
    /// Where the process keeps what is not one app's.
    state_dir: PathBuf,
    /// More than one app may be here.
    is_shared: bool,
    /// Where all apps have their files, if there is more than one.
    desk: Option<Arc<Desk>>,
    /// Threads that may load code at the same time.
    loads: Arc<Semaphore>,
    /// Where its apps take requests.
    addresses: Arc<Addresses>,
    /// For the timers of all apps; there since one had any.
    clock: Mutex<Option<Arc<Clock>>>,
}

/// How many databases may be open.
fn files_max(board: &Board) -> usize {
    let files = board.memory.budget_bytes / store::OPEN_FILE_SHARE_BYTES;
    usize::try_from(files).unwrap_or(usize::MAX).clamp(store::OPEN_FILES_MIN, store::OPEN_FILES_MAX)
}

/// What is set aside for code, and whether all of it stays once it was loaded.
struct Code {
    bytes: u64,
    stays: bool,
}

/// Whether anything may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Apps are to run.
    Run,
    /// Somebody only wants to know what is wrong.
    Look,
}

impl Process {
    /// For one app, whose code takes so much and stays: places for instances are as large as its largest memory.
    pub fn for_app(app: &App, code_bytes: u64, purpose: Purpose) -> Arc<Self> {
        let memories = app.components.iter().map(|plan| plan.limits.memory_bytes_max);
        let largest = memories.max().unwrap_or(0);
        let code = Code { bytes: code_bytes, stays: true };
        Self::new(&app.board, largest, code, (&app.state_dir, purpose, false))
    }

    /// For any number of apps on this board: places are as large as a component may ask for, and a quarter of what
    /// the runner itself does not need is for code; all of it stays where all was counted before.
    pub fn for_board(board: &Board, state_dir: &Path) -> Arc<Self> {
        let BoardMemory { budget_bytes, host_bytes, overcommit, .. } = board.memory;
        let bytes = budget_bytes.saturating_sub(host_bytes) / CODE_SHARE;
        let code = Code { bytes, stays: overcommit == Overcommit::None };
        let largest = board.component.memory_bytes.max;
        Self::new(board, largest, code, (state_dir, Purpose::Run, true))
    }

    fn new(
        board: &Board,
        memory_bytes_max: u64,
        code: Code,
        (state_dir, purpose, is_shared): (&Path, Purpose, bool),
    ) -> Arc<Self> {
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let pool = Pool {
            instances: board.instances_max,
            memory_bytes_max: size(memory_bytes_max),
            stack_bytes: size(board.memory.stack_bytes),
        };
        let BoardMemory { budget_bytes, host_bytes, overcommit, .. } = board.memory;
        let for_instances = budget_bytes.saturating_sub(host_bytes.saturating_add(code.bytes));
        let ledger = Ledger::new((overcommit == Overcommit::Admit).then_some(for_instances));
        let private = match purpose {
            Purpose::Run => Private::kept_in(state_dir),
            Purpose::Look => Private::looked_up_in(state_dir),
        };
        Arc::new(Self {
            shop: Mutex::new(Shop::new(pool, if code.stays { u64::MAX } else { code.bytes })),
            private,
            crew: Crew::new(board.instances_max, ledger),
            state_dir: state_dir.to_owned(),
            is_shared,
            desk: is_shared.then(|| Desk::new(files_max(board))),
            loads: Arc::new(Semaphore::new(LOADS_MAX)),
            addresses: Arc::default(),
            clock: Mutex::default(),
        })
    }

    pub(super) fn crew(&self) -> Arc<Crew> {
        Arc::clone(&self.crew)
    }

    /// Which app takes requests where.
    pub(super) fn addresses(&self) -> &Arc<Addresses> {
        &self.addresses
    }

    /// The clock of all apps, started by the first that needs it.
    pub(super) fn clock(
        &self,
        app: &App,
        reporter: &Arc<dyn Reporter>,
    ) -> Result<Arc<Clock>, LoadAppError> {
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(clock) = &*clock {
            return Ok(Arc::clone(clock));
        }
        let schedule = schedule_of(Vec::new(), &app.board, reporter)?;
        Ok(Arc::clone(clock.insert(Clock::start(schedule, Arc::clone(&self.crew.settled)))))
    }

    /// What code takes that is at hand, and may take; `None` if all of it stays.
    pub(super) fn code_bytes(&self) -> (u64, Option<u64>) {
        let shop = self.shop();
        (shop.bytes, (shop.bytes_max != u64::MAX).then_some(shop.bytes_max))
    }

    pub(super) fn desk(&self) -> Option<Arc<Desk>> {
        self.desk.clone()
    }

    pub(super) fn is_shared(&self) -> bool {
        self.is_shared
    }

    pub(super) fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// Removes copies of code that is none of these wares'.
    pub(super) fn keep_only<'a>(&self, wares: impl Iterator<Item = &'a Ware>) {
        self.private.keep_only(&wares.filter_map(Ware::digest).collect());
    }

    fn shop(&self) -> MutexGuard<'_, Shop> {
        self.shop.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Shop {
    compiled: Vec<Engine<Host>>,
    interpreted: Option<interpreted::Engine<Host>>,
    pool: Pool,
    /// By digest: components made from the same bytes are the same.
    known: BTreeMap<String, Weak<Component>>,
    /// What is at hand, with what it takes, in the order in which [`Shop::keep`] looks.
    at_hand: VecDeque<(Arc<Loaded>, u64)>,
    bytes: u64,
    bytes_max: u64,
}

impl Shop {
    fn new(pool: Pool, bytes_max: u64) -> Self {
        Self {
            compiled: Vec::new(),
            interpreted: None,
            pool,
            known: BTreeMap::new(),
            at_hand: VecDeque::new(),
            bytes: 0,
            bytes_max,
        }
    }

    /// Keeps code at hand, and lets go of other code while that is too much: of what nobody runs, and nobody wanted
    /// since it was looked at last.
    fn keep(&mut self, loaded: &Arc<Loaded>, bytes: u64) {
        self.at_hand.push_back((Arc::clone(loaded), bytes));
        self.bytes += bytes;
        for _ in 0..2 * self.at_hand.len() {
            if self.bytes <= self.bytes_max {
                break;
            }
            let Some((oldest, its)) = self.at_hand.pop_front() else { break };
            match Arc::strong_count(&oldest) > 1 || oldest.used.swap(false, Relaxed) {
                true => self.at_hand.push_back((oldest, its)),
                false => self.bytes -= its,
            }
        }
        let known = &mut self.known;
        if known.len() > 2 * self.at_hand.len() {
            known.retain(|_, component| component.strong_count() > 0);
        }
    }

    fn let_go(&mut self, loaded: &Arc<Loaded>) {
        if let Some(at) = self.at_hand.iter().position(|(known, _)| Arc::ptr_eq(known, loaded)) {
            self.bytes -= self.at_hand.remove(at).map_or(0, |(_, bytes)| bytes);
        }
    }

    fn component(&mut self, origin: &Origin, goods: Goods) -> Result<Arc<Component>, LoadAppError> {
        if let Some(component) = self.known.get(goods.digest()).and_then(Weak::upgrade) {
            return Ok(component);
        }
        let path = || origin.path().to_owned();
        let (digest, component) = match goods {
            Goods::Artifact(file, LockedArtifact { code, sha256, .. }) => {
                let compiled = self.compiled(code)?.load(&file);
                let refused = |error| LoadAppError::Load { path: path(), error };
                (sha256, Component::Compiled(compiled.map_err(refused)?))
            }
            Goods::Component(bytes, digest) => {
                let loaded = self.interpreted()?.load_once_checked(&bytes, &digest);
                let refused = |error| LoadAppError::Interpret { path: path(), error };
                (digest, Component::Interpreted(loaded.map_err(refused)?))
            }
        };
        let component = Arc::new(component);
        self.known.insert(digest, Arc::downgrade(&component));
        Ok(component)
    }

    fn compiled(&mut self, code: config::Code) -> Result<&Engine<Host>, StartError> {
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
