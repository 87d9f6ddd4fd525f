//! The GPIO lines, from outside: the same scenarios on the simulated chip and, when `PIRN_GPIO_BENCH`
//! says how to reach one, on a kernel's chip. What only the simulated chip can show is apart.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub)]

mod bench;
mod policy;
mod scenarios;
mod simulated;
