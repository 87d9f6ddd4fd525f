//! TLS: a client that trusts the certificate is answered, one that does not or speaks in the clear is not.

use std::path::PathBuf;
use std::sync::Arc;

use pirn_triggers::http::{Address, Handler, Listener, Server, ServerOptions, TlsFiles};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::support::whole;

/// A certificate for localhost and its key, and where they are.
struct Certificate {
    folder: PathBuf,
    pem: String,
}

impl Certificate {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("pirn-tls-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(folder.join("cert.pem"), cert.pem()).unwrap();
        std::fs::write(folder.join("key.pem"), signing_key.serialize_pem()).unwrap();
        Self { folder, pem: cert.pem() }
    }

    fn files(&self) -> TlsFiles {
        TlsFiles { certificate: self.folder.join("cert.pem"), key: self.folder.join("key.pem") }
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn listener() -> (Listener, u16) {
    let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
    let Address::Tcp(address) = *listener.address() else { panic!("it is TCP") };
    (listener, address.port())
}

fn serve(certificate: &Certificate) -> (Server, u16) {
    let (listener, port) = listener();
    let handler: Handler = Arc::new(|request| {
        let scheme = request.head.scheme.to_string();
        request.responder.answer(whole(200, scheme));
    });
    let listener = listener.with_tls(&certificate.files()).unwrap();
    (Server::start(listener, ServerOptions::default(), handler), port)
}

async fn ask(port: u16, trusted: &Certificate) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    let der = rustls::pki_types::CertificateDer::from_pem_slice(trusted.pem.as_bytes()).unwrap();
    roots.add(der).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let get = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(get).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn who_trusts_the_certificate_is_answered_over_https() {
    let certificate = Certificate::new("trusted");
    let (_server, port) = serve(&certificate);
    let answer = ask(port, &certificate).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("https"), "{answer}");
    let other = Certificate::new("other");
    assert!(ask(port, &other).await.is_err());
    // And the next one is answered all the same.
    assert!(ask(port, &certificate).await.is_ok());
}

#[tokio::test]
async fn who_speaks_in_the_clear_is_let_go() {
    let certificate = Certificate::new("clear");
    let (_server, port) = serve(&certificate);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
}

#[tokio::test]
async fn files_that_do_not_go_together_are_refused_by_name() {
    let (one, other) = (Certificate::new("one"), Certificate::new("two"));
    let with = |certificate: PathBuf, key: PathBuf| {
        let (listener, _) = listener();
        listener.with_tls(&TlsFiles { certificate, key }).unwrap_err().to_string()
    };
    let (certificate, key) = (one.folder.join("cert.pem"), one.folder.join("key.pem"));
    for (certificate, key, says) in [
        (certificate.clone(), other.folder.join("key.pem"), "does not go with the certificate"),
        (key.clone(), key.clone(), "no certificate"),
        (certificate.clone(), certificate.clone(), "cert.pem"),
        (one.folder.join("none.pem"), key, "none.pem"),
    ] {
        let error = with(certificate, key);
        assert!(error.contains(says), "{says}: {error}");
    }
}
