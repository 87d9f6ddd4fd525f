//! Any number of apps of one guest, each with files of its own: the component and what was compiled from it differ
//! from app to app in their bytes, so in their digests, and are files that nobody shares. What is compiled is compiled
//! once: behind the end of an ELF file nobody looks.

use std::fs;
use std::path::Path;

use pirn_runner::engine::artifact::digest;
use pirn_runner::files::board::{ArtifactKind, Board};
use pirn_runner::plan::bundle::{LOCK_FILE, Lock, LockedArtifact};

use crate::apps::ScratchApp;
use crate::guests::guest;
use crate::machine;

/// The id of the component of every app of a crowd.
pub const COMPONENT: &str = "it";

/// The manifest of an app with one component, which passes on what comes on `in/NAME/#`. `more` follows its variables.
#[must_use]
pub fn manifest(name: &str, address: &str, more: &str) -> String {
    format!(
        "spin_manifest_version = 2\n[application]\nname = \"{name}\"\n\
         [application.trigger.mqtt]\naddress = \"{address}\"\nusername = \"\"\npassword = \"\"\n\
         keep_alive_interval = \"30\"\n\
         [[trigger.mqtt]]\ncomponent = \"{COMPONENT}\"\ntopic = \"in/{name}/#\"\nqos = \"1\"\n\
         [component.{COMPONENT}]\nsource = \"it.wasm\"\nallowed_outbound_hosts = [\"{address}\"]\n\
         [component.{COMPONENT}.variables]\nbroker = \"{address}\"\n{more}"
    )
}

/// What the apps of a crowd have in common.
pub struct Model {
    component: Vec<u8>,
    compiled: Option<Compiled>,
    board: Option<String>,
}

struct Compiled {
    /// The folder of the artifacts within the app's.
    folder: String,
    artifact: LockedArtifact,
    bytes: Vec<u8>,
}

impl Model {
    /// Compiles a guest for boards with this kind of artifacts; for `None`, with those of the machine under test.
    ///
    /// # Panics
    /// If the guest is not there or cannot be compiled.
    #[must_use]
    pub fn of(name: &str, artifact: Option<&str>) -> Self {
        let board = artifact.map_or_else(machine::board, |kind| machine::board_of(Some(kind)));
        let component = fs::read(guest(name)).expect("a guest");
        let is_compiled =
            !board.as_deref().is_some_and(|text| text.contains("artifact = \"wasm\""));
        let compiled = is_compiled.then(|| Compiled::of(name, board.as_deref()));
        Self { component, compiled, board }
    }

    /// Compiles a guest for a board that pirn knows, unless that interprets.
    ///
    /// # Panics
    /// As above, and if there is no such board.
    #[must_use]
    pub fn for_board(name: &str, board: &str) -> Self {
        let kind = Board::shipped(board).expect("a board that is known").artifact;
        let component = fs::read(guest(name)).expect("a guest");
        let compiled = (kind != ArtifactKind::Wasm).then(|| Compiled::for_board(name, board));
        Self { component, compiled, board: None }
    }

    /// The text of the board's file, if it is not the one that `pirnd` assumes by itself.
    #[must_use]
    pub fn board(&self) -> Option<&str> {
        self.board.as_deref()
    }

    /// Bytes of what an app of the crowd runs: its component, or what was compiled from it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.compiled.as_ref().map_or(self.component.len(), |compiled| compiled.bytes.len())
    }

    /// Writes the app of this number into a folder, with this manifest.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn put(&self, folder: &Path, number: u64, manifest: &str) {
        let component = distinct_component(&self.component, number);
        fs::create_dir_all(folder).expect("the app's folder");
        fs::write(folder.join("spin.toml"), manifest).expect("its manifest");
        if let Some(compiled) = &self.compiled {
            compiled.put(folder, number, &sha256(&component));
        }
        fs::write(folder.join("it.wasm"), component).expect("its component");
    }

    /// The same in a folder of its own.
    ///
    /// # Panics
    /// As above.
    #[must_use]
    pub fn app(&self, number: u64, manifest: &str) -> ScratchApp {
        let app = ScratchApp::with_manifest(manifest);
        self.put(app.path(), number, manifest);
        app
    }
}

impl Compiled {
    fn of(name: &str, board: Option<&str>) -> Self {
        let app = uncompiled(name);
        let Some(text) = board else { return Self::taken_from(&app.built()) };
        fs::write(app.file("board.toml"), text).expect("a board");
        let board = app.file("board.toml").display().to_string();
        Self::taken_from(&app.built_for(&board))
    }

    fn for_board(name: &str, board: &str) -> Self {
        Self::taken_from(&uncompiled(name).built_for(board))
    }

    fn taken_from(app: &ScratchApp) -> Self {
        let made = fs::read_dir(app.file(".pirn")).expect("what was built");
        let folder = made.flatten().next().expect("what was built").path();
        let lock = Lock::read(&folder).expect("the lock file");
        let artifact = lock.artifact_of(COMPONENT).expect("its artifact").clone();
        let bytes = fs::read(folder.join(&artifact.file)).expect("the artifact");
        let folder = folder.strip_prefix(app.path()).expect("a folder of the app");
        Self { folder: folder.display().to_string(), artifact, bytes }
    }

    fn put(&self, app: &Path, number: u64, source_sha256: &str) {
        let bytes = [&self.bytes[..], &number.to_le_bytes()].concat();
        let artifact = LockedArtifact {
            sha256: sha256(&bytes),
            bytes: bytes.len() as u64,
            source_sha256: source_sha256.to_owned(),
            ..self.artifact.clone()
        };
        let (folder, file) = (app.join(&self.folder), artifact.file.clone());
        let mut lock = Lock::new("model");
        lock.set(&[COMPONENT.to_owned()], artifact);
        fs::create_dir_all(&folder).expect("a folder for the artifact");
        fs::write(folder.join(file), bytes).expect("the artifact");
        fs::write(folder.join(LOCK_FILE), lock.to_toml()).expect("the lock file");
    }
}

/// An app that is there to be compiled.
fn uncompiled(name: &str) -> ScratchApp {
    let app = ScratchApp::with_manifest(&format!(
        "spin_manifest_version = 2\n[application]\nname = \"model\"\n\
         [application.trigger.mqtt]\naddress = \"mqtt://127.0.0.1:1\"\nusername = \"\"\n\
         password = \"\"\nkeep_alive_interval = \"30\"\n\
         [[trigger.mqtt]]\ncomponent = \"{COMPONENT}\"\ntopic = \"in\"\nqos = \"1\"\n\
         [component.{COMPONENT}]\nsource = \"it.wasm\"\n"
    ));
    app.copy(&guest(name), "it.wasm");
    app
}

/// The component with the number in a custom section at its end.
fn distinct_component(component: &[u8], number: u64) -> Vec<u8> {
    const NAME: &[u8] = b"app";
    let content = [&[NAME.len() as u8], NAME, &number.to_le_bytes()].concat();
    [component, &[0, content.len() as u8], &content].concat()
}

fn sha256(bytes: &[u8]) -> String {
    digest(&mut &*bytes).expect("memory can be read")
}
