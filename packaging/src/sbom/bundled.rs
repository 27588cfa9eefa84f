//! Libraries in C that a crate brings along and links: a vulnerability of theirs is reported by their name, not by the crate's.

use serde_json::{Value as Json, json};

use super::SbomError;
use super::metadata::Packages;
use super::tree::Crate;

/// One of them: where its version stands.
struct Library {
    name: &'static str,
    within: &'static str,
    /// Below the crate's folder.
    header: &'static str,
    /// The macro that is the version.
    define: &'static str,
    licence: &'static str,
}

const LIBRARIES: [Library; 3] = [
    Library {
        name: "sqlite",
        within: "libsqlite3-sys",
        header: "sqlite3/sqlite3.h",
        define: "SQLITE_VERSION",
        licence: "blessing",
    },
    Library {
        name: "aws-lc",
        within: "aws-lc-sys",
        header: "aws-lc/include/openssl/base.h",
        define: "AWSLC_VERSION_NUMBER_STRING",
        licence: "ISC AND Apache-2.0 AND MIT AND BSD-3-Clause",
    },
    Library {
        name: "mimalloc",
        within: "libmimalloc-sys",
        header: "c_src/mimalloc/v3/include/mimalloc.h",
        define: "MI_MALLOC_VERSION",
        licence: "MIT",
    },
];

/// The library that a crate brings along, as a component.
pub(super) fn in_crate(part: &Crate, packages: &Packages) -> Result<Option<Json>, SbomError> {
    let Some((library, version)) = find(part, packages)? else { return Ok(None) };
    Ok(Some(json!({
        "type": "library",
        "bom-ref": purl(library, &version),
        "name": library.name,
        "version": version,
        "scope": "required",
        "licenses": [{ "expression": library.licence }],
        "purl": purl(library, &version),
    })))
}

/// Its name within the bill.
pub(super) fn reference(part: &Crate, packages: &Packages) -> Result<Option<String>, SbomError> {
    Ok(find(part, packages)?.map(|(library, version)| purl(library, &version)))
}

fn purl(library: &Library, version: &str) -> String {
    format!("pkg:generic/{}@{version}", library.name)
}

fn find(part: &Crate, packages: &Packages) -> Result<Option<(&'static Library, String)>, SbomError> {
    let Some(library) = LIBRARIES.iter().find(|library| library.within == part.name) else { return Ok(None) };
    let path = packages.get(part)?.folder.join(library.header);
    let header =
        std::fs::read_to_string(&path).map_err(|source| SbomError::Read { path: path.clone(), source })?;
    let version = version(&header, library.define).ok_or_else(|| SbomError::Unexpected {
        what: path.display().to_string(),
        expected: "the version of the library",
        found: format!("no usable #define {}", library.define),
    })?;
    Ok(Some((library, version)))
}

/// A text, or a number with two digits each for minor and patch.
fn version(header: &str, define: &str) -> Option<String> {
    let line = header.lines().find_map(|line| {
        let rest = line.strip_prefix("#define ")?.trim_start().strip_prefix(define)?;
        rest.starts_with([' ', '\t']).then(|| rest.trim())
    })?;
    let value = line.split_whitespace().next()?;
    if let Some(text) = value.strip_prefix('"') {
        return text.strip_suffix('"').map(str::to_owned);
    }
    let number: u32 = value.parse().ok()?;
    Some(format!("{}.{}.{}", number / 10_000, number / 100 % 100, number % 100))
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions_are_texts_or_numbers() {
        let header =
            "#define V_STRING2 \"9\"\n#define V_STRING   \"3.51.1\"\n#define V 20302  // major + 2 digits\n";
        assert_eq!(version(header, "V_STRING").unwrap(), "3.51.1");
        assert_eq!(version(header, "V").unwrap(), "2.3.2");
        assert_eq!(version(header, "W"), None);
        assert_eq!(version("#define V (1+1)", "V"), None);
    }
}
