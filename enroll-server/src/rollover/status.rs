//! A view of the CAs, the rollover under way, and who has not moved.

use ca::CaCertificate;
use shared::UnixTime;

use super::plan::Plan;
use super::step::{Standing, Step};
use crate::startup::LoadError;
use crate::store::{Page, Rollover, Spread, Store, UnmovedPage};

/// What there is to see.
#[derive(Clone, Debug, serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "CaStatus")]
pub struct Status {
    /// The issuing CAs, by number.
    pub issuing_cas: Vec<CaRow>,
    /// Number of the newest trust bundle, and the subjects of its roots.
    pub trust_bundle: Option<BundleRow>,
    /// The rollover under way, or the last one.
    pub rollover: Option<Rollover>,
    /// How the living devices stand to it, while it is under way.
    pub standing: Option<Standing>,
    /// How many living devices are where.
    pub spread: Spread,
    /// Living devices that have not moved, while it is under way; the devices that the last step left behind after it.
    pub unmoved: UnmovedPage,
}

/// One issuing CA.
#[derive(Clone, Debug, serde::Serialize, schemars::JsonSchema)]
pub struct CaRow {
    /// Its number in the store.
    pub number: u32,
    /// Its subject.
    pub subject: String,
    /// When it ends.
    pub not_after: String,
    /// What it is in the last rollover: `new`, `replaced`, or nothing.
    pub role: Option<&'static str>,
    /// Certificates by it that are neither revoked nor over.
    pub live: u64,
}

/// A trust bundle.
#[derive(Clone, Debug, serde::Serialize, schemars::JsonSchema)]
pub struct BundleRow {
    /// Its number.
    pub number: u64,
    /// The subjects of its roots.
    pub roots: Vec<String>,
}

/// Looks at everything; `page` is of the devices that have not moved.
///
/// # Errors
/// Where the store fails, or holds what cannot be read.
pub async fn status(store: &dyn Store, page: Page, now: UnixTime) -> Result<Status, LoadError> {
    let rollover = store.rollovers().await?.pop();
    let spread = store.spread(now).await?;
    let plan = match &rollover {
        Some(rollover) => Some(Plan::from_json(rollover.number, &rollover.plan)?),
        None => None,
    };
    let mut issuing_cas = Vec::new();
    for known in store.add_issuers(Vec::new(), now).await? {
        let certificate = CaCertificate::from_der(&known.der).ok();
        let is = |ca: &CaCertificate| ca.der() == known.der;
        let role = plan.as_ref().and_then(|plan| match () {
            () if is(&plan.issuing) => Some("new"),
            () if is(&plan.old_issuing) => Some("replaced"),
            () => None,
        });
        let live = spread.issuers.iter().find(|(number, _)| *number == known.number);
        issuing_cas.push(CaRow {
            number: known.number.get(),
            subject: certificate.as_ref().map_or_else(String::new, |ca| ca.subject().to_owned()),
            not_after: certificate.map_or_else(String::new, |ca| ca.validity().not_after.to_string()),
            role,
            live: live.map_or(0, |(_, live)| *live),
        });
    }
    let trust_bundle = super::trust::from_store(store).await?.map(|chain| BundleRow {
        number: chain.newest().number(),
        roots: chain
            .newest()
            .anchors()
            .iter()
            .filter_map(|der| Some(CaCertificate::from_der(der).ok()?.subject().to_owned()))
            .collect(),
    });
    let (mut standing, mut unmoved) = (None, UnmovedPage::default());
    if let Some(rollover) = rollover.as_ref().filter(|rollover| rollover.step != Step::Aborted) {
        standing = store.standing(rollover.number, now).await?;
        unmoved = store.unmoved(rollover.number, page, now).await?;
    }
    Ok(Status { issuing_cas, trust_bundle, rollover, standing, spread, unmoved })
}
