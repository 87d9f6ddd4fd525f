//! `wasi:random`: the kernel's randomness, for the secure and the insecure interface alike. Early in a
//! board's first boot the kernel may not have gathered enough yet; then the guest waits, not the loop.

use std::time::Duration;

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use super::{Door, Host, interface};
use crate::engine::door::{Answer, Twin};
use crate::engine::fault::Fault;
use crate::limits::wasi::RANDOM_BYTES_MAX;

/// How long to wait before asking a kernel again that has not gathered enough.
const ENTROPY_RETRY: Duration = Duration::from_millis(50);

pub(super) fn offer(door: &mut Door) -> Answer<()> {
    let mut secure = interface(door, "random/random")?;
    secure.waiting(Twin::Sync, "get-random-bytes", bytes)?;
    secure.waiting(Twin::Sync, "get-random-u64", word)?;

    let mut insecure = interface(door, "random/insecure")?;
    insecure.waiting(Twin::Sync, "get-insecure-random-bytes", bytes)?;
    insecure.waiting(Twin::Sync, "get-insecure-random-u64", word)?;

    let mut seed = interface(door, "random/insecure-seed")?;
    seed.waiting(Twin::Sync, "insecure-seed", words)
}

pub(super) async fn bytes(_: Host, (len,): (u64,)) -> Answer<(Vec<u8>,)> {
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    if len > RANDOM_BYTES_MAX {
        let sentence = format!("it asked for more than {RANDOM_BYTES_MAX} random bytes at once");
        return Fault::Limit(sentence).end();
    }
    let mut bytes = vec![0; len];
    fill(&mut bytes).await?;
    Ok((bytes,))
}

pub(super) async fn word(_: Host, (): ()) -> Answer<(u64,)> {
    Ok((random_u64().await?,))
}

pub(super) async fn words(_: Host, (): ()) -> Answer<((u64, u64),)> {
    Ok(((random_u64().await?, random_u64().await?),))
}

async fn random_u64() -> Answer<u64> {
    let mut bytes = [0; 8];
    fill(&mut bytes).await?;
    Ok(u64::from_ne_bytes(bytes))
}

async fn fill(bytes: &mut [u8]) -> Answer<()> {
    let mut filled = 0;
    while filled < bytes.len() {
        match getrandom(&mut bytes[filled..], GetRandomFlags::NONBLOCK) {
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => tokio::time::sleep(ENTROPY_RETRY).await,
            Err(error) => return Err(wasmtime::Error::msg(format!("no randomness: {error}"))),
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::testing::host;
    use super::*;

    #[tokio::test]
    async fn random_bytes_are_as_many_as_asked_for_and_differ() {
        let (first,) = bytes(host(), (1_000,)).await.unwrap();
        let (second,) = bytes(host(), (1_000,)).await.unwrap();
        assert_eq!((first.len(), second.len()), (1_000, 1_000));
        assert_ne!(first, second);
        assert!(first[900..].iter().any(|byte| *byte != 0));
    }

    #[tokio::test]
    async fn too_many_random_bytes_at_once_end_the_guest() {
        assert!(bytes(host(), (RANDOM_BYTES_MAX as u64,)).await.is_ok());
        let error = bytes(host(), (RANDOM_BYTES_MAX as u64 + 1,)).await.unwrap_err().to_string();
        assert!(error.contains("random bytes at once"), "{error}");
        assert!(bytes(host(), (u64::MAX,)).await.is_err());
    }
}
