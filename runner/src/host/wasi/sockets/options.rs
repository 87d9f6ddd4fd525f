//! Socket options that TCP and UDP share, and TCP's keep-alive. Sizes are cut to what a board can
//! spare: the kernel's buffers are not in the guest's memory limit.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::net::sockopt;

use super::network::{ErrorCode, Family};
use crate::limits::wasi::SOCKET_BUFFER_BYTES_MAX;

type Result<T> = std::result::Result<T, ErrorCode>;

/// `0` is no value for any of these.
fn positive(value: u64) -> Result<u64> {
    if value == 0 { Err(ErrorCode::InvalidArgument) } else { Ok(value) }
}

pub(super) fn hop_limit(socket: BorrowedFd<'_>, family: Family) -> Result<u8> {
    match family {
        Family::V4 => Ok(u8::try_from(sockopt::ip_ttl(socket)?).unwrap_or(u8::MAX)),
        Family::V6 => Ok(sockopt::ipv6_unicast_hops(socket)?),
    }
}

pub(super) fn set_hop_limit(socket: BorrowedFd<'_>, family: Family, value: u8) -> Result<()> {
    positive(value.into())?;
    match family {
        Family::V4 => Ok(sockopt::set_ip_ttl(socket, value.into())?),
        Family::V6 => Ok(sockopt::set_ipv6_unicast_hops(socket, Some(value))?),
    }
}

pub(super) fn receive_buffer(socket: BorrowedFd<'_>) -> Result<u64> {
    Ok(sockopt::socket_recv_buffer_size(socket)? as u64)
}

pub(super) fn set_receive_buffer(socket: BorrowedFd<'_>, bytes: u64) -> Result<()> {
    Ok(sockopt::set_socket_recv_buffer_size(socket, buffer(bytes)?)?)
}

pub(super) fn send_buffer(socket: BorrowedFd<'_>) -> Result<u64> {
    Ok(sockopt::socket_send_buffer_size(socket)? as u64)
}

pub(super) fn set_send_buffer(socket: BorrowedFd<'_>, bytes: u64) -> Result<()> {
    Ok(sockopt::set_socket_send_buffer_size(socket, buffer(bytes)?)?)
}

fn buffer(bytes: u64) -> Result<usize> {
    let bytes = usize::try_from(positive(bytes)?).unwrap_or(usize::MAX);
    Ok(bytes.min(SOCKET_BUFFER_BYTES_MAX))
}

pub(super) fn keep_alive(socket: BorrowedFd<'_>) -> Result<bool> {
    Ok(sockopt::socket_keepalive(socket)?)
}

pub(super) fn set_keep_alive(socket: BorrowedFd<'_>, value: bool) -> Result<()> {
    Ok(sockopt::set_socket_keepalive(socket, value)?)
}

pub(super) fn keep_alive_idle(socket: BorrowedFd<'_>) -> Result<u64> {
    Ok(nanoseconds(sockopt::tcp_keepidle(socket)?))
}

pub(super) fn set_keep_alive_idle(socket: BorrowedFd<'_>, ns: u64) -> Result<()> {
    Ok(sockopt::set_tcp_keepidle(socket, seconds(ns)?)?)
}

pub(super) fn keep_alive_interval(socket: BorrowedFd<'_>) -> Result<u64> {
    Ok(nanoseconds(sockopt::tcp_keepintvl(socket)?))
}

pub(super) fn set_keep_alive_interval(socket: BorrowedFd<'_>, ns: u64) -> Result<()> {
    Ok(sockopt::set_tcp_keepintvl(socket, seconds(ns)?)?)
}

pub(super) fn keep_alive_count(socket: BorrowedFd<'_>) -> Result<u32> {
    Ok(sockopt::tcp_keepcnt(socket)?)
}

pub(super) fn set_keep_alive_count(socket: BorrowedFd<'_>, count: u32) -> Result<()> {
    let count = positive(count.into())?.min(KEEP_ALIVE_COUNT_MAX);
    Ok(sockopt::set_tcp_keepcnt(socket, count as u32)?)
}

/// Linux takes no more (`MAX_TCP_KEEPCNT`), nor longer times (`MAX_TCP_KEEPIDLE`, in seconds).
const KEEP_ALIVE_COUNT_MAX: u64 = 127;
const KEEP_ALIVE_SECONDS_MAX: u64 = 32_767;

/// Linux counts in whole seconds.
fn seconds(ns: u64) -> Result<Duration> {
    let seconds = positive(ns)?.div_ceil(1_000_000_000);
    Ok(Duration::from_secs(seconds.min(KEEP_ALIVE_SECONDS_MAX)))
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
