//! One component of an app, as the shop has it: what it is loaded from, and its code, if that is at hand.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::task::spawn_blocking;

use super::Process;
use crate::engine::Form;
use crate::engine::artifact::{ArtifactError, digest};
use crate::engine::private::{Private, Stamp};
use crate::features;
use crate::flow::unit::{self, Loaded};
use crate::host::Component;
use crate::limits::engine::{ARTIFACT_BYTES_PER_BYTE, COMPONENT_BYTES, INTERPRETED_BYTES_PER_BYTE};
use crate::plan::ComponentPlan;
use crate::plan::bundle::LockedArtifact;
use crate::serve::loading::LoadAppError;
use crate::worlds::{WorldKind, Worlds};

/// What a component is loaded from.
pub(in crate::serve) enum Origin {
    /// An artifact of the lock file's, with its path.
    Artifact(PathBuf, LockedArtifact),
    /// The component itself, as it was when its app was planned. It is checked like any input, so nobody has to vouch
    /// for it.
    Component(PathBuf, Stamp),
}

/// What a component with such a trigger exports.
const REDIS_TRIGGER: &str = "fermyon:spin/inbound-redis";

/// What was read of an origin: the file or the bytes, and their digest.
pub(super) enum Goods {
    Artifact(File, LockedArtifact),
    Component(Vec<u8>, String),
}

impl Goods {
    pub(super) fn digest(&self) -> &str {
        match self {
            Self::Artifact(_, artifact) => &artifact.sha256,
            Self::Component(_, digest) => digest,
        }
    }
}

impl Origin {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Artifact(path, _) | Self::Component(path, _) => path,
        }
    }

    /// Reads it. Also where the same is loaded for others: we keep our own copy, and an altered file is an error.
    fn goods(&self, private: &Private) -> Result<Goods, LoadAppError> {
        Ok(match self {
            Self::Artifact(path, artifact) => {
                Goods::Artifact(private.open(path, &artifact.sha256)?, artifact.clone())
            }
            Self::Component(path, stamp) => {
                let bytes = unaltered(path, stamp)?;
                let digest = digest(&mut &*bytes).map_err(|error| unreadable(path, error))?;
                Goods::Component(bytes, digest)
            }
        })
    }
}

/// One component of an app: its code is at hand, or is loaded when it is needed.
pub(in crate::serve) struct Ware {
    process: Arc<Process>,
    component: String,
    origin: Origin,
    kinds: Box<[WorldKind]>,
    memory_bytes_max: u64,
    at_hand: Mutex<Weak<Loaded>>,
}

impl Ware {
    /// Nothing is loaded yet.
    pub(in crate::serve) fn new(
        process: Arc<Process>,
        plan: &ComponentPlan,
        origin: Origin,
        kinds: impl IntoIterator<Item = WorldKind>,
    ) -> Self {
        Self {
            process,
            component: plan.id.clone(),
            origin,
            kinds: kinds.into_iter().collect(),
            memory_bytes_max: plan.limits.memory_bytes_max,
            at_hand: Mutex::default(),
        }
    }

    /// How it runs, and from how much.
    pub(in crate::serve) fn form(&self) -> (Form, u64) {
        match &self.origin {
            Origin::Artifact(_, artifact) => (Form::Compiled(artifact.code), artifact.bytes),
            Origin::Component(_, stamp) => (Form::Interpreted, stamp.bytes()),
        }
    }

    /// The code, loaded first if it is not at hand. It stays until others need its place.
    pub(in crate::serve) fn load(&self) -> Result<Arc<Loaded>, LoadAppError> {
        let mut at_hand = self.at_hand.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = at_hand.upgrade() {
            loaded.used.store(true, Relaxed);
            return Ok(loaded);
        }
        // Files are read before the shop is held, which others need for their events.
        let goods = self.origin.goods(&self.process.private)?;
        let mut shop = self.process.shop();
        let component = shop.component(&self.origin, goods)?;
        let loaded = Arc::new(self.fitting(component)?);
        *at_hand = Arc::downgrade(&loaded);
        shop.keep(&loaded, self.bytes());
        Ok(loaded)
    }

    /// What it takes in memory; code that is compiled is mapped from its file.
    fn bytes(&self) -> u64 {
        match &self.origin {
            Origin::Artifact(_, made) => COMPONENT_BYTES + made.bytes / ARTIFACT_BYTES_PER_BYTE,
            Origin::Component(_, stamp) => stamp.bytes().saturating_mul(INTERPRETED_BYTES_PER_BYTE),
        }
    }

    pub(super) fn digest(&self) -> Option<&str> {
        match &self.origin {
            Origin::Artifact(_, artifact) => Some(&artifact.sha256),
            Origin::Component(..) => None,
        }
    }

    fn fitting(&self, component: Arc<Component>) -> Result<Loaded, LoadAppError> {
        let id = || self.component.clone();
        let needs = self.kinds.contains(&WorldKind::Redis).then_some(REDIS_TRIGGER);
        let mut needs =
            needs.into_iter().chain(component.missing_imports().iter().map(String::as_str));
        let left_out = |needs: &str| Some((needs.to_owned(), features::left_out(needs)?));
        if let Some((needs, feature)) = needs.find_map(left_out) {
            return Err(LoadAppError::LeftOut { component: id(), needs, feature });
        }
        let worlds = Worlds::of(&component, self.kinds.iter().copied());
        let worlds = worlds.map_err(|error| LoadAppError::World { component: id(), error })?;
        let needed = component.memory_bytes_min().unwrap_or(0) as u64;
        let limit = self.memory_bytes_max;
        if needed > limit {
            let (needed, limit) = (needed / 1024, limit / 1024);
            return Err(LoadAppError::Memory { component: id(), needed, limit });
        }
        Ok(Loaded { component, worlds, used: AtomicBool::new(false) })
    }
}

impl unit::Code for Ware {
    fn at_hand(&self) -> Option<Arc<Loaded>> {
        // Somebody who loads it may hold this for long.
        let loaded = self.at_hand.try_lock().ok()?.upgrade()?;
        loaded.used.store(true, Relaxed);
        Some(loaded)
    }

    fn load(self: Arc<Self>) -> unit::Loading {
        let loads = Arc::clone(&self.process.loads);
        Box::pin(async move {
            // It is never closed.
            let _one_of_few = loads.acquire_owned().await;
            let loaded = spawn_blocking(move || Ware::load(&self)).await;
            loaded.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
        })
    }
}

impl Drop for Ware {
    fn drop(&mut self) {
        let at_hand = self.at_hand.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = at_hand.upgrade() {
            self.process.shop().let_go(&loaded);
        }
    }
}

/// The component's bytes. One that was written over since its app was planned is another version of it, which comes in
/// by `replace` or a restart and not by itself.
fn unaltered(path: &Path, stamp: &Stamp) -> Result<Vec<u8>, LoadAppError> {
    let read = || -> std::io::Result<(Stamp, Vec<u8>)> {
        let mut file = File::open(path)?;
        let stamp = Stamp::of(&file.metadata()?);
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok((stamp, bytes))
    };
    let (found, bytes) = read().map_err(|error| unreadable(path, error))?;
    match found == *stamp {
        true => Ok(bytes),
        false => Err(LoadAppError::Altered { path: path.to_owned() }),
    }
}

fn unreadable(path: &Path, error: std::io::Error) -> ArtifactError {
    ArtifactError::Unreadable { path: path.display().to_string(), error }
}
