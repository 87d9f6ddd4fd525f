//! The QEMU process of a board: its command line, its sockets, where its GPIO chip is.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::files::Files;
use crate::{PATIENCE, guests::repository};

const INIT: &str = include_str!("init.sh");
/// In the order in which QEMU connects to them.
const SOCKETS: [&str; 3] = ["qmp", "qtest", "shell"];

/// The processor of a board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cpu {
    /// A Cortex-A53: the oldest 64-bit core of the boards, without LSE atomics.
    Aarch64,
    /// A Cortex-A7: ARMv7, 32 bits.
    Arm,
}

impl Cpu {
    /// The name of `cross/qemu/fetch`.
    fn name(self) -> &'static str {
        match self {
            Self::Aarch64 => "aarch64",
            Self::Arm => "arm",
        }
    }

    fn model(self) -> &'static str {
        match self {
            Self::Aarch64 => "cortex-a53",
            Self::Arm => "cortex-a7",
        }
    }

    /// What its kernel takes before anything runs (measured; a test boots one and looks at what is free).
    pub(super) fn kernel_mib(self) -> u64 {
        match self {
            Self::Aarch64 => 60,
            Self::Arm => 45,
        }
    }

    /// The Rust target of the runner for it.
    #[must_use]
    pub fn target(self) -> &'static str {
        match self {
            Self::Aarch64 => "aarch64-unknown-linux-musl",
            Self::Arm => "armv7-unknown-linux-musleabihf",
        }
    }
}

/// A running QEMU.
pub(super) struct Machine {
    child: Child,
    folder: tempfile::TempDir,
    listeners: Vec<(&'static str, UnixListener)>,
}

impl Machine {
    pub(super) fn start(cpu: Cpu, memory_mib: u64, files: &Files, disk: Option<&Path>) -> Self {
        let boot = boot_files(cpu);
        let folder = tempfile::tempdir().expect("a scratch folder");
        let initramfs = with_system(files.clone(), &boot, disk).initramfs();
        std::fs::write(folder.path().join("initramfs"), initramfs).expect("room for the initramfs");
        // QEMU connects to us: so there is no moment at which it does not listen yet.
        let listen = |name| {
            let listener = UnixListener::bind(folder.path().join(name)).expect("a socket");
            listener.set_nonblocking(true).expect("a socket that does not block");
            (name, listener)
        };
        let listeners = SOCKETS.map(listen).into();
        let mut command = Command::new(format!("qemu-system-{}", cpu.name()));
        command.current_dir(folder.path()).args(arguments(cpu, memory_mib)).arg("-kernel");
        command.arg(boot.join("kernel")).stdin(Stdio::null());
        if let Some(disk) = disk {
            command.args(["-device", "virtio-blk-device,drive=disk", "-drive"]);
            command.arg(format!("id=disk,if=none,format=raw,file={}", disk.display()));
        }
        let errors = std::fs::File::create(folder.path().join("errors")).expect("a file");
        let child = command.stdout(Stdio::null()).stderr(errors).spawn();
        let child = child.unwrap_or_else(|error| {
            panic!(
                "qemu-system-{} does not start ({error}): apt-get install qemu-system-arm",
                cpu.name()
            )
        });
        Self { child, folder, listeners }
    }

    /// The connection that QEMU makes to one of the [`SOCKETS`].
    pub(super) fn accept(&mut self, name: &str) -> UnixStream {
        let listener = self.listeners.iter().find(|(listener, _)| *listener == name);
        let listener = &listener.expect("a socket of this name").1;
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Ok((stream, _)) = listener.accept() {
                stream.set_nonblocking(false).expect("a socket that blocks");
                return stream;
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("QEMU ended ({status}): {}", self.console());
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        panic!("QEMU does not connect to {name}: {}", self.console());
    }

    /// Where the GPIO chip is in QEMU's object tree: which number it has there differs between versions.
    pub(super) fn pl061(&mut self) -> String {
        let stream = self.accept("qmp");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        let mut reader = BufReader::new(stream);
        // The greeting comes first, then one answer for each request.
        let mut ask = |request: &str| {
            if !request.is_empty() {
                writeln!(reader.get_mut(), "{request}").expect("QEMU listens");
            }
            let mut answer = String::new();
            reader.read_line(&mut answer).expect("QEMU answers");
            answer
        };
        ask("");
        ask(r#"{"execute": "qmp_capabilities"}"#);
        let tree = ask(r#"{"execute": "qom-list", "arguments": {"path": "/machine/unattached"}}"#);
        // {"return": [{"name": "device[8]", "type": "child<pl061>"}, …]}
        let entry = tree.split('}').find(|entry| entry.contains("child<pl061>"));
        let name = entry.and_then(|entry| entry.split("\"name\": \"").nth(1)?.split('"').next());
        format!("/machine/unattached/{}", name.expect("a PL061 in the machine"))
    }

    /// What the kernel and `/init` said, and QEMU's own errors.
    pub(super) fn console(&self) -> String {
        let read = |name| {
            let bytes = std::fs::read(self.folder.path().join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        read("console") + &read("errors")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn arguments(cpu: Cpu, memory_mib: u64) -> Vec<String> {
    let line = format!(
        "-M virt -cpu {} -smp 1 -m {memory_mib} -accel tcg -nodefaults -no-user-config -display none -no-reboot \
         -initrd initramfs -serial file:console \
         -netdev user,id=net -device virtio-net-device,netdev=net \
         -chardev socket,id=shell,path=shell -device virtio-serial-device \
         -device virtserialport,chardev=shell,name=shell \
         -qmp unix:qmp -qtest unix:qtest -qtest-log none",
        cpu.model()
    );
    let mut arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    // A kernel that panics ends QEMU, and so the test, at once.
    arguments.extend(["-append".into(), "console=ttyAMA0 panic=-1 quiet".into()]);
    arguments
}

/// The folder with kernel, modules and busybox; fetched if it is not there yet.
fn boot_files(cpu: Cpu) -> PathBuf {
    let fetch = Command::new(repository().join("cross/qemu/fetch")).arg(cpu.name()).output();
    let fetch = fetch.expect("cross/qemu/fetch runs");
    assert!(fetch.status.success(), "{}", String::from_utf8_lossy(&fetch.stderr));
    PathBuf::from(String::from_utf8_lossy(&fetch.stdout).trim())
}

fn with_system(files: Files, boot: &Path, disk: Option<&Path>) -> Files {
    let files = files
        .with_text("init", INIT)
        .with("bin/busybox", &boot.join("busybox"))
        .with_folder("modules", &boot.join("modules"));
    match disk {
        Some(_) => files
            .with_text("disk/.none", "")
            .with_folder("disk-modules", &boot.join("disk-modules")),
        None => files,
    }
}
