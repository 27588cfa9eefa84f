//! What to do: the output of the machine.

use core::time::Duration;

use super::Errand;
use crate::platform::Slot;
use crate::slots::{Purpose, State};
use crate::x509::Validity;

/// One step. Each is answered with the events named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make the state durable: [`Event::Saved`](super::Event::Saved) or `SaveFailed`.
    Save(State),
    /// Erase what lies in slots that the durable state does not name: `Erased` or `EraseFailed`.
    Erase,
    /// Make a key in the vacant slot: `KeyMade` or `KeyFailed`.
    MakeKey {
        /// What for.
        cause: Cause,
    },
    /// Ask the enrollment server for a nonce, or just for the time: `Challenged`, `Answered` with a refusal,
    /// `ExchangeFailed` or `RequestFailed`.
    Challenge {
        /// Which of the two.
        errand: Errand,
        /// What to hold the server's certificate against.
        validity: Validity,
    },
    /// Send the request that the durable state names: `Answered`, `ExchangeFailed` or `RequestFailed`.
    Request {
        /// Which way.
        purpose: Purpose,
        /// What to hold the server's certificate against.
        validity: Validity,
    },
    /// Tell the enrollment server which trust bundle is held, and take the one that it answers with: `TrustFetched`,
    /// `ExchangeFailed` or `RequestFailed`.
    FetchTrust {
        /// What to hold the server's certificate against.
        validity: Validity,
    },
    /// Connect to the broker and stay: `Accepted` when the broker accepts, `Disconnected` at the end.
    Connect {
        /// With the identity in this slot.
        slot: Slot,
        /// What to hold the broker's certificate against.
        validity: Validity,
    },
    /// Wait.
    Sleep {
        /// At most this long.
        duration: Duration,
    },
}

/// Why the next identity is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// There is none.
    None,
    /// Its time has come.
    Due,
    /// A command, or someone at the device.
    Commanded,
    /// The broker refuses the one in use.
    BrokerRefused,
}
