//! Streams and futures between a host and its guests, on the compiled and the interpreted engine: the same component, the
//! same capabilities, the same ends. The component is written by hand, so that every read and write is seen.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs::File;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pirn_runner::engine::config::{self, Code};
use pirn_runner::engine::door::{Answer, Door, Twin};
use pirn_runner::engine::streams::{Cut, Promise, Stream, Unread, Writer, promise, stream};
use pirn_runner::engine::{Allowance, Component, Engine, Fault, Holds, compiled, interpreted};
use wasmtime::component::Resource;

const ALLOWANCE: Allowance =
    Allowance { memory_bytes_max: 4 << 20, deadline: Duration::from_secs(20) };

/// A host without anything.
#[derive(Clone)]
struct Nothing;

impl Holds for Nothing {
    fn drop_resource<T: Send + 'static>(&self, _: Resource<T>) -> Answer<()> {
        Ok(())
    }
}

/// Every byte that goes through the guest is one more afterwards.
const COMPONENT: &str = include_str!("component/relay.wat");

fn offer(door: &mut Door<Nothing>) -> Answer<()> {
    let mut io = door.interface("test:host/io@1.0.0")?;
    io.at_once("source", |_, (bytes,): (u32,)| {
        let (writer, stream) = stream();
        tokio::spawn(send(writer, bytes as usize));
        Ok((stream,))
    })?;
    io.at_once("sink", |_, (mut bytes,): (Stream<u8>,)| {
        let (resolver, sum) = promise();
        tokio::spawn(async move {
            let read = all(&mut bytes).await;
            resolver.resolve(read.unwrap().iter().map(|byte| u32::from(*byte)).sum::<u32>());
        });
        Ok((sum,))
    })?;
    io.waiting(Twin::Async, "sleep", |_, (ms,): (u32,)| async move {
        tokio::time::sleep(Duration::from_millis(ms.into())).await;
        Ok((ms,))
    })
}

/// The byte at that place of what tests send.
fn byte(at: usize) -> u8 {
    (at % 251) as u8
}

async fn send(writer: Writer<u8>, count: usize) {
    let bytes: Vec<u8> = (0..count).map(byte).collect();
    if writer.write(bytes.into()).await.is_ok() {
        writer.finish();
    }
}

async fn all(stream: &mut Stream<u8>) -> Result<Vec<u8>, Cut> {
    let mut read = Vec::new();
    while let Some(chunk) = stream.chunk(3_333).await? {
        read.extend_from_slice(&chunk);
    }
    Ok(read)
}

/// The component on each engine.
fn on_both() -> [(&'static str, Component<Nothing>); 3] {
    let bytes = wat::parse_str(COMPONENT).unwrap();
    let compiled = |code: Code| {
        let compiler = wasmtime::Engine::new(&config::config(code, None).unwrap()).unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&compiler.precompile_component(&bytes).unwrap()).unwrap();
        let pool =
            compiled::Pool { instances: 2, memory_bytes_max: 4 << 20, stack_bytes: 512 << 10 };
        let engine = Engine::start(code, pool, offer).unwrap();
        Component::Compiled(engine.load(&File::open(file.path()).unwrap()).unwrap())
    };
    let engine = interpreted::Engine::start(offer).unwrap();
    [
        ("native", compiled(Code::Native)),
        ("pulley", compiled(Code::pulley_here())),
        ("interpreted", Component::Interpreted(engine.load(&bytes).unwrap())),
    ]
}

fn block_on(test: impl AsyncFn(&'static str, Component<Nothing>)) {
    for (name, component) in on_both() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(test(name, component));
    }
}

/// Calls a function over streams, and answers with the stream as soon as it is there; and, behind it, with the call,
/// which goes on.
struct Call {
    answer: Arc<Mutex<Option<Stream<u8>>>>,
    ended: tokio::task::JoinHandle<Result<(), Fault>>,
}

impl Call {
    fn of(component: &Arc<Component<Nothing>>, name: &'static str, input: Stream<u8>) -> Self {
        let answer = Arc::new(Mutex::new(None));
        let (component, told) = (Arc::clone(component), Arc::clone(&answer));
        let ended = tokio::spawn(async move {
            let (_, export) = component.exported_function(name).unwrap();
            let answered = |(stream,): (Stream<u8>,)| *told.lock().unwrap() = Some(stream);
            component.call_and_go_on(export, Nothing, ALLOWANCE, (input,), answered).await
        });
        Self { answer, ended }
    }

    /// What it answered, as soon as it has.
    async fn answer(&self) -> Stream<u8> {
        for _ in 0..10_000 {
            if let Some(stream) = self.answer.lock().unwrap().take() {
                return stream;
            }
            assert!(!self.ended.is_finished(), "it ended without an answer");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("it did not answer");
    }
}

#[test]
fn a_megabyte_goes_through_a_guest_and_all_of_it_comes_back_in_order() {
    block_on(async |name, component| {
        let (writer, input) = stream();
        tokio::spawn(send(writer, 1 << 20));
        let call = Call::of(&Arc::new(component), "relay", input);
        let back = all(&mut call.answer().await).await.unwrap();
        let expected: Vec<u8> = (0..1 << 20).map(|at| byte(at) + 1).collect();
        assert!(back == expected, "{name}: {} bytes", back.len());
        assert_eq!(call.ended.await.unwrap(), Ok(()), "{name}");
    });
}

#[test]
fn the_answer_is_there_before_the_input_ends_and_each_part_before_the_next_is_sent() {
    block_on(async |name, component| {
        let (writer, input) = stream();
        let call = Call::of(&Arc::new(component), "relay", input);
        let mut output = call.answer().await;
        for part in ["one", "two", "three"] {
            writer.write(part.as_bytes().to_vec().into()).await.unwrap();
            let mut back = Vec::new();
            while back.len() < part.len() {
                back.extend(output.chunk(100).await.unwrap().unwrap());
            }
            let expected: Vec<u8> = part.bytes().map(|byte| byte + 1).collect();
            assert_eq!(back, expected, "{name}");
        }
        writer.finish();
        assert_eq!(output.chunk(100).await, Ok(None), "{name}");
        assert_eq!(call.ended.await.unwrap(), Ok(()), "{name}");
    });
}

#[test]
fn what_a_guest_gives_back_unread_does_not_need_it_any_more() {
    block_on(async |name, component| {
        let (writer, input) = stream();
        let call = Call::of(&Arc::new(component), "echo", input);
        let mut output = call.answer().await;
        assert_eq!(call.ended.await.unwrap(), Ok(()), "{name}");
        tokio::spawn(send(writer, 50_000));
        let back = all(&mut output).await.unwrap();
        assert_eq!(back, (0..50_000).map(byte).collect::<Vec<u8>>(), "{name}");
    });
}

#[test]
fn a_hosts_stream_goes_through_a_guest_to_the_host_and_a_future_says_what_came() {
    block_on(async |name, component| {
        let (_, export) = component.exported_function("through").unwrap();
        let (sum,): (u32,) =
            component.call(export, Nothing, ALLOWANCE, (100_000_u32,)).await.unwrap();
        assert_eq!(sum, (0..100_000).map(|at| u32::from(byte(at)) + 1).sum::<u32>(), "{name}");
    });
}

#[test]
fn a_guest_that_fails_after_its_answer_leaves_a_stream_that_is_cut() {
    block_on(async |name, component| {
        let call = Call::of(&Arc::new(component), "breaks", Stream::of(Vec::new()));
        let mut output = call.answer().await;
        assert_eq!(all(&mut output).await, Err(Cut), "{name}");
        let fault = call.ended.await.unwrap().unwrap_err();
        assert_eq!(fault.name(), "trap", "{name}: {fault}");
    });
}

#[test]
fn a_guest_whose_reader_is_gone_is_told_so_and_ends() {
    block_on(async |name, component| {
        let (writer, input) = stream();
        let call = Call::of(&Arc::new(component), "relay", input);
        drop(call.answer().await);
        let sent = writer.write(vec![1; 1 << 20].into()).await;
        assert_eq!(sent, Err(Unread), "{name}");
        assert_eq!(call.ended.await.unwrap(), Ok(()), "{name}");
    });
}

#[test]
fn a_guest_that_is_dropped_half_way_leaves_nobody_waiting() {
    block_on(async |name, component| {
        let (writer, input) = stream();
        let call = Call::of(&Arc::new(component), "relay", input);
        let mut output = call.answer().await;
        writer.write(vec![1; 10].into()).await.unwrap();
        output.chunk(5).await.unwrap().unwrap();
        call.ended.abort();
        assert!(call.ended.await.unwrap_err().is_cancelled(), "{name}");
        assert_eq!(all(&mut output).await, Err(Cut), "{name}");
        assert_eq!(writer.write(vec![1; 1 << 20].into()).await, Err(Unread), "{name}");
    });
}

#[test]
fn a_write_for_which_there_is_no_room_can_be_given_up() {
    block_on(async |name, component| {
        let call = Call::of(&Arc::new(component), "gives-up", Stream::of(Vec::new()));
        let mut output = call.answer().await;
        assert_eq!(call.ended.await.unwrap(), Ok(()), "{name}");
        let read = all(&mut output).await.unwrap();
        assert!(!read.is_empty() && read.len() < 64 << 10, "{name}: {}", read.len());
    });
}

#[test]
fn futures_are_known_when_somebody_says_so() {
    block_on(async |name, component| {
        let component = Arc::new(component);
        let (_, later) = component.exported_function("later").unwrap();
        let (told, answer) = tokio::sync::oneshot::channel();
        let answered = |(number,): (Promise<u32>,)| drop(told.send(number));
        let call = component.call_and_go_on(later, Nothing, ALLOWANCE, (20_u32,), answered);
        let (ended, number) = tokio::join!(call, async { answer.await.unwrap().wait().await });
        assert_eq!((ended, number), (Ok(()), Some(20)), "{name}");

        let (_, known) = component.exported_function("known").unwrap();
        let (resolver, number) = promise::<u32>();
        let call = component.call::<_, (u32,)>(known, Nothing, ALLOWANCE, (number,));
        let (result, ()) = tokio::join!(call, async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            resolver.resolve(77);
        });
        assert_eq!(result, Ok((77,)), "{name}");

        // One that nobody will ever decide.
        let (resolver, number) = promise::<u32>();
        drop(resolver);
        let result = component.call::<_, (u32,)>(known, Nothing, ALLOWANCE, (number,)).await;
        let fault = result.unwrap_err().to_string();
        assert!(fault.contains("never come"), "{name}: {fault}");
    });
}
