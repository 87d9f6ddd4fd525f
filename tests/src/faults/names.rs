//! A name server that says what it is told to say, for processes that are started so that they ask it.

use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What every name comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This address.
    Address(Ipv4Addr),
    /// The server failed (SERVFAIL).
    Failure,
    /// There is no such name (NXDOMAIN).
    NoName,
    /// No word.
    Silence,
}

/// Where it listens: nothing else of a machine does.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 53, 53, 53);

/// A running name server, gone with this value.
pub struct Names {
    answer: Arc<Mutex<Answer>>,
    ends: Arc<AtomicBool>,
    configuration: PathBuf,
}

impl Names {
    /// Starts one; its configuration for clients is written into the folder.
    ///
    /// # Errors
    /// A sentence, if port 53 is not to be had.
    pub fn start(folder: &Path, answer: Answer) -> Result<Self, String> {
        let socket = UdpSocket::bind((ADDRESS, 53))
            .map_err(|error| format!("port 53 of {ADDRESS} is needed: run as root ({error})"))?;
        let configuration = folder.join("resolv.conf");
        std::fs::write(&configuration, format!("nameserver {ADDRESS}\n"))
            .and_then(|()| socket.set_read_timeout(Some(Duration::from_millis(50))))
            .map_err(|error| error.to_string())?;
        let names = Self {
            answer: Arc::new(Mutex::new(answer)),
            ends: Arc::new(AtomicBool::new(false)),
            configuration,
        };
        let (answer, ends) = (Arc::clone(&names.answer), Arc::clone(&names.ends));
        std::thread::spawn(move || serve(&socket, &answer, &ends));
        Ok(names)
    }

    /// From now on.
    pub fn say(&self, answer: Answer) {
        *self.answer.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = answer;
    }

    /// The words before a command whose process is to ask this server.
    #[must_use]
    pub fn words(&self) -> [&str; 6] {
        let configuration = self.configuration.to_str().unwrap_or_default();
        let enter = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
        ["unshare", "--mount", "sh", "-c", enter, configuration]
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

fn serve(socket: &UdpSocket, answer: &Mutex<Answer>, ends: &AtomicBool) {
    let mut packet = [0; 512];
    while !ends.load(Ordering::Relaxed) {
        let Ok((length, client)) = socket.recv_from(&mut packet) else { continue };
        let answer = *answer.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(reply) = reply(&packet[..length], answer) {
            let _ = socket.send_to(&reply, client);
        }
    }
}

/// The reply to a query (RFC 1035, 4.1): the same question again, and an address if one was asked for.
fn reply(query: &[u8], answer: Answer) -> Option<Vec<u8>> {
    const HEAD: usize = 12;
    const TYPE_A: [u8; 2] = [0, 1];
    let mut end = HEAD;
    while *query.get(end)? != 0 {
        end += usize::from(*query.get(end)?) + 1;
    }
    let question = query.get(HEAD..end + 5)?;
    let address = match answer {
        Answer::Address(address) if question[question.len() - 4..][..2] == TYPE_A => Some(address),
        _ => None,
    };
    let code = match answer {
        Answer::Address(_) => 0,
        Answer::Failure => 2,
        Answer::NoName => 3,
        Answer::Silence => return None,
    };
    let mut reply = query.get(..2)?.to_vec();
    reply.extend([0x81, 0x80 | code, 0, 1, 0, u8::from(address.is_some()), 0, 0, 0, 0]);
    reply.extend(question);
    if let Some(address) = address {
        // The question's name; an address of the Internet, good for no second, of four bytes.
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        reply.extend(address.octets());
    }
    Some(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(kind: u8) -> Vec<u8> {
        let head = [7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        [&head[..], b"\x06broker\x04test\0", &[0, kind, 0, 1]].concat()
    }

    #[test]
    fn an_address_is_said_to_who_asks_for_one_of_its_kind() {
        let reply = |kind| reply(&query(kind), Answer::Address(Ipv4Addr::LOCALHOST)).expect("one");
        let said = reply(1);
        assert_eq!((&said[..4], &said[6..8]), (&[7, 9, 0x81, 0x80][..], &[0, 1][..]));
        assert_eq!(said[said.len() - 4..], [127, 0, 0, 1]);
        assert_eq!(reply(28)[6..8], [0, 0]);
    }

    #[test]
    fn no_address_is_said_by_a_server_that_has_none() {
        let code = |answer| reply(&query(1), answer).map(|said| (said[3] & 15, said[7]));
        assert_eq!(code(Answer::Failure), Some((2, 0)));
        assert_eq!(code(Answer::NoName), Some((3, 0)));
        assert_eq!(code(Answer::Silence), None);
        assert_eq!(reply(b"short", Answer::Failure), None);
    }
}
