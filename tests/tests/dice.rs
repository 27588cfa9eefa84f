//! DICE through the real server: a device enrolls by its layered chain, and each fault is refused by its code.

use firmware_sim::factory::{Evidence, Maker};
use tests::harness::matrix::{self, DICE_LAYERS, DICE_MODEL, DiceSubject, Spoil};
use tests::harness::{Wishes, World, now};

#[test]
fn evidence_by_dice_is_refused_for_each_fault() {
    let world = World::new(Wishes::default());
    let maker = Maker::above("Dice Devices", DICE_LAYERS, now()).expect("a maker");
    let (subject, other) = (DiceSubject::new("DICE-1", &maker), DiceSubject::new("DICE-2", &maker));
    let file = |name: &str, text: &str| {
        std::fs::write(world.path(name), text).expect("to write a file of the test");
        world.path(name).display().to_string()
    };
    let pem = file("dice-maker.pem", &maker.certificate_pem());
    assert_eq!(world.server_json(&["maker", "add", &pem])["name"], "Dice Devices device CA");
    let inventory = format!("device,model,idevid_sha256\n{}{}", subject.inventory(), other.inventory());
    let csv = file("dice.csv", &inventory);
    assert_eq!(world.server_json(&["device", "import", &csv])["added"], 2);
    file(
        "server/policy.toml",
        &format!(
            "[evidence]\nkinds = [\"dice\"]\n[firmware]\ncomponents = [\"bootloader\", \"application\"]\n\
             [[model]]\nname = {DICE_MODEL:?}\nminimum_firmware = \"1.0.0\"\n{}",
            DiceSubject::reference_values()
        ),
    );
    let _server = world.serve();
    let mut rows = 0;
    matrix::run(&world, &subject, &other, |_, _, _, _| rows += 1);
    assert_eq!(rows, Spoil::ALL.len(), "a DICE chain can have every fault");
    // The root is pinned: a second root under the same name is a clone.
    let clone = DiceSubject::new("DICE-1", &maker);
    let (csr, challenged) = (tests::harness::Csr::new(), matrix::challenge(&world, &clone));
    let presented = matrix::Subject::present(&clone, &challenged, &csr, None);
    let request = matrix::request(&clone, &csr, &challenged.nonce, &presented);
    let reply = tests::harness::post(&world, shared::endpoint::ENROLL, &request);
    let answer = reply.answer();
    let shared::message::latest::Outcome::Rejected(rejected) = answer.outcome else { panic!("{reply:?}") };
    assert_eq!(rejected.reject(), Some(shared::Reject::IdentityConflict));
}

#[test]
fn a_dice_device_enrolls_on_linux_and_on_the_bare_metal_stack_and_not_with_changed_firmware() {
    let world = World::new(Wishes { devices: 3, evidence: Evidence::Dice, ..Wishes::default() });
    let [linux, bare, changed] = world.devices.as_slice() else { panic!("three devices") };
    let _server = world.serve();
    let _enrolled = world.agent(linux, &["enroll"]).success();
    let serial = world.agent_status(linux)["identity"]["serial"].as_str().expect("a serial").to_owned();
    let shown = world.server_json(&["cert", "show", &serial]);
    assert_eq!(shown["evidence"]["kind"], "dice", "{shown}");

    let device = |id: &str| {
        let mut sim = std::process::Command::new(tests::harness::binary("firmware-sim"));
        sim.arg("device").arg("--dir").arg(world.path(&format!("lot/devices/{id}"))).arg("--enroll");
        tests::harness::run(&mut sim)
    };
    let _enrolled = device(bare).success();
    // Another application: other keys, other certificates, and no identity.
    let settings = format!("lot/devices/{changed}/device.toml");
    let text = world.text(&settings);
    let digest = text.rsplit("digest = \"").next().expect("a digest").get(..128).expect("SHA-512").to_owned();
    let spoiled = text.replace(&digest, &"ab".repeat(64));
    assert_ne!(text, spoiled);
    std::fs::write(world.path(&settings), spoiled).expect("to change the firmware");
    let refused = device(changed);
    assert!(!refused.status.success(), "{refused:?}");
    assert!(refused.stdout.contains("firmware-unknown"), "{refused:?}");
    // The record is written a moment after the answer.
    tests::harness::until("a record of what refused the changed firmware", || {
        let recorded = world.server(&["policy", "explain", "--device", changed, "--json"]);
        let recorded: serde_json::Value = serde_json::from_str(&recorded.stdout).ok()?;
        (recorded[0]["rule"] == "measurements").then_some(())
    });
}
