//! Power that is lost once more, while the server comes up from the first loss: its start on what was left of the disk is
//! recorded too, and cut at each of its syncs.

use enroll_server::failpoint::Plant;

use super::child::Child;
use super::disk::Disk;
use super::invariants::{Invariant, Violation, check_planted};
use super::ledger::Ledger;
use super::power::{Cut, Recording, syncs};
use super::site::StateFolder;
use super::trace::{self, Event, Watch};

impl Recording {
    /// Cuts the power at each of these, and again at each sync of the start after it, and checks what is left then. Gives how
    /// many second cuts there were. The server that comes up has this defect.
    ///
    /// # Errors
    /// The first cut after which something does not hold.
    ///
    /// # Panics
    /// Where the machine cannot run it.
    pub fn cut_twice(&self, cuts: Vec<Cut>, plant: Option<Plant>) -> Result<usize, (Cut, Violation)> {
        self.each(cuts, |disk, cut| self.again(disk, cut, plant))
    }

    fn again(&self, disk: &Disk, cut: Cut, plant: Option<Plant>) -> Result<usize, Violation> {
        let left = StateFolder::empty();
        disk.cut(cut.loss, &left.server());
        let first = self.position(cut);
        let (mut ledger, repeated) = (self.ledger.until(first), self.repeated(first));
        let events = start(&left, plant)?;
        for (at, event) in &events {
            if let Event::Mark(text) = event {
                ledger.witness(text, *at);
            }
        }
        let (mut disk, mut played, mut count) = (Disk::of(&left.server()), 0, 0);
        for after in syncs(&events) {
            events[played..after].iter().for_each(|(_, event)| disk.apply(event));
            played = after;
            let folder = StateFolder::empty();
            disk.cut(cut.loss, &folder.server());
            let upto = after.checked_sub(1).map_or(0, |last| events[last].0);
            let held = check_planted(&folder.config(), &ledger, upto, &repeated, plant);
            held.map_err(|Violation { invariant, found }| {
                let found =
                    format!("{found}, after a second cut behind {after} of {} operations", events.len());
                Violation { invariant, found }
            })?;
            count += 1;
        }
        Ok(count)
    }
}

/// What a server does to a copy of these files from its start to its stop.
fn start(left: &StateFolder, plant: Option<Plant>) -> Result<Vec<(u64, Event)>, Violation> {
    let running = StateFolder::copy_of(&left.server());
    let (path, marks) = (running.path("trace"), running.path("witness"));
    let mut command = Child::command(&running.config(), &marks, None, plant);
    Watch { root: &running.server(), trace: Some(&path), marks: &marks, fail: None }.on(&mut command);
    let child = Child::start(&mut command).map_err(|said| Violation::of(Invariant::Starts, said))?;
    let _output = child.expect("nobody kills it").stop();
    Ok(trace::read(&path, &running.server()))
}

impl Ledger {
    /// What was known at the time `upto`, before all that comes.
    fn until(&self, upto: u64) -> Self {
        let mut known = self.clone();
        for asked in known.asked.values_mut() {
            asked.answer = asked.answer.take().filter(|(at, _)| *at <= upto).map(|(_, der)| (0, der));
        }
        known.signed =
            self.signed.iter().filter(|(at, _)| *at <= upto).map(|(_, serial)| (0, *serial)).collect();
        let revoked = self.revoked.iter().filter(|(at, _)| *at <= upto);
        known.revoked = revoked.map(|(_, device)| (0, device.clone())).collect();
        known
    }
}
