//! `device.toml`: what a device knows of itself and of its enrollment server.

use core::str::FromStr;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256, Sha512};
use shared::DeviceId;

/// The settings of one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceSettings {
    /// The device identifier; the IDevID has to carry the same.
    pub device: String,
    /// How the device proves what it is.
    #[serde(default, skip_serializing_if = "Evidence::is_idevid")]
    pub evidence: Evidence,
    /// The enrollment server; may be left out and given on the command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerAddress>,
    /// What the hardware says about itself.
    pub hardware: Hardware,
    /// What the firmware says about itself.
    pub firmware: Firmware,
}

/// How a device proves what it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// With an EAT, signed with its IDevID key.
    #[default]
    Idevid,
    /// With a PSA token, made by a simulated root of trust.
    Psa,
    /// With the layered certificates of a simulated DICE boot.
    Dice,
    /// With an EAT, authenticated with a symmetric key that is derived from its group's.
    Symmetric,
    /// With an EAT, signed with the key that all devices of the lot share.
    Claim,
}

impl Evidence {
    /// The files of the key and its certificate, where it has one, without their endings.
    #[must_use]
    pub const fn stem(self) -> &'static str {
        match self {
            Self::Idevid => "idevid",
            Self::Psa => "iak",
            Self::Dice => "uds",
            Self::Symmetric => "device",
            Self::Claim => "claim",
        }
    }

    /// What such a device measures.
    const fn components(self) -> &'static [&'static str] {
        match self {
            Self::Idevid | Self::Dice | Self::Symmetric | Self::Claim => &["bootloader", "application"],
            // Measurement types of RFC 9783, section 4.4.1.
            Self::Psa => &["BL", "PRoT", "App"],
        }
    }

    /// Whether it is the usual way.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
    const fn is_idevid(&self) -> bool {
        matches!(self, Self::Idevid)
    }
}

/// A host and a TCP port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerAddress {
    /// Host name or IP address, as its certificate carries it.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// The claims about the hardware.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hardware {
    /// The maker's private enterprise number.
    pub maker_number: u32,
    /// Model.
    pub model: String,
    /// Version of the hardware.
    pub version: String,
}

/// The claims about the firmware.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Firmware {
    /// Name.
    pub name: String,
    /// Version, as `MAJOR.MINOR.PATCH`.
    pub version: String,
    /// What a boot loader would have measured.
    pub measurement: Vec<MeasurementSettings>,
}

/// One measured component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasurementSettings {
    /// Name of the component.
    pub component: String,
    /// Its version.
    pub version: String,
    /// SHA-256 in hexadecimal digits.
    pub digest: String,
}

/// Why `device.toml` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file does not have the right form.
    #[error("{path} cannot be understood")]
    Form {
        /// Which file.
        path: PathBuf,
        /// Line and field.
        source: Box<toml::de::Error>,
    },
    /// The address is not `HOST:PORT`.
    #[error("'{0}' is not HOST:PORT, for example localhost:8443")]
    Address(String),
}

/// The example number of RFC 5612: a maker that does not exist.
pub const MAKER_NUMBER: u32 = 32473;

impl DeviceSettings {
    /// Reads `device.toml` at `path`.
    ///
    /// # Errors
    /// Names the file, and the line and field that are wrong.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let text = fs::read_to_string(path)
            .map_err(|source| SettingsError::Read { path: path.to_owned(), source })?;
        toml::from_str(&text)
            .map_err(|source| SettingsError::Form { path: path.to_owned(), source: Box::new(source) })
    }

    /// The settings of a new device.
    #[must_use]
    pub fn new(
        id: &DeviceId,
        model: &str,
        version: &str,
        evidence: Evidence,
        server: Option<ServerAddress>,
    ) -> Self {
        Self {
            device: id.to_string(),
            evidence,
            server,
            hardware: Hardware {
                maker_number: MAKER_NUMBER,
                model: model.to_owned(),
                version: "1.0".to_owned(),
            },
            firmware: Firmware {
                name: FIRMWARE_NAME.to_owned(),
                version: version.to_owned(),
                measurement: known_good(model, version, evidence),
            },
        }
    }
}

impl FromStr for ServerAddress {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || SettingsError::Address(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        // An IPv6 address stands in brackets (RFC 3986, section 3.2.2).
        let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?;
        if host.is_empty() {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl core::fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Name of the firmware that the simulated devices run.
const FIRMWARE_NAME: &str = "demo-firmware";

/// The code input of DICE has 64 bytes.
fn digest(image: &str, evidence: Evidence) -> String {
    match evidence {
        Evidence::Dice => hex::encode(Sha512::digest(image)),
        _ => hex::encode(Sha256::digest(image)),
    }
}

/// The measurements of the real firmware: digests over the texts that stand for its images.
pub(super) fn known_good(model: &str, version: &str, evidence: Evidence) -> Vec<MeasurementSettings> {
    evidence
        .components()
        .iter()
        .map(|component| MeasurementSettings {
            component: (*component).to_owned(),
            version: version.to_owned(),
            digest: digest(&format!("{model} {component} {version}"), evidence),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{DeviceSettings, Evidence, ServerAddress};
    use shared::DeviceId;

    #[test]
    fn settings_are_read_as_they_were_written() {
        let id = DeviceId::new("SN-1").unwrap();
        let address = ServerAddress { host: "localhost".into(), port: 8443 };
        for evidence in clap::ValueEnum::value_variants() {
            let evidence: Evidence = *evidence;
            let settings = DeviceSettings::new(&id, "sim", "1.2.0", evidence, Some(address.clone()));
            let text = toml::to_string(&settings).unwrap();
            assert_eq!(toml::from_str::<DeviceSettings>(&text).unwrap(), settings);
        }
    }

    #[test]
    fn addresses_are_host_and_port() {
        let parsed = |text: &str| text.parse::<ServerAddress>();
        assert_eq!(parsed("localhost:1").unwrap().to_string(), "localhost:1");
        assert_eq!(parsed("[::1]:8443").unwrap().host, "::1");
        assert_eq!(parsed("[::1]:8443").unwrap().to_string(), "[::1]:8443");
        for wrong in ["localhost", ":1", "localhost:", "localhost:0", "localhost:65536"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}
