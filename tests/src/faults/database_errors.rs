//! Lets the n-th operation of a PostgreSQL on its disk fail, for every n: in any of its processes, while a server enrolls and
//! renews. The database may refuse, end a session, or crash and start again by itself; where it ends for good, it is
//! started as whatever watches over a real one would. The server goes on by itself.

use core::time::Duration;
use std::fs;

use enroll_server::failpoint::Plant;

use super::child::Child;
use super::database::Cluster;
use super::fleet::Fleet;
use super::invariants::{Invariant, Violation, check};
use super::io_errors::{Failed, Failure, enroll_and_renew};
use super::ledger::Ledger;
use super::progress::Progress;
use super::site::StateFolder;
use crate::harness::pause;

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub struct DatabaseErrors {
    /// How operations fail.
    pub failure: Failure,
    /// How many devices enroll in each run; the first one renews.
    pub enrollments: u32,
    /// From one n to the next: 1 for every operation.
    pub step: u64,
    /// Runs at most; they end before that with one in which there was no n-th operation.
    pub most: u64,
    /// After how many runs all invariants are checked.
    pub check_every: u64,
    /// A defect.
    pub plant: Option<Plant>,
}

/// Pause before a request that was told "later" is sent again, and how often.
const PAUSE: Duration = Duration::from_millis(100);
const PATIENCE: u32 = 600;

impl DatabaseErrors {
    /// Runs them.
    ///
    /// # Errors
    /// The first n after which something does not hold.
    ///
    /// # Panics
    /// Where the machine cannot run it.
    pub fn run(&self) -> Result<Failed, (u64, Violation)> {
        let cluster = Cluster::on_a_disk_that_fails();
        let fleet = Fleet::on(self.enrollments, Some(&cluster));
        let folder = fleet.new_server();
        let (mut ledger, mut done) = (Ledger::default(), Failed::default());
        let progress = Progress::new("operations");
        for run in 0..self.most {
            progress.at(run, None);
            let n = 1 + run * self.step;
            let known = ledger.asked.len();
            let hit = self.at(&cluster, &fleet, &folder, n, &mut ledger, &mut done);
            let hit = hit.map_err(|violation| (n, violation))?;
            if run % self.check_every == 0 || run + 1 == self.most || !hit {
                // One that was superseded is refused, and rightly: what this run asked for last is not.
                let newest = ledger.newest(known);
                ledger.signed.clear();
                ledger.witness(&fs::read_to_string(folder.path("witness")).unwrap_or_default(), 0);
                folder.end_leases();
                check(&folder.config(), &ledger, 0, &newest).map_err(|violation| (n, violation))?;
            }
            if !hit {
                break;
            }
            done.operations += 1;
        }
        Ok(done)
    }

    /// One run in which the n-th operation fails. Gives whether there was an n-th one.
    fn at(
        &self,
        cluster: &Cluster,
        fleet: &Fleet,
        folder: &StateFolder,
        n: u64,
        ledger: &mut Ledger,
        done: &mut Failed,
    ) -> Result<bool, Violation> {
        let fault = cluster.fault.as_ref().expect("a disk that fails");
        folder.end_leases();
        let mut command = Child::command(&folder.config(), &folder.path("witness"), None, self.plant);
        let started = Child::start(&mut command).map_err(|said| Violation::of(Invariant::Starts, said))?;
        let child = started.expect("nobody kills it");
        let (errno, length) = self.failure.errno_and_length();
        fault.arm(n, errno, length);
        let mut patience = PATIENCE;
        let served = enroll_and_renew(fleet, &child, ledger, &mut || {
            done.later += 1;
            patience -= 1;
            cluster.server.look_after().expect("somebody who looks after the database");
            pause(PAUSE);
            patience > 0
        });
        let hit = fault.disarm() >= n;
        cluster.server.look_after().expect("somebody who looks after the database");
        cluster.server.wait().expect("a database that starts again");
        let said = child.stop();
        served?;
        if said.contains("panicked") {
            return Err(Violation::of(Invariant::WayForward, said));
        }
        Ok(hit)
    }
}
