//! Brings a connection to the broker about and sees it to its end.

use super::drive::{Run, now};
use super::session::{Progress, Serving};
use super::{Agent, Control, Notice, OnceError, Parts, Peer, World, payload};
use crate::lifecycle::Event;
use crate::platform::{
    Attester as _, Broker as _, ClientIdentity, KeyError, Login, Observer as _, Server, Slot, Storage as _,
    TransportError,
};
use crate::slots::{self, Identity, identity_record};
use crate::x509::Validity;

impl<W: World, const REQUEST: usize, const ANSWER: usize> Agent<'_, W, REQUEST, ANSWER> {
    /// Connects with the identity in `slot` and stays until there is a reason to leave.
    pub(super) async fn connect(&mut self, run: &mut Run, slot: Slot, validity: Validity, control: &Control) {
        let Parts { keys, storage, clock, rng, attester, broker, observer, .. } = self.world.parts();
        let key = match slots::open_identity_key(keys, storage, &run.stored, slot).await {
            Ok(Some(key)) => key,
            Ok(None) => return self.unusable(run, slot, KeyError::Damaged, validity),
            Err(error) => return self.unusable(run, slot, error, validity),
        };
        let length = match storage.load(identity_record(slot), &mut self.answer).await {
            Ok(length) => length.unwrap_or(0),
            Err(error) => return self.unusable(run, slot, error.into(), validity),
        };
        let read = Identity::read(slot, self.answer.get(..length).unwrap_or_default());
        let (Ok(identity), Ok(bundle)) = (read, self.trust.bundle()) else {
            return self.unusable(run, slot, KeyError::Damaged, validity);
        };
        let ends = run.machine.dates(slot).map(|dates| dates.not_after).unwrap_or_default();
        let device = attester.device_id().clone();
        let (will, room) = self.request.split_at_mut(payload::MAX);
        let will = payload::status(will, false, &device, ends, self.settings.software_version);
        let login = Login {
            server: Server {
                host: identity.broker.host,
                port: identity.broker.port,
                anchors: &bundle.anchors,
                validity,
            },
            identity: ClientIdentity { key: &key, chain: &identity.chain },
            client_id: device.as_str(),
            command_topic: identity.broker.command_topic,
            will_topic: identity.broker.status_topic,
            will_payload: will,
            keep_alive: core::time::Duration::from_secs(identity.broker.keep_alive.into()),
        };
        let trial = run.machine.state().candidate() == Some(slot);
        observer.notice(&Notice::Connecting { slot, trial });
        let mut session: Serving<'_, W> = Serving {
            keys,
            storage,
            clock,
            rng,
            observer,
            run,
            control,
            settings: &self.settings,
            device: &device,
            slot,
            chain: &identity.chain,
            broker: &identity.broker,
            certificate_ends: ends,
            validity,
            payload: room,
            progress: Progress::default(),
        };
        let result = broker.serve(login, &mut session).await;
        let accepted = session.progress.accepted;
        drop((identity, bundle));
        self.ended(run, result, slot, accepted, validity);
    }

    fn ended(
        &mut self,
        run: &mut Run,
        result: Result<(), TransportError>,
        slot: Slot,
        accepted: Option<core::time::Duration>,
        validity: Validity,
    ) {
        let Parts { observer, clock, .. } = self.world.parts();
        match result {
            Ok(()) => observer.notice(&Notice::Disconnected),
            Err(error) => {
                observer.notice(&Notice::Unreachable { peer: Peer::Broker, error });
                run.failure = Some(OnceError::Broker(error));
            }
        }
        let lasted = accepted.map(|accepted| now(clock).uptime.saturating_sub(accepted));
        self.tell(run, Event::Disconnected { result, slot, lasted, validity });
    }

    fn unusable(&mut self, run: &mut Run, slot: Slot, error: KeyError, validity: Validity) {
        self.world.parts().observer.notice(&Notice::KeyFailed(error));
        run.failure = Some(error.into());
        let event = if error == KeyError::Damaged {
            Event::IdentityUnusable { slot }
        } else {
            // Hardware or storage may answer again: nothing is given up because of it.
            let result = Err(TransportError::Unreachable);
            Event::Disconnected { result, slot, lasted: None, validity }
        };
        self.tell(run, event);
    }
}
