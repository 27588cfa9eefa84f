//! The command line's end of the control socket.

use core::time::Duration;
use std::io;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{Answer, MAX_LINE, Question};
use crate::state_dir::StateDir;

/// Longest time for an answer that the agent has at hand.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest time for the outcome of a renewal, which may take a while.
const RENEWAL: Duration = Duration::from_secs(130);

/// Why a running agent did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The connection failed.
    #[error("the running agent does not answer on its control socket")]
    Io(#[from] io::Error),
    /// The answer is none.
    #[error("the running agent's answer cannot be understood; is it of another version?")]
    Answer(#[from] serde_json::Error),
}

/// Asks the agent that runs on `dir`; `None` where none runs.
///
/// # Errors
/// Where an agent runs but does not answer.
pub async fn ask(dir: &StateDir, question: Question) -> Result<Option<Answer>, ControlError> {
    let stream = match UnixStream::connect(dir.control_socket()).await {
        Ok(stream) => stream,
        // No socket, or one that an agent left when it was killed.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let patience = match question {
        Question::Status => PATIENCE,
        Question::Renew => RENEWAL,
    };
    let line = timeout(patience, exchange(stream, question)).await.map_err(io::Error::from)??;
    Ok(Some(serde_json::from_str(&line)?))
}

async fn exchange(mut stream: UnixStream, question: Question) -> io::Result<String> {
    let mut text = serde_json::to_vec(&question)?;
    text.push(b'\n');
    stream.write_all(&text).await?;
    let mut line = String::new();
    BufReader::new(stream.take(MAX_LINE)).read_line(&mut line).await?;
    Ok(line)
}
