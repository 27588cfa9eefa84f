//! nginx with a configuration that operators include, and a service behind it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use super::binaries::peer;
use super::process::{Process, run};
use super::wait::{LIMIT, until};

/// nginx with a main configuration of its own; its workers end with it.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
    folder: PathBuf,
}

impl Nginx {
    /// Starts it, its own files in `folder`, with `include` inside of `http`, which listens on `port`. The configuration
    /// is checked before, as nginx checks it.
    ///
    /// # Panics
    /// Where nginx is not installed, or does not start.
    #[must_use]
    pub fn start(folder: &Path, include: &Path, port: u16) -> Self {
        fs::create_dir_all(folder).expect("a folder for nginx");
        let text = format!(
            "daemon off;\npid {};\nevents {{\n}}\nhttp {{\n    access_log off;\n    include {};\n}}\n",
            folder.join("nginx.pid").display(),
            include.display()
        );
        fs::write(folder.join("nginx.conf"), text).expect("to write a configuration");
        let checked = run(command(folder).arg("-t"));
        assert!(checked.status.success(), "{}", checked.stderr);
        let process = Process::start(&mut command(folder));
        until("nginx's port", || TcpStream::connect(("127.0.0.1", port)).ok());
        Self { process, folder: folder.to_owned() }
    }

    /// Where its process number stands.
    #[must_use]
    pub fn pid_file(&self) -> PathBuf {
        self.folder.join("nginx.pid")
    }

    /// Has it read its files again.
    pub fn reload(&self) {
        self.process.signal(Signal::HUP);
    }

    /// What it says of its configuration, which has to be bad.
    ///
    /// # Panics
    /// Where it is good.
    #[must_use]
    pub fn complaint(&self) -> String {
        run(command(&self.folder).arg("-t")).failure()
    }
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(peer("nginx", "nginx-light"));
    command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf")).args(["-e", "stderr"]);
    command
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers would outlive a master that is killed.
        self.process.end_softly();
    }
}

/// An HTTP service that answers with the head of the request.
///
/// # Panics
/// Where no port is free.
#[must_use]
pub fn echo_service() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            std::thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                stream.set_read_timeout(Some(LIMIT))?;
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? == 1 {
                    head.extend(byte);
                }
                let body = String::from_utf8_lossy(&head).to_lowercase();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(answer.as_bytes())
            });
        }
    });
    port
}
