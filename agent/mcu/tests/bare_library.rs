//! The same attacks against embedded-tls without what this crate puts around it. They succeed, or bring the
//! program down: so the attacks are real, and the suites beside this one can fail.
//!
//! Where one of these tests fails after an update of the library, the library has learned something: then the
//! defence may go, not the test of it.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::large_futures, reason = "a host has stack enough")]

mod support;

use core::time::Duration;
use std::io;
use std::rc::Rc;

use agent_core::keystore::SoftKey;
use agent_core::platform::{ClientIdentity, Server};
use agent_core::x509::Validity;
use agent_mcu::tls::provider::Provider;
use agent_mcu::tls::verifier::Verifier;
use agent_mcu::tls::{READ_BUFFER, VerifyFault, WRITE_BUFFER};
use embedded_tls::{
    Aes128GcmSha256, CryptoProvider, TlsConfig, TlsConnection, TlsContext, TlsError, UnsecureProvider,
};
use rand_core::OsRng;
use support::device::GREETING;
use support::hostile::{APPLICATION_DATA, HANDSHAKE, Hostile, Wrote, messages};
use support::network::{Loopback, listen};
use support::pki::{Authority, NOW};
use support::settled;
use support::stage::Stage;
use tokio::join;
use tokio::task::LocalSet;

/// What became of a device that uses the library as it is.
enum Fate {
    /// The handshake was refused.
    Refused(TlsError),
    /// The handshake succeeded, the greeting was sent, and this was read.
    Talked(Result<usize, TlsError>),
    /// The handshake succeeded, and reading did not come to an end.
    Reads,
    /// The program crashed.
    Panicked,
}

/// Lets a device that has nothing but the library call a server that plays `script`.
async fn play<P>(
    provider: P,
    script: impl AsyncFnOnce(&mut Hostile<'_>) -> io::Result<()>,
) -> (Fate, Vec<Wrote>)
where
    P: CryptoProvider + 'static,
{
    let identity = Authority::root("unknown to the device").server(Stage::HOST);
    let (listener, port) = listen().await;
    let network = Loopback::default();
    let written = Rc::clone(&network.written);
    let device = async move {
        let stream = network.stream(port).await.unwrap();
        let (mut read, mut write) = (vec![0; READ_BUFFER], vec![0; WRITE_BUFFER]);
        let mut tls: TlsConnection<'_, _, P::CipherSuite> = TlsConnection::new(stream, &mut read, &mut write);
        let config = TlsConfig::new().with_server_name(Stage::HOST);
        if let Err(error) = tls.open(TlsContext::new(&config, provider)).await {
            return Fate::Refused(error);
        }
        tls.write(GREETING).await.unwrap();
        tls.flush().await.unwrap();
        let mut answer = [0; 64];
        match tokio::time::timeout(Duration::from_secs(1), tls.read(&mut answer)).await {
            Ok(result) => Fate::Talked(result),
            Err(_) => Fate::Reads,
        }
    };
    let server = async {
        let mut peer = Hostile::accept(&listener, &identity).await.unwrap();
        let _broken_off = script(&mut peer).await;
        peer.outlast().await
    };
    let local = LocalSet::new();
    let device = local.spawn_local(device);
    let (fate, mut keys) = settled(local.run_until(async { join!(device, server) })).await;
    let fate = match fate {
        Ok(fate) => fate,
        Err(crash) => {
            assert!(crash.is_panic());
            Fate::Panicked
        }
    };
    let wrote = keys.read(&written.borrow());
    (fate, wrote)
}

fn careless() -> UnsecureProvider<'static, Aes128GcmSha256, OsRng> {
    UnsecureProvider::new::<Aes128GcmSha256>(OsRng)
}

fn gave_its_secret_away(wrote: &[Wrote]) -> bool {
    wrote.contains(&Wrote::Session(APPLICATION_DATA, GREETING.to_vec()))
}

#[tokio::test]
async fn the_default_verifier_believes_everybody() {
    let (fate, wrote) = play(careless(), async |peer| {
        peer.open().await?;
        peer.sealed(APPLICATION_DATA, b"welcome").await
    })
    .await;
    assert!(matches!(fate, Fate::Talked(Ok(7))));
    assert!(gave_its_secret_away(&wrote));
}

#[tokio::test]
async fn a_strict_verifier_alone_is_not_asked() {
    // Our own verifier, but without the question for its proof and without the guard.
    static NO_ANCHORS: [&[u8]; 0] = [];
    let server = Server { host: Stage::HOST, port: 0, anchors: &NO_ANCHORS, validity: Validity::At(NOW) };
    assert_eq!(Verifier::new(server).finish().unwrap_err(), VerifyFault::Unproved);
    let nobody: Option<ClientIdentity<'_, SoftKey>> = None;
    let provider = Provider::new(OsRng, Verifier::new(server), nobody);
    let (fate, wrote) = play(provider, async |peer| {
        peer.hello().await?;
        // No EncryptedExtensions: without the guard's mark our cipher takes them nowhere, and the library does not miss them.
        let flight = [peer.finished()];
        peer.messages(&flight).await?;
        peer.end().await
    })
    .await;
    assert!(matches!(fate, Fate::Talked(Err(_))));
    assert!(gave_its_secret_away(&wrote), "{wrote:?}");
}

#[tokio::test]
async fn our_verifier_refuses_a_stranger_even_so() {
    static NO_ANCHORS: [&[u8]; 0] = [];
    let server = Server { host: Stage::HOST, port: 0, anchors: &NO_ANCHORS, validity: Validity::At(NOW) };
    let nobody: Option<ClientIdentity<'_, SoftKey>> = None;
    let provider = Provider::new(OsRng, Verifier::new(server), nobody);
    let (fate, wrote) = play(provider, async |peer| {
        peer.hello().await?;
        // As above.
        let flight = [peer.certificate(), peer.verify(), peer.finished()];
        peer.messages(&flight).await?;
        peer.end().await
    })
    .await;
    assert!(matches!(fate, Fate::Refused(TlsError::InvalidCertificate)));
    assert!(!gave_its_secret_away(&wrote));
}

#[tokio::test]
async fn finished_may_come_before_the_certificate() {
    let (fate, wrote) = play(careless(), async |peer| {
        peer.hello().await?;
        let flight = [peer.extensions(), peer.finished(), peer.certificate(), peer.verify()].concat();
        peer.sealed(HANDSHAKE, &flight).await?;
        peer.end().await
    })
    .await;
    assert!(matches!(fate, Fate::Talked(_)));
    assert!(gave_its_secret_away(&wrote));
}

#[tokio::test]
async fn records_that_crash_it() {
    let empty_before_authentication = play(careless(), async |peer| {
        peer.hello().await?;
        peer.sealed_inner(vec![]).await
    });
    assert!(matches!(empty_before_authentication.await.0, Fate::Panicked));
    let key_update = play(careless(), async |peer| {
        peer.open().await?;
        peer.sealed(HANDSHAKE, &messages::message(24, &[0])).await
    });
    // KeyUpdate is unknown to it, which is an error; messages it knows crash it.
    assert!(matches!(key_update.await.0, Fate::Talked(Err(_))));
    for message in [messages::encrypted_extensions(), messages::finished(&[7; 32])] {
        let known = play(careless(), async |peer| {
            peer.open().await?;
            peer.sealed(HANDSHAKE, &message).await
        });
        assert!(matches!(known.await.0, Fate::Panicked));
    }
    let plain_text_in_session = play(careless(), async |peer| {
        peer.open().await?;
        peer.plain(HANDSHAKE, &messages::encrypted_extensions()).await
    });
    assert!(matches!(plain_text_in_session.await.0, Fate::Panicked));
}

#[tokio::test]
async fn records_that_keep_it_busy_for_ever() {
    for (kind, content) in [(APPLICATION_DATA, vec![]), (HANDSHAKE, messages::ticket())] {
        let (fate, _) = play(careless(), async |peer| {
            peer.open().await?;
            loop {
                peer.sealed(kind, &content).await?;
                // Lets the device's time run.
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert!(matches!(fate, Fate::Reads));
    }
}
