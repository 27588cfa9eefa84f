//! Named places in the issuance and in the keeping of the log where a test can look on, or kill the process.
//!
//! Nothing in a configuration, the environment or the command line reaches this: a program that runs the server
//! inside itself hands a hook over, or there is none.

use std::sync::Arc;

use ca::Serial;

use crate::random::{self, NoRandom};

/// A place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failpoint {
    /// The request was appraised; nothing is recorded.
    Appraised,
    /// The intent is durable; nothing is signed.
    Recorded(Serial),
    /// The certificate is signed, in memory only.
    Signed(Serial),
    /// The certificate is durable; the answer is not sent.
    Completed(Serial),
    /// The tiles of so many leaves are durable; no checkpoint over them is signed.
    LogTiles(u64),
    /// The checkpoint over so many leaves is durable in the store; it is not published.
    LogSigned(u64),
    /// The checkpoint over so many leaves is out.
    LogPublished(u64),
}

/// Defects that harnesses are there to find. With the feature `plants` alone, which the crate `tests` turns on; even
/// there no configuration, environment or command line reaches them.
#[cfg(any(test, feature = "plants"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// A certificate is signed before its intent is durable.
    SignsBeforeRecording,
    /// Whether a request is new, and its nonce unused, is looked at before the transaction that records it.
    ChecksNonceApart,
    /// `synchronous=NORMAL`: changes are answered before they are synced.
    CommitsWithoutSync,
    /// A certificate leaves the server although the store did not take it.
    AnswersWithoutStoring,
    /// The span of a request tells the token that the request came with.
    TracesTokens,
    /// A start tries each intent that was left open once, whatever becomes of the start.
    RecoversOnce,
    /// That the database is older than what was published is not looked at.
    BelievesOldDatabase,
}

/// Called at every [`Failpoint`].
#[derive(Clone, Default)]
pub struct Hook {
    call: Option<Arc<dyn Fn(Failpoint) + Send + Sync>>,
    #[cfg(any(test, feature = "plants"))]
    plant: Option<Plant>,
    #[cfg(test)]
    failing: Option<Arc<random::Failing>>,
}

impl Hook {
    /// Calls `hook` at every place.
    #[must_use]
    pub fn new(hook: impl Fn(Failpoint) + Send + Sync + 'static) -> Self {
        Self {
            call: Some(Arc::new(hook)),
            #[cfg(any(test, feature = "plants"))]
            plant: None,
            #[cfg(test)]
            failing: None,
        }
    }

    /// Lets this say when the random generator fails.
    #[cfg(test)]
    pub(crate) fn with_failing(self, failing: Arc<random::Failing>) -> Self {
        Self { failing: Some(failing), ..self }
    }

    /// Fills `bytes` with such as nobody can foresee.
    pub(crate) fn draw(&self, bytes: &mut [u8]) -> Result<(), NoRandom> {
        #[cfg(test)]
        if let Some(failing) = &self.failing {
            failing.draw()?;
        }
        random::fill(bytes)
    }

    /// Plants a defect.
    #[cfg(any(test, feature = "plants"))]
    #[must_use]
    pub fn with_plant(self, plant: Plant) -> Self {
        Self { plant: Some(plant), ..self }
    }

    /// Whether this defect is planted.
    #[cfg(any(test, feature = "plants"))]
    pub(crate) fn has(&self, plant: Plant) -> bool {
        self.plant == Some(plant)
    }

    pub(crate) fn at(&self, place: Failpoint) {
        if let Some(hook) = &self.call {
            hook(place);
        }
    }
}

impl core::fmt::Debug for Hook {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(if self.call.is_some() { "Hook(set)" } else { "Hook(none)" })
    }
}
