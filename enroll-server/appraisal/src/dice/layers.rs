//! What the layers of a verified chain say: measured components, versions, the mode each runs in.
//!
//! Whether that is good enough is for [`crate::claims`] to say.

use core::fmt;

use shared::evidence::DebugStatus;
use x509_parser::certificate::X509Certificate;

use super::open_profile::{self, Mode, OpenDice};
use super::tcb_info::{self, Flags, TcbInfo};
use crate::claims::{DeviceClaims, Measured};
use crate::der::Malformed;
use crate::key::hex;
use crate::oid;
use crate::policy::Version;

/// What one certificate says of the layer that has its key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Layer {
    number: usize,
    infos: Vec<TcbInfo>,
    open: Option<OpenDice>,
}

/// The layers of a device, the root first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layers(Vec<Layer>);

/// Why the layers say too little, or nothing that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LayerError {
    /// An extension of DICE is broken.
    #[error("layer {number} with a broken DiceTcbInfo, DiceMultiTcbInfo or Open Profile extension")]
    Malformed {
        /// Which, the root being 0.
        number: usize,
    },
    /// A layer runs that nobody measured.
    #[error("layer {number} without a digest of what was measured")]
    Unmeasured {
        /// Which, the root being 0.
        number: usize,
    },
    /// The same statement in two forms that differ.
    #[error("layer {number} with a DiceTcbInfo whose digests are not the code hash beside it")]
    Contradiction {
        /// Which, the root being 0.
        number: usize,
    },
}

impl Layers {
    /// Reads certificates, the root first, the alias last.
    ///
    /// A layer is measured by the one above it, so every certificate below the root has to hold a digest of what was
    /// measured: a layer that nobody measured could put any measurement into the certificates below it. A version or
    /// flags alone stay the same when the code changes. The alias may do without, where the layer above, whose key
    /// certifies it, is a measured one.
    pub(super) fn read(certificates: &[X509Certificate<'_>]) -> Result<Self, LayerError> {
        let last = certificates.len().saturating_sub(1);
        let mut layers = Vec::new();
        for (number, certificate) in certificates.iter().enumerate() {
            let layer = Layer::read(number, certificate)?;
            let may_be_unmeasured = number == 0 || number == last && last >= 2;
            if !layer.is_measured() && !may_be_unmeasured {
                return Err(LayerError::Unmeasured { number });
            }
            layers.push(layer);
        }
        Ok(Self(layers))
    }

    /// The claims that follow from it.
    pub(super) fn claims(&self) -> DeviceClaims {
        let infos = || self.0.iter().flat_map(|layer| &layer.infos);
        // The layer nearest to the alias is the firmware that enrolls.
        let named = infos().rfind(|info| info.version.is_some());
        let version = named.and_then(|info| info.version.clone());
        DeviceClaims {
            model: infos().rev().find_map(|info| info.model.clone()),
            software_name: named.and_then(|info| info.kind.clone()),
            // Any other text is compared with the reference values, component by component.
            software_version: version.filter(|version| version.parse::<Version>().is_ok()),
            debug: self.debug(),
            measurements: self.0.iter().flat_map(Layer::measured).collect(),
            ..DeviceClaims::default()
        }
    }

    /// Open where any layer is not in its normal mode; closed where all that were measured say that they are; and
    /// nothing where one of them does not say.
    fn debug(&self) -> Option<DebugStatus> {
        let speaking = || self.0.iter().filter(|layer| layer.speaks());
        if speaking().any(Layer::is_irregular) {
            Some(DebugStatus::Enabled)
        } else if speaking().all(Layer::is_normal) {
            Some(DebugStatus::Disabled)
        } else {
            None
        }
    }
}

impl Layer {
    fn read(number: usize, certificate: &X509Certificate<'_>) -> Result<Self, LayerError> {
        let malformed = |Malformed| LayerError::Malformed { number };
        let mut layer = Self { number, ..Self::default() };
        for extension in certificate.iter_extensions() {
            match extension.oid.as_bytes() {
                oid::DICE_TCB_INFO => layer.infos.push(tcb_info::one(extension.value).map_err(malformed)?),
                oid::DICE_MULTI_TCB_INFO => {
                    layer.infos.extend(tcb_info::several(extension.value).map_err(malformed)?);
                }
                oid::OPEN_DICE => {
                    layer.open = Some(open_profile::read(extension.value).map_err(malformed)?);
                }
                _ => {}
            }
        }
        // One DiceTcbInfo beside the profile's extension is about the same code.
        if let (Some(open), [info]) = (&layer.open, layer.infos.as_slice())
            && info.digests.iter().any(|digest| digest.len() == open.code.len() && *digest != open.code)
        {
            return Err(LayerError::Contradiction { number });
        }
        Ok(layer)
    }

    /// Whether it says anything, of its mode for one.
    const fn speaks(&self) -> bool {
        !self.infos.is_empty() || self.open.is_some()
    }

    /// Whether there is a digest of it, which the policy then looks at.
    fn is_measured(&self) -> bool {
        !self.measured().is_empty()
    }

    fn measured(&self) -> Vec<Measured> {
        let mut all = Vec::new();
        for info in &self.infos {
            let component = self.name(info);
            let code = self.open.iter().map(|open| &open.code).filter(|code| {
                // It is listed once, under the name that the DiceTcbInfo gives it.
                self.infos.len() == 1 && !info.digests.contains(code)
            });
            for digest in info.digests.iter().chain(code) {
                let (component, version) = (component.clone(), info.version.clone());
                all.push(Measured { component, version, digest: digest.clone(), ..Measured::default() });
            }
        }
        if let Some(open) = &self.open
            && self.infos.len() != 1
        {
            let component = format!("layer-{}", self.number);
            all.push(Measured { component, digest: open.code.clone(), ..Measured::default() });
        }
        all
    }

    /// The component's name: its type where that is text, else `layer-N` or `layer-N-INDEX`.
    fn name(&self, info: &TcbInfo) -> String {
        if let Some(kind) = &info.kind {
            return kind.clone();
        }
        let layer = info.layer.unwrap_or(self.number as u64);
        match info.index {
            Some(index) => format!("layer-{layer}-{index}"),
            None => format!("layer-{layer}"),
        }
    }

    fn is_irregular(&self) -> bool {
        let irregular = Flags::NOT_CONFIGURED | Flags::NOT_SECURE | Flags::RECOVERY | Flags::DEBUG;
        self.infos.iter().any(|info| info.flags.is_some_and(|flags| flags.any_of(irregular)))
            || self.open.as_ref().is_some_and(|open| open.mode != Mode::Normal)
    }

    fn is_normal(&self) -> bool {
        let by_flags =
            !self.infos.is_empty() && self.infos.iter().all(|info| info.flags.is_some_and(Flags::is_normal));
        let by_mode = self.open.as_ref().is_some_and(|open| open.mode == Mode::Normal);
        by_flags || by_mode
    }
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, layer) in self.0.iter().filter(|layer| layer.speaks()).enumerate() {
            if at > 0 {
                f.write_str("; ")?;
            }
            write!(f, "layer {}:", layer.number)?;
            for info in &layer.infos {
                write!(f, " {:?}", layer.name(info))?;
                if let Some(vendor) = &info.vendor {
                    write!(f, " by {vendor:?}")?;
                }
                if let Some(version) = &info.version {
                    write!(f, " version {version:?}")?;
                }
                if let Some(svn) = info.svn {
                    write!(f, " svn {svn}")?;
                }
                for (flag, name) in [
                    (Flags::NOT_CONFIGURED, "not configured"),
                    (Flags::NOT_SECURE, "not secure"),
                    (Flags::RECOVERY, "recovery"),
                    (Flags::DEBUG, "debug"),
                ] {
                    if info.flags.is_some_and(|flags| flags.any_of(flag)) {
                        write!(f, ", {name}")?;
                    }
                }
            }
            if let Some(open) = &layer.open {
                let (authority, configuration) = (hex(&open.authority), hex(&open.configuration));
                write!(
                    f,
                    " mode {}, authority {authority}, configuration {configuration}",
                    open.mode.name()
                )?;
            }
        }
        Ok(())
    }
}
