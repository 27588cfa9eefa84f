//! Pages whose shell blocks are run, block by block, as they stand.

use tests::page::Page;
use tests::walk::Stage;

#[test]
fn the_quick_start_ends_with_a_connected_device() {
    let page = Page::load("docs/quick-start.md");
    let walk = Stage::new().walk(&page);
    let all: core::time::Duration = walk.steps.iter().map(|(_, took)| *took).sum();
    #[expect(clippy::print_stdout, reason = "the time that a newcomer waits after the build")]
    {
        println!("after the build, {:.1} s in all", all.as_secs_f64());
        for (step, took) in &walk.steps {
            println!("{:6.1} s  {step}", took.as_secs_f64());
        }
    }
    assert!(walk.steps.len() >= 7, "{:?}", walk.steps);
}

#[test]
fn operations_do_what_the_page_says() {
    let (stage, devices) = service(5);
    let stage = stage.with("DEVICE", &devices[2]);
    let server = Service(&stage);
    server.enroll(&devices[0]);

    let page = Page::load("docs/operations.md");
    let walk = stage.walk_with(&page, |block| {
        if block.text.contains("rm -f store.sqlite") {
            server.enroll(&devices[1]);
            server.tell(&format!("device revoke {} --reason key-compromise", devices[0]));
            server.until_logged();
        } else if block.text.contains("/lost") {
            server.enroll(&devices[2]);
            server.until_logged();
        } else if block.text.starts_with("systemctl restart") {
            // What the page says of the restored server: nothing that was answered is lost, and it goes on.
            let listed = server.tell("cert list");
            assert!(devices[..3].iter().all(|device| listed.contains(device.as_str())), "{listed}");
            server.enroll(&devices[3]);
        } else if block.text.starts_with("enroll-server audit verify\nenroll-server event list") {
            // After the retirement: a new device of the old trust bundle enrolls, below the new root.
            server.enroll(&devices[4]);
            let status = server.tell("ca status");
            assert!(status.contains("1 live certificates, new"), "{status}");
        }
    });
    let authorities = std::fs::read(stage.path("var/lib/enroll-server/server/authorities.pem")).unwrap();
    let retired = std::fs::read(stage.path("var/lib/enroll-server/lost/root-ca.crt")).unwrap();
    let authorities = ca::pem::read_certificates(&authorities).unwrap();
    let retired = ca::pem::read_certificates(&retired).unwrap();
    assert!(!authorities.contains(&retired[0]), "the old root is still given to brokers");
    assert!(walk.steps.len() > 12, "{:?}", walk.steps);
}

/// A service that runs, with the root's keys elsewhere and a lot of devices that may enroll.
fn service(devices: u32) -> (Stage, Vec<String>) {
    let stage = Stage::new().as_service();
    stage.run(&format!(
        "enroll-server init --dir var/lib/enroll-server/server --tenant Acme --host localhost
         mv var/lib/enroll-server/server/root-ca.key var/lib/enroll-server/server/trust-signer.key /media/stick
         firmware-sim factory --dir lot --count {devices} --server localhost:8443 \
             --trust var/lib/enroll-server/server/trust.bundle
         export ENROLL_SERVER_CONFIG=var/lib/enroll-server/server/enroll-server.toml
         enroll-server maker add lot/maker/maker-ca.pem
         enroll-server device import lot/inventory.csv
         cat lot/reference-values.toml >>var/lib/enroll-server/server/policy.toml
         systemctl start enroll-server >/dev/null 2>&1"
    ));
    let entries = std::fs::read_dir(stage.path("lot/devices")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    (stage, names)
}

/// The settings of the service, as its administrator has them in the environment.
const SETTINGS: (&str, &str) = ("ENROLL_SERVER_CONFIG", "/var/lib/enroll-server/server/enroll-server.toml");

#[test]
fn the_guide_for_manufacturing_ends_with_a_device_of_ones_own_maker() {
    let (stage, _) = service(1);
    let stage = stage.with(SETTINGS.0, SETTINGS.1);
    let walk = stage.walk(&Page::load("docs/guide-manufacturing.md"));
    assert!(walk.steps.len() >= 6, "{:?}", walk.steps);
    let listed = Service(&stage).tell("device list");
    assert!(listed.contains("SN-1001") && listed.contains("retired"), "{listed}");
}

#[test]
fn the_guide_for_platforms_ends_with_a_service() {
    let stage = Stage::new().as_service();
    let walk = stage.walk(&Page::load("docs/guide-platform.md"));
    assert!(walk.steps.len() >= 5, "{:?}", walk.steps);
}

#[test]
fn the_guide_for_security_shows_what_it_says() {
    let (stage, devices) = service(1);
    let stage = stage.with("DEVICE", &devices[0]);
    Service(&stage).enroll(&devices[0]);
    Service(&stage).until_logged();
    let walk = stage.walk(&Page::load("docs/guide-security.md"));
    let printed = walk.output();
    let (_, keys) = printed.split_once("== docs/guide-security.md").unwrap();
    let loose = keys.lines().find(|line| line.starts_with("./") && line.ends_with(".key"));
    assert_eq!(loose, None, "a key that others can read");
}

#[test]
fn the_guide_for_firmware_ends_with_a_device() {
    let (stage, _) = service(1);
    stage.run("rm -r lot");
    let walk = stage.walk(&Page::load("docs/guide-firmware.md"));
    assert!(walk.output().contains("the first identity is issued"));
}

/// The server that `systemctl` runs on a stage.
struct Service<'s>(&'s Stage);

impl Service<'_> {
    fn tell(&self, command: &str) -> String {
        self.0
            .run(&format!("enroll-server --config var/lib/enroll-server/server/enroll-server.toml {command}"))
    }

    fn enroll(&self, device: &str) {
        let printed = self.0.run(&format!("firmware-sim device --dir lot/devices/{device} --enroll"));
        assert!(printed.contains("the first identity is issued"), "{printed}");
    }

    /// Until everything is in a checkpoint.
    fn until_logged(&self) {
        tests::harness::until("a checkpoint of everything", || {
            self.tell("audit verify").contains("; 0 leaves wait").then_some(())
        });
    }
}

#[test]
fn a_backup_of_postgresql_is_restored_as_the_page_says() {
    let page = Page::load("docs/operations.md");
    let blocks = page.fenced();
    let block = blocks.iter().find(|block| block.text.starts_with("pg_dump ")).unwrap();
    assert_eq!(block.mark, "test: tests/tests/book/walks.rs");
    let (dump, restore) = block.text.split_once('\n').unwrap();

    let server = postgres_server::PostgresServer::start().unwrap();
    let address = server.database().unwrap();
    let stage = Stage::new().as_service().with("DATABASE", &address);
    stage.run("enroll-server init --dir var/lib/enroll-server/server --tenant Acme --host localhost");
    let settings = stage.path("var/lib/enroll-server/server/enroll-server.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    let store = format!("[store]\npostgres = {:?}", address);
    std::fs::write(&settings, text.replacen("[store]", &store, 1)).unwrap();
    stage.run(&format!(
        "export ENROLL_SERVER_CONFIG=var/lib/enroll-server/server/enroll-server.toml
         mkdir -p /var/backups/enroll-server
         printf 'device,model\\nSN-1,a\\n' >one.csv; printf 'device,model\\nSN-2,a\\n' >two.csv
         enroll-server device import one.csv
         enroll-server backup --out copy.sqlite 2>refused && exit 1; grep pg_dump refused
         {dump}
         enroll-server device import two.csv"
    ));
    let devices = || Service(&stage).tell("device list");
    assert!(devices().contains("SN-2"));
    stage.run(restore);
    let listed = devices();
    assert!(listed.contains("SN-1") && !listed.contains("SN-2"), "{listed}");
}
