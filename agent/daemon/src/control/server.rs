//! The agent's end of the control socket.

use core::time::Duration;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use agent_core::flow::Control;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{Answer, MAX_LINE, Question};
use crate::live::Live;
use crate::state_dir::{Lock, StateDir};

/// Most clients at once; more wait.
const MAX_CLIENTS: usize = 8;
/// Longest time for a client to ask or to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest time until a renewal's outcome is told.
const RENEWAL: Duration = Duration::from_secs(120);

/// The socket, bound; its file is removed when this is dropped.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Binds the socket of a state directory, whose lock shows that no other agent listens there.
    ///
    /// # Errors
    /// Where the socket cannot be made.
    pub fn bind(dir: &StateDir, _lock: &Lock) -> io::Result<Self> {
        let path = dir.control_socket();
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = UnixListener::bind(&path)?;
        // The directory is closed to others already; the mode says so once more.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { socket, path })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "the control socket was gone already");
        }
    }
}

/// Answers clients until the future is dropped.
pub async fn serve(listener: &Listener, control: Arc<Control>, live: Live) {
    let places = Arc::new(Semaphore::new(MAX_CLIENTS));
    let mut clients = tokio::task::JoinSet::new();
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.socket.accept().await {
            Ok((stream, _)) => {
                let (control, live) = (Arc::clone(&control), live.clone());
                clients.spawn(async move {
                    if let Err(error) = client(stream, &control, &live).await {
                        tracing::debug!(%error, "a control client went away");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the control socket does not accept");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        while clients.try_join_next().is_some() {}
    }
}

async fn client(stream: UnixStream, control: &Control, live: &Live) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut read = BufReader::new(read.take(MAX_LINE));
    timeout(PATIENCE, read.read_line(&mut line)).await??;
    let answer = match serde_json::from_str(&line) {
        Ok(Question::Status) => Answer::Status(live.snapshot()),
        Ok(Question::Renew) => renew(control, live).await,
        Err(error) => Answer::BadQuestion(error.to_string()),
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    timeout(PATIENCE, write.write_all(&text)).await?
}

async fn renew(control: &Control, live: &Live) -> Answer {
    let mut renewals = live.renewals();
    control.renew();
    match timeout(RENEWAL, renewals.recv()).await {
        Ok(Ok(renewal)) => Answer::Renewal(renewal),
        _ => Answer::StillRenewing,
    }
}
