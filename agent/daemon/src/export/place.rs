//! Whether an export directory is one that nobody but the agent changes.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::owner::others_replace;

/// Why nothing is written to a directory. Who may rename what lies there can put a link in the place of a set that is being
/// written: an agent that runs as root would then give away, open up or overwrite whatever the link leads to.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Misplaced {
    #[error(
        "the directory belongs to user {owner}, who could have the key written elsewhere; expected user {agent}, which the \
         agent runs as, or root. Run: chown {agent} {}", directory.display()
    )]
    Foreign { directory: PathBuf, owner: u32, agent: u32 },
    #[error(
        "others can write to the directory (mode {mode:04o}) and could have the key written elsewhere; run: chmod go-w {}, or \
         name a directory below it, which the agent makes", directory.display()
    )]
    Open { directory: PathBuf, mode: u32 },
}

/// Looks at a directory that is there.
pub(super) fn check(directory: &Path) -> io::Result<()> {
    let found = std::fs::metadata(directory)?;
    judge(directory, (found.uid(), found.mode() & 0o7777), this_user()).map_err(io::Error::other)
}

/// The user whose the sets are.
pub(super) fn this_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn judge(directory: &Path, (owner, mode): (u32, u32), agent: u32) -> Result<(), Misplaced> {
    let directory = directory.to_owned();
    if owner != agent && owner != 0 {
        Err(Misplaced::Foreign { directory, owner, agent })
    } else if others_replace(mode) {
        Err(Misplaced::Open { directory, mode })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::judge;
    use crate::config::Export;
    use crate::export::{CURRENT, Exporter, Identity};
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;
    use zeroize::Zeroizing;

    /// Owner and mode of the directory, the agent's user.
    #[test]
    fn who_else_may_rename_a_set_makes_a_directory_unfit() {
        for (owner, mode, agent, fits) in [
            (0, 0o755, 0, true),
            (0, 0o2750, 0, true),
            (812, 0o700, 812, true),
            (0, 0o711, 812, true),
            (0, 0o1777, 812, true),
            (812, 0o700, 0, false),
            (812, 0o755, 813, false),
            (0, 0o775, 0, false),
            (0, 0o757, 0, false),
            (812, 0o2770, 812, false),
        ] {
            let outcome = judge(Path::new("/srv/tls"), (owner, mode), agent);
            assert_eq!(outcome.is_ok(), fits, "{owner} {mode:o} {agent}");
            if let Err(error) = outcome {
                let text = error.to_string();
                assert!(text.contains("/srv/tls") && text.contains("un: ch"), "{text}");
            }
        }
    }
    #[test]
    fn nothing_is_written_where_others_may_write_and_what_is_there_can_be_erased() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("export");
        let settings = Export { directory: directory.clone(), group_readable: false, owner: None };
        let exporter = Exporter::new(settings);
        let put = |key: &str| {
            let key = Zeroizing::new(key.to_owned());
            exporter.put(&Identity { key: &key, chain: &[], anchors: &[] })
        };
        put("key 1\n").unwrap();
        set_permissions(&directory, Permissions::from_mode(0o770)).unwrap();
        let error = put("key 2\n").unwrap_err();
        assert!(crate::cli::causes(&error).contains("chmod go-w"), "{error:?}");
        assert_eq!(std::fs::read_to_string(directory.join(CURRENT).join("key.pem")).unwrap(), "key 1\n");
        exporter.clear().unwrap();
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
    }
}
