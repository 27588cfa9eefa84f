//! What a TLS connection says of its client: the chain it showed, whose first key it proved to have, and the
//! connection's channel binding.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::{ProtocolVersion, ServerConnection};
use subtle::ConstantTimeEq as _;

/// One connection of the EST listener, after its handshake.
#[derive(Clone, Default)]
pub(crate) struct Connection {
    chain: Vec<Vec<u8>>,
    /// tls-exporter (RFC 9266, section 4); TLS 1.3 only.
    binding: Option<[u8; BINDING]>,
}

const BINDING: usize = 32;
const LABEL: &[u8] = b"EXPORTER-Channel-Binding";

impl Connection {
    /// Of a connection whose handshake is done.
    pub(crate) fn new(tls: &ServerConnection) -> Self {
        let shown = tls.peer_certificates().unwrap_or_default();
        // In TLS 1.2 the exporter is good for this with the extended master secret only (RFC 9266, section 4.2), and
        // whether that was agreed is not told.
        let new_enough = tls.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        let binding = || tls.export_keying_material([0; BINDING], LABEL, Some(&[])).ok();
        Self {
            chain: shown.iter().map(|der| der.to_vec()).collect(),
            binding: if new_enough { binding() } else { None },
        }
    }

    /// Of a client that showed this chain, without a connection.
    #[cfg(test)]
    pub(crate) fn showing(chain: &[Vec<u8>]) -> Self {
        Self { chain: chain.to_vec(), binding: None }
    }

    /// The client's chain in DER, leaf first; empty where it showed none.
    pub(crate) fn chain(&self) -> Vec<&[u8]> {
        self.chain.iter().map(Vec::as_slice).collect()
    }

    /// Whether `password` is this connection's channel binding in base64, as a challengePassword has it (RFC 7030,
    /// section 3.5, with the tls-exporter of RFC 9266 in the place of tls-unique, which TLS 1.3 has not).
    pub(crate) fn is_bound_by(&self, password: &str) -> bool {
        self.binding.is_some_and(|binding| {
            STANDARD.decode(password).is_ok_and(|given| bool::from(given.as_slice().ct_eq(&binding)))
        })
    }
}

impl core::fmt::Debug for Connection {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Connection").field("certificates", &self.chain.len()).finish_non_exhaustive()
    }
}
