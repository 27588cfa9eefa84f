//! `docs/configuration.md` is written from the code: from the samples that the programs print and their own tests hold to
//! the defaults, and from the agent's table of fields. That no field is missing is asked of the parsers themselves.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use agent::config::fields::{FIELDS, Sample};
use tests::page::repository;

/// A file of the server's: its name, the short one in headings, its sample, and the folders of the code that reads it.
struct File {
    name: &'static str,
    short: &'static str,
    about: &'static str,
    sample: &'static str,
    code: &'static [&'static str],
    mistakes: fn(&str) -> Vec<(String, String)>,
}

const FILES: [File; 3] = [
    File {
        name: "enroll-server.toml",
        short: "Server",
        about: "The server's settings. `enroll-server init` writes them; `--config FILE` or the variable \
                `ENROLL_SERVER_CONFIG` says where they are. A change counts from the next start.",
        sample: enroll_server::config::SAMPLE,
        code: &["enroll-server/src/config"],
        mistakes: server_mistakes,
    },
    File {
        name: "policy.toml",
        short: "Policy",
        about: "What a device has to show ([policy](policy.md)). A running server takes changes over by itself.",
        sample: appraisal::policy::SAMPLE,
        code: &["enroll-server/appraisal/src/policy"],
        mistakes: policy_mistakes,
    },
    File {
        name: "profile.toml",
        short: "Profile",
        about: "What certificates contain ([profiles](profiles.md)). A running server takes changes over by itself.",
        sample: ca::SAMPLE_PROFILE,
        code: &["enroll-server/ca/src", "enroll-server/ca/src/profile"],
        mistakes: profile_mistakes,
    },
];

fn server_mistakes(text: &str) -> Vec<(String, String)> {
    let folder = Path::new("/etc/enroll");
    match enroll_server::config::Config::parse(text, &folder.join("enroll-server.toml"), folder) {
        Err(enroll_server::config::ConfigError::Mistakes { mistakes, .. }) => {
            mistakes.into_iter().map(|mistake| (mistake.field, mistake.problem)).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn policy_mistakes(text: &str) -> Vec<(String, String)> {
    let problems = appraisal::Policy::parse("policy.toml", text).unwrap_err().problems;
    problems.into_iter().map(|problem| (problem.field, problem.message)).collect()
}

fn profile_mistakes(text: &str) -> Vec<(String, String)> {
    let problems = ca::Profile::parse("profile.toml", text).unwrap_err().problems;
    problems.into_iter().map(|problem| (problem.field, problem.message)).collect()
}

/// The head of a table or of one of several, whether or not it is commented out.
fn head(line: &str) -> Option<&str> {
    let line = line.trim_start_matches(['#', ' ']).trim_end();
    let name = line.strip_prefix('[')?.strip_suffix(']')?;
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    (!name.is_empty() && name.chars().all(known)).then_some(name)
}

/// A sample as one section for each of its tables: the head as it is written, and the text.
fn sections(sample: &str) -> Vec<(String, String)> {
    let mut sections = vec![(String::new(), String::new())];
    for paragraph in sample.split("\n\n") {
        // An indented head is an example within its table.
        let first = paragraph.lines().find(|line| head(line).is_some());
        if let Some(line) = first {
            let title = line.trim_start_matches(['#', ' ']).trim_end().to_owned();
            sections.push((title, String::new()));
        }
        let (_, text) = sections.last_mut().unwrap();
        *text += &format!("{}\n\n", paragraph.trim_end());
    }
    sections
}

/// The page.
fn page() -> String {
    let mut page = String::from(
        "# Configuration reference\n\nEvery setting of every file, with its default. This page is written from the code by a test \
         (`UPDATE_BOOK=1 cargo\ntest -p tests --test book configuration`), which also asks the programs for settings that are \
         not here, and fails when\nthe page is not what the code says. In all files a field that nobody knows is a mistake, and \
         all mistakes are told at once,\neach with file, line and field.\n",
    );
    for file in &FILES {
        page += &format!("\n## {}\n\n{}\n", file.name, file.about);
        for (title, text) in sections(file.sample) {
            if !title.is_empty() {
                page += &format!("\n### {}: `{title}`\n", file.short);
            }
            page += &format!("\n```toml\n{}\n```\n", text.trim_end());
        }
    }
    page + &agent_part()
}

/// The part of the agent, out of its table of fields.
fn agent_part() -> String {
    let mut part = String::from(
        "\n## agent.toml\n\nThe settings of the device agent. `--config FILE` or `AGENT_CONFIG` says where the file is, by \
         default\n`/etc/agent/agent.toml`; `agent sample` prints one. Each setting can also be given by a flag and by a variable, \
         named after\nit: `server.port` is `--server-port` and `AGENT_SERVER_PORT`. Flags win over variables, and those over the \
         file.\n",
    );
    let mut section = None;
    for field in FIELDS {
        let (table, name) = field.key.split_once('.').unwrap_or(("", field.key));
        if section != Some(table) {
            section = Some(table);
            let title =
                if table.is_empty() { "before all tables".to_owned() } else { format!("`[{table}]`") };
            part += &format!(
                "\n### Agent: {title}\n\n| setting | values | default | meaning |\n|---|---|---|---|\n"
            );
        }
        let default = match field.sample {
            Sample::Required(example) => format!("none; such as `{example}`"),
            Sample::Default(value) => format!("`{value}`"),
            Sample::Unset(example) => format!("not set; such as `{example}`"),
        };
        let cell = |text: &str| text.replace('|', "\\|");
        let values = field.placeholder().replace('|', ", ").to_lowercase();
        part += &format!("| `{name}` | {values} | {} | {} |\n", cell(&default), cell(field.doc));
    }
    part
}

/// Every name in code that could be one of a field.
fn candidates(file: &File) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in file.code {
        for entry in fs::read_dir(repository().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = fs::read_to_string(path).unwrap();
            let quotes: Vec<usize> = text.match_indices('"').map(|(at, _)| at).collect();
            for pair in quotes.windows(2) {
                let &[open, close] = pair else { continue };
                let word = text.get(open + 1..close).unwrap_or_default();
                let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
                if (1..=40).contains(&word.len()) && word.bytes().all(good) {
                    names.insert(word.to_owned());
                }
            }
        }
    }
    names
}

/// The fields that the parser knows, as `table.field`: a date is the right value of none, so that each one is a mistake,
/// and one that is unknown is a mistake of another kind.
fn known(file: &File, names: &BTreeSet<String>) -> BTreeSet<String> {
    let lines: String = names.iter().map(|name| format!("{name} = 1987-01-01\n")).collect();
    let ask = |head: &str, path: &str| -> BTreeSet<String> {
        // One of several tables is told with its number by the one reader, and without by the other.
        let inside = [format!("{path}."), format!("{path}[0].")];
        let inside = |field: &str| match path {
            "" => Some(field.to_owned()),
            _ => inside.iter().find_map(|inside| field.strip_prefix(inside)).map(str::to_owned),
        };
        let mistakes = (file.mistakes)(&format!("{head}\n{lines}"));
        let unknown = |problem: &str| {
            ["is no field here", "unknown field", "no such field", "wanted nothing"]
                .iter()
                .any(|p| problem.contains(p))
        };
        let own = mistakes.iter().filter(|(_, problem)| !unknown(problem));
        own.filter_map(|(field, _)| inside(field).filter(|name| names.contains(name))).collect()
    };
    let mut found = ask("", "");
    for table in found.clone() {
        let inner: BTreeSet<String> = ask(&format!("[{table}]"), &table)
            .into_iter()
            .chain(ask(&format!("[[{table}]]"), &table))
            .collect();
        for field in &inner {
            found.insert(format!("{table}.{field}"));
            let path = format!("{table}.{field}");
            // A table whose fields have names of the operator's choice.
            if field != "groups" {
                let deeper = ask(&format!("[{path}]"), &path).into_iter();
                let listed = ask(&format!("[[{path}]]"), &path);
                found.extend(deeper.chain(listed).map(|name| format!("{path}.{name}")));
            }
        }
    }
    found
}

/// The fields that a sample explains or shows.
fn shown(sample: &str) -> BTreeSet<String> {
    let mut shown = BTreeSet::new();
    let mut table = String::new();
    for line in sample.lines() {
        if let Some(head) = head(line) {
            head.clone_into(&mut table);
            shown.insert(table.clone());
        }
        // `name = `, wherever it stands: in an example, or in a table on one line.
        for (at, _) in line.match_indices(" = ") {
            let name = line.split_at(at).0.rsplit([' ', '{', '(', '#', ',']).next().unwrap_or_default();
            let path = if table.is_empty() { name.to_owned() } else { format!("{table}.{name}") };
            shown.insert(path);
        }
    }
    shown
}

/// Fields that stand elsewhere than where they are asked for: the table, and the one that explains them.
const ELSEWHERE: &[(&str, &str)] = &[
    // "The key is in a file, or where [issuing_key] can have it."
    ("previous_ca.", "issuing_key."),
    ("issuing_key.tpm.", "issuing_key."),
    ("previous_ca.tpm.", "issuing_key."),
    // "What one does not say is as in [broker]."
    ("brokers.", "broker."),
];

/// Fields that the parser knows and the sample does not show.
fn missing(file: &File, sample: &str) -> Vec<String> {
    let shown = shown(sample);
    let elsewhere = |field: &str| {
        ELSEWHERE
            .iter()
            .filter_map(|(table, home)| Some(format!("{home}{}", field.strip_prefix(table)?)))
            .any(|field| shown.contains(&field))
    };
    let known = known(file, &candidates(file));
    assert!(known.len() > 15, "hardly a field was found in {}: {known:?}", file.name);
    // A table whose fields have names of the operator's choice is shown by its head.
    let by_head = |field: &str| sample.contains(&format!("[{field}"));
    known.into_iter().filter(|field| !shown.contains(field) && !elsewhere(field) && !by_head(field)).collect()
}

#[test]
fn configuration_is_as_the_code_says() {
    let path = repository().join("docs/configuration.md");
    let made = page();
    if std::env::var_os("UPDATE_BOOK").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let differs = written.lines().zip(made.lines()).find(|(written, made)| written != made);
    assert!(
        written == made,
        "docs/configuration.md is not what the code says, from {differs:?}; to write it anew: UPDATE_BOOK=1 cargo test -p \
         tests --test book configuration"
    );
}

#[test]
fn no_setting_is_missing() {
    for file in &FILES {
        assert_eq!(missing(file, file.sample), Vec::<String>::new(), "{}", file.name);
    }
    // Planted: a sample that forgets some.
    for (index, line, field) in [
        (0, "busy_retry = \"5s\"", "busy_retry"),
        (0, "group_rate = \"off\"", "limits.group_rate"),
        (0, "# severity = \"warning\"", "webhook.severity"),
        (1, "# minimum_firmware = \"1.2.0\"", "model.minimum_firmware"),
        (2, "least = \"1h\"", "validity.least"),
    ] {
        let file = &FILES[index];
        assert!(file.sample.contains(line), "{line}");
        assert_eq!(missing(file, &file.sample.replace(line, "")), [field], "{line} was taken away");
    }
}
