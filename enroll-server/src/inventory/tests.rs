//! Files as makers send them, and as they break.

use core::ops::ControlFlow;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use shared::{DeviceId, UnixTime};

use super::cell::guarded;
use super::{BadRow, ImportError, ImportOptions, ImportSummary, MAX_ROW, Progress, Reader, parse, run};
use crate::store::{Action, DeviceFilter, Page, Selection, SqlStore, SqliteOptions, Store};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

fn key(byte: u8) -> String {
    hex::encode([byte; 32])
}

/// Every row of a text: the line, and the device or the column and reason.
fn rows(text: &[u8]) -> Vec<(u64, Result<String, BadRow>)> {
    let mut reader = Reader::open(Cursor::new(text), None).unwrap().unwrap();
    let mut found = Vec::new();
    while let Some(row) = reader.next_row().unwrap() {
        found.push((row.line, row.entry.map(|entry| entry.device.to_string())));
    }
    assert_eq!(reader.position().bytes, text.len() as u64);
    found
}

#[test]
fn fields_may_be_empty_and_mistakes_have_lines() {
    let good = format!("device,model,idevid_sha256\nSN-1,sensor-a,{}\n\nSN-2,,\r\n", key(0xab));
    let entries = parse(&good).unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0].idevid_sha256, Some([0xab; 32]));
    assert_eq!(entries[1].model, None);
    for (bad, line, column) in [
        ("model,group\na,b", 1, ""),
        ("", 1, ""),
        ("device,colour\nSN-1,red", 1, ""),
        ("device,device\nSN-1,SN-1", 1, ""),
        ("device,model,idevid_sha256\nSN-1,a", 2, ""),
        ("device,model,idevid_sha256\nSN-1,a,\nS N,a,", 3, "device"),
        ("device,model,idevid_sha256\nSN-1,a,abc", 2, "idevid_sha256"),
        ("device,model,idevid_sha256\nSN-1,,\nSN-1,,", 3, "device"),
        ("device,model\n,a", 2, "device"),
        ("device,group\nSN-1,No", 2, "group"),
        ("device,tags\nSN-1,a b ü", 2, "tags"),
        ("device,model\nSN-1,\"a", 2, ""),
        ("{\"device\":\"SN-1\"}\n{\"device\":1}", 2, "device"),
        ("{\"device\":\"SN-1\"}\n{\"colour\":\"red\"}", 2, ""),
        ("{\"device\":\"SN-1\"}\n[1]", 2, ""),
        ("{\"device\":\"SN-1\"}\n{", 2, ""),
        ("{\"device\":\"SN-1\",\"tags\":[1]}", 1, "tags"),
    ] {
        let found = parse(bad).unwrap_err();
        assert_eq!((found.line, found.column), (line, column), "{bad:?}: {found}");
    }
}

#[test]
fn columns_stand_in_any_order_and_identities_have_many_names() {
    let csv = format!(
        "\u{feff}Tags,GROUP,ek_sha256,device,state\r\n\"a, b;c\",lot-7,{},\"SN-1\",enrolled\r\n,,,SN-2,\r\n",
        key(1)
    );
    let entries = parse(&csv).unwrap();
    let tags: Vec<_> = entries[0].tags.iter().map(crate::store::Tag::as_str).collect();
    assert_eq!((tags.as_slice(), entries[0].idevid_sha256), (&["a", "b", "c"][..], Some([1; 32])));
    assert_eq!(entries[0].group.as_ref().unwrap().as_str(), "lot-7");
    assert_eq!((entries[1].group.as_ref(), entries[1].tags.len()), (None, 0));
    let json = format!(
        "{{\"device\":\"SN-1\",\"instance_id\":\"01{}\",\"tags\":[\"a\"],\"model\":null,\"added\":5}}\n\
         {{\"device\":\"SN-2\",\"tags\":\"a b\"}}",
        key(1)
    );
    let entries = parse(&json).unwrap();
    assert_eq!((entries[0].idevid_sha256, entries[0].tags.len()), (Some([1; 32]), 1));
    assert_eq!(entries[1].tags.len(), 2);
    let two = format!("device,ek_sha256,dice_sha256\nSN-1,{},{}\nSN-2,{},{}", key(1), key(1), key(1), key(2));
    assert_eq!(parse(&two).unwrap_err().line, 3, "two identities that are not one");
}

#[test]
fn a_line_may_end_inside_of_quotes_and_a_row_has_its_limit() {
    let found = rows(b"device,model\n\"SN-1\",\"a\n\nb\"\nSN-2,b\nSN-3,\"say \"\"hi\"\"\"\n");
    let lines: Vec<_> = found.iter().map(|(line, entry)| (*line, entry.is_ok())).collect();
    assert_eq!(lines, [(2, false), (5, true), (6, true)], "a line break is a control character of a model");
    let long = format!("device,model\nSN-1,{}\nSN-2,b\nSN-3,\"{}\n", "x".repeat(MAX_ROW), "y\n".repeat(9));
    let found = rows(long.as_bytes());
    assert_eq!(found.len(), 3);
    assert!(found[0].1.as_ref().unwrap_err().reason.contains("longer than"));
    assert_eq!(found[1], (3, Ok("SN-2".to_owned())));
    assert!(found[2].1.as_ref().unwrap_err().reason.contains("not closed"));
    assert!(rows(b"device\n\xff\xfe\n")[0].1.is_err(), "no UTF-8");
    let many = "device".to_owned() + &",model".repeat(70);
    assert!(parse(&many).is_err());
}

proptest! {
    #[test]
    fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), head in 0..3_usize) {
        let front = [&b"device,model,tags\n"[..], b"{\"device\":", b""][head];
        let text = [front, &bytes].concat();
        if let Ok(mut reader) = Reader::open(Cursor::new(&text), None).unwrap() {
            while reader.next_row().unwrap().is_some() {}
            prop_assert_eq!(reader.position().bytes, text.len() as u64);
        }
    }

    /// What stands in quotes by the rules of RFC 4180, and behind an apostrophe where it has to, comes out as it went in, and lines are counted right.
    #[test]
    fn a_file_reads_as_it_was_written(models in prop::collection::vec("[ -~]{0,20}", 1..20)) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["model", "device"]).unwrap();
        for (number, model) in models.iter().enumerate() {
            writer.write_record([&*guarded(model.trim()), &*format!("SN-{number}")]).unwrap();
        }
        let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        let entries = parse(&text).unwrap();
        prop_assert_eq!(entries.len(), models.len());
        for (entry, model) in entries.iter().zip(&models) {
            prop_assert_eq!(entry.model.as_deref().unwrap_or_default(), model.trim());
        }
    }

    /// To go on at any row's position gives the rest, with the same lines.
    #[test]
    fn a_position_is_a_place_to_go_on(models in prop::collection::vec("[a-z\"\n,]{0,9}", 1..9), at in 0..9_usize) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["device", "model"]).unwrap();
        for (number, model) in models.iter().enumerate() {
            writer.write_record([format!("SN-{number}"), model.clone()]).unwrap();
        }
        let text = writer.into_inner().unwrap();
        let all = rows(&text);
        let mut reader = Reader::open(Cursor::new(&text), None).unwrap().unwrap();
        let skipped = at.min(all.len());
        for _ in 0..skipped {
            reader.next_row().unwrap();
        }
        let mut rest = Reader::open(Cursor::new(&text), Some(reader.position())).unwrap().unwrap();
        for expected in &all[skipped..] {
            let found = rest.next_row().unwrap().unwrap();
            prop_assert_eq!((found.line, found.entry.map(|entry| entry.device.to_string())), expected.clone());
        }
        prop_assert!(rest.next_row().unwrap().is_none());
    }
}

struct Bench {
    folder: tempfile::TempDir,
    store: Arc<SqlStore>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqlStore::sqlite(&SqliteOptions::new(&folder.path().join("s.sqlite"))).unwrap();
        Self { folder, store: Arc::new(store) }
    }

    fn file(&self, text: &str) -> std::path::PathBuf {
        let path = self.folder.path().join("inventory");
        std::fs::write(&path, text).unwrap();
        path
    }

    async fn import(&self, path: &Path, options: ImportOptions) -> Result<ImportSummary, ImportError> {
        run(self.store.as_ref(), NOW, path, &options, &mut |_| ControlFlow::Continue(())).await
    }

    async fn devices(&self) -> Vec<String> {
        let all = self.store.devices(DeviceFilter::default(), Page::first(1_000)).await.unwrap();
        assert_eq!(all.next, None);
        all.devices.iter().map(|device| device.device.to_string()).collect()
    }
}

#[tokio::test]
async fn one_bad_row_keeps_the_file_out_and_is_named_unless_it_is_skipped() {
    let bench = Bench::new();
    let path = bench.file("device,model\nSN-1,a\nS N,a\nSN-2,a\nSN-1,b\nSN-3,\n");
    let report = bench.folder.path().join("bad.csv");
    let options = ImportOptions { report: Some(report.clone()), ..ImportOptions::default() };
    let Err(ImportError::BadRows { count: 2, first, .. }) = bench.import(&path, options).await else {
        panic!("imported")
    };
    assert_eq!((first[0].line, first[0].column), (3, "device"));
    assert_eq!(first[1].to_string(), "line 5, device: SN-1 stands on line 2 already");
    let written = std::fs::read_to_string(&report).unwrap();
    let lines: Vec<_> = written.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, "line,column,reason"));
    assert!(lines[1].starts_with("3,device,"), "{written}");
    assert!(bench.devices().await.is_empty());

    let report = bench.folder.path().join("bad.json");
    let options = ImportOptions { skip_bad: true, report: Some(report.clone()), ..ImportOptions::default() };
    let summary = bench.import(&path, options).await.unwrap();
    let counts = summary.counts;
    assert_eq!((counts.added, counts.bad, counts.conflicting), (3, 1, 1));
    assert_eq!(bench.devices().await, ["SN-1", "SN-2", "SN-3"]);
    let written = std::fs::read_to_string(&report).unwrap();
    let rows: Vec<serde_json::Value> =
        written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&rows[0]["line"], &rows[1]["column"]), (&3.into(), &"model".into()));
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_and_changes_nothing() {
    let bench = Bench::new();
    bench.import(&bench.file("device,model\nSN-1,a\nSN-2,\n"), ImportOptions::default()).await.unwrap();
    let path = bench.file("device,model\nSN-1,b\nSN-2,a\nSN-3,a\nSN-1,b\nx y,\n");
    let dry = ImportOptions { dry_run: true, chunk: 2, ..ImportOptions::default() };
    let summary = bench.import(&path, dry).await.unwrap();
    let counts = summary.counts;
    assert_eq!((counts.added, counts.completed, counts.conflicting, counts.bad), (1, 1, 1, 2));
    assert!(summary.dry_run);
    assert_eq!(bench.devices().await, ["SN-1", "SN-2"]);
    assert_eq!(bench.store.device(&DeviceId::new("SN-2").unwrap()).await.unwrap().unwrap().model, None);
}

#[tokio::test]
async fn an_interrupted_import_goes_on_where_it_stopped() {
    let bench = Bench::new();
    let text: String = (0..95).map(|number| format!("SN-{number:02},a\n")).collect();
    let path = bench.file(&format!("device,model\n{text}"));
    let options = ImportOptions { chunk: 10, ..ImportOptions::default() };
    let mut chunks = 0;
    let mut watch = |progress: Progress| {
        chunks += u32::from(progress.step == "importing");
        if chunks == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let stopped = run(bench.store.as_ref(), NOW, &path, &options, &mut watch).await;
    assert!(matches!(stopped, Err(ImportError::Interrupted { line: 31 })), "{stopped:?}");
    assert_eq!(bench.devices().await.len(), 30);
    // What was imported is not looked at again: here it would be in conflict.
    let one = Selection::One(DeviceId::new("SN-00").unwrap());
    bench.store.act(one, Action::Retire, Page::first(1), NOW).await.unwrap();
    let resume = ImportOptions { resume: true, chunk: 10, ..ImportOptions::default() };
    let summary = bench.import(&path, resume.clone()).await.unwrap();
    assert_eq!((summary.resumed_after, summary.counts.added, summary.counts.unchanged), (Some(31), 95, 0));
    assert_eq!(bench.devices().await.len(), 95);
    let again = bench.import(&path, resume.clone()).await.unwrap();
    assert_eq!((again.resumed_after, again.counts), (Some(96), summary.counts), "it is at its end");
    // Another file, or this one changed, is not gone on with.
    std::fs::write(&path, format!("device,model\n{text}SN-99,a\n")).unwrap();
    let changed = bench.import(&path, resume).await.unwrap();
    assert_eq!((changed.resumed_after, changed.counts.added, changed.counts.unchanged), (None, 1, 95));
    let imported = bench.store.events(crate::store::EventQuery::last(10)).await.unwrap();
    assert_eq!(imported.iter().filter(|event| event.kind == "imported").count(), 2, "once a whole import");
}

#[tokio::test]
async fn groups_and_tags_come_with_new_devices_and_move_none_that_has_begun_its_life() {
    let bench = Bench::new();
    let options = ImportOptions::default();
    bench.import(&bench.file("device\nSN-1\nSN-2\n"), options.clone()).await.unwrap();
    let path = bench.file("device,group,tags\nSN-1,lot-7,a b\nSN-3,lot-8,\n");
    let summary = bench.import(&path, options.clone()).await.unwrap();
    assert_eq!((summary.counts.completed, summary.counts.added), (1, 1));
    let found = bench.store.device(&DeviceId::new("SN-1").unwrap()).await.unwrap().unwrap();
    assert_eq!((found.group.as_str(), found.tags.len()), ("lot-7", 2));
    let summary = bench.import(&bench.file("device,group\nSN-1,lot-9\n"), options).await.unwrap();
    assert_eq!((summary.counts.conflicting, summary.first[0].column), (1, "group"));
}
