//! The claims of a PSA token (RFC 9783, section 4), under their present keys and those of `PSA_IOT_PROFILE_1`.
//!
//! Reads and bounds them; who signed them and whether they are good enough is said elsewhere. Claims that the RFC
//! does not know are skipped, whatever they hold.

use minicbor::Decoder;
use minicbor::decode::Error as DecodeError;
use shared::evidence::DebugStatus;
use shared::limits::MAX_CLAIM_TEXT;

use super::cbor::{self, Map};
use super::token::TokenError;
use crate::claims::{DeviceClaims, Measured};
use crate::lifecycle::Lifecycle;
use crate::policy::Version;

/// Most software components in one token.
pub(super) const MAX_COMPONENTS: usize = 16;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PsaClaims<'b> {
    /// The challenge: 32, 48 or 64 bytes.
    pub(super) nonce: &'b [u8],
    /// What identifies the attestation key, without the type byte of the UEID.
    pub(super) instance: [u8; 32],
    /// Which make of root of trust.
    pub(super) implementation_id: [u8; 32],
    /// Who asked for the token: negative outside of the secure world, positive inside.
    pub(super) client: i32,
    /// The number of the lifecycle claim: major state in the upper byte.
    pub(super) lifecycle: u16,
    /// Differs from boot to boot.
    pub(super) boot_seed: Option<&'b [u8]>,
    /// What was loaded.
    pub(super) components: Vec<Component<'b>>,
}

/// One software component (RFC 9783, section 4.4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Component<'b> {
    pub(super) kind: Option<&'b str>,
    pub(super) digest: &'b [u8],
    pub(super) version: Option<&'b str>,
    pub(super) signer: &'b [u8],
}

/// Keys of the claims in one profile (RFC 9783, table 2).
struct Keys {
    nonce: i64,
    instance: i64,
    profile: i64,
    client: i64,
    lifecycle: i64,
    implementation: i64,
    boot_seed: i64,
    certification: i64,
    components: i64,
    service: i64,
    /// Whether the boot seed has to be there, with 32 bytes.
    old: bool,
}

const TFM: Keys = Keys {
    nonce: 10,
    instance: 256,
    profile: 265,
    client: 2394,
    lifecycle: 2395,
    implementation: 2396,
    boot_seed: 268,
    certification: 2398,
    components: 2399,
    service: 2400,
    old: false,
};
const TFM_PROFILE: &str = "tag:psacertified.org,2023:psa#tfm";

/// The profile before the RFC, whose tokens a verifier is recommended to accept (RFC 9783, section 4.6).
const OLD: Keys = Keys {
    nonce: -75008,
    instance: -75009,
    profile: -75000,
    client: -75001,
    lifecycle: -75002,
    implementation: -75003,
    boot_seed: -75004,
    certification: -75005,
    components: -75006,
    service: -75010,
    old: true,
};
const OLD_PROFILE: &str = "PSA_IOT_PROFILE_1";

impl<'b> PsaClaims<'b> {
    /// Reads the payload of a token.
    pub(super) fn decode(payload: &'b [u8]) -> Result<Self, TokenError> {
        let map = Map::read(payload)?;
        let keys = profile(&map)?;
        let claim = |key, claim| map.get(key).ok_or(TokenError::Missing { claim });
        let bytes = |key, name, wanted, fits: fn(usize) -> bool| {
            sized(claim(key, name)?, fits).ok_or(TokenError::Claim { claim: name, wanted })
        };

        let nonce = bytes(keys.nonce, "nonce", HASH, is_hash)?;
        let instance = match bytes(keys.instance, "instance-id", INSTANCE, |length| length == 33)? {
            [0x01, rest @ ..] => rest.try_into().ok(),
            _ => None,
        };
        let instance = instance.ok_or(TokenError::Claim { claim: "instance-id", wanted: INSTANCE })?;
        let implementation_id = bytes(keys.implementation, "implementation-id", "32 bytes", |l| l == 32)?
            .try_into()
            .map_err(|_| TokenError::Claim { claim: "implementation-id", wanted: "32 bytes" })?;
        let client = claim(keys.client, "client-id")?.i32().ok().filter(|id| *id != 0);
        let wanted = "a number of 32 bits, not zero";
        let client = client.ok_or(TokenError::Claim { claim: "client-id", wanted })?;
        let lifecycle = claim(keys.lifecycle, "security-lifecycle")?.u16();
        let wanted = "a number below 65536";
        let lifecycle = lifecycle.map_err(|_| TokenError::Claim { claim: "security-lifecycle", wanted })?;

        let boot_seed = match map.get(keys.boot_seed) {
            None if keys.old => return Err(TokenError::Missing { claim: "boot-seed" }),
            None => None,
            Some(_) if keys.old => Some(bytes(keys.boot_seed, "boot-seed", "32 bytes", |l| l == 32)?),
            Some(_) => Some(bytes(keys.boot_seed, "boot-seed", "8 to 32 bytes", |l| (8..=32).contains(&l))?),
        };
        check_hints(&map, keys)?;
        let components = components(claim(keys.components, "software-components")?)?;
        Ok(Self { nonce, instance, implementation_id, client, lifecycle, boot_seed, components })
    }

    /// The major state of the lifecycle (RFC 9783, section 4.3.1).
    pub(super) const fn state(&self) -> Lifecycle {
        match self.lifecycle >> 8 {
            0x10 => Lifecycle::AssemblyAndTest,
            0x20 => Lifecycle::Provisioning,
            0x30 => Lifecycle::Secured,
            0x40 => Lifecycle::NonRotDebug,
            0x50 => Lifecycle::RecoverableRotDebug,
            0x60 => Lifecycle::Decommissioned,
            // 0x00, and numbers that the RFC gives no meaning.
            _ => Lifecycle::Unknown,
        }
    }

    /// In the terms of all kinds of evidence. `model` is what the registration of the key says.
    pub(super) fn device_claims(&self, model: Option<String>) -> DeviceClaims {
        let application = self.application();
        DeviceClaims {
            model,
            software_name: application.map(|(name, _)| name.into()),
            software_version: application.map(|(_, version)| version.to_string()),
            // Debugging of anything is closed in this state alone.
            debug: Some(match self.state() {
                Lifecycle::Secured => DebugStatus::Disabled,
                _ => DebugStatus::Enabled,
            }),
            lifecycle: Some(self.state()),
            implementation_id: Some(self.implementation_id),
            boot_seed: self.boot_seed.map(<[u8]>::to_vec),
            measurements: self.components.iter().map(Component::measured).collect(),
            ..DeviceClaims::default()
        }
    }

    /// The version of the application, the lowest where there are several; `None` where one of them has none that
    /// compares, so that the reference values have to say it.
    fn application(&self) -> Option<(&'b str, Version)> {
        let of_application = |component: &Component<'b>| {
            let kind = component.kind.filter(|kind| APPLICATION.contains(kind))?;
            Some(component.version.and_then(|version| version.parse().ok()).map(|version| (kind, version)))
        };
        let versions: Option<Vec<(&str, Version)>> =
            self.components.iter().filter_map(of_application).collect();
        versions?.into_iter().min_by_key(|(_, version)| *version)
    }
}

impl Component<'_> {
    fn measured(&self) -> Measured {
        Measured {
            component: self.kind.unwrap_or(NO_TYPE).into(),
            version: self.version.map(Into::into),
            digest: self.digest.to_vec(),
            signer: Some(self.signer.to_vec()),
        }
    }
}

/// Measurement types of the application: that of the RFC, and that of TF-M.
const APPLICATION: &[&str] = &["App", "NSPE"];
/// The name of a component that comes without a type.
pub const NO_TYPE: &str = "untyped";
const HASH: &str = "32, 48 or 64 bytes";
const INSTANCE: &str = "the byte 01 and 32 more";

fn profile(map: &Map<'_>) -> Result<&'static Keys, TokenError> {
    for (keys, name) in [(&TFM, TFM_PROFILE), (&OLD, OLD_PROFILE)] {
        let Some(mut value) = map.get(keys.profile) else { continue };
        return match value.str() {
            Ok(found) if found == name => Ok(keys),
            Ok(found) => Err(TokenError::Profile { found: found.chars().take(MAX_CLAIM_TEXT).collect() }),
            Err(_) => Err(TokenError::Claim { claim: "profile", wanted: "text" }),
        };
    }
    Err(TokenError::Missing { claim: "profile" })
}

/// Claims that only point somewhere: read for their form, and for nothing else.
fn check_hints(map: &Map<'_>, keys: &Keys) -> Result<(), TokenError> {
    if let Some(mut reference) = map.get(keys.certification) {
        let text = reference.str().ok();
        let digits = |text: &str, length| text.len() == length && text.bytes().all(|b| b.is_ascii_digit());
        // RFC 9783, section 4.2.3: EAN-13+5; before it was EAN-13.
        let good = match text.and_then(|text| text.split_once('-')) {
            Some((ean, version)) => !keys.old && digits(ean, 13) && digits(version, 5),
            None => keys.old && text.is_some_and(|text| digits(text, 13)),
        };
        if !good {
            let wanted = "an EAN-13 with a version of five digits";
            return Err(TokenError::Claim { claim: "certification-reference", wanted });
        }
    }
    if map.get(keys.service).is_some_and(|mut service| service.str().is_err()) {
        return Err(TokenError::Claim { claim: "verification-service-indicator", wanted: "text" });
    }
    Ok(())
}

fn components(mut d: Decoder<'_>) -> Result<Vec<Component<'_>>, TokenError> {
    let wanted = "a list of 1 to 16 maps";
    let not_a_list = TokenError::Claim { claim: "software-components", wanted };
    match d.clone().array() {
        Ok(Some(length)) if (1..=MAX_COMPONENTS as u64).contains(&length) => {}
        _ => return Err(not_a_list),
    }
    cbor::maps(&mut d).map_err(|_| not_a_list)?.iter().map(component).collect()
}

fn component<'b>(map: &Map<'b>) -> Result<Component<'b>, TokenError> {
    let hash = |key, missing, claim| {
        let value = map.get(key).ok_or(TokenError::Missing { claim: missing })?;
        sized(value, is_hash).ok_or(TokenError::Claim { claim, wanted: HASH })
    };
    let text = |key, claim| match map.get(key) {
        None => Ok(None),
        Some(mut value) => {
            let text = value.str().ok().filter(|text| (1..=MAX_CLAIM_TEXT).contains(&text.len()));
            text.map(Some).ok_or(TokenError::Claim { claim, wanted: "text of 1 to 64 bytes" })
        }
    };
    // The description names the hash algorithm and is read for its form alone: the length tells it too.
    text(6, "measurement-desc")?;
    Ok(Component {
        kind: text(1, "measurement-type")?,
        digest: hash(2, "measurement-value", "measurement-value")?,
        version: text(4, "version")?,
        signer: hash(5, "signer-id", "signer-id")?,
    })
}

fn sized<'b>(mut value: Decoder<'b>, fits: fn(usize) -> bool) -> Option<&'b [u8]> {
    let bytes: Result<&[u8], DecodeError> = value.bytes();
    bytes.ok().filter(|bytes| fits(bytes.len()))
}

const fn is_hash(length: usize) -> bool {
    matches!(length, 32 | 48 | 64)
}
