//! A TLS server that breaks the handshake's rules, message by message: each attack ends in an error, and not a
//! byte of the application leaves the device.
//!
//! What the library does by itself with the same attacks is in `bare_library.rs`.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::large_futures, reason = "a host has stack enough")]

mod support;

use std::io;

use agent_core::platform::TransportError;
use agent_core::x509::PathError;
use agent_mcu::tls::guard::Phase;
use agent_mcu::tls::session::TlsErrorText;
use agent_mcu::tls::{READ_BUFFER, RecordFault, SessionError, VerifyFault};
use support::device::{GREETING, SHORT};
use support::hostile::messages::{self, ECDSA_P256, SERVER_CONTEXT, hash};
use support::hostile::{ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, HANDSHAKE, Hostile, Wrote};
use support::pki::Authority;
use support::stage::Stage;

const MESSAGE: SessionError = SessionError::Protocol(TlsErrorText::Message);
const DECRYPTION: SessionError = SessionError::Protocol(TlsErrorText::Decryption);
const ALERTED: SessionError = SessionError::Protocol(TlsErrorText::Alert);

/// Plays `script` to a device, which must give up with `expected` before it says anything.
async fn refused(expected: SessionError, script: impl AsyncFnOnce(&mut Hostile<'_>) -> io::Result<()>) {
    refused_by(&Stage::new(), expected, script).await;
}

async fn refused_by(
    stage: &Stage,
    expected: SessionError,
    script: impl AsyncFnOnce(&mut Hostile<'_>) -> io::Result<()>,
) {
    let (visit, wrote) = stage.play(script).await;
    assert_eq!((visit.opened, visit.outcome), (false, Err(expected)));
    for record in wrote {
        assert!(matches!(record, Wrote::Plain(_) | Wrote::Handshake(_)), "the device wrote {record:?}");
    }
}

#[tokio::test]
async fn the_honest_sequence_from_the_same_server_succeeds() {
    let stage = Stage::new();
    let (visit, wrote) = stage
        .play(async |peer| {
            assert_eq!(peer.open().await?, GREETING);
            peer.sealed(APPLICATION_DATA, b"welcome").await
        })
        .await;
    assert_eq!((visit.opened, visit.outcome), (true, Ok(b"welcome".to_vec())));
    let said = Wrote::Session(APPLICATION_DATA, GREETING.to_vec());
    assert_eq!(wrote, [Wrote::Plain(HANDSHAKE), Wrote::Handshake(HANDSHAKE), said]);
}

#[tokio::test]
async fn the_honest_sequence_succeeds_in_one_record_or_many_and_with_a_request() {
    for (joined, request, change) in [(false, false, true), (true, true, true), (false, true, false)] {
        let stage = Stage::new();
        let (visit, wrote) = stage
            .play(async |peer| {
                peer.hello().await?;
                if change {
                    peer.plain(CHANGE_CIPHER_SPEC, &[1]).await?;
                }
                let mut flight = vec![peer.extensions()];
                if request {
                    flight.push(peer.said(&messages::certificate_request()));
                }
                flight.extend([peer.certificate(), peer.verify(), peer.finished()]);
                if joined {
                    flight = vec![flight.concat()];
                }
                peer.messages(&flight).await?;
                peer.end().await
            })
            .await;
        // The script leaves then; what counts is that the session was given out.
        assert!(visit.opened, "{visit:?}");
        assert_eq!(wrote.last(), Some(&Wrote::Session(APPLICATION_DATA, GREETING.to_vec())));
    }
}

// A server that does not prove who it is.

#[tokio::test]
async fn no_certificate_at_all() {
    refused(SessionError::Verify(VerifyFault::Unproved), async |peer| {
        peer.hello().await?;
        let flight = [peer.extensions(), peer.finished()];
        peer.messages(&flight).await
    })
    .await;
}

#[tokio::test]
async fn nothing_but_finished() {
    refused(DECRYPTION, async |peer| {
        peer.hello().await?;
        let flight = [peer.finished()];
        peer.messages(&flight).await
    })
    .await;
}

/// RFC 8446, section 4.3.1: directly behind ServerHello. Everything else is right.
#[tokio::test]
async fn extensions_that_are_missing_or_late_or_there_twice() {
    for joined in [false, true] {
        for places in [&[][..], &[1], &[2], &[3], &[0, 0], &[0, 1], &[0, 2]] {
            refused(DECRYPTION, async |peer| {
                peer.hello().await?;
                let mut flight = Vec::new();
                for place in 0..4 {
                    flight.extend(places.iter().filter(|there| **there == place).map(|_| peer.extensions()));
                    match place {
                        0 => flight.push(peer.certificate()),
                        1 => flight.push(peer.verify()),
                        2 => flight.push(peer.finished()),
                        _ => {}
                    }
                }
                let flight = if joined { vec![flight.concat()] } else { flight };
                peer.messages(&flight).await
            })
            .await;
        }
    }
}

#[tokio::test]
async fn a_certificate_without_certificate_verify() {
    refused(SessionError::Verify(VerifyFault::Unproved), async |peer| {
        peer.hello().await?;
        let flight = [peer.extensions(), peer.certificate(), peer.finished()];
        peer.messages(&flight).await
    })
    .await;
}

#[tokio::test]
async fn certificate_verify_without_a_certificate() {
    refused(SessionError::Verify(VerifyFault::UnexpectedCertificateVerify), async |peer| {
        peer.hello().await?;
        let flight = [peer.extensions(), peer.verify(), peer.finished()];
        peer.messages(&flight).await
    })
    .await;
}

#[tokio::test]
async fn certificate_verify_before_the_certificate() {
    refused(SessionError::Verify(VerifyFault::UnexpectedCertificateVerify), async |peer| {
        peer.hello().await?;
        let flight = [peer.extensions(), peer.verify(), peer.certificate(), peer.finished()];
        peer.messages(&flight).await
    })
    .await;
}

#[tokio::test]
async fn two_certificates() {
    // The second one is the attacker's chance to have another key checked than the first.
    let stranger = Authority::root("another root").server(Stage::HOST);
    for second in [None, Some(&stranger)] {
        refused(SessionError::Verify(VerifyFault::UnexpectedCertificate), async |peer| {
            peer.hello().await?;
            let mut flight = vec![peer.extensions(), peer.certificate()];
            flight.push(match second {
                None => peer.certificate(),
                Some(other) => peer.said(&messages::certificate(&other.chain)),
            });
            flight.extend([peer.verify(), peer.finished()]);
            peer.messages(&flight).await
        })
        .await;
    }
}

#[tokio::test]
async fn a_certificate_behind_certificate_verify() {
    refused(SessionError::Verify(VerifyFault::UnexpectedCertificate), async |peer| {
        peer.hello().await?;
        let flight =
            [peer.extensions(), peer.certificate(), peer.verify(), peer.certificate(), peer.finished()];
        peer.messages(&flight).await
    })
    .await;
}

#[tokio::test]
async fn two_certificate_verifies() {
    refused(SessionError::Verify(VerifyFault::UnexpectedCertificateVerify), async |peer| {
        peer.hello().await?;
        let flight = [peer.extensions(), peer.certificate(), peer.verify(), peer.verify(), peer.finished()];
        peer.messages(&flight).await
    })
    .await;
}

#[tokio::test]
async fn finished_before_the_proof() {
    // In one record, so that the library reads what stands behind Finished.
    refused(DECRYPTION, async |peer| {
        peer.hello().await?;
        let flight = [peer.extensions(), peer.finished(), peer.certificate(), peer.verify()].concat();
        peer.sealed(HANDSHAKE, &flight).await
    })
    .await;
    // In records of their own, what comes behind Finished belongs to the session and is too late.
    refused(SessionError::Verify(VerifyFault::Unproved), async |peer| {
        peer.hello().await?;
        let flight = [peer.extensions(), peer.finished(), peer.certificate(), peer.verify()];
        peer.messages(&flight).await
    })
    .await;
}

#[tokio::test]
async fn anything_behind_finished() {
    for extra in [messages::ticket(), messages::message(24, &[0]), messages::encrypted_extensions()] {
        refused(DECRYPTION, async |peer| {
            peer.hello().await?;
            let flight = [&peer.flight().concat()[..], &extra].concat();
            peer.sealed(HANDSHAKE, &flight).await
        })
        .await;
    }
}

#[tokio::test]
async fn a_wrong_finished() {
    refused(MESSAGE, async |peer| {
        peer.hello().await?;
        let mut flight = peer.flight().concat();
        *flight.last_mut().unwrap() ^= 1;
        peer.sealed(HANDSHAKE, &flight).await
    })
    .await;
}

// A server that proves it wrongly.

/// Plays a handshake whose CertificateVerify is made by `make`.
async fn wrong_proof(expected: SessionError, make: impl FnOnce(&Hostile<'_>) -> Vec<u8>) {
    refused(expected, async |peer| {
        peer.hello().await?;
        let mut flight = vec![peer.extensions(), peer.certificate()];
        let proof = make(peer);
        flight.push(peer.said(&proof));
        flight.push(peer.finished());
        peer.messages(&flight).await
    })
    .await;
}

#[tokio::test]
async fn a_signature_by_another_scheme() {
    // ecdsa_secp384r1_sha384, ed25519, rsa_pss_rsae_sha256: known to the library, even offered by it.
    for scheme in [0x0503, 0x0807, 0x0804] {
        wrong_proof(SessionError::Verify(VerifyFault::Scheme), |peer| {
            messages::certificate_verify(scheme, &peer.signature())
        })
        .await;
    }
    wrong_proof(MESSAGE, |peer| messages::certificate_verify(0xfefe, &peer.signature())).await;
}

#[tokio::test]
async fn a_signature_that_is_wrong() {
    let signature = SessionError::Verify(VerifyFault::Signature);
    for place in [0, 4, 20, 60] {
        wrong_proof(signature, |peer| {
            let mut signature = peer.signature();
            signature[place] ^= 1;
            messages::certificate_verify(ECDSA_P256, &signature)
        })
        .await;
    }
    for bytes in [&[][..], &[0x30, 0], &[0x30, 6, 2, 1, 0, 2, 1, 0], &[0xff; 72], &[0; 2000]] {
        wrong_proof(signature, |_| messages::certificate_verify(ECDSA_P256, bytes)).await;
    }
}

#[tokio::test]
async fn a_signature_by_another_key() {
    let other = Authority::root("another root").server(Stage::HOST).signing_key();
    wrong_proof(SessionError::Verify(VerifyFault::Signature), |peer| {
        let signature = messages::sign(&other, SERVER_CONTEXT, &hash(&peer.transcript));
        messages::certificate_verify(ECDSA_P256, &signature)
    })
    .await;
}

#[tokio::test]
async fn a_signature_over_something_else() {
    let stage = Stage::new();
    let key = stage.identity.signing_key();
    let cases: [(&[u8], bool); 3] = [
        (SERVER_CONTEXT, false),
        // A client's signature sent back.
        (b"TLS 1.3, client CertificateVerify\0", true),
        (b"", true),
    ];
    for (context, of_this_handshake) in cases {
        refused_by(&stage, SessionError::Verify(VerifyFault::Signature), async |peer| {
            peer.hello().await?;
            let mut flight = vec![peer.extensions(), peer.certificate()];
            let transcript = if of_this_handshake { hash(&peer.transcript) } else { [7; 32] };
            let signature = messages::sign(&key, context, &transcript);
            flight.push(peer.said(&messages::certificate_verify(ECDSA_P256, &signature)));
            flight.push(peer.finished());
            peer.messages(&flight).await
        })
        .await;
    }
}

#[tokio::test]
async fn a_certificate_that_is_none() {
    let path = |reason| SessionError::Verify(VerifyFault::Path(reason));
    let cases = [
        (vec![], path(PathError::ChainLength)),
        (vec![vec![]], path(PathError::Malformed)),
        (vec![vec![0x30; 100]], path(PathError::Malformed)),
        (vec![vec![0; 1]; 5], path(PathError::ChainLength)),
        // More entries than the library counts.
        (vec![vec![0; 1]; 17], MESSAGE),
    ];
    for (chain, expected) in cases {
        refused(expected, async |peer| {
            peer.hello().await?;
            let mut flight = vec![peer.extensions(), peer.said(&messages::certificate(&chain))];
            flight.extend([peer.verify(), peer.finished()]);
            peer.messages(&flight).await
        })
        .await;
    }
}

// Records that are wrong in themselves.

#[tokio::test]
async fn encrypted_records_without_content_before_the_server_is_known() {
    for length in [0, 1, 15, 16] {
        let found = u16::try_from(length).unwrap();
        refused(SessionError::Record(RecordFault::Empty { found }), async |peer| {
            peer.hello().await?;
            peer.plain(APPLICATION_DATA, &vec![0; length]).await
        })
        .await;
    }
    // Sealed with the right keys, as an attacker in the key exchange can.
    refused(SessionError::Record(RecordFault::Empty { found: 16 }), async |peer| {
        peer.hello().await?;
        peer.sealed_inner(vec![]).await
    })
    .await;
}

#[tokio::test]
async fn encrypted_records_without_a_content_type() {
    for zeros in [1, 2, 1000] {
        let (visit, _) = Stage::new()
            .play(async |peer| {
                peer.hello().await?;
                peer.sealed_inner(vec![0; zeros]).await
            })
            .await;
        assert!(!visit.opened && matches!(visit.outcome, Err(SessionError::Protocol(_))), "{visit:?}");
    }
}

#[tokio::test]
async fn encrypted_records_before_server_hello() {
    let found = APPLICATION_DATA;
    refused(SessionError::Record(RecordFault::Type { found, phase: Phase::Hello }), async |peer| {
        peer.plain(APPLICATION_DATA, &[0; 100]).await
    })
    .await;
}

#[tokio::test]
async fn plain_text_behind_server_hello() {
    for found in [HANDSHAKE, ALERT, 24, 0, 255] {
        let fault = RecordFault::Type { found, phase: Phase::Handshake };
        refused(SessionError::Record(fault), async |peer| {
            peer.hello().await?;
            peer.plain(found, &messages::encrypted_extensions()).await
        })
        .await;
    }
}

#[tokio::test]
async fn two_changes_of_cipher_or_a_wrong_one() {
    let fault = RecordFault::Type { found: CHANGE_CIPHER_SPEC, phase: Phase::Handshake };
    refused(SessionError::Record(fault), async |peer| {
        peer.hello().await?;
        peer.plain(CHANGE_CIPHER_SPEC, &[1]).await?;
        peer.plain(CHANGE_CIPHER_SPEC, &[1]).await
    })
    .await;
    for length in [0, 2, 300] {
        let found = u16::try_from(length).unwrap();
        refused(SessionError::Record(RecordFault::TooLong { found, limit: 1 }), async |peer| {
            peer.hello().await?;
            peer.plain(CHANGE_CIPHER_SPEC, &vec![1; length]).await
        })
        .await;
    }
}

#[tokio::test]
async fn records_of_a_wrong_version_or_type() {
    for version in [0x0300, 0x0301, 0x0302, 0x0304, 0xfefd, 0x0003] {
        refused(SessionError::Record(RecordFault::Version { found: version }), async |peer| {
            peer.hello().await?;
            let [major, minor] = version.to_be_bytes();
            peer.raw(&[APPLICATION_DATA, major, minor, 0, 20]).await?;
            peer.raw(&[0; 20]).await
        })
        .await;
    }
    for found in [0, 19, 24, 0x48, 255] {
        let fault = RecordFault::Type { found, phase: Phase::Hello };
        refused(SessionError::Record(fault), async |peer| peer.plain(found, &[0; 20]).await).await;
    }
    // A web server that does not speak TLS on this port.
    refused(SessionError::Record(RecordFault::Version { found: 0x5454 }), async |peer| {
        peer.raw(b"HTTP/1.1 400 Bad Request\r\n\r\n").await
    })
    .await;
}

#[tokio::test]
async fn records_longer_than_the_buffer() {
    let limit = u16::try_from(READ_BUFFER).unwrap();
    for found in [limit + 1, 16384 + 256, u16::MAX] {
        let [high, low] = found.to_be_bytes();
        let fault = SessionError::Record(RecordFault::TooLong { found, limit });
        refused(fault, async |peer| peer.raw(&[HANDSHAKE, 3, 3, high, low]).await).await;
        refused(fault, async |peer| {
            peer.hello().await?;
            peer.raw(&[APPLICATION_DATA, 3, 3, high, low]).await
        })
        .await;
    }
}

#[tokio::test]
async fn records_without_end() {
    refused(SessionError::Record(RecordFault::TooMany), async |peer| {
        peer.hello().await?;
        let mut message = peer.extensions();
        loop {
            peer.sealed(HANDSHAKE, &message).await?;
            message = peer.said(&messages::certificate_request());
        }
    })
    .await;
    refused(DECRYPTION, async |peer| {
        peer.hello().await?;
        loop {
            peer.sealed(HANDSHAKE, &[]).await?;
        }
    })
    .await;
}

#[tokio::test]
async fn a_message_split_over_records() {
    for cut in [1, 4, 10] {
        refused(DECRYPTION, async |peer| {
            peer.hello().await?;
            let flight = [peer.extensions(), peer.certificate()].concat();
            let (first, second) = flight.split_at(flight.len() - cut);
            peer.sealed(HANDSHAKE, first).await?;
            peer.sealed(HANDSHAKE, second).await
        })
        .await;
    }
}

#[tokio::test]
async fn messages_that_have_no_place_in_a_handshake() {
    for (message, expected) in [
        (messages::ticket(), MESSAGE),
        (messages::message(24, &[0]), MESSAGE),
        (messages::message(5, &[]), MESSAGE),
        (messages::message(1, &[0; 50]), MESSAGE),
        (messages::server_hello(messages::VERSION_13), MESSAGE),
        (messages::message(254, &[0; 32]), MESSAGE),
        (messages::message(99, &[]), MESSAGE),
        // Its length is not that of its content.
        (vec![8, 0, 0, 5, 0, 0], DECRYPTION),
        (vec![8, 0xff, 0xff, 0xff, 0, 0], DECRYPTION),
    ] {
        refused(expected, async |peer| {
            peer.hello().await?;
            let flight = [peer.extensions(), message];
            peer.messages(&flight).await
        })
        .await;
    }
    refused(DECRYPTION, async |peer| {
        peer.hello().await?;
        peer.sealed(APPLICATION_DATA, b"early").await
    })
    .await;
}

/// Who has not seen the device's certificate says nothing about it, whatever it says.
#[tokio::test]
async fn only_who_has_shown_itself_can_refuse_an_identity() {
    let stage = Stage::new();
    for (content, bytes) in
        [(ALERT, &[2, 40][..]), (ALERT, &[2, 80]), (HANDSHAKE, b"no TLS"), (0x48, b"TTP/1.1")]
    {
        let (visit, _) = stage.play(async |peer| peer.plain(content, bytes).await).await;
        assert_eq!(visit.told, Some(TransportError::NotShown), "{visit:?}");
    }
    let (visit, _) = stage
        .play(async |peer| {
            peer.hello().await?;
            let flight = [peer.extensions(), peer.certificate(), peer.verify()];
            peer.messages(&flight).await?;
            peer.sealed(ALERT, &[2, 49]).await
        })
        .await;
    assert_eq!(visit.told, Some(TransportError::Tls), "{visit:?}");
}

#[tokio::test]
async fn alerts_in_the_handshake() {
    refused(ALERTED, async |peer| peer.plain(ALERT, &[2, 40]).await).await;
    refused(MESSAGE, async |peer| {
        peer.hello().await?;
        peer.sealed(ALERT, &[2, 40]).await
    })
    .await;
    for length in [0, 1, 3] {
        let found = u16::try_from(length).unwrap();
        let fault = SessionError::Record(RecordFault::TooLong { found, limit: 2 });
        refused(fault, async |peer| peer.plain(ALERT, &vec![2; length]).await).await;
    }
}

#[tokio::test]
async fn key_exchanges_that_give_no_key() {
    let off_curve = [&[4][..], &[1; 64]].concat();
    for extensions in [
        vec![],
        messages::VERSION_13.to_vec(),
        [messages::VERSION_13, &messages::key_share(&[])].concat(),
        [messages::VERSION_13, &messages::key_share(&[0])].concat(),
        [messages::VERSION_13, &messages::key_share(&[9; 32])].concat(),
        [messages::VERSION_13, &messages::key_share(&off_curve)].concat(),
        // As in HelloRetryRequest: a group and no share.
        [messages::VERSION_13, &[0, 51, 0, 2, 0, 23]].concat(),
    ] {
        refused(MESSAGE, async |peer| peer.plain(HANDSHAKE, &messages::server_hello(&extensions)).await)
            .await;
    }
}

#[tokio::test]
async fn a_handshake_cut_at_each_byte() {
    // Signatures differ in length from handshake to handshake: in DER, 70 to 72 bytes, and seldom a few less.
    const SLACK: usize = 6;
    let stage = Stage::new();
    let (mut whole, mut shown) = (usize::MAX, None);
    for cut in 0.. {
        let (visit, wrote) = stage
            .play(async |peer| {
                let mut flight = peer.recorded_flight();
                whole = flight.len();
                flight.truncate(cut);
                peer.raw(&flight).await?;
                peer.end().await
            })
            .await;
        if cut >= whole {
            break;
        }
        assert!(!visit.opened, "opened after {cut} of {whole} bytes");
        // Until the server has shown itself it turned the device away; after that it may be the device's identity.
        let fault = visit.outcome.unwrap_err();
        assert!(
            matches!(fault, SessionError::Record(RecordFault::Ended | RecordFault::Truncated)),
            "{fault:?} after {cut} bytes"
        );
        match visit.told.unwrap() {
            TransportError::TurnedAway => {
                let late = shown.is_some_and(|first| cut >= first + SLACK);
                assert!(!late, "turned away after {cut} bytes, where {shown:?} were enough");
            }
            TransportError::Closed => shown = shown.or(Some(cut)),
            other => panic!("{other:?} after {cut} bytes"),
        }
        assert_eq!(wrote, [Wrote::Plain(HANDSHAKE)], "after {cut} bytes");
    }
    assert!(shown.is_some(), "the server never showed itself");
    assert!(whole > 500, "the whole flight was tried: {whole}");
}

#[tokio::test]
async fn a_handshake_that_stops_costs_a_limit() {
    let mut stage = Stage::new();
    stage.device.limits.handshake = SHORT;
    for messages in 0..4 {
        refused_by(&stage, SessionError::TimedOut, async |peer| {
            peer.hello().await?;
            let flight = peer.flight();
            peer.messages(&flight[..messages]).await
        })
        .await;
    }
    let mut stage = Stage::new();
    stage.device.limits.record = SHORT;
    refused_by(&stage, SessionError::Record(RecordFault::TimedOut), async |peer| {
        peer.hello().await?;
        peer.raw(&[APPLICATION_DATA, 3, 3, 1, 0, 7, 7]).await
    })
    .await;
}
