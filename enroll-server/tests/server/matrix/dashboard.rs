//! Every kind of credential at every route of the dashboard.

use enroll_server::dashboard::Role;
use enroll_server::dashboard::routes::{ROUTES, Route};

use super::{ALL, Matrix, Pair, Who};
use crate::dashboard::{Browser, leads_to};
use crate::kit::client::Identity;

/// Who is given what a route gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    /// Whoever comes.
    Anyone,
    /// Sessions of this role, and of those that may more.
    Least(Role),
}

fn row(route: &Route) -> For {
    match (route.method, route.path) {
        ("GET", "/style.css" | "/icon.svg" | "/sign-in") | ("POST", "/sign-in") => For::Anyone,
        (
            "GET",
            "/" | "/devices" | "/devices/{device}" | "/approvals" | "/tokens" | "/policies" | "/audit",
        )
        | ("POST", "/sign-out") => For::Least(Role::Viewer),
        (
            "POST",
            "/devices/{device}/approve"
            | "/devices/{device}/deny"
            | "/devices/{device}/suspend"
            | "/devices/{device}/resume"
            | "/devices/{device}/renew",
        ) => For::Least(Role::Operator),
        (
            "POST",
            "/devices/{device}/revoke" | "/devices/{device}/retire" | "/tokens" | "/tokens/{token}/withdraw",
        ) => For::Least(Role::Admin),
        (method, path) => panic!("{method} {path} has no row"),
    }
}

/// Whether the credential is one of this route's.
fn is_due(route: &Route, who: Who) -> bool {
    match (row(route), who) {
        (For::Anyone, _) => true,
        (For::Least(least), Who::Session(role)) => role >= least,
        (For::Least(_), _) => false,
    }
}

impl Matrix {
    /// The browser with which `who` comes.
    async fn browser(&self, route: &Route, who: Who, pair: &Pair) -> Browser {
        let browser = Browser::new(&self.site);
        match who {
            // A session that ends is of no use to the other cells.
            Who::Session(role) if route.path == "/sign-out" => Browser::signed_in(&self.site, role).await,
            Who::Session(role) => browser.with_session_of(self.session(role)),
            Who::Idevid => {
                let chain = vec![pair.own.idevid.clone()];
                browser.with_identity(&Identity { chain, key: pair.own.key_der() })
            }
            Who::Ldevid => browser.with_identity(&pair.ldevid),
            Who::Revoked => browser.with_identity(&pair.revoked),
            Who::Nobody | Who::Token | Who::Basic | Who::Operator | Who::Broker => browser,
        }
    }

    /// Whether `who` is given what this route gives; what it was told too.
    async fn is_shown(&self, route: &Route, who: Who, device: &str, pair: &Pair) -> (bool, String) {
        let browser = self.browser(route, who, pair).await;
        // Whoever may act does so on what is not there.
        let acts = route.method == "POST" && is_due(route, who);
        let device = if acts { "NOT-THERE" } else { device };
        let path = route.path.replace("{device}", device).replace("{token}", "000000000000");
        let mut headers = match who {
            // Its browser has it.
            Who::Session(_) => String::new(),
            Who::Token => format!("Authorization: Bearer {}\r\n", pair.token),
            _ => self.headers(who, &pair.own.id, pair),
        };
        let fields = match route.path.rsplit('/').next().unwrap() {
            "deny" => "&reason=x".to_owned(),
            "revoke" => format!("&reason=unspecified&confirm={device}"),
            "retire" => format!("&confirm={device}"),
            "tokens" => "&hours=0".to_owned(),
            _ => String::new(),
        };
        let body = match (route.method, row(route)) {
            ("POST", For::Least(_)) => format!("form_token={}{fields}", browser.token),
            _ => String::new(),
        };
        if route.method == "POST" {
            headers += "Content-Type: application/x-www-form-urlencoded\r\n";
            headers += &browser.same_origin();
        }
        let reply = browser.send(route.method, &path, &headers, &body).await;
        let is_turned_away = matches!(reply.status, 401 | 403) || leads_to(&reply) == Some("/sign-in");
        let given = match (row(route), route.path) {
            (For::Anyone, _) => matches!(reply.status, 200 | 303),
            // It leads to the page for signing in too, and takes the cookie away.
            (_, "/sign-out") => reply.header("set-cookie").is_some(),
            _ => !is_turned_away,
        };
        let text = reply.text();
        // Not a word of what is there.
        let told = !given && text.to_lowercase().contains(&pair.own.id.as_str().to_lowercase());
        (given || told, format!("{}: {text}", reply.status))
    }

    async fn state(&self, pair: &Pair) -> String {
        let (admin, tokens) = (self.site.admin(), self.site.tokens().await);
        let device = async |id| admin.device(id).await.unwrap();
        format!("{:?} {:?} {tokens:?}", device(&pair.own.id).await, device(&pair.other.id).await)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_credential_is_good_at_the_dashboard_for_what_its_row_says_and_for_nothing_else() {
    let matrix = Matrix::new().await;
    let pair = matrix.pair("SHARED").await;
    let before = matrix.state(&pair).await;
    let (mut cells, mut wrong) = (0, Vec::new());
    for route in ROUTES {
        // What the table itself says of roles, which the page that refuses names, is the same.
        let least = match row(route) {
            For::Anyone => None,
            For::Least(role) => Some(role),
        };
        assert_eq!(least, route.role, "{} {}", route.method, route.path);
        for who in ALL {
            let devices = [&pair.own, &pair.other];
            let devices = if route.path.contains("{device}") { &devices[..] } else { &devices[..1] };
            for device in devices {
                let (given, told) = matrix.is_shown(route, *who, device.id.as_str(), &pair).await;
                if given != is_due(route, *who) {
                    wrong.push(format!("{} {} by {who:?}: {told:.200}", route.method, route.path));
                }
                cells += 1;
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    let with_device = ROUTES.iter().filter(|route| route.path.contains("{device}")).count();
    assert_eq!(cells, (ROUTES.len() + with_device) * ALL.len());
    assert_eq!(matrix.state(&pair).await, before);
}
