//! `reference`.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use appraisal::policy::KnownGood;
use indicatif::ProgressBar;
use reference_values::{Authority, NoteKind, Notes};
use serde_json::json;

use super::args::{Reference, ReferenceFile};
use super::failure::Failure;
use super::output::{Output, or_dash};
use crate::admin::{Admin, ReferenceImport, ReferenceReport};
use crate::store::ReferenceSetRow;

pub(super) async fn run(admin: Admin, command: Reference, output: &Output) -> Result<(), Failure> {
    match command {
        Reference::Import(file) => import(&admin, file, output).await?,
        Reference::List { all } => output.list(
            &admin.reference_sets(all).await?,
            "There are no reference values: import some with `enroll-server reference import`.",
            ["Maker", "Set", "Version", "State", "Values", "Signed by", "Until", "Imported"],
            |set| {
                [
                    set.maker.clone(),
                    set.name.clone(),
                    set.version.to_string(),
                    set.state.name().to_owned(),
                    set.values.to_string(),
                    signed_by(set),
                    or_dash(set.not_after),
                    set.imported.to_string(),
                ]
            },
        ),
        Reference::Show { set, maker, count } => {
            let (set, values) = admin.reference_set(&set, maker.as_deref(), count).await?;
            show(&set, &values, output);
        }
        Reference::Withdraw { set, maker, reason } => {
            let set = admin.withdraw_reference(&set, maker.as_deref(), &reason).await?;
            let value = json!({ "withdrawn": set.name, "version": set.version, "maker": set.maker });
            output.result(&value, || {
                format!(
                    "\"{}\" version {} of maker \"{}\" is withdrawn: its {} values do not count any more.",
                    set.name, set.version, set.maker, set.values
                )
            });
        }
        Reference::Find { digest } => {
            let found = admin.find_reference(&digest).await?;
            let rows: Vec<_> = found
                .iter()
                .map(|(set, known)| {
                    let mut value = value_json(known);
                    if let Some(fields) = value.as_object_mut() {
                        fields.insert("set".to_owned(), json!(set));
                    }
                    value
                })
                .collect();
            output.result(&rows, || {
                let line = |(set, known): &(ReferenceSetRow, KnownGood)| {
                    let known = value_text(known);
                    let (state, name, version) = (set.state.name(), &set.name, set.version);
                    format!("{state}: \"{name}\" version {version} of maker \"{}\": {known}", set.maker)
                };
                let lines: Vec<_> = found.iter().map(line).collect();
                if lines.is_empty() { "No imported set has this digest.".into() } else { lines.join("\n") }
            });
        }
    }
    Ok(())
}

async fn import(admin: &Admin, file: ReferenceFile, output: &Output) -> Result<(), Failure> {
    let progress = spinner();
    progress.set_message(format!("reading {}", file.file.display()));
    let bytes = bytes(&file.file)?;
    let signature = file.signature.as_deref().map(self::bytes).transpose()?;
    let default_set = file.file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    progress.set_message(format!("checking and importing {} bytes", bytes.len()));
    let imported = admin
        .import_reference(ReferenceImport {
            bytes,
            signature,
            maker: file.maker,
            unsigned: file.unsigned,
            set: file.set,
            default_set: default_set.unwrap_or_default(),
            release: file.release,
            force: file.force,
            dry_run: file.dry_run,
        })
        .await;
    progress.finish_and_clear();
    let report = imported?;
    output.result(&report.to_json(), || report_text(&report));
    Ok(())
}

/// Shows on a terminal that something is going on; elsewhere nothing.
fn spinner() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let spinner = ProgressBar::new_spinner();
    spinner.enable_steady_tick(core::time::Duration::from_millis(120));
    spinner
}

/// Reads a file that need not be text; what is too long is refused before it is read.
fn bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    let unreadable = |source| Failure::Unreadable { path: PathBuf::from(path), source };
    let mut bytes = Vec::new();
    let limit = u64::try_from(reference_values::MAX_LIST).unwrap_or(u64::MAX).saturating_add(1);
    std::fs::File::open(path).map_err(unreadable)?.take(limit).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

fn report_text(report: &ReferenceReport) -> String {
    let (release, manifest) = (&report.release, report.release.manifest());
    let by = match release.authority() {
        Authority::Operator => "not signed".into(),
        Authority::Key { sha256 } => format!("signed with the release key {}", hex::encode(sha256)),
        Authority::Certificate { subject, .. } => format!("signed by {subject}"),
    };
    let verb = if report.dry_run { "Would import" } else { "Imported" };
    let mut text = format!("{verb} for devices of maker \"{}\", {by}:", release.maker());
    for set in &report.sets {
        let replaces = set.replaces.map(|version| format!(" version {version}")).unwrap_or_default();
        let (name, version, change) = (&set.name, set.version, set.change.name());
        text += &format!("\n  \"{name}\" version {version}: {} values, {change}{replaces}", set.values);
    }
    let about = [
        ("Manifest", manifest.id.clone()),
        ("Profile", manifest.profile.clone()),
        ("Made by", (!manifest.entities.is_empty()).then(|| manifest.entities.join(", "))),
        ("Vendors", (!manifest.vendors.is_empty()).then(|| manifest.vendors.join(", "))),
        ("From", manifest.validity.not_before.map(|time| time.to_string())),
        ("Until", manifest.validity.not_after.map(|time| time.to_string())),
    ];
    for (name, value) in about {
        if let Some(value) = value {
            text += &format!("\n{name}: {value}");
        }
    }
    text + &notes_text(&manifest.notes)
}

/// What was left out, in words; nothing where nothing was.
pub(super) fn notes_text(notes: &Notes) -> String {
    let mut text = String::new();
    for (kind, title) in [
        (NoteKind::NotTaken, "Not taken"),
        (NoteKind::NotCompared, "Taken, but not compared"),
        (NoteKind::Information, "For information"),
    ] {
        let mut of_kind = notes.list().iter().filter(|note| note.kind == kind).peekable();
        if of_kind.peek().is_some() {
            text += &format!("\n{title}:");
        }
        for note in of_kind {
            text += &format!("\n  {}: {}", note.place, note.what);
        }
    }
    if notes.more() > 0 {
        text += &format!("\nand {} notes more", notes.more());
    }
    text
}

fn signed_by(set: &ReferenceSetRow) -> String {
    match (&set.signer, set.signer_sha256) {
        (Some(subject), _) => subject.clone(),
        // Enough to tell keys apart; `show` has all of it.
        (None, Some(sha256)) => hex::encode(sha256).chars().take(16).collect(),
        (None, None) => "-".to_owned(),
    }
}

fn show(set: &ReferenceSetRow, values: &[KnownGood], output: &Output) {
    let mut value = serde_json::to_value(set).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.insert("known_good".to_owned(), values.iter().map(value_json).collect());
    }
    output.result(&value, || {
        let signer = match (&set.signer, set.signer_sha256) {
            (subject, Some(sha256)) => {
                let subject = subject.as_ref().map(|subject| format!("{subject}, ")).unwrap_or_default();
                format!("{subject}key {}", hex::encode(sha256))
            }
            (_, None) => "nobody".to_owned(),
        };
        let mut text = format!(
            "Maker:     {}\nSet:       {}\nVersion:   {}\nState:     {}\nSigned by: {signer}\n\
             From:      {}\nUntil:     {}\nImported:  {}\nFormat:    {}\nManifest:  {}\nProfile:   {}\n\
             File:      {}\nValues:    {}",
            set.maker,
            set.name,
            set.version,
            set.state.name(),
            or_dash(set.not_before),
            or_dash(set.not_after),
            set.imported,
            set.format,
            or_dash(set.manifest.as_ref()),
            or_dash(set.profile.as_ref()),
            hex::encode(set.file_sha256),
            set.values,
        );
        for known in values {
            text += &format!("\n  {}", value_text(known));
        }
        let more = set.values.saturating_sub(u64::try_from(values.len()).unwrap_or(u64::MAX));
        if more > 0 {
            text += &format!("\n  and {more} more: --count shows them");
        }
        text
    });
}

fn value_json(known: &KnownGood) -> serde_json::Value {
    json!({
        "model": known.model,
        "instance": known.instance.map(hex::encode),
        "implementation_id": known.implementation_id.map(hex::encode),
        "component": known.component,
        "version": known.version,
        "digest": hex::encode(&known.digest),
        "signer": known.signer.as_ref().map(hex::encode),
    })
}

fn value_text(known: &KnownGood) -> String {
    let mut text = known.component.clone();
    if let Some(version) = &known.version {
        text += &format!(" {version}");
    }
    if let Some(model) = &known.model {
        text += &format!(" of {model}");
    }
    if let Some(id) = known.implementation_id {
        text += &format!(" of implementation {}", hex::encode(id));
    }
    if let Some(id) = known.instance {
        text += &format!(" on device {}", hex::encode(id));
    }
    text += &format!(" {}", hex::encode(&known.digest));
    if let Some(signer) = &known.signer {
        text += &format!(" signed by {}", hex::encode(signer));
    }
    text
}
