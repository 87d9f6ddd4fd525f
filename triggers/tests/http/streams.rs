//! Bodies that are larger than what anybody holds of them.

use bytes::Bytes;
use pirn_triggers::http::pipe::pipe;
use pirn_triggers::http::{Outgoing, Request, Taken};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::support::{Bench, whole};

/// Sends a body back as it comes.
async fn mirror(request: Request) {
    let Request { body, responder, .. } = request;
    let (mut writer, reader) = pipe();
    let mut answer = whole(200, "");
    answer.body = Outgoing::Piped(reader);
    responder.answer(answer);
    loop {
        writer.waits().wait().await;
        body.ready().await;
        match body.take(writer.room().unwrap_or(0)) {
            Taken::Piece(piece) => writer.write(piece).unwrap(),
            Taken::Nothing => {}
            Taken::End => return writer.finish(None),
            Taken::Broken(_) => return,
        }
    }
}

#[tokio::test]
async fn a_body_of_any_size_goes_through_and_comes_back() {
    const BYTES: usize = 16 << 20;
    let bench = Bench::with(Default::default(), |request| {
        tokio::spawn(mirror(request));
    });
    let stream = bench.connect().await;
    let (mut read, mut write) = stream.into_split();
    let sending = tokio::spawn(async move {
        let head = format!(
            "POST / HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {BYTES}\r\n\r\n"
        );
        write.write_all(head.as_bytes()).await.unwrap();
        let piece: Vec<u8> = (0..=255).cycle().take(64 << 10).collect();
        for _ in 0..BYTES / piece.len() {
            write.write_all(&piece).await.unwrap();
        }
    });
    let mut answer = Vec::new();
    read.read_to_end(&mut answer).await.unwrap();
    sending.await.unwrap();
    assert!(answer.len() > BYTES && answer.ends_with(b"0\r\n\r\n"), "{}", answer.len());
}

#[tokio::test]
async fn an_upload_goes_on_after_its_answer_is_over() {
    let (told, heard) = tokio::sync::oneshot::channel();
    let told = std::sync::Mutex::new(Some(told));
    let bench = Bench::with(Default::default(), move |request| {
        let told = told.lock().unwrap().take().unwrap();
        let Request { body, responder, .. } = request;
        responder.answer(whole(200, "!"));
        tokio::spawn(async move {
            let mut bytes = 0;
            loop {
                body.ready().await;
                match body.take(usize::MAX) {
                    Taken::Piece(piece) => bytes += Bytes::len(&piece),
                    Taken::Nothing => {}
                    ended => {
                        told.send((bytes, ended)).unwrap();
                        return;
                    }
                }
            }
        });
    });
    let mut stream = bench.connect().await;
    let head = "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 30\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    super::support::read_until(&mut stream, "!").await;
    for _ in 0..3 {
        tokio::time::sleep(std::time::Duration::from_millis(600)).await;
        stream.write_all(&[b'x'; 10]).await.unwrap();
    }
    assert_eq!(heard.await.unwrap(), (30, Taken::End));
}
