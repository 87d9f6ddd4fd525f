//! Publishes that are promised and that their broker has not acknowledged yet.

use rusqlite::{Row, params};

use super::{Place, Store, StoreError, Terms};

/// Without an index: it would double what each publish writes, and rows are read in the order of their numbers.
pub(super) const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS pirn_publish (
        id INTEGER PRIMARY KEY AUTOINCREMENT, broker TEXT NOT NULL, component TEXT NOT NULL, topic TEXT NOT NULL,
        payload BLOB NOT NULL, qos INTEGER NOT NULL, retain INTEGER NOT NULL, at INTEGER NOT NULL);";

/// A publish as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptPublish {
    /// Which component's.
    pub component: String,
    /// Where to.
    pub topic: String,
    /// What.
    pub payload: bytes::Bytes,
    /// 1 or 2.
    pub qos: u8,
    /// Whether the broker is to keep it.
    pub retain: bool,
    /// When it was written, in seconds since the epoch, by whatever clock there was.
    pub at: i64,
}

/// What is kept for one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptTotal {
    /// Which.
    pub component: String,
    /// How many.
    pub rows: u64,
    /// Topics and payloads together.
    pub bytes: u64,
}

impl Store {
    /// Keeps publishes for a broker; their rows, in their order, when they are on the disk.
    pub async fn keep_publishes(
        &self,
        broker: &str,
        publishes: Vec<KeptPublish>,
    ) -> Result<Vec<i64>, StoreError> {
        let broker = broker.to_owned();
        let size = |publish: &KeptPublish| publish.topic.len() + publish.payload.len();
        let terms = Terms::holding(publishes.iter().map(size).sum());
        let work = move |db: &super::Tx<'_>| {
            super::kept::note(db)?;
            let mut insert = db.prepare_cached(
                "INSERT INTO pirn_publish (broker, component, topic, payload, qos, retain, at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?;
            let mut rows = Vec::with_capacity(publishes.len());
            for publish in &publishes {
                let KeptPublish { component, topic, payload, qos, retain, at } = publish;
                let payload: &[u8] = payload;
                insert.execute(params![broker, component, topic, payload, qos, retain, at])?;
                rows.push(db.last_insert_rowid());
            }
            Ok(rows)
        };
        self.write(Place::State, terms, work).await
    }

    /// Publishes of a component after a row, in their order, each with its row: so many, or fewer once they have more
    /// than so many bytes together.
    pub async fn kept_publishes(
        &self,
        broker: &str,
        component: &str,
        after: i64,
        most: usize,
        bytes_most: usize,
    ) -> Result<Vec<(i64, KeptPublish)>, StoreError> {
        let (broker, component) = (broker.to_owned(), component.to_owned());
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let work = move |db: &super::Tx<'_>| {
            let mut query = db.prepare_cached(
                "SELECT id, topic, payload, qos, retain, at FROM pirn_publish
                 WHERE id > ?3 AND component = ?2 AND broker = ?1 ORDER BY id LIMIT ?4",
            )?;
            let publish = |row: &Row<'_>| {
                let payload: Vec<u8> = row.get(2)?;
                let publish = KeptPublish {
                    component: component.clone(),
                    topic: row.get(1)?,
                    payload: payload.into(),
                    qos: row.get(3)?,
                    retain: row.get(4)?,
                    at: row.get(5)?,
                };
                Ok((row.get(0)?, publish))
            };
            let (mut rows, mut bytes) = (Vec::new(), 0);
            for read in query.query_map(params![broker, component, after, most], publish)? {
                let (row, kept): (i64, KeptPublish) = read?;
                bytes += kept.topic.len() + kept.payload.len();
                rows.push((row, kept));
                if bytes > bytes_most {
                    break;
                }
            }
            Ok(rows)
        };
        self.read(Place::State, work).await
    }

    /// Forgets publishes that were acknowledged.
    pub async fn forget_publishes(&self, rows: Vec<i64>) -> Result<(), StoreError> {
        let work = move |db: &super::Tx<'_>| {
            let mut delete = db.prepare_cached("DELETE FROM pirn_publish WHERE id = ?1")?;
            for row in rows {
                delete.execute(params![row])?;
            }
            Ok(())
        };
        self.write(Place::State, Terms::default(), work).await
    }

    /// How much is kept for a broker, by component.
    pub async fn kept_publish_totals(&self, broker: &str) -> Result<Vec<KeptTotal>, StoreError> {
        let broker = broker.to_owned();
        let work = move |db: &super::Tx<'_>| {
            let mut query = db.prepare_cached(
                "SELECT component, count(*), sum(length(topic) + length(payload))
                 FROM pirn_publish WHERE broker = ?1 GROUP BY component",
            )?;
            let total = |row: &Row<'_>| {
                let (rows, bytes): (i64, i64) = (row.get(1)?, row.get(2)?);
                let component = row.get(0)?;
                Ok(KeptTotal { component, rows: rows.unsigned_abs(), bytes: bytes.unsigned_abs() })
            };
            let totals = query.query_map(params![broker], total)?;
            Ok(totals.collect::<Result<_, _>>()?)
        };
        self.read(Place::State, work).await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::Layout;
    use super::*;

    #[tokio::test]
    async fn large_publishes_are_read_a_few_at_a_time_and_at_least_one() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout { state_dir: dir.path().to_path_buf(), ..Layout::default() };
        let store = Store::start(layout).unwrap();
        let kept = |bytes: usize| KeptPublish {
            component: "c".into(),
            topic: "t".into(),
            payload: vec![0; bytes].into(),
            qos: 1,
            retain: false,
            at: 0,
        };
        let all = [kept(1000), kept(10), kept(500), kept(500)];
        let rows = store.keep_publishes("b", all.to_vec()).await.unwrap();
        let read = async |after| {
            let read = store.kept_publishes("b", "c", after, 32, 400).await.unwrap();
            read.into_iter().map(|(row, _)| row).collect::<Vec<_>>()
        };
        assert_eq!(read(0).await, rows[..1]);
        assert_eq!(read(rows[0]).await, rows[1..3]);
        assert!(read(rows[3]).await.is_empty());
    }
}
