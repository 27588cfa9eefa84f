//! Begins a rollover: makes the new CA or takes one that was made elsewhere, and puts the trust bundle with both roots
//! out.
//!
//! Keys and certificates are made in a folder beside the place they go to, and moved there in one step; the rollover
//! begins with the transaction after that. A crash before it leaves at most a folder that nothing names.

use core::time::Duration;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ca::cross::{cross_certificate, reaches_below};
use ca::hierarchy::{HierarchyError, ROOT_LIFETIME, issuing_ca, root_ca};
use ca::trust_chain::TrustChain;
use ca::{CaCertificate, FileKey, IssueError, Issuer, KeyError};
use shared::UnixTime;

use super::folder::{self, Part};
use super::lineup::Lineup;
use super::order::default_signer;
use super::plan::{Plan, PlanError};
use super::room::check_room;
use super::root_list::{self, NewRootListError};
use super::trust::{self, SignerError, SignerOptions, TrustFileError};
use crate::ceremony::{CeremonyError, ROOT_LIST, first_list};
use crate::config::{Config, Mistake, key_place};
use crate::files;
use crate::issuance::sha256;
use crate::startup::{LoadError, ca_certificate, open_key, passphrase};
use crate::store::{NewRollover, Store, StoreError};
use crate::tls::LongFlight;

/// Where the new CA comes from.
#[derive(Clone, Debug)]
pub enum NewCa {
    /// It is made here.
    Made {
        /// Under a new root, which is made too; else under the root in force.
        new_root: bool,
        /// The key of the root in force; by default `root-ca.key` beside its certificate.
        root_key: Option<PathBuf>,
        /// Whether the new keys are encrypted.
        encrypt: bool,
        /// The passphrase of the root's key, and of the new keys.
        passphrase_file: Option<PathBuf>,
        /// How long the new issuing CA lives.
        lifetime: Duration,
    },
    /// It was made elsewhere, as where the root's key is kept offline.
    Imported {
        /// The new root; `None` where the root stays.
        root: Option<PathBuf>,
        /// The new issuing CA.
        issuing: PathBuf,
        /// Where its key is: what would stand in a table `[[previous_ca]]`.
        key: String,
        /// Certificates by the root in force for the new root or the new issuing CA.
        crosses: Vec<PathBuf>,
        /// The new root's revocation list; `None` where it is in its place already.
        root_list: Option<PathBuf>,
    },
}

/// What a rollover is begun with.
#[derive(Clone, Debug)]
pub struct StartOptions {
    /// The new CA.
    pub new: NewCa,
    /// Whether to go without a cross-certificate where there is a new root: devices that trust only the old one then
    /// are lost when it is retired.
    pub no_cross: bool,
    /// Who signs the trust bundle with both roots.
    pub signer: SignerOptions,
}

/// A rollover that was begun.
#[derive(Clone, Debug)]
pub struct Started {
    /// Its number.
    pub number: u32,
    /// Where new keys and certificates are, where they were made here.
    pub folder: Option<PathBuf>,
    /// Where the revocation list of the new root is and has to stay, where there is a new root.
    pub root_list: Option<PathBuf>,
    /// The trust bundle that devices have to confirm, where there is a new root.
    pub bundle: Option<u64>,
    /// What it is about.
    pub plan: Plan,
}

/// Why no rollover was begun.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// One is under way.
    #[error("rollover {number} is {step} and comes first: see `ca status`")]
    UnderWay {
        /// Its number.
        number: u32,
        /// How far it is.
        step: &'static str,
    },
    /// Somebody else did something at the same time.
    #[error("another rollover or trust bundle came out meanwhile; look at `ca status` and try again")]
    Changed,
    /// A file cannot be written.
    #[error("{}: cannot be written", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The key of the root is not there.
    #[error(
        "the key of the root CA in force cannot be used; where it is kept elsewhere, have the new CA signed there (`enroll-server ca sign`) and give --issuing-certificate"
    )]
    RootKey(#[source] KeyError),
    /// A certificate or key does not fit another.
    #[error("{what}")]
    Mismatch {
        /// What does not fit, and what was expected.
        what: String,
    },
    /// Boards could not connect once the new CA signs.
    #[error(transparent)]
    Flight(#[from] LongFlight),
    /// There is no cross-certificate.
    #[error(
        "without a certificate by the root in force for the new one, devices that trust only that are lost in the end; have one made and give --cross, or say --no-cross"
    )]
    NoCross,
    /// Where the key is cannot be understood.
    #[error("where the key is cannot be understood: {}", Mistake::list(mistakes))]
    Key {
        /// All mistakes.
        mistakes: Vec<Mistake>,
    },
    /// A certificate cannot be made.
    #[error("the new CA cannot be made")]
    Hierarchy(#[from] HierarchyError),
    /// A key cannot be made or read.
    #[error(transparent)]
    KeyFile(#[from] KeyError),
    /// Certificate and key do not belong together.
    #[error(transparent)]
    Issuer(#[from] IssueError),
    /// There is no next trust bundle.
    #[error("the trust bundle with both roots cannot go out")]
    Signer(#[from] SignerError),
    /// A root in the trust bundle cannot be read.
    #[error("a root in the trust bundle cannot be read")]
    Anchor(#[from] ca::CaCertificateError),
    /// The new root's revocation list does not do.
    #[error(transparent)]
    RootList(#[from] NewRootListError),
    /// The new root's revocation list cannot be made.
    #[error(transparent)]
    FirstList(#[from] CeremonyError),
    /// The plan cannot be written or read.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The plan cannot be written.
    #[error("the plan cannot be written")]
    Json(#[from] serde_json::Error),
    /// A file cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Begins a rollover. The server need not be stopped: it takes over what was begun within a second.
///
/// # Errors
/// Says what stood in the way; nothing has changed then.
pub async fn start(
    config: &Config,
    store: &dyn Store,
    options: &StartOptions,
    now: UnixTime,
) -> Result<Started, StartError> {
    let rollovers = store.rollovers().await?;
    if let Some(current) = rollovers.iter().find(|rollover| rollover.step.is_under_way()) {
        return Err(StartError::UnderWay { number: current.number, step: current.step.name() });
    }
    let lineup = Lineup::of(config, &rollovers)?;
    let chain = trust::load(config, store, &lineup.active.certificate, now).await?;
    let before = Before {
        issuing: lineup.active.certificate.clone(),
        root: lineup.first_root().cloned().ok_or(LoadError::from(TrustFileError::None))?,
    };
    let (plan, folder) = match &options.new {
        NewCa::Made { .. } => {
            let (plan, folder) = make(config, &before, options, now)?;
            (plan, Some(folder))
        }
        NewCa::Imported { root, issuing, key, crosses, .. } => {
            let root = root.as_deref().map(ca_certificate).transpose()?;
            let crosses = crosses.iter().map(|path| ca_certificate(path)).collect::<Result<_, _>>()?;
            let issuing = ca_certificate(issuing)?;
            (before.plan(issuing, root, crosses, key.clone()), None)
        }
    };
    let begun = begin(config, store, (&chain, &lineup), plan, options, now).await;
    if let (Err(_), Some(folder)) = (&begun, &folder) {
        // It holds keys that nothing names, unless the database has the change and could not say so. The error that is told is
        // the first one.
        let rollovers = store.rollovers().await;
        if rollovers.is_ok_and(|all| !all.iter().any(|rollover| rollover.step.is_under_way())) {
            let _removed = fs::remove_dir_all(folder).is_ok();
        }
    }
    let (number, bundle, plan) = begun?;
    let root_list = plan.root.as_ref().map(|_| lineup.list_of(config, &plan));
    Ok(Started { number, folder, root_list, bundle, plan })
}

async fn begin(
    config: &Config,
    store: &dyn Store,
    (chain, lineup): (&TrustChain, &Lineup),
    plan: Plan,
    options: &StartOptions,
    now: UnixTime,
) -> Result<(u32, Option<u64>, Plan), StartError> {
    check(&plan, options.no_cross, now)?;
    let bundle = match &plan.root {
        Some(root) => {
            let mut anchors: Vec<CaCertificate> = chain
                .newest()
                .anchors()
                .iter()
                .map(|der| CaCertificate::from_der(der))
                .collect::<Result<_, _>>()?;
            anchors.retain(|anchor| anchor.der() != root.der());
            anchors.push(root.clone());
            Some(trust::next_bundle(chain, &anchors, &options.signer, &default_signer(config), now)?)
        }
        None => None,
    };
    let out = bundle.as_ref().map_or_else(|| chain.newest().signed(), |bundle| &bundle.signed);
    check_room(config, lineup, &plan, out)?;
    let number = bundle.as_ref().map(|bundle| bundle.number);
    let root = if plan.root.is_some() { "under a new root" } else { "under the same root" };
    let detail =
        format!("{} takes the place of {}, {root}", plan.issuing.subject(), plan.old_issuing.subject());
    let new = NewRollover { plan: plan.to_json()?, issuer: sha256(plan.issuing.der()), bundle, detail };
    let brought = match &options.new {
        NewCa::Imported { root_list, .. } => root_list.as_deref(),
        NewCa::Made { .. } => None,
    };
    // The last thing before the rollover begins: whatever else is wrong leaves nothing behind.
    root_list::bring(&lineup.list_of(config, &plan), &plan, brought, now)?;
    files::crash_point();
    let begun = store.begin_rollover(new, now).await?.ok_or(StartError::Changed)?;
    files::crash_point();
    Ok((begun, number, plan))
}

/// The CAs in force when it begins.
struct Before {
    issuing: CaCertificate,
    root: CaCertificate,
}

impl Before {
    fn plan(
        &self,
        issuing: CaCertificate,
        root: Option<CaCertificate>,
        crosses: Vec<CaCertificate>,
        key: String,
    ) -> Plan {
        let (old_issuing, old_root) = (self.issuing.clone(), self.root.clone());
        Plan { issuing, root, crosses, key, old_issuing, old_root }
    }
}

/// Everything about a plan that can be wrong, whoever made it.
fn check(plan: &Plan, no_cross: bool, now: UnixTime) -> Result<(), StartError> {
    let wrong = |what: String| Err(StartError::Mismatch { what });
    let name = |ca: &CaCertificate| ca.subject().to_owned();
    let (issuing, root) = (&plan.issuing, plan.root_after());
    if let Some(root) = &plan.root {
        if !root.is_signed_by(root) || !root.is_self_issued() {
            return wrong(format!("{} is no root: it does not sign itself", name(root)));
        }
        if root.der() == plan.old_root.der() {
            return wrong(format!("{} is the root in force already; leave --root out", name(root)));
        }
    }
    if issuing.public_point() == plan.old_issuing.public_point() {
        return wrong(format!("{} has the key of the CA that it should replace", name(issuing)));
    }
    if !issuing.is_signed_by(root) {
        return wrong(format!("{} is not signed by {}", name(issuing), name(root)));
    }
    for ca in [issuing, root] {
        if let Err(error) = ca.check_valid_at(now) {
            return wrong(format!("{} cannot be used: {error}", name(ca)));
        }
    }
    for cross in &plan.crosses {
        let known = |ca: &CaCertificate| {
            ca.public_point() == cross.public_point() && ca.subject_der() == cross.subject_der()
        };
        if !cross.is_signed_by(&plan.old_root) {
            return wrong(format!(
                "the cross-certificate for {} is not signed by {}",
                name(cross),
                name(&plan.old_root)
            ));
        }
        if !known(issuing) && !known(root) {
            return wrong(format!(
                "the cross-certificate for {} is for neither CA of the rollover",
                name(cross)
            ));
        }
    }
    // A server shows at most this many above its own certificate and the CA's.
    if plan.crosses.len() + 2 > shared::limits::MAX_CHAIN {
        return wrong("more cross-certificates than a chain that devices take has room for".to_owned());
    }
    if plan.root.is_some() && plan.crosses.is_empty() && !no_cross {
        return Err(StartError::NoCross);
    }
    let (file, key) =
        key_place(&plan.key, Path::new("/")).map_err(|mistakes| StartError::Key { mistakes })?;
    Issuer::new(issuing.clone(), open_key(&key, &file, issuing)?)?;
    Ok(())
}

fn make(
    config: &Config,
    before: &Before,
    options: &StartOptions,
    now: UnixTime,
) -> Result<(Plan, PathBuf), StartError> {
    let NewCa::Made { new_root, root_key, encrypt, passphrase_file, lifetime } = &options.new else {
        return Err(StartError::Changed);
    };
    let home = config.files.root_certificate.parent().unwrap_or_else(|| Path::new(""));
    let passphrase_file = passphrase_file.as_deref();
    let old_root = || -> Result<Issuer, StartError> {
        let path = root_key.clone().unwrap_or_else(|| home.join("root-ca.key"));
        let key = FileKey::read(&path).and_then(|key| key.unlock(|| passphrase(passphrase_file, &path)));
        let key = key.map_err(StartError::RootKey)?;
        Issuer::new(before.root.clone(), Box::new(key)).map_err(|_| StartError::Mismatch {
            what: format!("{}: is not the key of {}", path.display(), before.root.subject()),
        })
    };
    let mut parts: Vec<(&str, Part)> = Vec::new();
    let tenant = &config.tenant;
    let (root, issuing, issuing_key, crosses) = if *new_root {
        let (root, root_key) = root_ca(tenant, ROOT_LIFETIME, now)?;
        parts.push(("root-ca.crt", Part::Certificate(root.clone())));
        let key_again = FileKey::from_pkcs8(root_key.pkcs8())?;
        parts.push(("root-ca.key", Part::Key(root_key)));
        let signer = Issuer::new(root.clone(), Box::new(key_again))?;
        parts.push((ROOT_LIST, Part::List(first_list(&signer, now)?)));
        let (issuing, key) = issuing_ca(tenant, &signer, *lifetime, now)?;
        let mut crosses = Vec::new();
        if !options.no_cross {
            let old = old_root()?;
            // Roots of older versions allow one level of CAs: theirs is for the issuing CA itself.
            let subject = if reaches_below(old.certificate()) { &root } else { &issuing };
            crosses.push(cross_certificate(subject, &old, now)?);
        }
        (Some(root), issuing, key, crosses)
    } else {
        let (issuing, key) = issuing_ca(tenant, &old_root()?, *lifetime, now)?;
        (None, issuing, key, Vec::new())
    };
    parts.push(("issuing-ca.crt", Part::Certificate(issuing.clone())));
    parts.push(("issuing-ca.key", Part::Key(issuing_key)));
    for cross in &crosses {
        parts.push(("cross.crt", Part::Certificate(cross.clone())));
    }
    let folder = std::path::absolute(folder::of(config, &issuing))
        .map_err(|source| StartError::Unwritable { path: home.to_owned(), source })?;
    folder::write(&folder, parts, *encrypt, passphrase_file)?;
    let mut key = format!("key_file = {}\n", quoted(&folder.join("issuing-ca.key"))?);
    if let (true, Some(file)) = (encrypt, passphrase_file) {
        let file = std::path::absolute(file)
            .map_err(|source| StartError::Unwritable { path: file.to_owned(), source })?;
        key.push_str(&format!("passphrase_file = {}\n", quoted(&file)?));
    }
    Ok((before.plan(issuing, root, crosses, key), folder))
}

/// A path as a text of TOML; JSON's texts are such.
fn quoted(path: &Path) -> Result<String, StartError> {
    let text = path.to_str().ok_or_else(|| StartError::Mismatch {
        what: format!("{}: a path that settings name has to be UTF-8", path.display()),
    })?;
    Ok(serde_json::to_string(text)?)
}
