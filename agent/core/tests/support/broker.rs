//! An MQTT broker in memory: logs devices in by possession of their key, and plays back what a test wants.

use core::cell::RefCell;
use core::time::Duration;
use std::collections::VecDeque;
use std::rc::Rc;

use agent_core::platform::{Broker, Login, PublicPoint, Session, SigningKey, Step, TransportError};
use agent_core::x509::Certificate;

use super::server::{Office, possesses};

/// What the broker does.
pub struct Hall {
    /// How the logins to come fail; the first is taken off.
    pub faults: VecDeque<TransportError>,
    /// Accepts no key that it has not accepted before.
    pub known_only: bool,
    /// The broker is away.
    pub away: bool,
    /// Commands to come, each at an uptime.
    pub commands: VecDeque<(Duration, Vec<u8>)>,
    /// Ends a connection after so long.
    pub patience: Option<Duration>,
    /// Keys accepted, in order, each once in a row.
    pub accepted: Vec<PublicPoint>,
    pub published: Vec<(String, String, bool)>,
    /// Logins, accepted or not.
    pub logins: usize,
}

/// A device's way to the hall.
#[derive(Clone)]
pub struct HallBroker {
    pub hall: Rc<RefCell<Hall>>,
    pub office: Rc<RefCell<Office>>,
}

impl<K: SigningKey> Broker<K> for HallBroker {
    async fn serve(&mut self, login: Login<'_, K>, session: &mut impl Session) -> Result<(), TransportError> {
        let time = self.office.borrow().time.clone();
        time.pass(Duration::from_millis(100));
        let point = {
            let mut hall = self.hall.borrow_mut();
            hall.logins += 1;
            if hall.away {
                return Err(TransportError::Unreachable);
            }
            if let Some(error) = hall.faults.pop_front() {
                return Err(error);
            }
            let office = self.office.borrow();
            assert_eq!(login.server.host, "broker.example");
            assert_eq!(login.client_id, "SN-0001");
            assert!(login.will_payload.starts_with(br#"{"status":"offline""#));
            assert!(possesses(&login.identity), "the device's key fits its certificate");
            let leaf = Certificate::parse(login.identity.chain[0]).unwrap();
            let point = *leaf.public_point();
            let real = time.real();
            let dated = leaf.not_before() <= real && real <= leaf.not_after();
            if !office.issued.contains(&point)
                || !dated
                || office.revoked
                || (hall.known_only && !hall.accepted.contains(&point))
            {
                return Err(TransportError::Closed);
            }
            point
        };
        {
            let mut hall = self.hall.borrow_mut();
            if hall.accepted.last() != Some(&point) {
                hall.accepted.push(point);
            }
        }
        session.accepted().await;
        let began = time.uptime();
        loop {
            let patience = self.hall.borrow().patience;
            if self.office.borrow().revoked || patience.is_some_and(|limit| time.uptime() - began >= limit) {
                return Err(TransportError::Closed);
            }
            match session.next() {
                Step::Publish { topic, payload, retain } => {
                    let payload = String::from_utf8(payload.to_vec()).unwrap();
                    self.hall.borrow_mut().published.push((topic.into(), payload, retain));
                    time.pass(Duration::from_millis(20));
                    session.published();
                }
                Step::Wait(duration) => {
                    let mut hall = self.hall.borrow_mut();
                    let until = hall.commands.front().map(|(at, _)| at.saturating_sub(time.uptime()));
                    let due = until.is_some_and(|until| until <= duration);
                    let command = if due { hall.commands.pop_front() } else { None };
                    drop(hall);
                    time.pass(until.unwrap_or(duration).min(duration).max(Duration::from_millis(1)));
                    if let Some((_, payload)) = command {
                        session.command(&payload);
                    }
                }
                Step::Leave => return Ok(()),
            }
        }
    }
}
