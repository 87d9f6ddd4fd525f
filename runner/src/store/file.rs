//! One file and its thread: gathers what is asked for, carries it out in one transaction, answers when
//! that is on the disk. After an error of the file nothing more of it is believed: it is closed, opened
//! anew and read whole, since what a failed write left is unknown.

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Instant;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use super::desk::Place;
use super::key_value::Totals;
use super::mark::{Mark, MarkFile, log_salts};
use super::open::{Contents, Opened, Trust, log_frames, open};
use super::task::{Kind, Pending};
use super::{Notices, StoreError, caps};

/// What a file's thread is sent.
pub(super) enum Order {
    /// Work.
    Work(Pending),
    /// Fold the log back and close the file; the next work opens it again.
    Close(oneshot::Sender<()>),
    /// The same, if there is nothing to do: somebody waits for the place.
    Rest,
}

/// The transaction that work shares.
pub(crate) struct Tx<'a> {
    transaction: Transaction<'a>,
    path: &'a Path,
    totals: &'a RefCell<Totals>,
    said: RefCell<Vec<String>>,
}

impl Tx<'_> {
    /// The file that it is in.
    pub(super) fn path(&self) -> &Path {
        self.path
    }

    /// What key-value stores hold, as far as it is known.
    pub(super) fn totals(&self) -> &RefCell<Totals> {
        self.totals
    }

    /// Something that the operator is told once it is on the disk.
    pub(super) fn say(&self, sentence: String) {
        self.said.borrow_mut().push(sentence);
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
    contents: Contents,
    notices: Arc<Notices>,
    open: Option<(Connection, Option<MarkFile>)>,
    trust: Trust,
    totals: RefCell<Totals>,
    /// The last sentence about what is wrong; the same one is not said again and again.
    trouble: Option<StoreError>,
    /// Frames in the log after the last commit.
    frames: Cell<u32>,
}

impl File {
    pub(super) fn new(path: PathBuf, contents: Contents, notices: Arc<Notices>) -> Self {
        Self {
            path,
            contents,
            notices,
            open: None,
            trust: Trust::Usual,
            totals: RefCell::default(),
            trouble: None,
            frames: Cell::new(0),
        }
    }

    /// The thread. Ends when nobody can ask any more, or when its place is wanted and it has nothing to do: then it has
    /// closed the file, and `leave` takes it out of the list of those that may be asked, unless somebody just did.
    pub(super) fn serve(
        mut self,
        queue: &Receiver<Order>,
        place: &Place,
        leave: impl Fn(&Receiver<Order>) -> Result<(), Order>,
    ) {
        let mut next = None;
        while let Some(order) = next.take().or_else(|| queue.recv().ok()) {
            let (batch, then) = gather(order, queue);
            if !batch.is_empty() {
                place.used();
                self.commit(batch);
                self.fold_if_long();
            }
            let rests = match then {
                Then::GoOn => place.is_wanted(),
                Then::Rest => true,
                Then::Close(closed) => {
                    self.close();
                    // Whoever asked may have stopped waiting.
                    let _ = closed.send(());
                    true
                }
            };
            if !rests {
                continue;
            }
            match queue.try_recv() {
                Ok(order) => next = Some(order),
                Err(_) => {
                    self.lay_down();
                    match leave(queue) {
                        Ok(()) => return,
                        Err(order) => next = Some(order),
                    }
                }
            }
        }
        self.close();
    }

    /// Carries out requests in one transaction and answers them.
    fn commit(&mut self, mut batch: Vec<Pending>) {
        let ended = self.carry_out(&mut batch).map_err(|error| error.of(&self.path));
        self.after(ended.as_ref().err());
        for Pending { task, room, .. } in batch {
            drop(room);
            task.answer(ended.clone());
        }
    }

    /// Takes note of how it went. What is wrong is said once, and that it is well again too.
    fn after(&mut self, error: Option<&StoreError>) {
        let Some(error) = error else {
            if self.trouble.take().is_some() {
                self.notices.note(&format!("{}: it can be used again", self.path.display()));
            }
            return;
        };
        self.totals.get_mut().forget();
        if error.is_suspect() {
            self.let_go();
        }
        if self.trouble.as_ref() != Some(error) {
            self.notices.warn(&format!("the store: {error}; what is asked of it fails meanwhile"));
            self.trouble = Some(error.clone());
        }
    }

    fn carry_out(&mut self, batch: &mut [Pending]) -> Result<(), StoreError> {
        if self.open.is_none() {
            self.open = Some(self.opened()?);
        }
        let Some((db, mark)) = &mut self.open else { return Err(StoreError::Stopped) };
        let writes = batch.iter().any(|pending| pending.kind == Kind::Write);
        let behavior = match writes {
            true => TransactionBehavior::Immediate,
            false => TransactionBehavior::Deferred,
        };
        let said = transact(db, behavior, &self.path, &self.totals, batch)?;
        if writes {
            self.frames.set(log_frames(db)?);
            keep_mark(&self.path, mark.as_ref(), self.frames.get());
        }
        said.iter().for_each(|sentence| self.notices.warn(sentence));
        Ok(())
    }

    fn opened(&mut self) -> Result<(Connection, Option<MarkFile>), StoreError> {
        let Opened { db, mark, said, loss } = open(&self.path, self.contents, self.trust)?;
        self.trust = Trust::Usual;
        if loss {
            self.notices.losses.fetch_add(1, Relaxed);
        }
        said.iter().for_each(|sentence| self.notices.warn(sentence));
        self.frames.set(log_frames(&db)?);
        keep_mark(&self.path, mark.as_ref(), self.frames.get());
        Ok((db, mark))
    }

    /// Folds a long log back into the database, when nobody waits for the answer.
    fn fold_if_long(&mut self) {
        if self.frames.get() < caps::WAL_PAGES {
            return;
        }
        let folded = self.fold("PRAGMA wal_checkpoint(PASSIVE)");
        if let Err(error) = folded.map_err(|error| error.of(&self.path)) {
            self.after(Some(&error));
        }
    }

    /// The log may begin anew with the next write, so the mark must not claim it any more.
    fn fold(&mut self, pragma: &str) -> Result<(), StoreError> {
        let Some((db, mark)) = &self.open else { return Ok(()) };
        if let Some(mark) = mark {
            mark.set_durably(Mark::Folding).map_err(|error| StoreError::Disk(error.to_string()))?;
        }
        db.query_row(pragma, [], |_| Ok(()))?;
        self.frames.set(0);
        Ok(())
    }

    /// Closes a file that is not believed any more. SQLite may fold its log back in doing so, which the mark
    /// must not take for a loss.
    fn let_go(&mut self) {
        self.trust = Trust::None;
        if let Some((_, Some(mark))) = &self.open {
            let _ = mark.set_durably(Mark::Folding);
        }
        self.open = None;
    }

    /// Closes the file as it is: another one needs its place. What is in the log stays there, as after a kill, and waits for
    /// nobody's fsync.
    fn lay_down(&mut self) {
        let Some((db, _)) = &self.open else { return };
        // If it will not, it folds the log back, which the mark must not take for a loss.
        if db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).is_err() {
            return self.close();
        }
        self.totals.get_mut().forget();
        self.open = None;
    }

    /// Leaves nothing in the log. What fails here fails for the next who opens the file, too.
    fn close(&mut self) {
        let folded = self.fold("PRAGMA wal_checkpoint(TRUNCATE)");
        let Some((db, mark)) = self.open.take() else { return };
        self.totals.get_mut().forget();
        let closed = db.close().is_ok();
        if let (Ok(()), true, Some(mark)) = (folded, closed, mark) {
            // Without it the next one only looks more closely.
            let _ = mark.set_durably(Mark::Closed);
        }
    }
}

/// Carries out all of it, each piece apart, and commits; what the operator is told then.
fn transact(
    db: &mut Connection,
    behavior: TransactionBehavior,
    path: &Path,
    totals: &RefCell<Totals>,
    batch: &mut [Pending],
) -> Result<Vec<String>, StoreError> {
    let transaction = db.transaction_with_behavior(behavior)?;
    let tx = Tx { transaction, path, totals, said: RefCell::default() };
    totals.borrow_mut().check(&tx)?;
    for pending in batch {
        apart(&tx, pending)?;
    }
    let Tx { transaction, said, .. } = tx;
    transaction.commit()?;
    Ok(said.into_inner())
}

/// Claims what is on the disk now. A mark that cannot be written claims less, which is no lie.
fn keep_mark(path: &Path, mark: Option<&MarkFile>, frames: u32) {
    let Some(mark) = mark else { return };
    let claim = match (frames, log_salts(path)) {
        (1.., Some(salts)) => Mark::Live { salts, frames },
        _ => Mark::Folding,
    };
    let _ = mark.set(claim);
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
        Err(_) => {
            tx.totals().borrow_mut().forget();
            Ok(tx.execute_batch("ROLLBACK TO piece; RELEASE piece")?)
        }
    }
}

/// What follows a batch.
enum Then {
    GoOn,
    Rest,
    Close(oneshot::Sender<()>),
}

/// The first request and those that come within the time that all of them grant.
fn gather(first: Order, queue: &Receiver<Order>) -> (Vec<Pending>, Then) {
    let mut batch = match first {
        Order::Work(pending) => vec![pending],
        Order::Close(closed) => return (Vec::new(), Then::Close(closed)),
        Order::Rest => return (Vec::new(), Then::Rest),
    };
    let mut until = Instant::now() + batch[0].gather;
    while batch.len() < caps::REQUESTS_PER_COMMIT_MAX {
        match queue.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Order::Work(next)) => {
                until = until.min(Instant::now() + next.gather);
                batch.push(next);
            }
            Ok(Order::Close(closed)) => return (batch, Then::Close(closed)),
            Ok(Order::Rest) => return (batch, Then::Rest),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    (batch, Then::GoOn)
}
