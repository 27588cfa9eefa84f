//! Whether a server takes the client's certificate, after a handshake that went well.
//!
//! TLS 1.2 refuses in the handshake, TLS 1.3 by an alert after it, and some HTTP servers by neither: nginx finishes the
//! handshake with anybody, hands out tickets, and answers every request with 400. Such a server is asked for `/` once.

use core::time::Duration;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::client::TlsStream;

use crate::finding::Cause;

/// How much of an answer is read, in bytes: the page that goes with a refusal is short.
const MOST: u64 = 8 * 1024;

/// How a server took a certificate, or that there was none.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// As the words say.
    Taken(String),
    /// It was not refused; the words say why that proves nothing.
    Unclear(String),
    /// Refused by an answer in HTTP.
    Refused(Cause, String),
    /// The connection ended before anything was asked.
    Ended(io::Error),
}

/// Waits for an alert, until the server shows that TLS has none to send.
pub(crate) async fn wait(stream: &mut TlsStream<TcpStream>, limit: Duration) -> Option<Verdict> {
    let deadline = Instant::now() + limit;
    let mut byte = [0];
    // A ticket shows that the handshake is over for the server too: a refusal by TLS would have come in its place.
    while stream.get_ref().1.tls13_tickets_received() == 0 && Instant::now() < deadline {
        match timeout(Duration::from_millis(50), stream.read(&mut byte)).await {
            Err(_) => {}
            Ok(Ok(0)) => return Some(Verdict::Ended(io::ErrorKind::UnexpectedEof.into())),
            Ok(Ok(_)) => return Some(Verdict::Taken("the server speaks to the client".to_owned())),
            Ok(Err(error)) => return Some(Verdict::Ended(error)),
        }
    }
    None
}

/// Asks for `/` and reads whether the answer is about a certificate; `shown` says whether there was one.
pub(crate) async fn ask<S>(stream: &mut S, host: &str, shown: bool, limit: Duration) -> Verdict
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    // Not HEAD, whose answer has no page to say what was refused.
    let request =
        format!("GET / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: doctor\r\nConnection: close\r\n\r\n");
    let mut answer = Vec::new();
    let exchange = async {
        // Where the server is gone, what it said last can still be read.
        let _sent = stream.write_all(request.as_bytes()).await;
        let _sent = stream.flush().await;
        let mut stream = stream.take(MOST);
        while !is_enough(&answer) {
            match stream.read_buf(&mut answer).await {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => return Some(error),
            }
        }
        None
    };
    let ended = timeout(limit, exchange).await.ok().flatten();
    match (status(&answer), ended) {
        (None, Some(error)) if crate::alert::inner(&error).is_some() => Verdict::Ended(error),
        (None, _) => {
            Verdict::Unclear("TLS did not refuse it, and no HTTP server answers, which could".to_owned())
        }
        (Some(code), _) => judge(code, &String::from_utf8_lossy(&answer), shown),
    }
}

/// Whether nothing that is still to come can change the verdict.
fn is_enough(answer: &[u8]) -> bool {
    status(answer).is_some_and(|code| !may_refuse(code))
        || names_certificate(&String::from_utf8_lossy(answer))
}

/// The status code, once the line that it stands in is complete.
fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\n').next().filter(|line| line.len() < answer.len())?;
    let mut words = core::str::from_utf8(line).ok()?.split_ascii_whitespace();
    words.next().filter(|version| version.starts_with("HTTP/"))?;
    words.next()?.parse().ok()
}

/// 495 and 496 are nginx's own, for configurations that pass them on.
const fn may_refuse(code: u16) -> bool {
    matches!(code, 400 | 401 | 403 | 495 | 496)
}

fn names_certificate(answer: &str) -> bool {
    answer.to_ascii_lowercase().contains("certificate")
}

fn judge(code: u16, answer: &str, shown: bool) -> Verdict {
    let line = answer.lines().next().unwrap_or_default().trim();
    if matches!(code, 495 | 496) || (may_refuse(code) && names_certificate(answer)) {
        let cause = match shown && code != 496 {
            true => Cause::ClientCertificateRefused,
            false => Cause::ClientCertificateRequired,
        };
        let title = between(answer, "<title>", "</title>").map(|title| format!(": {title}"));
        return Verdict::Refused(cause, format!("the answer {line}{}", title.unwrap_or_default()));
    }
    match may_refuse(code) {
        true => Verdict::Unclear(format!(
            "TLS did not refuse it; the answer to GET / is {line}, and may be about it: the server's log says"
        )),
        false => Verdict::Taken(format!("GET / is answered by {line}")),
    }
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    Some(text.split_once(before)?.1.split_once(after)?.0.trim())
}

#[cfg(test)]
mod tests {
    use super::{Verdict, ask};
    use crate::finding::Cause;
    use core::time::Duration;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    async fn verdict(answer: &str, shown: bool) -> Verdict {
        let (mut stream, mut server) = tokio::io::duplex(16 * 1024);
        server.write_all(answer.as_bytes()).await.unwrap();
        server.shutdown().await.unwrap();
        let verdict = ask(&mut stream, "::1", shown, Duration::from_secs(5)).await;
        drop(stream);
        let mut asked = String::new();
        server.read_to_string(&mut asked).await.unwrap();
        assert!(asked.starts_with("GET / HTTP/1.1\r\nHost: [::1]\r\n"), "{asked}");
        verdict
    }

    fn page(status: &str, title: &str) -> String {
        format!(
            "HTTP/1.1 {status}\r\nServer: nginx\r\nConnection: close\r\n\r\n<html>\r\n<head><title>{title}</title></head>"
        )
    }

    #[tokio::test]
    async fn answers_that_name_a_certificate_refuse_it() {
        let refused = Cause::ClientCertificateRefused;
        let required = Cause::ClientCertificateRequired;
        let wrong = page("400 Bad Request", "400 The SSL certificate error");
        let none = page("400 Bad Request", "400 No required SSL certificate was sent");
        let other = page("403 Forbidden", "403 - Forbidden: SSL certificate is required.");
        for (answer, shown, expected) in [
            (&wrong, true, refused),
            (&none, false, required),
            (&other, true, refused),
            (&"HTTP/1.1 495 \r\n\r\n".to_owned(), true, refused),
            (&"HTTP/1.1 496 \r\n\r\n".to_owned(), true, required),
        ] {
            let verdict = verdict(answer, shown).await;
            let Verdict::Refused(cause, found) = &verdict else { panic!("{answer}: {verdict:?}") };
            assert_eq!(*cause, expected, "{answer}");
            assert!(found.contains("HTTP/1.1 4"), "{found}");
        }
    }

    #[tokio::test]
    async fn other_answers_take_it_or_prove_nothing() {
        let about = page("200 OK", "All about certificates");
        for taken in [about, page("404 Not Found", "404 Not Found"), "HTTP/1.1 302 Found\r\n".to_owned()] {
            assert!(matches!(verdict(&taken, true).await, Verdict::Taken(_)), "{taken}");
        }
        let long = page("403 Forbidden", &"x".repeat(10_000));
        for unclear in
            [page("403 Forbidden", "403 Forbidden"), long, "220 mail\r\n".to_owned(), String::new()]
        {
            let verdict = verdict(&unclear, true).await;
            assert!(matches!(verdict, Verdict::Unclear(_)), "{unclear}: {verdict:?}");
        }
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_not_waited_for_for_ever() {
        let (mut stream, _server) = tokio::io::duplex(1024);
        let verdict = ask(&mut stream, "server", true, Duration::from_millis(20)).await;
        assert!(matches!(verdict, Verdict::Unclear(_)), "{verdict:?}");
    }
}
