//! From a server's name to a TCP connection, where some of its addresses may lead nowhere.
//!
//! hyper-util's connector does it. As in RFC 8305, where the addresses of one family do not answer soon, those of the
//! other are tried beside them; within a family each has its share of the time.

use core::time::Duration;
use std::io;

use axum::http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::{Service, ServiceExt as _};

/// As [`io::Error`] takes one in.
type Problem = Box<dyn core::error::Error + Send + Sync>;

/// A connection to `host`, a name or an address without brackets. All addresses of a family have `limit` together; the
/// caller has the deadline over everything.
///
/// # Errors
/// What the first address said, or the resolver.
pub(crate) async fn dial(host: &str, port: u16, limit: Duration) -> io::Result<TcpStream> {
    dial_by(HttpConnector::new(), host, port, limit).await
}

async fn dial_by<R>(
    mut connector: HttpConnector<R>,
    host: &str,
    port: u16,
    limit: Duration,
) -> io::Result<TcpStream>
where
    HttpConnector<R>: Service<Uri, Response = TokioIo<TcpStream>, Error: Into<Problem>>,
{
    connector.set_connect_timeout(Some(limit));
    let connected = connector.oneshot(uri(host, port).map_err(io::Error::other)?).await;
    Ok(connected.map_err(io::Error::other)?.into_inner())
}

/// Host and port as the connector wants them; it looks at nothing else.
fn uri(host: &str, port: u16) -> Result<Uri, axum::http::Error> {
    let authority = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    Uri::builder().scheme("http").authority(authority).path_and_query("/").build()
}

#[cfg(test)]
mod tests {
    use super::{dial, dial_by, uri};
    use core::net::SocketAddr;
    use core::time::Duration;
    use hyper_util::client::legacy::connect::HttpConnector;
    use hyper_util::client::legacy::connect::dns::Name;
    use std::io;
    use tokio::net::{TcpListener, TcpSocket, TcpStream};
    use tokio::time::timeout;
    use tower::service_fn;

    /// An address of this machine that answers no SYN: its queue is full. What is given keeps it so.
    async fn hole(address: SocketAddr) -> (TcpListener, Vec<TcpStream>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(0).unwrap();
        let mut waiting = Vec::new();
        while let Ok(connected) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
            waiting.push(connected.unwrap());
            assert!(waiting.len() < 100, "the queue has no end");
        }
        (listener, waiting)
    }

    #[tokio::test]
    async fn an_address_that_swallows_everything_hides_no_other() {
        let good = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = good.local_addr().unwrap();
        let nowhere = SocketAddr::from(([127, 0, 0, 2], here.port()));
        let _full = hole(nowhere).await;
        let resolver =
            service_fn(move |_: Name| async move { Ok::<_, io::Error>([nowhere, here].into_iter()) });
        let connector = HttpConnector::new_with_resolver(resolver);
        let limit = Duration::from_secs(2);
        let connected = timeout(limit, dial_by(connector, "broker.example", here.port(), limit)).await;
        assert_eq!(connected.expect("in time").unwrap().peer_addr().unwrap(), here);
    }

    #[tokio::test]
    async fn an_address_needs_no_brackets_and_no_resolver() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        dial("127.0.0.1", listener.local_addr().unwrap().port(), Duration::from_secs(5)).await.unwrap();
        assert_eq!(uri("2001:db8::1", 8883).unwrap().authority().unwrap(), "[2001:db8::1]:8883");
        dial("a b", 80, Duration::from_secs(5)).await.unwrap_err();
    }
}
