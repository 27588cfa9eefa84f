//! Configurations of brokers and of HTTPS terminators for the CA that runs here: printed, written, kept current.
//!
//! [`Facts`] says what is so, a template per product says how the product wants it said, and [`write()`] writes what is not
//! there yet. Who may do what is [`Rights`]'s, which also answers the brokers that ask over HTTP. Starts no broker and
//! reads no template of an operator's.

mod crl_folder;
pub mod emqx;
mod facts;
mod fill;
mod people;
pub mod rabbitmq;
mod render;
mod rights;
mod token;
mod write;

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use shared::limits::MAX_CERTIFICATE;
use zeroize::Zeroizing;

pub use facts::{Facts, FactsError, Wanted};
pub use people::{Person, people};
pub use render::render;
pub use rights::{Action, Client, Rights};
pub use token::{BrokerToken, TokenError};
pub use write::{WriteError, run_hook, write};

/// A client's certificate as brokers and terminators send it: base64 of its DER. `None` for what can be none.
#[must_use]
pub fn certificate_of(text: &[u8]) -> Option<Vec<u8>> {
    let text = Some(text).filter(|text| !text.is_empty() && text.len() <= MAX_SENT)?;
    STANDARD.decode(text).ok()
}

/// Longest text of a certificate.
pub const MAX_SENT: usize = MAX_CERTIFICATE * 2;

/// A program that devices come to with their certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum BrokerProduct {
    /// Mosquitto 2.
    Mosquitto,
    /// EMQX 5; it asks this server who may do what.
    Emqx,
    /// RabbitMQ 3.10 and later, with its MQTT plugin; it asks this server who may do what.
    Rabbitmq,
    /// NATS 2.9 and later, with its MQTT listener; devices are listed in its configuration.
    Nats,
    /// HiveMQ 4: its listener; identity, rights and revocation come from an extension, see the comments.
    Hivemq,
    /// rumqttd 0.20; it knows neither rights nor revocation, see the comments.
    Rumqttd,
    /// AWS IoT Core: commands and documents.
    AwsIot,
}

/// A program that ends TLS in front of an HTTPS service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum TerminatorProduct {
    /// nginx 1.18 and later.
    Nginx,
    /// HAProxy 2.6 and later.
    Haproxy,
    /// Envoy 1.30 and later.
    Envoy,
    /// Caddy 2.6 and later; it reads no revocation lists and asks this server.
    Caddy,
}

/// Either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// A broker.
    Broker(BrokerProduct),
    /// A terminator.
    Terminator(TerminatorProduct),
}

impl Product {
    /// Its name on the command line, and of the folder where its files go by default.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Broker(BrokerProduct::Mosquitto) => "mosquitto",
            Self::Broker(BrokerProduct::Emqx) => "emqx",
            Self::Broker(BrokerProduct::Rabbitmq) => "rabbitmq",
            Self::Broker(BrokerProduct::Nats) => "nats",
            Self::Broker(BrokerProduct::Hivemq) => "hivemq",
            Self::Broker(BrokerProduct::Rumqttd) => "rumqttd",
            Self::Broker(BrokerProduct::AwsIot) => "aws-iot",
            Self::Terminator(TerminatorProduct::Nginx) => "nginx",
            Self::Terminator(TerminatorProduct::Haproxy) => "haproxy",
            Self::Terminator(TerminatorProduct::Envoy) => "envoy",
            Self::Terminator(TerminatorProduct::Caddy) => "caddy",
        }
    }

    /// Whether it asks this server over HTTP, and so needs the brokers' token.
    #[must_use]
    pub const fn asks(self) -> bool {
        matches!(
            self,
            Self::Broker(BrokerProduct::Emqx | BrokerProduct::Rabbitmq)
                | Self::Terminator(TerminatorProduct::Caddy)
        )
    }

    /// Whether its configuration lists the devices in force.
    #[must_use]
    pub const fn lists_devices(self) -> bool {
        matches!(self, Self::Broker(BrokerProduct::Nats))
    }
}

/// A file of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFile {
    /// Its name in the folder; may be in a folder of its own.
    pub name: String,
    /// What stands in it.
    pub content: Zeroizing<String>,
    /// Whether it holds a secret.
    pub secret: bool,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// A value that some configuration language would take apart.
    #[error(
        "{what} {text:?}: expected letters, digits and characters of paths only, which no configuration language takes apart"
    )]
    Characters {
        /// What it is.
        what: &'static str,
        /// The value.
        text: String,
    },
    /// A topic whose rights cannot be written by pattern.
    #[error(
        "topic {template:?}: expected {{id}} as a level of its own, between slashes: brokers know no other patterns"
    )]
    Topic {
        /// The template.
        template: String,
    },
    /// A template and its values do not fit; a defect of this program.
    #[error("the template wants {name:?}, which nobody gives")]
    Template {
        /// What it wants.
        name: String,
    },
    /// Revocation lists or certificates cannot be read.
    #[error("{}: cannot be read as {what}", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
}
