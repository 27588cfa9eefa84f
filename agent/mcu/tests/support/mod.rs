//! What the tests of this crate share: TCP on the loopback interface, certificates, peers honest and hostile.

#![allow(dead_code, reason = "each test target uses a part of it")]

pub(crate) mod device;
pub(crate) mod hostile;
pub(crate) mod network;
pub(crate) mod pki;
pub(crate) mod proxy;
pub(crate) mod server;
pub(crate) mod stage;

use core::future::Future;
use core::time::Duration;

/// How long a test may take at most: far more than a slow machine needs, so that passing it means "it hangs".
const LIMIT: Duration = Duration::from_secs(60);

/// Awaits `work`, and fails the test where it hangs.
pub(crate) async fn settled<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, work).await.expect("neither an answer nor an error: it hangs")
}
