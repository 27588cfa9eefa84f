//! Headers that a collector wants: secrets of the operator's, in a file.

use std::path::{Path, PathBuf};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::files::{SecretError, read_secret};

/// Most headers.
const MOST: usize = 16;

/// Why the headers cannot be used. Says nothing of what stands in the file.
#[derive(Debug, thiserror::Error)]
pub enum HeadersError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] SecretError),
    /// A line is no header.
    #[error("{}:{line}: expected a header such as \"Authorization: Bearer ...\"", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// There are too many.
    #[error("{}: holds {found} headers, expected {MOST} at most", path.display())]
    Number {
        /// The file.
        path: PathBuf,
        /// How many.
        found: usize,
    },
}

/// Reads a file with one header a line, which nobody but its owner may read.
pub(super) fn read(path: &Path) -> Result<HeaderMap, HeadersError> {
    let text = read_secret(path)?;
    let mut headers = HeaderMap::new();
    for (line, number) in text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty()) {
        let form = || HeadersError::Form { path: path.to_owned(), line: number };
        let (name, value) = parse(line).ok_or_else(form)?;
        headers.append(name, value);
    }
    if headers.len() > MOST {
        return Err(HeadersError::Number { path: path.to_owned(), found: headers.len() });
    }
    Ok(headers)
}

fn parse(line: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(':')?;
    let mut value = HeaderValue::from_str(value.trim()).ok().filter(|value| !value.is_empty())?;
    // Its Debug says nothing then.
    value.set_sensitive(true);
    Some((name.trim().parse().ok()?, value))
}

#[cfg(test)]
mod tests {
    use super::{HeadersError, MOST, read};
    use axum::http::HeaderMap;

    fn headers(text: &str, mode: u32) -> Result<HeaderMap, HeadersError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("headers");
        crate::files::create(&path, text.as_bytes(), mode).unwrap();
        read(&path)
    }

    #[test]
    fn headers_are_read_from_a_file_of_the_owners_and_never_shown() {
        let found = headers("Authorization: Bearer t0ps3cret\n\nX-Tenant:acme\n", 0o600).unwrap();
        assert_eq!(found["authorization"], "Bearer t0ps3cret");
        assert_eq!(found["x-tenant"], "acme");
        assert!(!format!("{found:?}").contains("t0ps3cret"));
        assert!(matches!(headers("A: b\n", 0o644), Err(HeadersError::File(_))));
    }

    #[test]
    fn what_is_no_header_is_refused_without_being_shown() {
        for bad in ["t0ps3cret", "a b: t0ps3cret", "A:", ": t0ps3cret", "A: t0ps3cret\u{1}"] {
            let error = headers(&format!("A: b\n{bad}\n"), 0o600).unwrap_err();
            assert!(matches!(error, HeadersError::Form { line: 2, .. }), "{bad:?}");
            assert!(!format!("{error} {error:?}").contains("t0ps3cret"), "{bad:?}");
        }
        let many: String = (0..=MOST).map(|n| format!("X-{n}: y\n")).collect();
        assert!(matches!(headers(&many, 0o600), Err(HeadersError::Number { .. })));
    }
}
