//! One file and its thread: gathers what is asked for, carries it out in one transaction, answers when
//! that is on the disk. After an error of the file it is closed and opened anew, since what a failed
//! write left is unknown.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Instant;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::open::open;
use super::task::{Kind, Pending};
use super::{StoreError, caps};

/// The transaction that work shares.
pub(crate) struct Tx<'a> {
    transaction: Transaction<'a>,
    path: &'a Path,
}

impl Tx<'_> {
    /// The file that it is in.
    pub(super) fn path(&self) -> &Path {
        self.path
    }
}

impl Deref for Tx<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.transaction
    }
}

/// A file, open or not.
pub(super) struct File {
    path: PathBuf,
    connection: Option<Connection>,
}

impl File {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, connection: None }
    }

    /// The thread. Ends when nobody can ask any more.
    pub(super) fn serve(mut self, queue: &Receiver<Pending>) {
        while let Ok(first) = queue.recv() {
            let batch = gather(first, queue);
            self.commit(batch);
        }
    }

    /// Carries out requests in one transaction and answers them.
    fn commit(&mut self, mut batch: Vec<Pending>) {
        let ended = self.carry_out(&mut batch).map_err(|error| error.of(&self.path));
        if ended.is_err() {
            self.connection = None;
        }
        for Pending { task, room, .. } in batch {
            drop(room);
            task.answer(ended.clone());
        }
    }

    fn carry_out(&mut self, batch: &mut [Pending]) -> Result<(), StoreError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => open(&self.path)?,
        };
        let connection = self.connection.insert(connection);
        let writes = batch.iter().any(|pending| pending.kind == Kind::Write);
        let behavior = match writes {
            true => TransactionBehavior::Immediate,
            false => TransactionBehavior::Deferred,
        };
        let transaction = connection.transaction_with_behavior(behavior)?;
        let tx = Tx { transaction, path: &self.path };
        for pending in batch {
            apart(&tx, pending)?;
        }
        Ok(tx.transaction.commit()?)
    }
}

/// Carries out one request behind a savepoint. Its own failure is its own answer; what is wrong with the
/// file is everybody's.
fn apart(tx: &Tx<'_>, pending: &mut Pending) -> Result<(), StoreError> {
    if pending.kind == Kind::Read {
        return match pending.task.carry_out(tx) {
            Err(error) if error.is_of_the_file() => Err(error),
            _ => Ok(()),
        };
    }
    tx.execute_batch("SAVEPOINT piece")?;
    match pending.task.carry_out(tx) {
        Ok(()) => Ok(tx.execute_batch("RELEASE piece")?),
        Err(error) if error.is_of_the_file() => Err(error),
        Err(_) => Ok(tx.execute_batch("ROLLBACK TO piece; RELEASE piece")?),
    }
}

/// The first request and those that come within the time that all of them grant.
fn gather(first: Pending, queue: &Receiver<Pending>) -> Vec<Pending> {
    let mut until = Instant::now() + first.gather;
    let mut batch = vec![first];
    while batch.len() < caps::REQUESTS_PER_COMMIT_MAX {
        match queue.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(next) => {
                until = until.min(Instant::now() + next.gather);
                batch.push(next);
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    batch
}
