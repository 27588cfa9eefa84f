//! A PostgreSQL server of a test's own: made from Debian's packages in a temporary folder, reached through a socket in
//! it, and gone with the test. Durable as a real one: `fsync` stays on.
//!
//! Not a server to keep anything in.

use core::sync::atomic::{AtomicU32, Ordering};
use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;

/// The user that tests connect as. It is not a superuser.
pub const USER: &str = "enroll";
/// Its password.
pub const PASSWORD: &str = "of-a-test";

/// An address that [`PostgresServer`] gave, without the password: for settings that name a file which holds it.
#[must_use]
pub fn without_password(address: &str) -> String {
    address.replace(&format!(" password={PASSWORD}"), "")
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// It is not installed.
    #[error("PostgreSQL is not installed: apt-get install postgresql")]
    Missing,
    /// A file or a process failed.
    #[error("the server cannot be made")]
    Io(#[from] io::Error),
    /// A program of PostgreSQL failed.
    #[error("{program} failed: {output}")]
    Program {
        /// Which.
        program: String,
        /// What it said.
        output: String,
    },
    /// It does not answer.
    #[error("the server does not answer; its log: {log}")]
    Silent {
        /// The end of its log.
        log: String,
    },
}

/// A running server.
#[derive(Debug)]
pub struct PostgresServer {
    folder: PathBuf,
    bin: PathBuf,
    /// Whether it runs as another account than the test.
    account: bool,
    /// Its port on the loopback interface, where it listens there.
    port: Option<u16>,
    keeper: Mutex<Keeper>,
    databases: AtomicU32,
}

#[derive(Debug)]
struct Keeper {
    process: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// The port in the name of the socket, where there is no other.
const PORT: u16 = 5432;

const KEEPER: &str = include_str!("keeper.sh");

impl PostgresServer {
    /// Makes a server and waits until it answers.
    ///
    /// # Errors
    /// Where PostgreSQL is missing or does not start.
    pub fn start() -> Result<Self, ServerError> {
        Self::start_with(None, |_| Vec::new())
    }

    /// As [`start`](Self::start), with more in the environment of the server's processes: `environment` is given the folder,
    /// which has their files below `data`.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_under(
        environment: impl FnOnce(&Path) -> Vec<(&'static str, OsString)>,
    ) -> Result<Self, ServerError> {
        Self::start_with(None, environment)
    }

    /// As [`start`](Self::start), and on the loopback interface too, by TLS only, with this certificate chain and key in
    /// PEM.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with_tls(certificate: &str, key: &str) -> Result<Self, ServerError> {
        Self::start_with(Some((certificate, key)), |_| Vec::new())
    }

    fn start_with(
        tls: Option<(&str, &str)>,
        environment: impl FnOnce(&Path) -> Vec<(&'static str, OsString)>,
    ) -> Result<Self, ServerError> {
        let bin = newest().ok_or(ServerError::Missing)?;
        // PostgreSQL refuses to run as root.
        let account = fs::metadata("/proc/self")?.uid() == 0;
        let folder = tempfile::Builder::new().prefix("pg-").tempdir()?.keep();
        if let Err(error) = make(&folder, &bin, account, tls) {
            fs::remove_dir_all(&folder)?;
            return Err(error);
        }
        let port = match tls {
            Some(_) => Some(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port()),
            None => None,
        };
        let server = server_command(&folder, &bin, account, port);
        let mut process = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(&folder)
            .arg(server.get_program())
            .args(server.get_args())
            .envs(environment(&folder))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = process.stdin.take();
        let answers = process.stdout.take().ok_or_else(|| io::Error::other("no pipe"))?;
        let keeper = Mutex::new(Keeper { process, orders, answers: BufReader::new(answers) });
        let server = Self { folder, bin, account, port, keeper, databases: AtomicU32::new(0) };
        server.wait()?;
        let role = format!("CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'");
        server.run("psql", &["-d", "postgres", "-qc", &role])?;
        Ok(server)
    }

    /// Makes an empty database that belongs to [`USER`]; gives its address.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn database(&self) -> Result<String, ServerError> {
        let name = format!("d{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.run("createdb", &["-O", USER, &name])?;
        Ok(self.address(&name))
    }

    /// Makes a database that is as `template` is, to which nobody may be connected; gives its address.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn copy(&self, template: &str) -> Result<String, ServerError> {
        let name = format!("d{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.run("createdb", &["-O", USER, "-T", template, &name])?;
        Ok(self.address(&name))
    }

    /// The address of a database.
    #[must_use]
    pub fn address(&self, database: &str) -> String {
        let port = self.port.unwrap_or(PORT);
        format!(
            "host={} port={port} user={USER} password={PASSWORD} dbname={database}",
            self.folder.display()
        )
    }

    /// The address of a database by TLS, under a name of this machine; none where the server was not started for that.
    #[must_use]
    pub fn address_by_tls(&self, database: &str, host: &str) -> Option<String> {
        let port = self.port?;
        Some(format!("postgres://{USER}:{PASSWORD}@{host}:{port}/{database}"))
    }

    /// Runs SQL in a database as the superuser, and gives what it says, one row a line.
    ///
    /// # Errors
    /// Where it fails.
    pub fn sql(&self, database: &str, sql: &str) -> Result<String, ServerError> {
        self.run("psql", &["-d", database, "-Atqc", sql])
    }

    /// Ends the server in order: sessions are ended, and what was committed is there at the next start.
    ///
    /// # Errors
    /// Where its keeper is gone.
    pub fn stop(&self) -> Result<(), ServerError> {
        self.order("stop")
    }

    /// Ends the server at once, as a crash would.
    ///
    /// # Errors
    /// Where its keeper is gone.
    pub fn crash(&self) -> Result<(), ServerError> {
        self.order("crash")
    }

    /// Kills all of its processes at once (SIGKILL).
    ///
    /// # Errors
    /// Where its keeper is gone.
    pub fn kill(&self) -> Result<(), ServerError> {
        self.order("kill")
    }

    /// Starts it where it has ended by itself, as whatever watches over a real one does.
    ///
    /// # Errors
    /// Where its keeper is gone.
    pub fn look_after(&self) -> Result<(), ServerError> {
        self.order("look")
    }

    /// Starts it again, and waits until it answers.
    ///
    /// # Errors
    /// Where it does not.
    pub fn begin_again(&self) -> Result<(), ServerError> {
        self.order("start")?;
        self.wait()
    }

    fn order(&self, order: &str) -> Result<(), ServerError> {
        let mut keeper = self.keeper.lock().map_err(|_| io::Error::other("a test panicked"))?;
        let gone = || io::Error::other("the keeper of the server is gone");
        writeln!(keeper.orders.as_mut().ok_or_else(gone)?, "{order}")?;
        let mut done = String::new();
        keeper.answers.read_line(&mut done)?;
        if done.trim() == order { Ok(()) } else { Err(gone().into()) }
    }

    /// Waits until it answers: 60 seconds at most, as after a crash it may have to go through its log.
    ///
    /// # Errors
    /// Where it does not.
    pub fn wait(&self) -> Result<(), ServerError> {
        // `pg_isready` says whether sessions are taken; it waits by itself for an answer, not for a server.
        for _ in 0..600 {
            if self.run("psql", &["-d", "postgres", "-qc", "SELECT 1"]).is_ok() {
                return Ok(());
            }
            Command::new("sleep").arg("0.1").status()?;
        }
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        Err(ServerError::Silent { log: log.lines().rev().take(20).collect::<Vec<_>>().join("; ") })
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<String, ServerError> {
        let mut command = as_account(&self.bin.join(program), self.account);
        let port = self.port.unwrap_or(PORT).to_string();
        command
            .arg("-h")
            .arg(&self.folder)
            .args(["-U", "super", "-p", &port])
            .args(arguments)
            .env_remove("PGPASSWORD");
        output(command, program)
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if let Ok(keeper) = self.keeper.get_mut() {
            keeper.orders.take();
            // Nothing is left to do about a keeper that cannot be waited for.
            let _ended = keeper.process.wait().is_ok();
        }
    }
}

fn newest() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.filter_map(Result::ok);
    let found = versions.filter(|entry| entry.path().join("bin/postgres").exists());
    let number = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().parse::<u32>().unwrap_or(0);
    found.max_by_key(number).map(|entry| entry.path().join("bin"))
}

fn make(folder: &Path, bin: &Path, account: bool, tls: Option<(&str, &str)>) -> Result<(), ServerError> {
    fs::write(folder.join("log"), "")?;
    if account {
        output(chown(folder), "chown")?;
    }
    let mut command = as_account(&bin.join("initdb"), account);
    command.arg("-D").arg(folder.join("data")).args([
        "-U",
        "super",
        "-E",
        "UTF8",
        // An order of texts other than that of their bytes, as many a real server has.
        "--locale=C.UTF-8",
        "--locale-provider=icu",
        "--icu-locale=en-US",
        "--auth=trust",
        "--no-sync",
    ]);
    output(command, "initdb")?;
    let hba = folder.join("data/pg_hba.conf");
    // The superuser needs no password, the user of the tests does.
    let rules =
        "local all super trust\nlocal all all scram-sha-256\nhostssl all all samehost scram-sha-256\n";
    fs::write(&hba, rules)?;
    if let Some((certificate, key)) = tls {
        fs::write(folder.join("data/server.crt"), certificate)?;
        let file = folder.join("data/server.key");
        fs::write(&file, key)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
        if account {
            output(chown(folder), "chown")?;
        }
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    Ok(())
}

fn server_command(folder: &Path, bin: &Path, account: bool, port: Option<u16>) -> Command {
    let mut command = as_account(&bin.join("postgres"), account);
    command.arg("-D").arg(folder.join("data")).arg("-k").arg(folder).args([
        "-c",
        "max_connections=200",
        "-c",
        "shared_buffers=64MB",
    ]);
    match port {
        Some(port) => {
            let port = format!("port={port}");
            command.args(["-c", &port, "-c", "listen_addresses=127.0.0.1", "-c", "ssl=on"]);
        }
        None => {
            let port = format!("port={PORT}");
            command.args(["-c", &port, "-c", "listen_addresses="]);
        }
    }
    command
}

fn as_account(program: &Path, account: bool) -> Command {
    if !account {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
    command
}

fn chown(folder: &Path) -> Command {
    let mut command = Command::new("chown");
    command.args(["-R", "postgres:postgres"]).arg(folder);
    command
}

fn output(mut command: Command, program: &str) -> Result<String, ServerError> {
    let done = command.current_dir("/").output()?;
    let said = if done.status.success() { &done.stdout } else { &done.stderr };
    let output = String::from_utf8_lossy(said).trim_end().to_owned();
    if done.status.success() {
        Ok(output)
    } else {
        Err(ServerError::Program { program: program.to_owned(), output })
    }
}

#[cfg(test)]
mod tests {
    use super::PostgresServer;

    #[test]
    fn a_server_keeps_what_was_committed_and_leaves_nothing_behind() {
        let server = PostgresServer::start().unwrap();
        server.database().unwrap();
        server.sql("d0", "CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (7)").unwrap();
        server.crash().unwrap();
        assert!(server.sql("d0", "SELECT a FROM t").is_err());
        server.begin_again().unwrap();
        assert_eq!(server.sql("d0", "SELECT a FROM t").unwrap(), "7");
        server.kill().unwrap();
        assert!(server.sql("d0", "SELECT a FROM t").is_err());
        server.look_after().unwrap();
        server.wait().unwrap();
        assert_eq!(server.sql("d0", "SELECT a FROM t").unwrap(), "7");
        let copy = server.copy("d0").unwrap();
        assert_eq!(
            (copy, server.sql("d1", "SELECT a FROM t").unwrap()),
            (server.address("d1"), "7".to_owned())
        );
        assert_eq!(server.sql("d0", "SHOW fsync").unwrap(), "on");
        let folder = server.folder.clone();
        drop(server);
        assert!(!folder.exists());
    }
}
