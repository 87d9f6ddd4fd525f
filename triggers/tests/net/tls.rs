//! HTTPS: who is believed, and what is said of who is not.

use std::path::Path;
use std::sync::Arc;

use pirn_triggers::net::http::header::HeaderMap;
use pirn_triggers::net::http::{self, Client, HttpError, Method, Request, Timeouts};
use pirn_triggers::net::{Connector, DialError, Target, TlsFailure, TlsOptions};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Writes an authority, and gives a server's settings with a certificate of it for `localhost`.
fn authority(file: &Path) -> Arc<ServerConfig> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "the test's own authority");
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(file, ca.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &ca).unwrap();
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap())
}

/// A server that answers `ok` to each request of a connection, and counts these.
async fn serve(config: Arc<ServerConfig>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(config);
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut count = 0;
                let mut head = Vec::new();
                while let Ok(byte) = stream.read_u8().await {
                    head.push(byte);
                    if head.ends_with(b"\r\n\r\n") {
                        count += 1;
                        head.clear();
                        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{count}");
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                }
            });
        }
    });
    port
}

async fn ask(client: &Client, host: &str, port: u16) -> Result<String, HttpError> {
    let target = Target { host: host.into(), port, secure: true };
    let request = Request {
        method: Method::GET,
        target,
        path: "/".into(),
        headers: HeaderMap::new(),
        body: http::empty(),
        timeouts: Timeouts::default(),
    };
    let bytes = client.send(request, None).await?.body.all(100).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn client(ca_file: Option<&Path>) -> Client {
    let ca_file = ca_file.map(Path::to_path_buf);
    Client::new(Connector::new(TlsOptions { ca_file, client: None }))
}

#[tokio::test]
async fn a_server_is_believed_if_its_authority_is_and_for_its_own_names_only() {
    let folder = std::env::temp_dir().join(format!("pirn-net-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("ca.pem");
    let port = serve(authority(&file)).await;
    let trusting = client(Some(&file));
    // One connection serves both.
    assert_eq!(ask(&trusting, "localhost", port).await.unwrap(), "1");
    assert_eq!(ask(&trusting, "localhost", port).await.unwrap(), "2");
    let other = folder.join("other.pem");
    let _ = authority(&other);
    let is_certificate = |error: &HttpError| {
        matches!(error, HttpError::Dial(DialError::Tls { why: TlsFailure::Certificate(_), .. }))
    };
    for (client, host) in [(client(Some(&other)), "localhost"), (trusting, "127.0.0.1")] {
        let failed = ask(&client, host, port).await.unwrap_err();
        assert!(is_certificate(&failed), "{host}: {failed:?}");
    }
    let missing = client(Some(&folder.join("none.pem")));
    let failed = ask(&missing, "localhost", port).await.unwrap_err();
    assert!(matches!(failed, HttpError::Dial(DialError::TlsConfig(_))), "{failed:?}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn a_server_without_tls_is_no_server_with_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let folder = std::env::temp_dir().join(format!("pirn-net-plain-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("ca.pem");
    let _ = authority(&file);
    let failed = ask(&client(Some(&file)), "localhost", port).await.unwrap_err();
    assert!(
        matches!(failed, HttpError::Dial(DialError::Tls { why: TlsFailure::Protocol(_), .. })),
        "{failed:?}"
    );
    std::fs::remove_dir_all(&folder).unwrap();
}
