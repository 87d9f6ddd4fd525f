//! Databases: `fermyon:spin/sqlite@2.0.0`, `spin:sqlite/sqlite` 3.0.0 and 3.1.0, and the interface without a version that
//! guests of Spin 1 import, with numbers for handles. A label that the manifest does not grant is denied, whether such a
//! database is there or not.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use wasmtime::component::{ComponentType, Lift, Lower, Resource};

use super::{Door, Host, Interface};
use crate::engine::door::{Answer, Twin};
use crate::engine::streams::{Promise, Stream, items};
use crate::engine::wire::wire;
use crate::store::databases::{self, Connection, Slots, SqlError, SqlValue};

pub use crate::store::databases::Databases;

/// What one component may do with databases.
#[derive(Default)]
pub struct Grant {
    databases: Databases,
    labels: BTreeMap<String, PathBuf>,
    bytes_max: u64,
    slots: Slots,
}

impl Grant {
    /// It may open those of these labels, each in its file, and make each grow to so many bytes.
    pub fn new(databases: Databases, labels: BTreeMap<String, PathBuf>, bytes_max: u64) -> Self {
        Self { databases, labels, bytes_max, slots: Slots::default() }
    }
}

wire! {
    /// `variant error`, cases in the order of the WIT.
    #[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(variant)]
    pub enum Error {
        /// Nobody knows a database of this name.
        #[component(name = "no-such-database")]
        NoSuchDatabase,
        /// The component's manifest does not name this database.
        #[component(name = "access-denied")]
        AccessDenied,
        /// The handle stands for no connection.
        #[component(name = "invalid-connection")]
        InvalidConnection,
        /// The database is as large as it may be, or the disk is full.
        #[component(name = "database-full")]
        DatabaseFull,
        /// Anything else, in a sentence.
        #[component(name = "io")]
        Io(String),
    }
}

wire! {
    /// `variant value`.
    #[derive(Clone, Debug, PartialEq, ComponentType, Lift, Lower)]
    #[component(variant)]
    pub enum SqliteValue {
        /// A whole number.
        #[component(name = "integer")]
        Integer(i64),
        /// A number.
        #[component(name = "real")]
        Real(f64),
        /// Text.
        #[component(name = "text")]
        Text(String),
        /// Bytes.
        #[component(name = "blob")]
        Blob(Vec<u8>),
        /// Nothing.
        #[component(name = "null")]
        Null,
    }
}

wire! {
    /// `record row-result`: as many values as there are columns.
    #[derive(Clone, Debug, PartialEq, ComponentType, Lift, Lower)]
    #[component(record)]
    pub struct RowResult {
        /// The values.
        #[component(name = "values")]
        pub values: Vec<SqliteValue>,
    }
}

wire! {
    /// `record query-result`.
    #[derive(Clone, Debug, PartialEq, ComponentType, Lift, Lower)]
    #[component(record)]
    pub struct QueryResult {
        /// The names of the columns.
        #[component(name = "columns")]
        pub columns: Vec<String>,
        /// The rows.
        #[component(name = "rows")]
        pub rows: Vec<RowResult>,
    }
}

impl From<SqlError> for Error {
    fn from(error: SqlError) -> Self {
        match error {
            SqlError::Full => Self::DatabaseFull,
            SqlError::Busy | SqlError::Io(_) => Self::Io(error.to_string()),
        }
    }
}

impl From<SqliteValue> for SqlValue {
    fn from(value: SqliteValue) -> Self {
        match value {
            SqliteValue::Integer(integer) => Self::Integer(integer),
            SqliteValue::Real(real) => Self::Real(real),
            SqliteValue::Text(text) => Self::Text(text),
            SqliteValue::Blob(blob) => Self::Blob(blob),
            SqliteValue::Null => Self::Null,
        }
    }
}

impl From<SqlValue> for SqliteValue {
    fn from(value: SqlValue) -> Self {
        match value {
            SqlValue::Integer(integer) => Self::Integer(integer),
            SqlValue::Real(real) => Self::Real(real),
            SqlValue::Text(text) => Self::Text(text),
            SqlValue::Blob(blob) => Self::Blob(blob),
            SqlValue::Null => Self::Null,
        }
    }
}

impl From<databases::Answer> for QueryResult {
    fn from(answer: databases::Answer) -> Self {
        let row = |values: Vec<SqlValue>| RowResult {
            values: values.into_iter().map(SqliteValue::from).collect(),
        };
        Self { columns: answer.columns, rows: answer.rows.into_iter().map(row).collect() }
    }
}

/// An open connection: the label was granted when it was opened.
pub struct OpenDatabase(Arc<Connection>);

type Handle = Resource<OpenDatabase>;
type Of<T> = Answer<(Result<T, Error>,)>;

pub(super) fn offer(door: &mut Door) -> Answer<()> {
    offer_statements(&mut door.interface("fermyon:spin/sqlite@2.0.0")?)?;
    // What 3.0.0 has is in 3.1.0, too.
    let mut newer = door.interface("spin:sqlite/sqlite@3.1.0")?;
    offer_statements(&mut newer)?;
    newer.at_once("[method]connection.last-insert-rowid", last_insert_rowid)?;
    newer.at_once("[method]connection.changes", changes)?;
    offer_async(&mut newer)?;
    let mut oldest = door.interface("fermyon:spin/sqlite")?;
    oldest.waiting(Twin::Sync, "open", open_numbered)?;
    oldest.waiting(Twin::Sync, "execute", execute_numbered)?;
    oldest.at_once("close", close_numbered)
}

fn offer_statements(interface: &mut Interface<'_>) -> Answer<()> {
    interface.resource::<OpenDatabase>("connection")?;
    interface.waiting(Twin::Sync, "[static]connection.open", open)?;
    interface.waiting(Twin::Sync, "[method]connection.execute", execute)
}

/// The same for guests of Spin 4.
fn offer_async(interface: &mut Interface<'_>) -> Answer<()> {
    interface.waiting(Twin::Async, "[static]connection.open-async", open)?;
    interface.waiting(Twin::Async, "[method]connection.execute-async", execute_streaming)?;
    interface.waiting(
        Twin::Async,
        "[method]connection.last-insert-rowid-async",
        |host, asked| async move { last_insert_rowid(&host, asked) },
    )?;
    interface.waiting(Twin::Async, "[method]connection.changes-async", |host, asked| async move {
        changes(&host, asked)
    })
}

async fn open(host: Host, (label,): (String,)) -> Of<Handle> {
    Ok((connect(&host, &label).await,))
}

async fn connect(host: &Host, label: &str) -> Result<Handle, Error> {
    let may = &host.grants().sqlite;
    let path = may.labels.get(label).ok_or(Error::AccessDenied)?;
    let opened = may.databases.open(path.clone(), may.bytes_max, &may.slots).await?;
    let kept = host.try_push(OpenDatabase(Arc::new(opened)));
    kept.ok_or_else(|| Error::Io("too many handles are open".into()))
}

fn connection(host: &Host, handle: &Handle) -> Answer<Arc<Connection>> {
    host.with(handle, |open| Arc::clone(&open.0))
}

async fn execute(
    host: Host,
    (handle, sql, parameters): (Handle, String, Vec<SqliteValue>),
) -> Of<QueryResult> {
    let connection = connection(&host, &handle)?;
    Ok((carry_out(&connection, sql, parameters).await,))
}

/// Columns, rows, and how it ended.
type Streamed = (Vec<String>, Stream<RowResult>, Promise<Result<(), Error>>);

/// The rows are all there when it answers, and no more than an answer of the other twin may have: a statement that stood
/// open while its guest reads would keep the database's turn from others, and from the guest itself. They leave as the
/// guest reads them.
async fn execute_streaming(
    host: Host,
    (handle, sql, parameters): (Handle, String, Vec<SqliteValue>),
) -> Of<Streamed> {
    let connection = connection(&host, &handle)?;
    let found = carry_out(&connection, sql, parameters).await;
    Ok((found
        .map(|QueryResult { columns, rows }| (columns, Stream::of(rows), Promise::ready(Ok(())))),))
}

items!(RowResult);

async fn carry_out(
    connection: &Connection,
    sql: String,
    parameters: Vec<SqliteValue>,
) -> Result<QueryResult, Error> {
    let parameters = parameters.into_iter().map(SqlValue::from).collect();
    Ok(connection.execute(sql, parameters).await?.into())
}

fn last_insert_rowid(host: &Host, (handle,): (Handle,)) -> Answer<(i64,)> {
    Ok((connection(host, &handle)?.effect().last_insert_rowid,))
}

fn changes(host: &Host, (handle,): (Handle,)) -> Answer<(u64,)> {
    Ok((connection(host, &handle)?.effect().changes,))
}

async fn open_numbered(host: Host, (label,): (String,)) -> Of<u32> {
    Ok((connect(&host, &label).await.map(|handle| handle.rep()),))
}

async fn execute_numbered(
    host: Host,
    (number, sql, parameters): (u32, String, Vec<SqliteValue>),
) -> Of<QueryResult> {
    match connection(&host, &Resource::new_borrow(number)) {
        Ok(connection) => Ok((carry_out(&connection, sql, parameters).await,)),
        Err(_) => Ok((Err(Error::InvalidConnection),)),
    }
}

/// A number that stands for nothing is closed already.
fn close_numbered(host: &Host, (number,): (u32,)) -> Answer<()> {
    let _ = host.take(Resource::<OpenDatabase>::new_own(number));
    Ok(())
}
