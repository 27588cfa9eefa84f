//! All listeners of a server that runs everything: none answers what another one is for.
//!
//! Keylime's CVE-2026-1709 was a listener that asked nobody for the certificate without which it should have answered nothing.

use std::collections::BTreeSet;

use enroll_server::api::routes::{EST, HTTP, HTTPS};
use enroll_server::dashboard::routes::ROUTES;
use enroll_server::startup::Bound;
use tokio::net::TcpStream;

use super::{ALL, Matrix, Pair, Who};
use crate::kit::client::{Reply, exchange, request};
use crate::routes::filled;

/// A path of a table, with its method.
type Asked = (&'static str, &'static str);

/// A listener, with whether it is one over TLS, and its table.
fn listeners(matrix: &Matrix) -> [(core::net::SocketAddr, bool, BTreeSet<Asked>); 4] {
    // A listener that is new does not compile here, and gets a table.
    let Bound { https, http, est, dashboard } = matrix.site.server().bound();
    let api = |table: &[enroll_server::api::routes::Route]| {
        table.iter().map(|route| (route.method, route.path)).collect::<BTreeSet<Asked>>()
    };
    let pages = ROUTES.iter().map(|route| (route.method, route.path)).collect();
    [
        (https, true, api(HTTPS)),
        (est.unwrap(), true, api(EST)),
        (http.unwrap(), false, api(HTTP)),
        (dashboard.unwrap(), true, pages),
    ]
}

impl Matrix {
    async fn ask(&self, to: core::net::SocketAddr, tls: bool, who: Who, pair: &Pair, asked: Asked) -> Reply {
        let (method, path) = asked;
        let path = filled(path, self.size)
            .replace("SN-1", pair.own.id.as_str())
            .replace("{label}", "default")
            .replace("{token}", "000000000000");
        let bytes = request(method, &path, &self.headers(who, &pair.own.id, pair), b"");
        let reply = if tls {
            exchange(self.tls(to, who, pair).connect().await.unwrap(), &bytes).await
        } else {
            exchange(TcpStream::connect(to).await.unwrap(), &bytes).await
        };
        reply.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_listener_answers_what_another_one_is_for() {
    let matrix = Matrix::new().await;
    let pair = matrix.pair("SHARED").await;
    let listeners = listeners(&matrix);
    let paths: BTreeSet<Asked> = listeners.iter().flat_map(|(.., table)| table.iter().copied()).collect();
    let (mut cells, mut wrong) = (0, Vec::new());
    for (address, tls, table) in &listeners {
        for asked in paths.difference(table) {
            for who in ALL {
                let reply = matrix.ask(*address, *tls, *who, &pair, *asked).await;
                // A listener that asks for a credential may do so before it looks at the path.
                if !matches!(reply.status, 401 | 404 | 405) {
                    wrong.push(format!("{asked:?} at {address} by {who:?}: {reply:?}"));
                }
                cells += 1;
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(cells > 1_000, "only {cells} cells");
}
