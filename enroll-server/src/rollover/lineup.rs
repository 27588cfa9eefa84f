//! Who is who among the CAs: by the settings, and by what became of them in the rollovers since.

use std::path::PathBuf;
use std::sync::Arc;

use ca::{CaCertificate, Issuer};
use shared::UnixTime;

use super::folder;
use super::plan::{Plan, PlanError};
use super::step::Step;
use crate::authorities::Authorities;
use crate::ceremony::ROOT_LIST;
use crate::config::{Config, IssuingKey};
use crate::startup::{LoadError, ca_certificate, open_key};
use crate::store::{Rollover, Store};

/// An issuing CA, and where its key is.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub(crate) certificate: CaCertificate,
    key_file: PathBuf,
    key: IssuingKey,
}

/// A root, and where its revocation list is.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    pub(crate) certificate: CaCertificate,
    pub(crate) list: PathBuf,
}

/// The CAs at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Lineup {
    /// Signs LDevIDs.
    pub(crate) active: Seat,
    /// Sign their revocation lists; their LDevIDs are taken. The next CA is among them while a rollover is prepared.
    pub(crate) beside: Vec<Seat>,
    /// Roots that brokers are to trust, the one above the active CA first.
    pub(crate) roots: Vec<Root>,
    /// What goes into the chain of a server of the active CA, above the CA.
    pub(crate) crosses: Vec<CaCertificate>,
    /// The CA that signs certificates of servers, where it is not the active one.
    server_issuer: Option<CaCertificate>,
}

impl Lineup {
    /// Works it out: `rollovers` in their order.
    pub(crate) fn of(config: &Config, rollovers: &[Rollover]) -> Result<Self, LoadError> {
        let mut lineup = Self::of_settings(config)?;
        for rollover in rollovers {
            let plan = Plan::from_json(rollover.number, &rollover.plan)?;
            lineup.after(config, rollover.number, rollover.step, plan)?;
        }
        Ok(lineup)
    }

    /// What it comes to at a step of one more rollover.
    pub(super) fn at(&self, config: &Config, step: Step, plan: Plan) -> Result<Self, PlanError> {
        let mut then = self.clone();
        // It has no number yet.
        then.after(config, 0, step, plan)?;
        Ok(then)
    }

    fn of_settings(config: &Config) -> Result<Self, LoadError> {
        let files = &config.files;
        if files.issuing_certificate.try_exists().is_ok_and(|exists| !exists) {
            return Err(LoadError::NoIssuingCa { path: files.issuing_certificate.clone() });
        }
        let active = Seat {
            certificate: ca_certificate(&files.issuing_certificate)?,
            key_file: files.issuing_key.clone(),
            key: config.issuing_key.clone(),
        };
        let previous = |previous: &crate::config::PreviousCa| {
            Ok(Seat {
                certificate: ca_certificate(&previous.certificate)?,
                key_file: previous.key_file.clone(),
                key: previous.key.clone(),
            })
        };
        Ok(Self {
            active,
            beside: config.previous_cas.iter().map(previous).collect::<Result<_, LoadError>>()?,
            roots: vec![Root {
                certificate: ca_certificate(&files.root_certificate)?,
                list: files.root_crl.clone(),
            }],
            crosses: Vec::new(),
            server_issuer: None,
        })
    }

    fn after(&mut self, config: &Config, number: u32, step: Step, plan: Plan) -> Result<(), PlanError> {
        if step == Step::Aborted {
            return Ok(());
        }
        let (key_file, key) = plan.place(number)?;
        let mut next = Seat { certificate: plan.issuing.clone(), key_file, key };
        // The settings may name the new CA by now: then the key is where they say.
        if same(&self.active, &next) {
            next = self.active.clone();
        }
        self.beside.retain(|seat| !same(seat, &next));
        let before = core::mem::replace(&mut self.active, next);
        let root = Root { certificate: plan.root_after().clone(), list: self.list_of(config, &plan) };
        self.roots.retain(|other| other.certificate.der() != root.certificate.der());
        match step {
            Step::Prepared => {
                let next = core::mem::replace(&mut self.active, before);
                if !same(&self.active, &next) {
                    self.beside.insert(0, next);
                }
                self.roots.push(root);
            }
            Step::Switched | Step::Retired | Step::Aborted => {
                self.roots.insert(0, root);
                // Without a cross-certificate, those who trust only the old root are served by the old CA to the end.
                let stays = step == Step::Switched && plan.root.is_some() && plan.crosses.is_empty();
                self.server_issuer = stays.then(|| before.certificate.clone());
                if !same(&self.active, &before) {
                    self.beside.insert(0, before);
                }
                if plan.root.is_some() {
                    self.crosses = plan.crosses;
                }
            }
        }
        if step == Step::Retired {
            self.beside.clear();
            self.roots.truncate(1);
        }
        Ok(())
    }

    /// Where the revocation list of the root above the new CA of `plan` is: where the settings, or the rollover that brought
    /// the root, say; else in the folder of the new CA, wherever that was made.
    pub(super) fn list_of(&self, config: &Config, plan: &Plan) -> PathBuf {
        let known = self.roots.iter().find(|root| root.certificate.der() == plan.root_after().der());
        known.map_or_else(|| folder::of(config, &plan.issuing).join(ROOT_LIST), |root| root.list.clone())
    }

    /// The root above the CA that signs LDevIDs.
    pub(crate) fn first_root(&self) -> Option<&CaCertificate> {
        self.roots.first().map(|root| &root.certificate)
    }

    /// Opens the keys of those that `known` has not opened already, and makes all known to the store.
    pub(crate) async fn authorities(
        &self,
        store: &dyn Store,
        known: Option<&Authorities>,
        now: UnixTime,
    ) -> Result<Authorities, LoadError> {
        let open = |seat: &Seat| {
            let der = seat.certificate.der();
            let opened = known.and_then(|known| known.signer_of(der));
            opened.map_or_else(|| seat.open().map(Arc::new), Ok)
        };
        let active = open(&self.active)?;
        let beside = self.beside.iter().map(open).collect::<Result<_, LoadError>>()?;
        Ok(Authorities::open(store, active, beside, now).await?)
    }

    /// The certificate of the CA that signs those of servers, and what a server shows above it.
    pub(crate) fn for_servers(&self) -> (&CaCertificate, &[CaCertificate]) {
        match &self.server_issuer {
            Some(old) => (old, &[]),
            None => (&self.active.certificate, &self.crosses),
        }
    }

    /// The CA that signs certificates of servers, with its key.
    pub(crate) fn open_for_servers(&self) -> Result<Issuer, LoadError> {
        let (wanted, _) = self.for_servers();
        let mut seats = core::iter::once(&self.active).chain(&self.beside);
        seats.find(|seat| seat.certificate.der() == wanted.der()).unwrap_or(&self.active).open()
    }

    /// The issuing CAs: the one that signs LDevIDs first.
    pub(crate) fn issuing(&self) -> impl Iterator<Item = &CaCertificate> {
        core::iter::once(&self.active).chain(&self.beside).map(|seat| &seat.certificate)
    }

    /// All CA certificates that a broker needs to verify clients.
    pub(crate) fn for_brokers(&self) -> impl Iterator<Item = &CaCertificate> {
        self.issuing().chain(self.roots.iter().map(|root| &root.certificate))
    }
}

impl Seat {
    /// The CA with its key.
    pub(crate) fn open(&self) -> Result<Issuer, LoadError> {
        let key = open_key(&self.key, &self.key_file, &self.certificate)?;
        Ok(Issuer::new(self.certificate.clone(), key)?)
    }
}

fn same(one: &Seat, other: &Seat) -> bool {
    one.certificate.der() == other.certificate.der()
}
