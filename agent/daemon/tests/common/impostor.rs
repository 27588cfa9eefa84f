//! A broker that is none, and a proxy that would fall for it.

use core::time::Duration;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, ServerConfig, ServerConnection,
    SignatureScheme, StreamOwned,
};

use super::pki::Leaf;

/// Listens in the broker's place with another CA's certificate, and keeps whatever it is told.
pub(crate) struct Impostor {
    /// How many called, and what they said once TLS was open.
    pub(crate) heard: Arc<Mutex<(usize, Vec<u8>)>>,
}

impl Impostor {
    /// On a port that is free now.
    pub(crate) fn start(port: u16, identity: &Leaf) -> Self {
        let chain = identity.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
        let key = PrivateKeyDer::try_from(identity.key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let heard = Arc::new(Mutex::new((0, Vec::new())));
        let ours = Arc::clone(&heard);
        std::thread::spawn(move || {
            for tcp in listener.incoming().map_while(Result::ok) {
                tcp.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), tcp);
                let mut buffer = [0; 1024];
                let read = stream.read(&mut buffer).unwrap_or(0);
                let mut heard = ours.lock().unwrap();
                heard.0 += 1;
                heard.1.extend_from_slice(&buffer[..read]);
            }
        });
        Self { heard }
    }
}

/// The planted bug: carries what one program says over TLS to whoever answers, as a tunnel does that believes any
/// certificate. Returns its port.
pub(crate) fn credulous_proxy(broker: u16) -> u16 {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous))
        .with_no_client_auth();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut program, _) = listener.accept().unwrap();
        let mut buffer = [0; 1024];
        let read = program.read(&mut buffer).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = StreamOwned::new(session, TcpStream::connect(("127.0.0.1", broker)).unwrap());
        stream.write_all(&buffer[..read]).unwrap();
        stream.flush().unwrap();
    });
    port
}

#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
