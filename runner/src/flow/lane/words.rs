//! What goes into a lane and what comes out of it. Only data.

use crate::happening::Worth;
use std::time::Instant;

/// An event that comes to a lane.
#[derive(Clone, Debug)]
pub struct Arrival<E> {
    /// What the driver knows it by.
    pub event: E,
    /// Which of the app's triggers it is of.
    pub trigger: u32,
    /// What it takes in memory.
    pub bytes: usize,
    /// What it is worth.
    pub worth: Worth,
    /// How often it was tried before this process started.
    pub attempts: u32,
}

/// What becomes of an arrival.
#[derive(Debug, PartialEq, Eq)]
pub enum Offer<E> {
    /// It waits, or is about to run.
    Taken,
    /// It is one with a tick that waits.
    Coalesced,
    /// There is no room, and it promised nothing.
    Dropped,
    /// It was tried as often as it may, before this process started: keep it aside.
    Spent(Left<E>),
    /// The lane is stuck, and what is written down for it is as much as there may be: keep it aside.
    Behind(Left<E>),
}

/// An event that left the lane and is not settled yet: to be finished, or to be kept aside.
#[derive(Debug, PartialEq, Eq)]
pub struct Left<E> {
    /// To be named when it is settled.
    pub key: u64,
    /// The event.
    pub event: E,
    /// Its row, if it was written down.
    pub row: Option<i64>,
    /// How often it was tried.
    pub attempts: u32,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<E> {
    /// Run this.
    Run {
        /// To be named when it ended.
        key: u64,
        /// The event.
        event: E,
        /// Which try, from 1.
        attempt: u32,
    },
    /// Read this row first, then ask again.
    Load {
        /// To be named when it is read.
        key: u64,
        /// The row.
        row: i64,
    },
    /// Ask again then.
    At(Instant),
    /// Ask again when something came or ended.
    Idle,
}

/// What follows from the end of a run.
#[derive(Debug, PartialEq, Eq)]
pub enum Then<E> {
    /// The component took it: settle it once what it published is safe.
    Finish(Left<E>),
    /// It is tried again, not before this; so many failures were there in a row.
    Again(Instant, u32),
    /// It was tried as often as it may: keep it aside, then settle it.
    GiveUp(Left<E>, u32),
}

/// What follows from reading a row.
#[derive(Debug, PartialEq, Eq)]
pub enum Loaded<E> {
    /// Its event waits, in memory from here on.
    Waits,
    /// Somebody deleted it: whose it was.
    Gone(u32),
    /// It was tried as often as it may, the last time by a process that died of it: keep it aside. Whose it is.
    Spent(Left<E>, u32),
}

/// An event to be written down.
#[derive(Debug, PartialEq, Eq)]
pub struct Parked<E> {
    /// To be named when it is written, or cannot be.
    pub key: u64,
    /// Which of the app's triggers it is of.
    pub trigger: u32,
    /// How often it was tried.
    pub attempts: u32,
    /// The event.
    pub event: E,
}

/// Bounds of a lane.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Runs at the same time.
    pub instances_max: u32,
    /// Tries at an event that is kept.
    pub attempts_max: u32,
    /// Events that may be written down.
    pub parked_max: usize,
    /// Their bytes.
    pub parked_bytes_max: usize,
    /// Whether other components wait for messages of the same broker.
    pub has_neighbours: bool,
}
