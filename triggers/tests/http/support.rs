//! A server whose handler says what it was asked, and clients that send bytes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use pirn_triggers::http::{
    Address, Answer, Handler, Listener, Outgoing, Request, Server, ServerOptions, Taken,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longer than anything takes, also for tests whose clock runs ahead.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// A server under test.
pub struct Bench {
    pub server: Option<Server>,
    pub port: u16,
    /// What was asked, in a line each.
    pub asked: Arc<Mutex<Vec<String>>>,
}

impl Bench {
    /// Says `METHOD PATH HOST [BODY]` back.
    pub fn echo() -> Self {
        Self::with(ServerOptions::default(), |request| {
            tokio::spawn(echo(request));
        })
    }

    pub fn with(options: ServerOptions, handle: impl Fn(Request) + Send + Sync + 'static) -> Self {
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let noted = Arc::clone(&asked);
        let handler: Handler = Arc::new(move |request: Request| {
            let line = format!("{} {}", request.head.method, request.head.path_and_query);
            noted.lock().unwrap().push(line);
            handle(request);
        });
        let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
        let Address::Tcp(address) = *listener.address() else { panic!("it is TCP") };
        let server = Some(Server::start(listener, options, handler));
        Self { server, port: address.port(), asked }
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.unwrap()
    }

    /// Sends bytes, says that nothing more comes, and reads to the end.
    pub async fn ask(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        // Who is refused may be cut off while it sends.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        read_all(&mut stream).await
    }

    pub fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

/// Everything until the end of the connection.
pub async fn read_all(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer));
    // A connection that is cut ends as well.
    let _ = read.await.expect("the connection ends");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads until what was read ends so.
pub async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut answer = String::new();
    while !answer.ends_with(end) {
        let mut room = [0; 4096];
        let count = tokio::time::timeout(PATIENCE, stream.read(&mut room)).await;
        let count = count.expect("an answer").expect("a connection");
        assert!(count > 0, "it ended with {answer:?}");
        answer.push_str(&String::from_utf8_lossy(&room[..count]));
    }
    answer
}

/// The statuses of all answers in what came.
pub fn statuses(answer: &str) -> Vec<u16> {
    let status = |part: &str| part.get(..3)?.parse().ok();
    let parts = answer.split("HTTP/1.").skip(1);
    parts.filter_map(|part| part.get(2..)).filter_map(status).collect()
}

/// All of a request's body.
pub async fn body(request: &Request) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    loop {
        request.body.ready().await;
        match request.body.take(usize::MAX) {
            Taken::Piece(piece) => all.extend_from_slice(&piece),
            Taken::Nothing => {}
            Taken::End => return Ok(all),
            Taken::Broken(broken) => return Err(broken.to_string()),
        }
    }
}

pub fn whole(status: u16, body: impl Into<Bytes>) -> Answer {
    let status = StatusCode::from_u16(status).unwrap();
    Answer { status, fields: HeaderMap::new(), body: Outgoing::Whole(body.into()) }
}

async fn echo(request: Request) {
    let answer = match body(&request).await {
        Ok(body) => {
            let head = &request.head;
            let (method, host, path) = (&head.method, &head.authority, &head.path_and_query);
            let body = String::from_utf8_lossy(&body);
            whole(200, format!("<{method} {host} {path} {body}>"))
        }
        Err(_) => whole(400, ""),
    };
    request.responder.answer(answer);
}
