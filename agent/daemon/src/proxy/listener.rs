//! The port that programs connect to: a loopback TCP port, or a Unix socket that has its mode and owner before anybody
//! can connect.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};

use super::address::Listen;
use super::{ProxyError, ProxySettings};
use crate::owner::others_replace;

/// Most connections that the kernel holds until they are taken.
const BACKLOG: i32 = 128;

/// A stream that programs send on and receive from.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A program that has connected.
pub(super) struct Client {
    /// Its connection.
    pub(super) stream: Box<dyn Stream>,
    /// Who it is, for the log: an address, or the process and its user.
    pub(super) name: String,
}

/// The port, bound. A socket's file is removed when this is dropped.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix { socket: UnixListener, path: PathBuf },
}

impl Listener {
    /// Binds the port.
    pub(super) async fn bind(settings: &ProxySettings) -> Result<Self, ProxyError> {
        let failed = |source| ProxyError::Listen { listen: settings.listen.to_string(), source };
        match &settings.listen {
            Listen::Tcp(address) => TcpListener::bind(address.address()).await.map(Self::Tcp).map_err(failed),
            Listen::Unix(path) => {
                let ids = settings.socket_owner.as_ref().map(crate::owner::Owner::look_up).transpose()?;
                check_directory(path)?;
                make_room(path).await.map_err(failed)?;
                let set = |new: &Path| {
                    if let Some(ids) = ids {
                        chown(new, ids.user, ids.group)?;
                    }
                    std::fs::set_permissions(new, Permissions::from_mode(settings.socket_mode))
                };
                let socket = bind_with(path, set).map_err(failed)?;
                Ok(Self::Unix { socket, path: path.clone() })
            }
        }
    }

    /// Where it is reached.
    pub(super) fn address(&self) -> String {
        match self {
            Self::Tcp(socket) => {
                socket.local_addr().map_or_else(|_| "?".to_owned(), |address| address.to_string())
            }
            Self::Unix { path, .. } => format!("unix:{}", path.display()),
        }
    }

    /// The next program.
    pub(super) async fn accept(&self) -> io::Result<Client> {
        match self {
            Self::Tcp(socket) => {
                let (stream, from) = socket.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Client { stream: Box::new(stream), name: from.to_string() })
            }
            Self::Unix { socket, .. } => {
                let (stream, _) = socket.accept().await?;
                let name = stream.peer_cred().map_or_else(
                    |_| "unknown".to_owned(),
                    |peer| match peer.pid() {
                        Some(pid) => format!("process {pid} of user {}", peer.uid()),
                        None => format!("user {}", peer.uid()),
                    },
                );
                Ok(Client { stream: Box::new(stream), name })
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix { path, .. } = self
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::debug!(%error, "the proxy's socket was gone already");
        }
    }
}

/// Where others may write, they could put a socket of their own in the place of this one.
fn check_directory(path: &Path) -> Result<(), ProxyError> {
    let directory = path.parent().unwrap_or_else(|| Path::new("/"));
    let found = std::fs::metadata(directory)
        .map_err(|source| ProxyError::Listen { listen: format!("unix:{}", path.display()), source })?;
    let mode = found.mode() & 0o7777;
    if others_replace(mode) {
        return Err(ProxyError::OpenDirectory { directory: directory.to_owned(), mode });
    }
    Ok(())
}

/// A socket that nobody listens on was left by a process that was killed; all else stays.
async fn make_room(path: &Path) -> io::Result<()> {
    let found = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else than a socket is there"));
    }
    let call = tokio::time::timeout(core::time::Duration::from_secs(1), UnixStream::connect(path)).await;
    match call {
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

/// Makes the socket beside its place, sets it, listens, and moves it there: at no time can somebody connect to a socket
/// whose mode or owner is not yet set.
fn bind_with(path: &Path, set: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<UnixListener> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    bind(&socket, &SocketAddrUnix::new(&beside)?)?;
    let made = set(&beside).and_then(|()| {
        listen(&socket, BACKLOG)?;
        std::fs::rename(&beside, path)
    });
    if let Err(error) = made {
        // The first error counts.
        let _gone = std::fs::remove_file(&beside);
        return Err(error);
    }
    UnixListener::from_std(StdUnixListener::from(socket))
}

#[cfg(test)]
mod tests {
    use super::{Listener, ProxyError};
    use crate::proxy::ProxySettings;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::os::unix::net::UnixListener as Std;
    use std::path::Path;
    use tokio::net::UnixStream;

    fn settings(path: &Path, mode: u32) -> ProxySettings {
        let listen = format!("unix:{}", path.display()).parse().unwrap();
        ProxySettings { socket_mode: mode, ..ProxySettings::at(listen) }
    }

    #[tokio::test]
    async fn a_socket_has_its_mode_and_is_gone_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mqtt.sock");
        for mode in [0o600, 0o660, 0o666] {
            let listener = Listener::bind(&settings(&path, mode)).await.unwrap();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, mode);
            let (_client, accepted) = tokio::join!(UnixStream::connect(&path), listener.accept());
            assert!(accepted.unwrap().name.contains(&format!("process {}", std::process::id())));
            drop(listener);
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }

    #[tokio::test]
    async fn what_a_killed_process_left_is_replaced_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mqtt.sock");
        drop(Std::bind(&path).unwrap());
        drop(Std::bind(dir.path().join("mqtt.sock.new")).unwrap());
        let first = Listener::bind(&settings(&path, 0o600)).await.unwrap();
        let busy = Listener::bind(&settings(&path, 0o600)).await.unwrap_err();
        assert!(crate::cli::causes(&busy).contains("in use"), "{busy:?}");
        drop(first);
        fs::write(&path, "precious").unwrap();
        Listener::bind(&settings(&path, 0o600)).await.unwrap_err();
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn a_directory_that_others_write_to_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mqtt.sock");
        fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
        let error = Listener::bind(&settings(&path, 0o600)).await.unwrap_err();
        assert!(matches!(error, ProxyError::OpenDirectory { mode: 0o777, .. }), "{error:?}");
        // In one with the sticky bit they cannot take the place of what is there.
        fs::set_permissions(dir.path(), Permissions::from_mode(0o1777)).unwrap();
        drop(Listener::bind(&settings(&path, 0o600)).await.unwrap());
    }

    #[tokio::test]
    async fn an_unknown_owner_leaves_no_socket() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mqtt.sock");
        let socket_owner = Some("no-such-user-here".parse().unwrap());
        let settings = ProxySettings { socket_owner, ..settings(&path, 0o600) };
        assert!(matches!(Listener::bind(&settings).await, Err(ProxyError::Owner(_))));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
