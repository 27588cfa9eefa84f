//! What EMQX asks, in JSON, and which of it is for the client's own name and by its own certificate. Whether that client
//! is in force is asked of the store afterwards.

use ca::Serial;
use schemars::JsonSchema;
use serde::Deserialize;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::{Action, Client, Rights, certificate_of};
use crate::issuance::ClientIdentity;
use crate::json_object;
use crate::mqtt::{CLIENT_NAME, common_name};

/// What EMQX says of a client that wants to log in, all out of its certificate. What it says besides is passed over.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "EmqxLogin")]
pub struct Login {
    /// The user's name.
    username: Option<String>,
    /// The client identifier.
    clientid: Option<String>,
    /// The common name in its certificate.
    common_name: Option<String>,
    /// Its certificate: base64 of the DER. Without it, any certificate of the client's counts that is on no list of EMQX's.
    certificate: Option<String>,
}

/// What EMQX says of a client that wants to publish or subscribe. What it says besides is passed over.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "EmqxWish")]
pub struct Wish {
    /// The user's name.
    username: Option<String>,
    /// The client identifier.
    clientid: Option<String>,
    /// `publish` or `subscribe`.
    action: Option<String>,
    /// Where to.
    topic: Option<String>,
}

/// Whose login it is, all names being the same, and what has to be in force for it.
#[derive(Debug)]
pub enum Claim {
    /// A device's, by this very certificate, which names it.
    Device(ClientIdentity, Vec<u8>),
    /// The server's own, by a certificate with this serial number under its name.
    Server(Serial),
    /// A client's, by a certificate that EMQX does not show.
    Unshown(Client),
}

impl Login {
    /// Reads the body of the question; `None` where it is none.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<Self> {
        json_object::read(body).ok()
    }

    /// Whose it is; `None` where it is nobody's.
    #[must_use]
    pub fn claim(&self) -> Option<Claim> {
        let name = one_name(&self.username, &self.clientid)
            .filter(|name| self.common_name.as_deref() == Some(name))?;
        let client = Client::of_common_name(name)?;
        let Some(certificate) = &self.certificate else { return Some(Claim::Unshown(client)) };
        let der = certificate_of(certificate.as_bytes())?;
        match client {
            Client::Server => serial_of_own(&der).map(Claim::Server),
            Client::Device(device) => ClientIdentity::from_der(&der)
                .ok()
                .filter(|identity| *identity.device() == device)
                .map(|identity| Claim::Device(identity, der)),
        }
    }
}

impl Wish {
    /// Reads the body of the question; `None` where it is none.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<Self> {
        json_object::read(body).ok()
    }

    /// Whose it is; `None` where it is nobody's, or no wish.
    #[must_use]
    pub fn client(&self) -> Option<Client> {
        one_name(&self.username, &self.clientid).and_then(Client::of_common_name)
    }

    /// Whether `client`, who has the name, has this right.
    #[must_use]
    pub fn is_right_of(&self, client: &Client, rights: &Rights) -> bool {
        let action = match self.action.as_deref() {
            Some("publish") => Action::Publish,
            Some("subscribe") => Action::Subscribe,
            _ => return false,
        };
        self.topic.as_deref().is_some_and(|topic| rights.allow(client, action, topic))
    }
}

/// The name, where user and client identifier are it.
fn one_name<'q>(username: &'q Option<String>, clientid: &Option<String>) -> Option<&'q str> {
    username.as_deref().filter(|name| clientid.as_deref() == Some(name))
}

/// The serial number of a certificate under the server's own name.
fn serial_of_own(der: &[u8]) -> Option<Serial> {
    let (rest, certificate) = X509Certificate::from_der(der).ok()?;
    let is_own = rest.is_empty() && common_name(&certificate).as_deref() == Some(CLIENT_NAME);
    Serial::from_der_value(certificate.raw_serial()).filter(|_| is_own)
}

#[cfg(test)]
mod tests {
    use super::{Claim, Login, Wish};
    use crate::peers::Client;

    const LOGIN: &str = r#""username":"SN-1","clientid":"SN-1","common_name":"SN-1""#;

    fn claim(fields: &str) -> Option<Claim> {
        Login::read(format!("{{{fields}}}").as_bytes()).and_then(|login| login.claim())
    }

    #[test]
    fn a_login_is_for_the_one_name_that_stands_everywhere() {
        assert!(matches!(claim(LOGIN), Some(Claim::Unshown(Client::Device(id))) if id.as_str() == "SN-1"));
        for field in ["username", "clientid", "common_name"] {
            let changed = LOGIN.replace(&format!("\"{field}\":\"SN-1\""), &format!("\"{field}\":\"SN-2\""));
            assert!(claim(&changed).is_none(), "{changed}");
            assert!(claim(&format!("{LOGIN},\"{field}\":\"SN-1\"")).is_none(), "{field} twice");
            assert!(claim(&LOGIN.replace(field, "x")).is_none(), "without {field}");
        }
    }

    #[test]
    fn a_certificate_that_is_none_is_not_taken_for_one_that_is_not_shown() {
        for certificate in ["", "%", "${cert_pem}", "AAAA", "MAA="] {
            for name in ["SN-1", "enroll_server"] {
                let login = format!("{LOGIN},\"certificate\":\"{certificate}\"").replace("SN-1", name);
                assert!(claim(&login).is_none(), "{login}");
            }
        }
        let server = LOGIN.replace("SN-1", "enroll_server");
        assert!(matches!(claim(&server), Some(Claim::Unshown(Client::Server))));
    }

    #[test]
    fn nesting_in_what_is_passed_over_takes_no_stack() {
        let deep = format!("{LOGIN},\"x\":{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(claim(&deep).is_some());
        assert!(Wish::read(format!("{{{LOGIN},\"x\":{}", "{\"a\":".repeat(100_000)).as_bytes()).is_none());
    }
}
