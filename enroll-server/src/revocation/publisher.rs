//! Makes and publishes revocation lists.

use core::time::Duration;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use ca::Issuer;
use ca::crl::{CrlError, Entries, Issue, Scope};
use shared::UnixTime;
use tokio::sync::watch;
use tokio::time::Instant;

use super::book::{Book, LINGER, Name, Page};
use super::roots::Roots;
use super::{List, Revocations, RootLists};
use crate::authorities::{Authorities, Authority, InOffice};
use crate::clock::Clock;
use crate::config::Crl;
use crate::files;
use crate::hook;
use crate::in_force::InForce;
use crate::issuance::{chain, signing};
use crate::rollover::Lineup;
use crate::serve::stopped;
use crate::store::{IssuerNumber, RevocationsSince, Store, StoreError};

/// How often the store is asked whether something was revoked: by this process or by another one.
const POLL: Duration = Duration::from_millis(100);
/// Pause after a publication that failed.
const RETRY: Duration = Duration::from_secs(1);
/// Most lists that are signed at one go although nothing on them changed, so that a revocation does not wait for them.
const RENEWED_AT_ONCE: usize = 32;

/// Makes revocation lists.
#[derive(Debug)]
pub struct Publisher {
    store: Arc<dyn Store>,
    authorities: Arc<InOffice>,
    clock: Arc<dyn Clock>,
    settings: Crl,
    out: watch::Sender<Arc<Revocations>>,
    book: Option<Book>,
    /// The latest time at which it was looked.
    latest: UnixTime,
    /// Whose lists are in the files; empty where the files have to be written.
    in_files: Vec<IssuerNumber>,
    /// When the hook is run again for what is in the files, where it failed.
    pub(super) hook_again: Option<Instant>,
    roots: Option<Roots>,
}

/// Why no list was published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An older database was put in place while the server ran.
    #[error(
        "the database is older than the lists that are out: start the server again, which brings in what they know"
    )]
    DatabaseOlder,
    /// The CA did not sign the list.
    #[error("the revocation list was not signed")]
    Crl(#[from] CrlError),
    /// The signing task was lost.
    #[error("the signing task ended without a result")]
    SignerGone,
    /// The file cannot be written.
    #[error("{}: cannot be written", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

/// A list to be signed.
struct Draft {
    name: Name,
    issuer: Arc<Issuer>,
    url: Option<String>,
    entries: Entries,
}

impl Draft {
    fn of((issuer, partition): Name, page: &Page, signer: &Arc<Issuer>) -> Self {
        Self {
            name: (issuer, partition),
            issuer: Arc::clone(signer),
            url: page.url().map(str::to_owned),
            entries: page.entries().clone(),
        }
    }
}

/// What is to be made now.
#[derive(Default)]
struct Due {
    complete: Vec<Draft>,
    /// What has changed comes first.
    partitions: Vec<Draft>,
}

impl Publisher {
    /// Publishes into the files of `settings`.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        authorities: Arc<InOffice>,
        clock: Arc<dyn Clock>,
        settings: Crl,
    ) -> Self {
        let (out, _) = watch::channel(Arc::default());
        let (latest, in_files) = (UnixTime::from_secs(0), Vec::new());
        Self {
            store,
            authorities,
            clock,
            settings,
            out,
            book: None,
            latest,
            in_files,
            hook_again: None,
            roots: None,
        }
    }

    /// With the lists of the roots in this line-up.
    pub(crate) fn with_roots_of(self, lineup: Arc<InForce<Lineup>>) -> Self {
        Self { roots: Some(Roots::new(lineup)), ..self }
    }

    /// The lists that are out, and all after them.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Revocations>> {
        self.out.subscribe()
    }

    /// Publishes whenever it is due, until `stop`.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut pause = POLL;
        loop {
            tokio::select! {
                () = stopped(&mut stop) => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = match self.publish_if_due().await {
                Ok(_) => POLL,
                Err(error) => {
                    tracing::error!(error = chain(&error), "a revocation list was not published");
                    RETRY
                }
            };
        }
    }

    /// Publishes the lists on which something changed since, those of which half of the time has passed, and those of
    /// CAs that are newly in force. Tells whether there were any. Of lists on which nothing changed only some are made
    /// at one call, the complete ones first.
    ///
    /// # Errors
    /// Says what failed; the lists before stay out, and the next call tries again.
    pub async fn publish_if_due(&mut self) -> Result<bool, PublishError> {
        let published = self.look().await;
        let failing = published.is_err();
        if failing != self.out.borrow().failing.is_some() {
            let now = self.clock.now();
            self.show(|out| out.failing = failing.then_some(now));
        }
        published
    }

    async fn look(&mut self) -> Result<bool, PublishError> {
        let (now, authorities) = (self.clock.now(), self.authorities.now());
        let whose = whose(&authorities, now);
        self.look_at_roots(&authorities, now);
        if now.after(LINGER) < self.latest {
            // The clock was ahead: what had ended by then was left out, and has not ended.
            tracing::warn!(from = %self.latest, to = %now, "the clock went back: all revocations are read again");
            self.book = None;
            self.latest = now;
        }
        self.latest = self.latest.max(now);
        self.read(now).await?;
        if let Some(book) = &mut self.book {
            whose.iter().for_each(|issuer| book.open_page(*issuer));
            book.drop_ended(now);
        }
        let Due { complete, partitions } = self.due(&authorities, &whose, now);
        if complete.is_empty() && partitions.is_empty() && self.in_files == whose {
            if self.hook_again.is_some_and(|at| at <= Instant::now()) {
                self.run_hook().await;
            }
            return Ok(false);
        }
        let issue = Issue {
            number: self.store.next_crl_number().await?,
            this_update: now,
            next_update: now.after(self.settings.valid),
        };
        // The short lists do not wait for the long ones, and none for one that cannot be made.
        let short = self.publish_partitions(partitions, issue).await;
        let long = self.publish_complete(complete, issue, &whose).await;
        self.take_stock(&whose, now);
        short.and(long).map(|()| true)
    }

    /// Takes in the roots' lists where there are others; the files are written anew then.
    fn look_at_roots(&mut self, authorities: &Authorities, now: UnixTime) {
        let Some(roots) = self.roots.as_mut().map(|roots| roots.look(now)) else { return };
        let ca_revoked = roots.revoke(&authorities.issuer().certificate().serial());
        let out = Arc::clone(&self.out.borrow());
        if ca_revoked && !out.ca_revoked {
            tracing::error!(
                "the root has revoked the issuing CA: the server is not ready, and does not start again"
            );
        }
        let lists = |roots: &RootLists| roots.all().cloned().collect::<Vec<_>>();
        if lists(&roots) != lists(&out.roots) || ca_revoked != out.ca_revoked {
            self.in_files.clear();
        }
        if roots != out.roots || ca_revoked != out.ca_revoked {
            self.show(|out| (out.roots, out.ca_revoked) = (roots, ca_revoked));
        }
    }

    /// Notes which lists are missing, and when the first one runs out. One that is not kept up any more goes when it has
    /// run out.
    fn take_stock(&self, whose: &[IssuerNumber], now: UnixTime) {
        let names: BTreeSet<Name> = self
            .book
            .iter()
            .flat_map(|book| book.pages().map(|(name, _)| name))
            .filter(|(issuer, _)| whose.contains(issuer))
            .collect();
        self.show(|out| out.keep_up(&names, now));
    }

    /// Takes in what changed in the store.
    async fn read(&mut self, now: UnixTime) -> Result<(), PublishError> {
        // So far back that what ended while no server ran is on one list more (RFC 5280, section 3.3).
        let from = now.before(LINGER).before(self.settings.valid);
        if let Some(book) = &mut self.book {
            loop {
                match self.store.revocations_since(book.upto(), from).await? {
                    RevocationsSince::Known(changes) => {
                        if !book.apply(changes, now)? {
                            return Ok(());
                        }
                    }
                    RevocationsSince::Forgotten => break,
                    RevocationsSince::DatabaseOlder => {
                        // The lists that are out say more than it knows, and their numbers are taken.
                        signing::stop_for_older(self.store.as_ref(), None, now).await?;
                        return Err(PublishError::DatabaseOlder);
                    }
                }
            }
            tracing::warn!("so much was revoked elsewhere that all is read again");
        }
        self.book = Some(Book::open(self.store.revocations(from).await?)?);
        Ok(())
    }

    /// The lists that are to be made now.
    fn due(&self, authorities: &Authorities, whose: &[IssuerNumber], now: UnixTime) -> Due {
        let out = Arc::clone(&self.out.borrow());
        let (mut due, mut quiet) = (Due::default(), Vec::new());
        for (name, page) in self.book.iter().flat_map(Book::pages) {
            let signer = authorities.get(name.0).and_then(Authority::signer);
            let Some(signer) = signer.filter(|_| whose.contains(&name.0)) else { continue };
            let list = out.list(name.0.get(), name.1);
            let renewal = |list: &List| list.this_update.after(self.settings.valid / 2);
            let fresh = list.is_some_and(|list| list.this_update <= now && now < renewal(list));
            match page.url() {
                _ if fresh && !page.is_changed() => {}
                None => due.complete.push(Draft::of(name, page, signer)),
                Some(_) if list.is_some() && page.is_changed() => {
                    due.partitions.push(Draft::of(name, page, signer));
                }
                Some(_) => quiet.push((name, page, signer)),
            }
        }
        // At the start the complete lists alone: the server waits for them.
        if out.number > 0 {
            let some = quiet.into_iter().take(RENEWED_AT_ONCE);
            due.partitions.extend(some.map(|(name, page, signer)| Draft::of(name, page, signer)));
        }
        due
    }

    async fn publish_partitions(&mut self, drafts: Vec<Draft>, issue: Issue) -> Result<(), PublishError> {
        if drafts.is_empty() {
            return Ok(());
        }
        let (lists, failure) = sign(drafts, issue).await?;
        tracing::info!(
            number = issue.number,
            lists = lists.len(),
            "revocation lists of partitions published"
        );
        self.enter(&lists, issue);
        self.show(|out| out.put(lists));
        failure.map_or(Ok(()), |error| Err(error.into()))
    }

    async fn publish_complete(
        &mut self,
        drafts: Vec<Draft>,
        issue: Issue,
        whose: &[IssuerNumber],
    ) -> Result<(), PublishError> {
        if drafts.is_empty() && self.in_files == whose {
            return Ok(());
        }
        let (lists, failure) = sign(drafts, issue).await?;
        let mut next = Revocations::clone(&self.out.borrow());
        next.put(lists.clone());
        if next.issue_of(whose) {
            let revoked = next.len();
            let written = self.write(next.der.clone(), next.pem.clone()).await;
            // A disk that takes no file keeps the list from no one who asks by HTTP.
            self.enter(&lists, issue);
            self.out.send_replace(Arc::new(next));
            self.in_files = if written.is_ok() { whose.to_vec() } else { Vec::new() };
            written?;
            tracing::info!(number = issue.number, revoked, until = %issue.next_update, "revocation list published");
            self.run_hook().await;
        }
        failure.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Notes that these lists are signed, with everything that is in the book.
    fn enter(&mut self, lists: &[(Name, Arc<List>)], issue: Issue) {
        if let Some(book) = &mut self.book {
            lists.iter().for_each(|(name, _)| book.signed(*name, issue.this_update));
        }
    }

    fn show(&self, change: impl FnOnce(&mut Revocations)) {
        let mut out = Revocations::clone(&self.out.borrow());
        change(&mut out);
        self.out.send_replace(Arc::new(out));
    }

    async fn write(&self, der: Bytes, pem: Bytes) -> Result<(), PublishError> {
        // Both at once: what takes time is the disk's.
        let files = [(self.settings.der.clone(), der), (self.settings.pem.clone(), pem)];
        let writes = files.map(|(path, content)| {
            tokio::task::spawn_blocking(move || {
                // Brokers that run as another user read it.
                files::replace(&path, &content, 0o644)
                    .map_err(|source| PublishError::Unwritable { path, source })
            })
        });
        let [der, pem] = writes;
        // Whatever becomes of one, the other is written to its end.
        let (der, pem) = (der.await, pem.await);
        der.map_err(|_| PublishError::SignerGone)?.and(pem.map_err(|_| PublishError::SignerGone)?)
    }

    /// Runs the operator's command. That it fails is logged, and it is run again; the list is out all the same.
    async fn run_hook(&mut self) {
        let Some(command) = hook::of_lists(&self.settings) else { return };
        if let Err(error) = hook::run(command, hook::LIMIT).await {
            let again = hook::AGAIN.as_secs();
            tracing::error!(again, error = chain(&error), "crl.hook did not do its work, and is run again");
            self.hook_again = Some(Instant::now() + hook::AGAIN);
        } else {
            self.hook_again = None;
        }
    }
}

/// Whose lists are published: the CA that issues comes first. One whose life is over signs none any more, and nobody
/// believes its certificates.
fn whose(authorities: &Authorities, now: UnixTime) -> Vec<IssuerNumber> {
    let active = authorities.active();
    let lives = |issuer: &Issuer| issuer.certificate().check_valid_at(now).is_ok();
    let others = authorities.signers().filter(|(number, issuer)| *number != active && lives(issuer));
    core::iter::once(active).chain(others.map(|(number, _)| number)).collect()
}

/// Signs lists; gives those that came about, and the first failure.
async fn sign(
    drafts: Vec<Draft>,
    issue: Issue,
) -> Result<(Vec<(Name, Arc<List>)>, Option<CrlError>), PublishError> {
    let made = tokio::task::spawn_blocking(move || {
        let (mut lists, mut failure) = (Vec::with_capacity(drafts.len()), None);
        for Draft { name, issuer, url, entries } in drafts {
            let scope = url.as_deref().map_or(Scope::Complete, Scope::Point);
            match ca::crl::sign(&issuer, issue, scope, &entries) {
                Ok(der) => {
                    let Issue { number, this_update, next_update } = issue;
                    let der = Bytes::from(der);
                    lists.push((name, Arc::new(List { number, this_update, next_update, der, entries })));
                }
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        (lists, failure)
    });
    made.await.map_err(|_| PublishError::SignerGone)
}
