//! Writes the files of a configuration, and says whether any of them changed.

use core::time::Duration;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::ConfigFile;
use crate::files;
use crate::hook::{self, HookError};
use crate::tls_files::Owner;

/// How long a hook may run: `rabbitmqctl` starts a machine of its own.
const HOOK_LIMIT: Duration = Duration::from_secs(60);

/// Why a file was not written, or the hook did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A file cannot be written.
    #[error("{}: cannot be written", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The hook did not do its work.
    #[error(transparent)]
    Hook(#[from] HookError),
}

/// Writes the files that are others than those in `folder`, each as a whole. Says which. Files with a secret are for
/// `owner` alone, the others for all to read.
///
/// # Errors
/// Names the file that cannot be written; those before it are.
pub fn write(folder: &Path, wanted: &[ConfigFile], owner: Option<Owner>) -> Result<Vec<String>, WriteError> {
    let mut written = Vec::new();
    for file in wanted {
        let path = folder.join(&file.name);
        let unwritable = |source| WriteError::Unwritable { path: path.clone(), source };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(unwritable)?;
        }
        if fs::read(&path).is_ok_and(|found| found == file.content.as_bytes()) {
            continue;
        }
        let mode = if file.secret { 0o600 } else { 0o644 };
        files::replace_for(&path, file.content.as_bytes(), mode, owner).map_err(unwritable)?;
        written.push(file.name.clone());
    }
    Ok(written)
}

/// Has the broker read its files again.
///
/// # Errors
/// Where the hook does not end well in time.
pub async fn run_hook(hook: &[String]) -> Result<(), WriteError> {
    match hook::command(hook) {
        Some(command) => Ok(hook::run(command, HOOK_LIMIT).await?),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{ConfigFile, run_hook, write};
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn only_what_changed_is_written_and_secrets_are_for_their_owner() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &str, secret| ConfigFile {
            name: name.into(),
            content: content.to_owned().into(),
            secret,
        };
        let mut files = vec![file("a.conf", "1", false), file("in/b.conf", "2", true)];
        assert_eq!(write(folder.path(), &files, None).unwrap(), ["a.conf", "in/b.conf"]);
        assert!(write(folder.path(), &files, None).unwrap().is_empty());
        files[0].content = "3".to_owned().into();
        assert_eq!(write(folder.path(), &files, None).unwrap(), ["a.conf"]);
        let mode =
            |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("a.conf"), mode("in/b.conf")), (0o644, 0o600));
    }

    #[tokio::test]
    async fn a_hook_that_fails_is_told() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert!(run_hook(&[]).await.is_ok());
        assert!(run_hook(&words(&["true"])).await.is_ok());
        assert!(run_hook(&words(&["false"])).await.is_err());
        assert!(run_hook(&words(&["/no/such/program"])).await.is_err());
    }
}
