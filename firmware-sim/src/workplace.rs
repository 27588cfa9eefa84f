//! A temporary directory for keys, databases and flash images, that is gone at the end, whichever way it ends.

use core::time::Duration;
use std::io;
use std::path::Path;

/// The directory; dropping it removes it.
#[derive(Debug)]
pub(crate) struct Workplace(tempfile::TempDir);

impl Workplace {
    /// Makes one whose name begins with `prefix`.
    pub(crate) fn new(prefix: &str) -> io::Result<Self> {
        tempfile::Builder::new().prefix(prefix).tempdir().map(Self)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// How often it is tried, and how long it is waited in between.
const TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(50);

impl Drop for Workplace {
    fn drop(&mut self) {
        // Where it is given up in the middle, devices on threads of their own end a moment later: one that writes a file just
        // now would have the removal fail, and keys stay behind.
        for _ in 0..TRIES {
            match std::fs::remove_dir_all(self.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => pause(),
                _ => return,
            }
        }
        tracing::error!(path = %self.path().display(), "cannot be removed; it holds private keys");
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is waited for is on other threads, and drop cannot await"
)]
fn pause() {
    std::thread::sleep(PAUSE);
}

#[cfg(test)]
mod tests {
    use super::Workplace;

    #[test]
    fn it_goes_although_somebody_still_writes_into_it() {
        let place = Workplace::new("firmware-sim-test-").unwrap();
        let path = place.path().to_owned();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // As a device's storage: the folder is made where it is missing, as long as there is a place for it.
                for number in 0..10_000 {
                    let _gone = std::fs::create_dir(path.join("device")).is_ok();
                    let _gone = std::fs::write(path.join(format!("device/{number}")), "key").is_ok();
                }
            });
            while std::fs::read_dir(&path).unwrap().next().is_none() {}
            drop(place);
        });
        assert!(!path.exists());
    }
}
