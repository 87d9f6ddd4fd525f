//! Brokers whose certificate is not to be believed, then one whose is. TLS is ended by socat before the recording
//! broker, with certificates that openssl makes.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pirn_tests::eventually;
use pirn_tests::faults::processes;
use pirn_tests::faults::scene::{Piece, Scene};

use super::syscalls::needs;
use super::{Context, Outcome, close};
use crate::table::Tally;

/// What `openssl ca` wants to be told.
const AUTHORITY: &str = "[ca]\ndefault_ca = a\n[a]\ndatabase = index\nserial = serial\nnew_certs_dir = .\n\
    default_md = sha256\npolicy = p\nx509_extensions = e\n[p]\ncommonName = supplied\n\
    [e]\nsubjectAltName = IP:127.0.0.1,DNS:localhost\n";

/// An authority in a folder of its own, and two certificates: `future.pem` and `good.pem`.
fn authority(folder: &Path) -> Result<(), String> {
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text);
    write("ca.cnf", AUTHORITY)
        .and_then(|()| write("index", ""))
        .and_then(|()| write("serial", "1000"))
        .map_err(|error| error.to_string())?;
    let new = "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 3650 -subj /CN=authority";
    openssl(folder, new)?;
    let dates = [
        ("future", "20450101000000Z", "20460101000000Z"),
        ("good", "20200101000000Z", "20450101000000Z"),
    ];
    for (name, from, to) in dates {
        openssl(
            folder,
            &format!(
                "req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"
            ),
        )?;
        openssl(
            folder,
            &format!(
                "ca -batch -notext -config ca.cnf -cert ca.pem -keyfile ca.key -in {name}.csr \
                 -out {name}.pem -startdate {from} -enddate {to}"
            ),
        )?;
    }
    Ok(())
}

fn openssl(folder: &Path, words: &str) -> Result<(), String> {
    let output =
        Command::new("openssl").args(words.split_whitespace()).current_dir(folder).output();
    let output = output.map_err(|error| format!("openssl: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("openssl {words}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

/// What ends TLS; goes with this value.
struct Terminator(Child);

impl Terminator {
    fn start(folder: &Path, certificate: &str, port: u16, to: u16) -> Result<Self, String> {
        let listen = format!(
            "OPENSSL-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,verify=0,cert={certificate}.pem,key={certificate}.key"
        );
        let child = Command::new("socat")
            .args([listen, format!("TCP:127.0.0.1:{to}")])
            .current_dir(folder)
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("socat: {error}"))?;
        eventually("socat to listen", || TcpStream::connect(("127.0.0.1", port)).ok());
        Ok(Self(child))
    }
}

impl Drop for Terminator {
    fn drop(&mut self) {
        processes::end(self.0.id());
        let _ = self.0.wait();
    }
}

fn free_port() -> Result<u16, String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    listener.local_addr().map(|address| address.port()).map_err(|error| error.to_string())
}

pub(super) fn certificates_not_believed(context: &Context) -> Outcome {
    needs("openssl", "openssl")?;
    needs("socat", "socat")?;
    let [ours, foreign] = [tempfile::tempdir(), tempfile::tempdir()];
    let ours = ours.map_err(|error| error.to_string())?;
    let foreign = foreign.map_err(|error| error.to_string())?;
    authority(ours.path())?;
    authority(foreign.path())?;
    let scene = Scene::of(&[Piece::ledger("a")]);
    let (port, to) = (free_port()?, scene.broker.port());
    let operator =
        format!("[tool.pirn.mqtt]\nca_file = \"{}\"\n", ours.path().join("ca.pem").display());
    let mut scene = scene.by(format!("mqtts://127.0.0.1:{port}")).operated(&operator);
    let mut tally = Tally::default();
    let unbelievable = [(&foreign, "good", "certificate"), (&ours, "future", "clock")];
    for (folder, certificate, says) in unbelievable {
        let _terminator = Terminator::start(folder.path(), certificate, port, to)?;
        scene.start_under(&[]);
        std::thread::sleep(Duration::from_secs(3));
        tally.runs += 1;
        let believed = scene.broker.look().is_subscribed();
        tally.expect(!believed, format!("a {certificate} certificate was believed"));
        let said = scene.printed().contains(says);
        tally.expect(said, format!("nothing is said of the {says} at a {certificate} certificate"));
        // The last of them goes on, and must find out that all is well.
        if says == "certificate" {
            scene.kill();
        }
    }
    let _terminator = Terminator::start(ours.path(), "good", port, to)?;
    tally.must(scene.link_back());
    scene.publish("a", "pass", 0..context.times(50, 5_000));
    close(&scene, &mut tally);
    Ok(tally)
}
