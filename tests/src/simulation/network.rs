//! The network between devices and server: it loses, delays, doubles and reorders, and is cut for a while.

use core::cell::RefCell;
use core::future::poll_fn;
use core::task::Poll;
use core::time::Duration;
use std::collections::BTreeMap;
use std::rc::Rc;

use agent_core::platform::{ClientIdentity, Reply, Request, Server, SigningKey, Transport, TransportError};
use agent_core::x509::verify_server;

use super::time::Sim;

/// A request on its way.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// Which call it belongs to.
    pub(super) call: u64,
    pub(super) device: usize,
    /// When the device called.
    pub(super) sent: Duration,
    pub(super) path: String,
    pub(super) body: Vec<u8>,
    /// The leaf that the device proved in its handshake.
    pub(super) leaf: Option<Vec<u8>>,
}

/// What a device hears of a call: status and body, or how the connection ended.
pub(super) type Heard = Result<(u16, Vec<u8>), TransportError>;

/// The wires. Clones are the same.
#[derive(Clone)]
pub(super) struct Network {
    sim: Sim,
    wires: Rc<RefCell<Wires>>,
    /// After that nothing goes wrong any more.
    pub(super) quiet: Duration,
    /// The chain that the server shows.
    pub(super) shown: Rc<Vec<Vec<u8>>>,
}

#[derive(Default)]
struct Wires {
    calls: u64,
    /// On their way to the server, by arrival.
    requests: BTreeMap<(Duration, u64), Message>,
    sent: u64,
    /// On their way to the devices, by call.
    answers: BTreeMap<u64, (Duration, Heard)>,
    /// While a device's network is cut.
    cuts: Vec<(usize, Duration, Duration)>,
}

/// How long a device waits for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a message is on its way: mostly; and where it is delayed, at most, which is beyond all patience.
const QUICK: Duration = Duration::from_millis(200);
const SLOW: Duration = Duration::from_secs(120);

impl Network {
    pub(super) fn new(sim: &Sim, devices: usize, quiet: Duration, shown: Vec<Vec<u8>>) -> Self {
        let mut wires = Wires::default();
        for device in 0..devices {
            for _ in 0..sim.draw(|dice| dice.below(3)) {
                let begin = sim.some(quiet);
                wires.cuts.push((
                    device,
                    begin,
                    (begin + sim.some(Duration::from_secs(4 * 3600))).min(quiet),
                ));
            }
        }
        Self { sim: sim.clone(), wires: Rc::new(RefCell::new(wires)), quiet, shown: Rc::new(shown) }
    }

    /// Whether something that happens in `percent` of 100 cases goes wrong now.
    pub(super) fn fails(&self, percent: u64) -> bool {
        self.sim.now() < self.quiet && self.sim.draw(|dice| dice.chance(percent))
    }

    /// Until when a device's network is cut, where it is.
    pub(super) fn cut_until(&self, device: usize) -> Option<Duration> {
        let now = self.sim.now();
        let wires = self.wires.borrow();
        let cuts = wires.cuts.iter().filter(|(of, from, to)| *of == device && (*from..*to).contains(&now));
        cuts.map(|(_, _, to)| *to).max()
    }

    /// The next cut of a device's network.
    pub(super) fn next_cut(&self, device: usize) -> Option<Duration> {
        let now = self.sim.now();
        self.wires
            .borrow()
            .cuts
            .iter()
            .filter(|(of, from, _)| *of == device && *from > now)
            .map(|cut| cut.1)
            .min()
    }

    /// The request that has arrived by now, first come first.
    pub(super) fn arrived(&self) -> Option<Message> {
        let mut wires = self.wires.borrow_mut();
        let first = wires.requests.first_entry()?;
        (first.key().0 <= self.sim.now()).then(|| first.remove())
    }

    /// The server answers, or its end closes the connection.
    pub(super) fn answer(&self, message: &Message, heard: Heard) {
        if self.fails(8) || self.cut_until(message.device).is_some() {
            return self.sim.tell(message.device, format_args!("answer to call {} lost", message.call));
        }
        let at = self.sim.now() + self.delay();
        self.sim.wake_at(at);
        // Of two answers to a call that was doubled the first one counts.
        self.wires.borrow_mut().answers.entry(message.call).or_insert((at, heard));
    }

    fn delay(&self) -> Duration {
        let most = if self.fails(5) { SLOW } else { QUICK };
        self.sim.some(most) + Duration::from_millis(1)
    }

    fn send(&self, message: Message) {
        let at = self.sim.now() + self.delay();
        self.sim.wake_at(at);
        let mut wires = self.wires.borrow_mut();
        wires.sent += 1;
        let order = wires.sent;
        wires.requests.insert((at, order), message);
    }
}

/// A device's way to the server.
pub(super) struct Wire {
    pub(super) network: Network,
    pub(super) device: usize,
}

impl<K: SigningKey> Transport<K> for Wire {
    async fn exchange(
        &mut self,
        server: Server<'_>,
        identity: Option<ClientIdentity<'_, K>>,
        request: Request<'_>,
        answer: &mut [u8],
    ) -> Result<Reply, TransportError> {
        let Network { sim, wires, shown, .. } = &self.network;
        if self.network.cut_until(self.device).is_some() {
            sim.sleep(QUICK).await;
            return Err(TransportError::Unreachable);
        }
        let shown: Vec<&[u8]> = shown.iter().map(Vec::as_slice).collect();
        verify_server(&shown, server.anchors, server.host, server.validity)
            .map_err(TransportError::Certificate)?;
        let call = {
            let mut wires = wires.borrow_mut();
            wires.calls += 1;
            wires.calls
        };
        let message = Message {
            call,
            device: self.device,
            sent: sim.now(),
            path: request.path.to_owned(),
            body: request.body.unwrap_or_default().to_vec(),
            leaf: identity.and_then(|identity| identity.chain.first().map(|leaf| leaf.to_vec())),
        };
        sim.tell(self.device, format_args!("call {call} {}", request.path));
        if self.network.fails(8) {
            sim.tell(self.device, format_args!("call {call} lost"));
        } else {
            if self.network.fails(8) {
                self.network.send(message.clone());
            }
            self.network.send(message);
        }
        let deadline = sim.now() + PATIENCE;
        let heard = poll_fn(|_| {
            let mut wires = wires.borrow_mut();
            match wires.answers.get(&call) {
                Some((at, _)) if *at <= sim.now() => {}
                _ if sim.now() >= deadline => return Poll::Ready(Err(TransportError::TimedOut)),
                _ => {
                    sim.wake_at(deadline);
                    return Poll::Pending;
                }
            }
            Poll::Ready(wires.answers.remove(&call).map_or(Err(TransportError::Closed), |(_, heard)| heard))
        })
        .await;
        match &heard {
            Ok((status, _)) => sim.tell(self.device, format_args!("call {call} answered {status}")),
            Err(error) => sim.tell(self.device, format_args!("call {call} failed: {error}")),
        }
        let (status, body) = heard?;
        answer.get_mut(..body.len()).ok_or(TransportError::TooLarge)?.copy_from_slice(&body);
        Ok(Reply { status, length: body.len() })
    }
}
