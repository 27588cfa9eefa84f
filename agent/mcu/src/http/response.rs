//! Reads one HTTP answer.

use agent_core::platform::{Reply, TransportError};
use embedded_io_async::Read;

/// Longest head of an answer, in bytes.
pub(super) const MAX_HEAD: usize = 1024;
/// Most header fields in it.
const MAX_FIELDS: usize = 24;

/// Reads an answer; its body goes to the front of `answer`.
///
/// # Errors
/// Where it is none, leaves doubt about its length, or is longer than `answer`; and where the session ends before it.
pub async fn receive(
    session: &mut impl Read<Error: Into<TransportError>>,
    answer: &mut [u8],
) -> Result<Reply, TransportError> {
    let mut head = [0; MAX_HEAD];
    let mut filled = 0;
    let found = loop {
        let room = head.get_mut(filled..).unwrap_or_default();
        if room.is_empty() {
            return Err(TransportError::TooLarge);
        }
        filled += match session.read(room).await {
            Ok(0) => return Err(TransportError::Closed),
            Ok(count) => count,
            Err(error) => return Err(error.into()),
        };
        if let Some(found) = parse(head.get(..filled).unwrap_or_default())? {
            break found;
        }
    };
    let body = answer.get_mut(..found.body).ok_or(TransportError::TooLarge)?;
    let early = head.get(found.head..filled).unwrap_or_default();
    let (front, rest) = body.split_at_mut_checked(early.len()).ok_or(TransportError::Protocol)?;
    front.copy_from_slice(early);
    read_exactly(session, rest).await?;
    Ok(Reply { status: found.status, length: found.body })
}

async fn read_exactly(
    session: &mut impl Read<Error: Into<TransportError>>,
    mut room: &mut [u8],
) -> Result<(), TransportError> {
    while !room.is_empty() {
        match session.read(room).await {
            Ok(0) => return Err(TransportError::Closed),
            Ok(count) => room = room.get_mut(count..).unwrap_or_default(),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// A complete head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Bytes of the head.
    head: usize,
    /// Bytes of the body.
    body: usize,
}

/// Reads the head at the front of `bytes`, or `None` where it is not complete yet.
fn parse(bytes: &[u8]) -> Result<Option<Head>, TransportError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(TransportError::Protocol),
    };
    // RFC 9112, section 6.3: a length that is given once and is nothing but digits leaves no room for doubt.
    let mut body = None;
    for field in response.headers.iter() {
        if field.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(TransportError::Protocol);
        }
        if field.name.eq_ignore_ascii_case("content-length") {
            let value = digits(field.value).ok_or(TransportError::Protocol)?;
            if body.replace(value).is_some() {
                return Err(TransportError::Protocol);
            }
        }
    }
    match (response.code, response.version, body) {
        // Interim answers (1xx) are sent only to whoever asks for them.
        (Some(status @ 200..), Some(1), Some(body)) => Ok(Some(Head { status, head: length, body })),
        _ => Err(TransportError::Protocol),
    }
}

fn digits(value: &[u8]) -> Option<usize> {
    let plain = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    core::str::from_utf8(value).ok().filter(|_| plain)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Head>, TransportError> {
        parse(text.as_bytes())
    }

    #[test]
    fn a_complete_head_is_found_and_a_part_waits() {
        let text = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 12\r\nRetry-After: 5\r\n\r\n";
        assert_eq!(read(text), Ok(Some(Head { status: 503, head: text.len(), body: 12 })));
        for cut in 0..text.len() {
            assert_eq!(parse(&text.as_bytes()[..cut]), Ok(None), "{cut}");
        }
    }

    #[test]
    fn doubt_about_the_length_is_refused() {
        for fields in [
            "",
            "Content-Length: 1\r\nContent-Length: 1\r\n",
            "Content-Length: +1\r\n",
            "Content-Length: 1,1\r\n",
            "Content-Length: \r\n",
            "Content-Length: 99999999999999999999999\r\n",
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        ] {
            assert_eq!(
                read(&std::format!("HTTP/1.1 200 OK\r\n{fields}\r\n")),
                Err(TransportError::Protocol),
                "{fields}"
            );
        }
        assert_eq!(read("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n"), Err(TransportError::Protocol));
        assert_eq!(read("HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n"), Err(TransportError::Protocol));
        assert_eq!(read("SSH-2.0-OpenSSH\r\n"), Err(TransportError::Protocol));
    }
}
