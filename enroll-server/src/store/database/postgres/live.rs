//! One connection that is up: its statements, and what was sent and not yet answered.

use core::pin::{Pin, pin};
use core::task::Poll;
use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_postgres::error::{DbError, Severity};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row, Statement};

use super::tls;
use super::value::Owned;
use crate::store::StoreError;
use crate::store::database::bind::Value;
use crate::store::database::fault::of_postgres;
use crate::store::database::{Bind, PostgresOptions, dialect};

/// Most statements that stay prepared; searches have texts of many forms.
const STATEMENTS: usize = 256;
/// The oldest server whose SQL is known to do.
const OLDEST: i64 = 130_000;

type Answer = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// A connection.
pub(super) struct Live {
    client: Arc<Client>,
    driver: JoinHandle<()>,
    statements: HashMap<String, Statement>,
    /// Answers that nobody has waited for yet, in order.
    pending: Vec<Answer>,
    /// The server said that this was the end: it closes the connection right after.
    ended: bool,
}

impl Live {
    /// Connects, and refuses a server that would lose what it has called durable.
    pub(super) async fn connect(options: &PostgresOptions) -> Result<Self, StoreError> {
        let unreachable = |why: String| StoreError::Unreachable(format!("{}: {why}", options.place()));
        let tls = tls::connector(&options.anchors)
            .map_err(|error| StoreError::Failed(crate::issuance::chain(&error)))?;
        let mut server = options.server.clone();
        server.connect_timeout(options.connect_timeout);
        // As on the other side, below.
        server.keepalives_idle(Duration::from_secs(10)).keepalives_interval(Duration::from_secs(5));
        server.keepalives_retries(3);
        // For each host in turn; the sum is bounded too.
        let hosts = u32::try_from(server.get_hosts().len()).unwrap_or(u32::MAX).max(1);
        let limit = options.connect_timeout.saturating_mul(hosts.saturating_add(1));
        let connected = tokio::time::timeout(limit, server.connect(tls)).await;
        let (client, connection) = connected
            .map_err(|_| unreachable(format!("no answer within {limit:?}")))?
            .map_err(|error| unreachable(crate::issuance::chain(&error)))?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!(
                    error = crate::issuance::chain(&error),
                    "the connection to the database ended"
                );
            }
        });
        let live = Self {
            client: Arc::new(client),
            driver,
            statements: HashMap::new(),
            pending: Vec::new(),
            ended: false,
        };
        live.prepare_session(options).await?;
        Ok(live)
    }

    async fn prepare_session(&self, options: &PostgresOptions) -> Result<(), StoreError> {
        // A replica that is frozen, or cut off, must not hold up the others for longer than one of its statements may.
        let settings = format!(
            "SET statement_timeout = {0}; SET idle_in_transaction_session_timeout = {0}; SET lock_timeout = {1}; \
             SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3",
            options.statement_timeout.as_millis(),
            options.lock_timeout.as_millis()
        );
        self.client.batch_execute(&settings).await.map_err(|error| of_postgres(&error))?;
        let sql = "SELECT current_setting('server_version_num')::bigint, current_setting('server_encoding'), \
                   current_setting('fsync'), current_setting('full_page_writes'), \
                   current_setting('synchronous_commit')";
        let row = self.client.query_one(sql, &[]).await.map_err(|error| of_postgres(&error))?;
        let version: i64 = row.try_get(0).map_err(|error| of_postgres(&error))?;
        if version < OLDEST {
            return Err(StoreError::Unfit {
                setting: "server_version_num",
                expected: "130000 or more",
                found: version.to_string(),
            });
        }
        let asked = [
            ("server_encoding", &["UTF8"][..], "UTF8"),
            ("fsync", &["on"], "on: without it a power loss takes certificates away that devices have"),
            ("full_page_writes", &["on"], "on: without it a power loss can tear the database"),
            // With less, a commit that was answered can be lost.
            ("synchronous_commit", &["on", "remote_apply"], "on or remote_apply"),
        ];
        for (column, (setting, allowed, expected)) in (1..).zip(asked) {
            let found: String = row.try_get(column).map_err(|error| of_postgres(&error))?;
            if !allowed.contains(&found.as_str()) {
                return Err(StoreError::Unfit { setting, expected, found });
            }
        }
        Ok(())
    }

    pub(super) fn is_closed(&self) -> bool {
        self.ended || self.client.is_closed()
    }

    /// What the server said went wrong.
    fn failed(&mut self, error: &Error) -> StoreError {
        let severity = error.as_db_error().and_then(DbError::parsed_severity);
        self.ended |= matches!(severity, Some(Severity::Fatal | Severity::Panic));
        of_postgres(error)
    }

    /// Runs a query, and waits for all that was sent before.
    pub(super) async fn query(&mut self, sql: &str, values: &[&dyn Bind]) -> Result<Vec<Row>, StoreError> {
        let values: Vec<Value<'_>> = values.iter().map(|value| value.value()).collect();
        let statement = self.prepared(sql, &values).await?;
        let client = Arc::clone(&self.client);
        self.answered(client.query(&statement, &parameters(&values))).await
    }

    /// Runs a query without values, and does not keep it.
    pub(super) async fn query_once(&mut self, sql: &str) -> Result<Vec<Row>, StoreError> {
        self.settle().await?;
        let found = self.client.query(sql, &[]).await;
        found.map_err(|error| self.failed(&error))
    }

    /// Runs a statement, and waits for it and all that was sent before; gives how many rows it changed.
    pub(super) async fn execute(&mut self, sql: &str, values: &[&dyn Bind]) -> Result<u64, StoreError> {
        let values: Vec<Value<'_>> = values.iter().map(|value| value.value()).collect();
        let statement = self.prepared(sql, &values).await?;
        let client = Arc::clone(&self.client);
        self.answered(client.execute(&statement, &parameters(&values))).await
    }

    /// Puts a request on its way behind all that was sent before, and waits for everything.
    async fn answered<T>(
        &mut self,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, StoreError> {
        let mut answer = pin!(request);
        let sent = poll_once(answer.as_mut()).await;
        self.settle().await?;
        let done = match sent {
            Some(done) => done,
            None => answer.await,
        };
        done.map_err(|error| self.failed(&error))
    }

    /// Sends a statement.
    pub(super) async fn send(&mut self, sql: &str, values: &[&dyn Bind]) -> Result<(), StoreError> {
        let values: Vec<Value<'_>> = values.iter().map(|value| value.value()).collect();
        let statement = self.prepared(sql, &values).await?;
        let client = Arc::clone(&self.client);
        let values: Vec<Owned> = values.into_iter().map(Value::owned).collect();
        let answer = async move { client.execute_raw(&statement, values).await.map(drop) };
        self.sent(Box::pin(answer)).await
    }

    /// Sends statements without values.
    pub(super) async fn control(&mut self, sql: &str) -> Result<(), StoreError> {
        let (client, sql) = (Arc::clone(&self.client), sql.to_owned());
        self.sent(Box::pin(async move { client.batch_execute(&sql).await })).await
    }

    /// Puts a request on its way: it is written when it is first polled.
    async fn sent(&mut self, mut answer: Answer) -> Result<(), StoreError> {
        match poll_once(answer.as_mut()).await {
            None => self.pending.push(answer),
            Some(done) => done.map_err(|error| self.failed(&error))?,
        }
        Ok(())
    }

    /// Waits for all that was sent. The first failure counts: what comes after it fails because of it.
    pub(super) async fn settle(&mut self) -> Result<(), StoreError> {
        let mut result = Ok(());
        for answer in core::mem::take(&mut self.pending) {
            let done = answer.await;
            if result.is_ok() {
                result = done.map_err(|error| self.failed(&error));
            }
        }
        result
    }

    async fn prepared(&mut self, sql: &str, values: &[Value<'_>]) -> Result<Statement, StoreError> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let types: Vec<_> = values.iter().map(Value::type_of).collect();
        match self.client.prepare_typed(&dialect::postgres(sql), &types).await {
            Ok(statement) => {
                if self.statements.len() >= STATEMENTS {
                    self.statements.clear();
                }
                self.statements.insert(sql.to_owned(), statement.clone());
                Ok(statement)
            }
            Err(error) => {
                // Where something before it failed, that is what went wrong.
                self.settle().await?;
                Err(self.failed(&error))
            }
        }
    }

    /// Says goodbye.
    pub(super) async fn close(self) {
        let Self { client, driver, statements, pending, ended: _ } = self;
        drop((statements, pending, client));
        let ended = driver.await;
        tracing::debug!(clean = ended.is_ok(), "a connection to the database was closed");
    }
}

fn parameters<'v>(values: &'v [Value<'_>]) -> Vec<&'v (dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

/// Polls once: what is asked is written, and `None` says that the answer is not there yet.
async fn poll_once<F: Future + ?Sized>(mut future: Pin<&mut F>) -> Option<F::Output> {
    core::future::poll_fn(move |context| match future.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
