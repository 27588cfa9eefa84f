//! What a program did to the files below one folder, in the order in which it took effect: what `disk.c` records.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::harness::{peer, run};

/// One thing that was done. Objects are files, whatever their names; paths are relative to the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A new file.
    Create { object: u32, path: String },
    /// A file that was there before is opened for the first time.
    Exists { object: u32, path: String },
    /// Bytes are written at an offset.
    Write { object: u32, offset: usize, bytes: Vec<u8> },
    /// A file is made so long.
    Size { object: u32, length: usize },
    /// A file is synced.
    Sync { object: u32 },
    /// A folder is synced.
    SyncFolder { path: String },
    /// A name takes the place of another.
    Rename { from: String, to: String },
    /// A second name.
    Link { from: String, to: String },
    /// A name is gone.
    Unlink { path: String },
    /// A new folder.
    Mkdir { path: String },
    /// A folder is gone.
    Rmdir { path: String },
    /// What the witness says.
    Mark(String),
}

/// Environment of a program whose disk is looked at; see `disk.c`.
#[derive(Clone, Debug)]
pub(super) struct Watch<'a> {
    /// The folder.
    pub(super) root: &'a Path,
    /// Where to record.
    pub(super) trace: Option<&'a Path>,
    /// The file of the witness.
    pub(super) marks: &'a Path,
    /// Which operations fail: the first one, with which number of the system, and how many (0 for all from there on);
    /// and the file that is made when one has failed.
    pub(super) fail: Option<(u64, i32, u64, &'a Path)>,
}

impl Watch<'_> {
    /// Has `command` run with it.
    pub(super) fn on(&self, command: &mut Command) {
        command.env("LD_PRELOAD", library()).env("FAULTS_DISK_ROOT", self.root);
        command.env("FAULTS_DISK_MARKS", self.marks);
        if let Some(trace) = self.trace {
            command.env("FAULTS_DISK_TRACE", trace);
        }
        if let Some((first, errno, length, failed)) = self.fail {
            command.env("FAULTS_DISK_FAIL", format!("{first} {errno} {length}"));
            command.env("FAULTS_DISK_FAILED", failed);
        }
    }
}

/// Lets operations of a program of several processes fail, while they run; see `FAULTS_DISK_SHARED` in `disk.c`.
#[derive(Debug)]
pub(super) struct Fault(TempDir);

impl Fault {
    /// One that lets nothing fail yet.
    pub(super) fn new() -> Self {
        let folder = TempDir::with_prefix("faults-shared-").expect("a temporary folder");
        let fault = Self(folder);
        fault.write([0; 4]);
        // The program may run as another account.
        let open = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("to open a file to others");
        };
        open(fault.0.path(), 0o755);
        open(&fault.path(), 0o666);
        fault
    }

    /// The environment of the program, whose files below `root` can fail.
    pub(super) fn variables(&self, root: &Path) -> Vec<(&'static str, OsString)> {
        vec![
            ("LD_PRELOAD", library()),
            ("FAULTS_DISK_ROOT", root.into()),
            ("FAULTS_DISK_SHARED", self.path().into()),
        ]
    }

    /// From the `first` operation on, counted from now, `length` operations fail with this number of the system.
    pub(super) fn arm(&self, first: u64, errno: i32, length: u64) {
        let number = |n: u64| i64::try_from(n).expect("few");
        self.write([number(first), errno.into(), number(length), 0]);
    }

    /// Lets nothing fail any more. Gives how many operations there were.
    pub(super) fn disarm(&self) -> u64 {
        let bytes = fs::read(self.path()).expect("a count");
        self.write([0; 4]);
        u64::from_le_bytes(bytes[24..32].try_into().expect("eight bytes"))
    }

    fn write(&self, numbers: [i64; 4]) {
        let bytes: Vec<u8> = numbers.into_iter().flat_map(i64::to_le_bytes).collect();
        // In place: the processes look at this file, not at one that takes its name.
        let file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(self.path());
        file.and_then(|file| file.write_all_at(&bytes, 0)).expect("to write numbers");
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("fault")
    }
}

/// The library that stands between a program and its disk, compiled once.
fn library() -> OsString {
    static BUILT: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = BUILT.get_or_init(|| {
        let folder = TempDir::with_prefix("faults-disk-").expect("a temporary folder");
        let (source, library) = (folder.path().join("disk.c"), folder.path().join("disk.so"));
        fs::write(&source, include_str!("disk.c")).expect("to write a file");
        let mut compiler = Command::new(peer("cc", "build-essential"));
        compiler
            .args(["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o"])
            .arg(&library)
            .arg(&source);
        let _said = run(compiler.arg("-lpthread")).success();
        // The program may run as another account.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("to open the folder");
        (folder, library)
    });
    let mut list = OsString::from(path);
    if let Some(more) = env::var_os("LD_PRELOAD") {
        list.push(":");
        list.push(more);
    }
    list
}

/// Reads a trace: each event with the position of its end.
///
/// # Panics
/// Where the file is no trace.
#[must_use]
pub(super) fn read(trace: &Path, root: &Path) -> Vec<(u64, Event)> {
    let root = fs::canonicalize(root).expect("a folder");
    let bytes = fs::read(trace).expect("a trace");
    let mut events = Vec::new();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let event = one(&mut rest, root.to_str().expect("a path in UTF-8"));
        events.push(((bytes.len() - rest.len()) as u64, event));
    }
    events
}

fn one(rest: &mut &[u8], root: &str) -> Event {
    let mut take = |length: usize| {
        let (taken, left) = rest.split_at(length);
        *rest = left;
        taken
    };
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0_usize, |n, byte| n << 8 | usize::from(*byte));
    let operation = take(1)[0];
    let object = u32::try_from(number(take(4))).expect("four bytes");
    let (place, a, b) = (number(take(8)), number(take(4)), number(take(4)));
    let (a, b) = (take(a), take(b));
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let path = |bytes: &[u8]| {
        let path = text(bytes);
        path.strip_prefix(root).expect("below the folder").trim_start_matches('/').to_owned()
    };
    match operation {
        b'c' => Event::Create { object, path: path(a) },
        b'e' => Event::Exists { object, path: path(a) },
        b'w' => Event::Write { object, offset: place, bytes: a.to_vec() },
        b'z' => Event::Size { object, length: place },
        b's' => Event::Sync { object },
        b'd' => Event::SyncFolder { path: path(a) },
        b'r' => Event::Rename { from: path(a), to: path(b) },
        b'l' => Event::Link { from: path(a), to: path(b) },
        b'u' => Event::Unlink { path: path(a) },
        b'm' => Event::Mkdir { path: path(a) },
        b'x' => Event::Rmdir { path: path(a) },
        b'k' => Event::Mark(text(a)),
        other => panic!("{other} is no operation"),
    }
}
