//! The README tells the truth: its way by hand can be walked, the demonstration prints what is shown, its scripts can be
//! run. Its commands and links are held by `book`.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use tests::harness::{binary, run};
use tests::page::{Page, commands, repository};
use tests::walk::{Stage, pattern};

#[test]
fn the_way_by_hand_can_be_walked() {
    let readme = Page::load("README.md");
    let blocks = readme.blocks("sh");
    let [block] =
        *blocks.into_iter().filter(|block| block.contains("enroll-server init")).collect::<Vec<_>>()
    else {
        panic!("one block shows the way by hand");
    };
    // All as it stands, but for the build, which is there. The last command goes on for ever.
    let (build, rest) = block.split_once('\n').unwrap();
    assert!(build.starts_with("cargo build --release && export PATH="), "{build}");
    let way = Page::of("README.md", &format!("```sh\n{} &\n```\n", rest.trim_end()));
    let stage = Stage::new();
    let walk = stage.walk(&way);
    walk.wait_for_text("the broker accepted the identity");
    walk.wait_for_text("telemetry published");
}

#[test]
fn the_demonstration_prints_what_is_shown() {
    let readme = Page::load("README.md");
    let [shown] =
        *readme.blocks("text").into_iter().filter(|block| block.contains("Broker")).collect::<Vec<_>>()
    else {
        panic!("one block shows what the demonstration prints");
    };
    let printed = run(Command::new(binary("firmware-sim")).arg("demo")).success();
    let printed: BTreeSet<String> = printed.lines().map(pattern).collect();
    let mut compared = 0;
    // Rows of the table differ in each run.
    for line in shown.lines().filter(|line| !line.contains("SN-") && !line.contains("│ ...")) {
        assert!(printed.contains(&pattern(line)), "not printed: {line}\nprinted: {printed:#?}");
        compared += 1;
    }
    assert!(compared > 10, "{shown}");
}

#[test]
fn its_scripts_can_be_run() {
    let readme = Page::load("README.md");
    let scripts: Vec<_> =
        readme.blocks("sh").into_iter().flat_map(commands).filter(|c| c.0[0].starts_with("./")).collect();
    assert!(!scripts.is_empty());
    for script in scripts {
        assert!(fs::metadata(repository().join(&script.0[0])).unwrap().is_file());
        let _parsed = run(Command::new("bash").arg("-n").arg(repository().join(&script.0[0]))).success();
    }
}
