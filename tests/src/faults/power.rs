//! Power loss: records what a server writes while it enrolls, renews and revokes, then cuts the power at each sync of that
//! recording, brings up what is left of the disk, and checks it.
//!
//! A kill leaves the page cache behind and cannot show what was never synced; this does.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::fs;
use std::sync::Mutex;
use std::thread;

use enroll_server::failpoint::Plant;
use shared::endpoint::{ENROLL, RENEW};
use shared::message::latest::{Answer, Outcome};

use super::child::Child;
use super::disk::{Disk, Loss};
use super::fleet::{Fleet, Request};
use super::invariants::{Violation, check};
use super::ledger::Ledger;
use super::progress::Progress;
use super::site::StateFolder;
use super::trace::{self, Event, Watch};
use crate::harness::{Reply, client_config, https, until};

/// What a server did to its disk, with what everybody else knew at each time.
#[derive(Debug)]
pub struct Recording {
    before: StateFolder,
    events: Vec<(u64, Event)>,
    pub(super) ledger: Ledger,
}

/// Where the power is cut, and what is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// After so many events of the recording.
    pub after: usize,
    /// What is lost.
    pub loss: Loss,
}

impl Recording {
    /// Records a server that enrolls so many devices one after the other, renews the first and revokes the second.
    ///
    /// # Panics
    /// Where the server refuses.
    #[must_use]
    pub fn new(enrollments: u32, plant: Option<Plant>) -> Self {
        let fleet = Fleet::new(enrollments);
        let (before, running) = (fleet.new_server(), fleet.new_server());
        let (path, marks) = (running.path("trace"), running.path("witness"));
        let mut command = Child::command(&running.config(), &marks, None, plant);
        Watch { root: &running.server(), trace: Some(&path), marks: &marks, fail: None }.on(&mut command);
        let child = Child::start(&mut command).expect("a server").expect("a server that lives");
        let now = || fs::metadata(&path).expect("a trace").len();
        let mut ledger = Ledger::default();
        let mut issued = Vec::new();
        for device in &fleet.devices {
            let request = fleet.enrollment(device);
            let reply = https(child.port, client_config(&fleet.root, None), ENROLL, Some(&request.body));
            issued.push((answered(&mut ledger, &request, &reply, now()), request));
        }
        let renewal = fleet.renewal(&fleet.devices[0], &issued[0].1, &issued[0].0);
        let config = client_config(&fleet.root, renewal.identity.as_ref());
        let reply = https(child.port, config, RENEW, Some(&renewal.body));
        let _certificate = answered(&mut ledger, &renewal, &reply, now());
        let revoked = fleet.devices[1].id.clone();
        ledger.to_be_revoked.insert(revoked.clone());
        let reply = fleet.revoke(child.port, &revoked);
        assert_eq!(reply.status, 200, "{reply:?}");
        ledger.revoked.push((now(), revoked));
        // The list with the revocation, and the log's last checkpoint, belong to it.
        let before_list = now();
        until("a new revocation list", || (now() > before_list + 1_000).then_some(()));
        let _output = child.stop();
        let events = trace::read(&path, &running.server());
        for (at, event) in &events {
            if let Event::Mark(text) = event {
                ledger.witness(text, *at);
            }
        }
        Self { before, events, ledger }
    }

    /// The power is cut just before each sync, and at the end, with this loss.
    pub fn at_every_sync(&self, loss: Loss) -> impl Iterator<Item = Cut> {
        syncs(&self.events).map(move |after| Cut { after, loss })
    }

    /// The power is cut where a certificate is signed, and just before the first sync after that: whoever comes up has
    /// something to finish.
    pub fn with_open_intents(&self, loss: Loss) -> impl Iterator<Item = Cut> {
        let marks = self.events.iter().enumerate().filter(|(_, (_, event))| matches!(event, Event::Mark(_)));
        marks.filter_map(move |(mark, _)| {
            let after = syncs(&self.events).find(|after| *after > mark)?;
            Some(Cut { after, loss })
        })
    }

    /// How many events were recorded.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether nothing was recorded.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Cuts the power at each of these, and checks what is left. Gives how many cuts there were.
    ///
    /// # Errors
    /// The first cut after which something does not hold.
    ///
    /// # Panics
    /// Where the machine cannot run it.
    pub fn cut_at(&self, cuts: Vec<Cut>) -> Result<usize, (Cut, Violation)> {
        self.each(cuts, |disk, cut| self.check(disk, cut).map(|()| 1))
    }

    /// Plays the recording, and has `look` see the disk at each of these cuts; gives the sum of what it counts.
    pub(super) fn each(
        &self,
        mut cuts: Vec<Cut>,
        look: impl Fn(&Disk, Cut) -> Result<usize, Violation> + Sync,
    ) -> Result<usize, (Cut, Violation)> {
        cuts.sort_by_key(|cut| cut.after);
        let threads = thread::available_parallelism().map_or(1, core::num::NonZero::get);
        let (next, count) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (found, progress) = (Mutex::new(None), Progress::new("states of the disk"));
        // Each thread plays the recording forward and takes the cuts in turn.
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let (mut disk, mut played) = (Disk::of(&self.before.server()), 0);
                    loop {
                        let n = next.fetch_add(1, Ordering::SeqCst);
                        let Some(cut) = cuts.get(n) else { break };
                        progress.at(n as u64, Some(cuts.len() as u64));
                        self.events[played..cut.after].iter().for_each(|(_, event)| disk.apply(event));
                        played = cut.after;
                        match look(&disk, *cut) {
                            Ok(seen) => drop(count.fetch_add(seen, Ordering::SeqCst)),
                            Err(violation) => {
                                found.lock().expect("no panic").get_or_insert((*cut, violation));
                                next.store(cuts.len(), Ordering::SeqCst);
                            }
                        }
                    }
                });
            }
        });
        found.into_inner().expect("no panic").map_or_else(|| Ok(count.into_inner()), Err)
    }

    fn check(&self, disk: &Disk, cut: Cut) -> Result<(), Violation> {
        let folder = StateFolder::empty();
        disk.cut(cut.loss, &folder.server());
        let upto = self.position(cut);
        check(&folder.config(), &self.ledger, upto, &self.repeated(upto))
    }

    /// The time of a cut, as the ledger has times.
    pub(super) fn position(&self, cut: Cut) -> u64 {
        cut.after.checked_sub(1).map_or(0, |last| self.events[last].0)
    }

    /// The requests around a time: those answered last, and the next one.
    pub(super) fn repeated(&self, upto: u64) -> Vec<[u8; 32]> {
        let mut asked: Vec<_> = self
            .ledger
            .asked
            .values()
            // A revoked device gets nothing any more, and one whose revocation was asked for may not.
            .filter(|asked| !self.ledger.to_be_revoked.contains(&asked.request.device))
            .filter_map(|asked| Some((asked.answer.as_ref()?.0, asked.request.key)))
            .collect();
        asked.sort_unstable();
        let next = asked.partition_point(|(at, _)| *at <= upto);
        let around = asked.get(next.saturating_sub(2)..(next + 1).min(asked.len())).unwrap_or_default();
        around.iter().map(|(_, key)| *key).collect()
    }
}

/// Behind how many of these events a sync follows; and behind all of them.
pub(super) fn syncs(events: &[(u64, Event)]) -> impl Iterator<Item = usize> {
    let is_sync = |event: &Event| matches!(event, Event::Sync { .. } | Event::SyncFolder { .. });
    let syncs = events.iter().enumerate().filter(move |(_, (_, event))| is_sync(event));
    syncs.map(|(after, _)| after).chain([events.len()])
}

fn answered(ledger: &mut Ledger, request: &Request, reply: &Reply, at: u64) -> Vec<u8> {
    let answer = Answer::decode(&reply.body).expect("an answer");
    let Outcome::Issued(issued) = answer.outcome else { panic!("a good request is refused: {answer:?}") };
    let certificate = issued.chain[0].to_vec();
    ledger.answered(request, at, certificate.clone()).expect("one answer");
    certificate
}
