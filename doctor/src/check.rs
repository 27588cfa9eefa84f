//! Goes the whole way to a server, step by step, and stops at the first that fails.

use core::time::Duration;
use std::sync::Arc;

use rustls::ProtocolVersion;
use rustls::sign::CertifiedKey;
use shared::UnixTime;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::alert;
use crate::broker::{self, Failure};
use crate::chain::{self, Purpose, Question};
use crate::dial;
use crate::finding::{Cause, Finding};
use crate::handshake::{Believe, Broken, How, Seen, shake};
use crate::refusal::{self, Verdict};
use crate::report::{Report, State, Step};

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What it is, in words.
    pub title: String,
    /// Name or address to connect to.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The name that its certificate has to carry.
    pub name: String,
}

/// What a broker is asked. Every publication is of quality of service 1 and not retained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mqtt {
    /// Client identifier.
    pub client_id: String,
    /// Topic to publish `{"doctor":true}` to, once.
    pub publish: Option<String>,
    /// Filter to subscribe to for the moment.
    pub subscribe: Option<String>,
    /// Why nobody is to log in, if so. The certificate is shown all the same: that ends nobody's session.
    pub leave_out: Option<String>,
}

/// A program's own verifier: what it says to the server's chain in DER, leaf first, and why not.
pub type Strict = Arc<dyn Fn(&[&[u8]]) -> Result<(), String> + Send + Sync>;

/// Limits of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Name lookup; each address.
    pub connect: Duration,
    /// Handshake; each answer of a broker.
    pub answer: Duration,
    /// How long a server has to refuse a client's certificate after the handshake, before anything is asked.
    pub refusal: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(5),
            refusal: Duration::from_secs(2),
        }
    }
}

/// By what a server is judged, and what it is shown.
#[derive(Clone, Default)]
pub struct Access {
    /// CAs that are trusted, in DER.
    pub anchors: Vec<Vec<u8>>,
    /// Other certificates that are known, in DER.
    pub known: Vec<Vec<u8>>,
    /// Revocation lists, in DER.
    pub crls: Vec<Vec<u8>>,
    /// The client's certificates and key.
    pub identity: Option<Arc<CertifiedKey>>,
    /// Whether the server has to ask for a client certificate.
    pub must_ask: bool,
    /// What is wrong with files on this side: then nobody is called.
    pub files: Vec<Finding>,
    /// The program's own verifier.
    pub strict: Option<Strict>,
    /// Nothing older than TLS 1.3, as devices have it.
    pub tls13_only: bool,
    /// What to do at a broker.
    pub mqtt: Option<Mqtt>,
    /// The least that the time can be.
    pub not_before: Option<UnixTime>,
    /// Limits of time.
    pub limits: Limits,
}

// The verifier of a program has none, and a key must not have one.
impl core::fmt::Debug for Access {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Access").field("anchors", &self.anchors.len()).finish_non_exhaustive()
    }
}

/// Checks a server, at the time `now`.
pub async fn check(target: &Target, access: &Access, now: UnixTime) -> Report {
    let title = format!("{} {}:{}", target.title, target.host, target.port);
    let mut report = Report::new(title.trim());
    Box::pin(Walk { target, access, now, report: &mut report }.run()).await;
    report.close(&Step::CONNECTION);
    if access.mqtt.is_some() {
        report.close(&Step::BROKER);
    }
    report
}

struct Walk<'a> {
    target: &'a Target,
    access: &'a Access,
    now: UnixTime,
    report: &'a mut Report,
}

impl Walk<'_> {
    async fn run(mut self) -> Option<()> {
        self.clock()?;
        self.files()?;
        let addresses = dial::resolve(&self.target.host, self.target.port, self.access.limits.connect).await;
        let addresses = self.take(Step::Dns, addresses)?;
        let list: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
        self.report.pass(Step::Dns, list.join(", "));

        let seen = self.look(&addresses).await?;
        self.judge(&seen)?;
        self.client(&addresses, &seen).await
    }

    fn clock(&mut self) -> Option<()> {
        match self.access.not_before.filter(|least| self.now < *least) {
            Some(least) => self.fail(
                Step::Clock,
                Finding::new(
                    Cause::ClockWrong,
                    "this machine's clock",
                    format!("it is {} here", self.now),
                    format!("a time after {least}, which was known before"),
                ),
            ),
            None => {
                self.report.pass(Step::Clock, self.now.to_string());
                Some(())
            }
        }
    }

    fn files(&mut self) -> Option<()> {
        for finding in &self.access.files {
            self.report.fail(Step::Files, finding.clone());
        }
        if !self.access.files.is_empty() {
            return None;
        }
        let words = format!("{} trusted CAs", self.access.anchors.len());
        let identity =
            if self.access.identity.is_some() { ", a client certificate with its key" } else { "" };
        self.report.pass(Step::Files, words + identity);
        Some(())
    }

    /// The first connection: shows nothing, and only looks.
    async fn look(&mut self, addresses: &[core::net::SocketAddr]) -> Option<Seen> {
        let tcp = self.dial(addresses, true).await?;
        let how = How {
            believe: Believe::Anybody,
            identity: None,
            tls13_only: self.access.tls13_only,
            limit: self.access.limits.answer,
        };
        let (seen, outcome) = Box::pin(shake(&self.target.name, tcp, how)).await;
        let host = self.host();
        if seen.chain.is_empty() {
            let finding = match outcome {
                Err(Broken::Silent) => {
                    let found = format!("nothing within {} s", self.access.limits.answer.as_secs());
                    Finding::new(Cause::NoAnswer, host, found, "an answer to the TLS handshake")
                }
                Err(Broken::Error(error)) => alert::of_handshake(&host, &error),
                Ok(_) => Finding::new(Cause::HandshakeFailed, host, "no certificate", "a certificate"),
            };
            return self.fail(Step::Tls, finding);
        }
        let version = match seen.version {
            Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
            Some(_) => "TLS 1.2",
            None => "TLS",
        };
        let suite = outcome.as_ref().ok().and_then(|stream| {
            let suite = stream.get_ref().1.negotiated_cipher_suite()?;
            Some(format!(", {:?}", suite.suite()))
        });
        self.report.pass(Step::Tls, format!("{version}{}", suite.unwrap_or_default()));
        Some(seen)
    }

    fn judge(&mut self, seen: &Seen) -> Option<()> {
        let subject = format!("{}'s certificate", self.host());
        let mut explained = Report::new("");
        let question = Question {
            subject: &subject,
            chain: &seen.chain,
            anchors: &self.access.anchors,
            known: &self.access.known,
            crls: &self.access.crls,
            purpose: Purpose::Server,
            name: Some(&self.target.name),
            now: self.now,
        };
        chain::judge(&question, &mut explained);
        if let Some(strict) = &self.access.strict {
            let chain: Vec<&[u8]> = seen.chain.iter().map(Vec::as_slice).collect();
            match strict(&chain) {
                // The program believes the server: what remains is what it does not look at.
                Ok(()) => {
                    explained.findings.retain(|finding| {
                        matches!(finding.cause, Cause::Revoked | Cause::CrlStale | Cause::ClockWrong)
                    });
                    if explained.is_fine() {
                        explained.steps.retain(|outcome| outcome.state != State::Failed);
                    }
                }
                Err(why) if explained.is_fine() => {
                    let expected = "a chain that the agent's verifier takes";
                    explained.steps.retain(|outcome| outcome.step != Step::Chain);
                    explained
                        .fail(Step::Chain, Finding::new(Cause::CertificateRefused, subject, why, expected));
                }
                Err(why) => explained.notes.push(format!("the agent's own verifier says: {why}")),
            }
        }
        let fine = explained.is_fine();
        // The clock has its place already, where it is judged by the certificates only now.
        if explained.findings.iter().any(|finding| finding.cause == Cause::ClockWrong) {
            self.report.steps.retain(|outcome| outcome.step != Step::Clock);
        }
        self.report.steps.append(&mut explained.steps);
        self.report.findings.append(&mut explained.findings);
        self.report.notes.append(&mut explained.notes);
        if fine && !seen.signed && seen.version.is_some() {
            let found = "the server does not hold the key of the certificate that it shows";
            let finding = Finding::new(Cause::KeyMismatch, self.host(), found, "a signature by that key");
            return self.fail(Step::Tls, finding);
        }
        fine.then_some(())
    }

    /// The second connection: shows the client's certificate to the server that was judged.
    async fn client(&mut self, addresses: &[core::net::SocketAddr], seen: &Seen) -> Option<()> {
        self.asked(seen)?;
        let shown = self.access.identity.is_some();
        let tcp = self.dial(addresses, false).await?;
        let how = How {
            believe: Believe::Only(seen.chain.clone()),
            identity: self.access.identity.clone(),
            tls13_only: self.access.tls13_only,
            limit: self.access.limits.answer,
        };
        let (again, outcome) = Box::pin(shake(&self.target.name, tcp, how)).await;
        let stream = match outcome {
            Ok(stream) => stream,
            Err(Broken::Silent) => return self.silent(Step::ClientCertificate),
            Err(Broken::Error(error)) if again.chain != seen.chain => {
                let expected = "the certificate of a moment ago";
                let found = format!("another one: several servers behind one name? ({error})");
                let finding = Finding::new(Cause::CertificateRefused, self.host(), found, expected);
                return self.fail(Step::ClientCertificate, finding);
            }
            Err(Broken::Error(error)) => {
                let finding = alert::of_client(&self.host(), &error, shown);
                return self.fail(Step::ClientCertificate, finding);
            }
        };
        match &self.access.mqtt {
            Some(mqtt) if mqtt.leave_out.is_none() => self.broker(stream, mqtt, shown).await,
            _ => self.refusal(stream, shown).await,
        }
    }

    fn asked(&mut self, seen: &Seen) -> Option<()> {
        let asks = match &seen.asked {
            Some(names) if names.is_empty() => "asks for a client certificate, of any CA".to_owned(),
            Some(names) => format!("asks for a client certificate of: {}", names.join(", ")),
            None => "does not ask for a client certificate".to_owned(),
        };
        self.report.notes.push(format!("the server {asks}"));
        if seen.asked.is_none() && self.access.must_ask {
            let expected = "a server that asks for a client certificate";
            let finding = Finding::new(Cause::ClientCertificateNotAsked, self.host(), asks, expected);
            return self.fail(Step::ClientCertificate, finding);
        }
        let Some(leaf) = self.access.identity.as_ref().and_then(|identity| identity.cert.first()) else {
            return Some(());
        };
        let own = chain::judge_leaf("the client's certificate", leaf, Purpose::Client, self.now);
        let fine = own.is_empty();
        for finding in own {
            self.report.fail(Step::ClientCertificate, finding);
        }
        fine.then_some(())
    }

    /// TLS 1.3 refuses a client's certificate only after the handshake; TLS 1.2 did it before.
    async fn refusal(&mut self, mut stream: TlsStream<TcpStream>, shown: bool) -> Option<()> {
        let limits = self.access.limits;
        let verdict = match refusal::wait(&mut stream, limits.refusal).await {
            Some(verdict) => verdict,
            // A broker ends a session that begins in HTTP.
            None if self.access.mqtt.is_some() => Verdict::Unclear("TLS did not refuse it".to_owned()),
            None => refusal::ask(&mut stream, &self.target.name, shown, limits.answer).await,
        };
        let step = Step::ClientCertificate;
        match verdict {
            Verdict::Taken(words) if shown => {
                self.report.pass(step, format!("the server takes the client's certificate: {words}"));
            }
            Verdict::Taken(_) => {
                self.report.skip(step, "none was given, and the server insists on none");
            }
            Verdict::Unclear(words) if shown => self.report.skip(step, words),
            Verdict::Unclear(_) => self.report.skip(step, "none was given, and TLS insists on none"),
            Verdict::Refused(cause, found) => {
                let expected = "a server that takes the client's certificate";
                return self.fail(step, Finding::new(cause, self.host(), found, expected));
            }
            Verdict::Ended(error) if alert::inner(&error).is_some() || shown => {
                return self.fail(step, alert::of_client(&self.host(), &error, shown));
            }
            Verdict::Ended(error) => {
                let found = alert::words(&error);
                let finding = Finding::new(Cause::ConnectionClosed, self.host(), found, "an open connection");
                return self.fail(step, finding);
            }
        }
        if let Some(why) = self.access.mqtt.as_ref().and_then(|mqtt| mqtt.leave_out.as_ref()) {
            self.report.skip(Step::Login, why.clone());
            self.report.skip(Step::Acl, why.clone());
        }
        Some(())
    }

    async fn broker(&mut self, stream: TlsStream<TcpStream>, mqtt: &Mqtt, shown: bool) -> Option<()> {
        let mut session = match Box::pin(broker::login(stream, mqtt, self.access.limits.answer)).await {
            Ok(session) => session,
            Err(failure) => return self.login_failed(failure, shown),
        };
        self.report.pass(Step::ClientCertificate, "the broker takes the client's certificate");
        self.report.pass(Step::Login, format!("logged in as {}", mqtt.client_id));
        let mut rights = Vec::new();
        if let Some(topic) = &mqtt.publish {
            let outcome = session.publish(topic).await;
            self.right(format!("publish to {topic}"), outcome)?;
            rights.push(format!("may publish to {topic}"));
        }
        if let Some(filter) = &mqtt.subscribe {
            let outcome = session.subscribe(filter).await;
            self.right(format!("subscribe to {filter}"), outcome)?;
            rights.push(format!("may subscribe to {filter}"));
        }
        session.leave().await;
        match rights.is_empty() {
            true => self.report.skip(Step::Acl, "no topic was given"),
            false => self.report.pass(Step::Acl, rights.join("; ")),
        }
        Some(())
    }

    fn login_failed(&mut self, failure: Failure, shown: bool) -> Option<()> {
        let host = self.host();
        match failure {
            Failure::Ended(error) if alert::inner(&error).is_some() => {
                self.fail(Step::ClientCertificate, alert::of_client(&host, &error, shown))
            }
            Failure::Ended(error) => {
                let found = alert::words(&error);
                let finding = Finding::new(Cause::ConnectionClosed, host, found, "an answer to the login");
                self.fail(Step::Login, finding)
            }
            Failure::Refused(reason) => {
                let finding =
                    Finding::new(Cause::LoginRefused, host, reason, "a broker that takes the login");
                self.fail(Step::Login, finding)
            }
            Failure::Protocol(found) => {
                self.fail(Step::Login, Finding::new(Cause::MqttFailed, host, found, "an answer in MQTT 5"))
            }
            Failure::Silent => self.silent(Step::Login),
        }
    }

    fn right(&mut self, what: String, outcome: Result<(), Failure>) -> Option<()> {
        let found = match outcome {
            Ok(()) => return Some(()),
            Err(Failure::Refused(reason)) => {
                let finding = Finding::new(Cause::AclRefused, what, reason, "the right to do so");
                return self.fail(Step::Acl, finding);
            }
            Err(Failure::Silent) => return self.silent(Step::Acl),
            Err(Failure::Ended(error)) => alert::words(&error),
            Err(Failure::Protocol(found)) => found,
        };
        self.fail(Step::Acl, Finding::new(Cause::MqttFailed, what, found, "an acknowledgement"))
    }

    async fn dial(&mut self, addresses: &[core::net::SocketAddr], tell: bool) -> Option<TcpStream> {
        let outcome = dial::connect(&self.host(), addresses, self.access.limits.connect).await;
        let (stream, address, failures) = self.take(Step::Tcp, outcome)?;
        if tell {
            self.report.pass(Step::Tcp, format!("connected to {address}"));
            self.report.notes.extend(failures);
        }
        Some(stream)
    }

    fn silent(&mut self, step: Step) -> Option<()> {
        let found = format!("nothing within {} s", self.access.limits.answer.as_secs());
        self.fail(step, Finding::new(Cause::NoAnswer, self.host(), found, "an answer"))
    }

    fn take<T>(&mut self, step: Step, outcome: Result<T, Finding>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(finding) => self.fail(step, finding),
        }
    }

    fn fail<T>(&mut self, step: Step, finding: Finding) -> Option<T> {
        self.report.fail(step, finding);
        None
    }

    fn host(&self) -> String {
        format!("{}:{}", self.target.host, self.target.port)
    }
}
