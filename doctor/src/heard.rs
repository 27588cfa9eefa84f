//! A stream that remembers how its peer began to speak: an MQTT library tells an answer that it cannot read from none at all
//! as little as possible.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much is remembered, in bytes: a CONNACK of MQTT 3.1.1 has four.
const MOST: usize = 4;

/// The first bytes that were read; clones are of the same stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard(Arc<Mutex<Vec<u8>>>);

impl Heard {
    /// What came in place of an answer in MQTT 5, if anything came.
    pub(crate) fn words(&self) -> Option<String> {
        let first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match first.as_slice() {
            [] => None,
            // Section 3.2 of MQTT 3.1.1: type, a length of two, flags, return code. MQTT 5 has at least one byte more.
            [0x20, 2, _, code] => {
                Some(format!("an answer in MQTT 3.1.1, with the return code {code} to a login in MQTT 5"))
            }
            [b'H', b'T', b'T', ..] => Some("an answer in HTTP".to_owned()),
            _ => Some("an answer that ends before it is one of MQTT 5".to_owned()),
        }
    }

    fn take(&self, new: &[u8]) {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MOST.saturating_sub(first.len());
        first.extend(new.iter().take(room));
    }
}

/// The stream itself.
pub(crate) struct Listened<S> {
    pub(crate) stream: S,
    pub(crate) heard: Heard,
}

impl<S: AsyncRead + Unpin> AsyncRead for Listened<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.heard.take(buffer.filled().get(before..).unwrap_or_default());
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Listened<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::{Heard, Listened};
    use tokio::io::AsyncReadExt as _;

    async fn words(parts: &'static [&'static [u8]]) -> Option<String> {
        let (stream, mut peer) = tokio::io::duplex(64);
        let heard = Heard::default();
        let mut listened = Listened { stream, heard: heard.clone() };
        for part in parts {
            tokio::io::AsyncWriteExt::write_all(&mut peer, part).await.unwrap();
            let mut buffer = vec![0; part.len()];
            listened.read_exact(&mut buffer).await.unwrap();
            assert_eq!(buffer, *part);
        }
        heard.words()
    }

    #[tokio::test]
    async fn what_came_is_told_by_its_first_bytes() {
        assert_eq!(words(&[]).await, None);
        let old = words(&[&[0x20], &[2, 0, 1]]).await.unwrap();
        assert!(old.contains("3.1.1") && old.contains("code 1"), "{old}");
        assert!(words(&[b"HTTP/1.1 400"]).await.unwrap().contains("HTTP"));
        assert!(words(&[&[0x20, 3]]).await.unwrap().contains("ends before"));
    }
}
