//! A TLS server that proved who it is and then breaks the rules of the open session. An attacker cannot do this
//! without the server's key, but a server that was taken over can, and must not bring the device down.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::large_futures, reason = "a host has stack enough")]

mod support;

use std::io;

use agent_mcu::tls::guard::Phase;
use agent_mcu::tls::session::TlsErrorText;
use agent_mcu::tls::{READ_BUFFER, RecordFault, SessionError};
use support::device::{GREETING, SHORT};
use support::hostile::{ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, HANDSHAKE, Hostile, Wrote, messages};
use support::stage::Stage;

const DECRYPTION: SessionError = SessionError::Protocol(TlsErrorText::Decryption);

/// What a device reads from a server that plays `script` once the session is open.
async fn read(
    stage: &Stage,
    script: impl AsyncFnOnce(&mut Hostile<'_>) -> io::Result<()>,
) -> Result<Vec<u8>, SessionError> {
    let (visit, wrote) = stage
        .play(async |peer| {
            assert_eq!(peer.open().await?, GREETING);
            script(peer).await
        })
        .await;
    assert!(visit.opened);
    // Nothing but what the device wanted to say, and perhaps an alert.
    let said: Vec<_> =
        wrote.into_iter().filter(|record| !matches!(record, Wrote::Session(ALERT, _))).collect();
    let greeting = Wrote::Session(APPLICATION_DATA, GREETING.to_vec());
    assert_eq!(said, [Wrote::Plain(HANDSHAKE), Wrote::Handshake(HANDSHAKE), greeting]);
    visit.outcome
}

async fn refused(expected: SessionError, script: impl AsyncFnOnce(&mut Hostile<'_>) -> io::Result<()>) {
    assert_eq!(read(&Stage::new(), script).await, Err(expected));
}

#[tokio::test]
async fn data_arrives_padded_or_not_behind_some_tickets_and_up_to_the_longest_record() {
    let stage = Stage::new();
    let padded = [b"welcome", &[APPLICATION_DATA][..], &[0; 1000]].concat();
    assert_eq!(
        read(&stage, async |peer| peer.sealed_inner(padded).await).await.as_deref(),
        Ok(&b"welcome"[..])
    );
    let behind_tickets = read(&stage, async |peer| {
        peer.sealed(HANDSHAKE, &[messages::ticket(), messages::ticket()].concat()).await?;
        peer.sealed(HANDSHAKE, &messages::ticket()).await?;
        peer.sealed(APPLICATION_DATA, b"welcome").await
    })
    .await;
    assert_eq!(behind_tickets.as_deref(), Ok(&b"welcome"[..]));
    // The longest that the buffer takes: content, type and tag.
    let longest = vec![7; READ_BUFFER - 1 - 16];
    let sent = longest.clone();
    assert!(read(&stage, async |peer| peer.sealed(APPLICATION_DATA, &sent).await).await == Ok(longest));
}

#[tokio::test]
async fn a_goodbye_is_the_end_and_silence_is_not() {
    let stage = Stage::new();
    assert_eq!(read(&stage, async |peer| peer.sealed(ALERT, &[1, 0]).await).await, Ok(vec![]));
    // An attacker may cut the connection, but must not make a cut answer look whole.
    refused(SessionError::Record(RecordFault::Ended), async |peer| peer.end().await).await;
    refused(SessionError::Record(RecordFault::Truncated), async |peer| {
        peer.raw(&[APPLICATION_DATA, 3, 3, 0, 50, 1]).await?;
        peer.end().await
    })
    .await;
}

#[tokio::test]
async fn handshake_messages_that_have_no_place_in_a_session() {
    for message in [
        // KeyUpdate, asking for one in return or not.
        messages::message(24, &[0]),
        messages::message(24, &[1]),
        messages::encrypted_extensions(),
        messages::finished(&[7; 32]),
        // Authentication of the client after the handshake, which was not offered.
        messages::certificate_request(),
        messages::certificate(&[vec![1, 2, 3]]),
        messages::certificate_verify(messages::ECDSA_P256, &[0; 70]),
        messages::server_hello(messages::VERSION_13),
        messages::message(99, &[]),
        // A ticket and more, a cut ticket, half a header, nothing.
        [messages::ticket(), messages::message(24, &[0])].concat(),
        messages::ticket()[..10].to_vec(),
        vec![4, 0],
        vec![],
    ] {
        refused(DECRYPTION, async |peer| peer.sealed(HANDSHAKE, &message).await).await;
    }
}

#[tokio::test]
async fn a_ticket_that_is_no_ticket() {
    for body in [&[][..], &[0; 3], &[0xff; 30], &[0, 0, 0, 0, 0, 0, 0, 0, 255, 1, 2]] {
        let error =
            read(&Stage::new(), async |peer| peer.sealed(HANDSHAKE, &messages::message(4, body)).await)
                .await
                .unwrap_err();
        assert!(matches!(error, SessionError::Protocol(_)), "{error:?}");
    }
}

#[tokio::test]
async fn empty_records() {
    refused(DECRYPTION, async |peer| {
        loop {
            peer.sealed(APPLICATION_DATA, &[]).await?;
        }
    })
    .await;
    refused(DECRYPTION, async |peer| peer.sealed_inner(vec![0; 500]).await).await;
    refused(SessionError::Record(RecordFault::Empty { found: 16 }), async |peer| {
        peer.sealed_inner(vec![]).await
    })
    .await;
    refused(SessionError::Record(RecordFault::Empty { found: 0 }), async |peer| {
        peer.plain(APPLICATION_DATA, &[]).await
    })
    .await;
}

#[tokio::test]
async fn tickets_without_end() {
    refused(SessionError::Record(RecordFault::TooMany), async |peer| {
        loop {
            peer.sealed(HANDSHAKE, &messages::ticket()).await?;
        }
    })
    .await;
}

#[tokio::test]
async fn plain_text() {
    for found in [HANDSHAKE, ALERT, CHANGE_CIPHER_SPEC, 0, 24] {
        let fault = RecordFault::Type { found, phase: Phase::Open };
        refused(SessionError::Record(fault), async |peer| {
            peer.plain(found, &messages::encrypted_extensions()).await
        })
        .await;
    }
    refused(SessionError::Record(RecordFault::Version { found: 0x0304 }), async |peer| {
        // The mark by which the guard tells the cipher that the session is open.
        peer.raw(&[APPLICATION_DATA, 3, 4, 0, 20]).await
    })
    .await;
    let limit = u16::try_from(READ_BUFFER).unwrap();
    refused(SessionError::Record(RecordFault::TooLong { found: limit + 1, limit }), async |peer| {
        let [high, low] = (limit + 1).to_be_bytes();
        peer.raw(&[APPLICATION_DATA, 3, 3, high, low]).await
    })
    .await;
}

#[tokio::test]
async fn a_record_that_was_changed_or_sent_again() {
    for place in [5, 10, 20, 25] {
        refused(DECRYPTION, async |peer| {
            let mut record = peer.seal([&b"welcome"[..], &[APPLICATION_DATA]].concat());
            record[place] ^= 1;
            peer.raw(&record).await
        })
        .await;
    }
    refused(DECRYPTION, async |peer| {
        let ticket = peer.seal([&messages::ticket()[..], &[HANDSHAKE]].concat());
        peer.raw(&ticket).await?;
        peer.raw(&ticket).await
    })
    .await;
}

#[tokio::test]
async fn alerts() {
    for alert in [[2, 40], [2, 42], [2, 48], [1, 90]] {
        refused(SessionError::Protocol(TlsErrorText::Alert), async |peer| peer.sealed(ALERT, &alert).await)
            .await;
    }
    for alert in [&[][..], &[2], &[2, 40, 0, 1]] {
        refused(DECRYPTION, async |peer| peer.sealed(ALERT, alert).await).await;
    }
    for kind in [CHANGE_CIPHER_SPEC, 24, 99] {
        refused(DECRYPTION, async |peer| peer.sealed(kind, &[1]).await).await;
    }
}

#[tokio::test]
async fn a_record_that_stops() {
    let mut stage = Stage::new();
    stage.device.limits.record = SHORT;
    for begun in [
        // Half a header; less than is parked; more than is parked.
        &[APPLICATION_DATA, 3][..],
        &[APPLICATION_DATA, 3, 3, 0, 100, 7, 7],
        &[APPLICATION_DATA, 3, 3, 8, 0, 7, 7],
    ] {
        let result = read(&stage, async |peer| peer.raw(begun).await).await;
        assert_eq!(result, Err(SessionError::Record(RecordFault::TimedOut)), "{begun:?}");
    }
}
