//! Pages whose shell blocks are run, block by block, as they stand.

use tests::page::Page;
use tests::walk::Stage;

#[test]
fn the_quick_start_ends_with_a_connected_device() {
    let page = Page::load("docs/quick-start.md");
    let stage = Stage::new();
    let walk = stage.walk(&page);
    let all: core::time::Duration = walk.steps.iter().map(|(_, took)| *took).sum();
    println!("after the build, {:.1} s in all", all.as_secs_f64());
    for (step, took) in &walk.steps {
        println!("{:6.1} s  {step}", took.as_secs_f64());
    }
    assert!(walk.steps.len() >= 7, "{:?}", walk.steps);
}

#[test]
fn operations_do_what_the_page_says() {
    let (stage, devices) = service(5);
    let stage = stage.with("DEVICE", &devices[2]);
    let server = Service(&stage);
    server.enroll(&devices[0]);
    server.until_logged();

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
            // After the retirement, which a server that runs takes up at its next look: a new device of the old trust
            // bundle enrolls, below the new root.
            tests::harness::until("the retirement", || (!server.gives_lost_root()).then_some(()));
            server.enroll(&devices[4]);
            let status = server.tell("ca status");
            assert!(status.contains("1 live certificates, new"), "{status}");
        }
    });
    assert!(!server.gives_lost_root(), "the old root is still given to brokers");
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

/// A desk of an operator: a service, and beside it the files that the reference pages name.
fn desk(more: &str) -> Stage {
    let (stage, _) = service(1);
    stage.run(&format!(
        "export ENROLL_SERVER_CONFIG=var/lib/enroll-server/server/enroll-server.toml
         touch var/lib/enroll-server/server/policy.d/lot-{{7,8}}.toml
         new_key() {{ openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out $1; }}
         new_ca() {{ new_key $1.key; openssl req -x509 -new -key $1.key -subj /CN=$1 -days 90 -out $1.pem \
             -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign; }}
         {more}"
    ));
    stage.with(SETTINGS.0, SETTINGS.1)
}

#[test]
fn the_commands_of_the_inventory_do_what_they_say() {
    // Two devices of lot-8 ask and are held.
    let stage = desk(
        "printf 'device,group\\nSN-0001,lot-7\\nSN-0002,lot-8\\n' >inventory.csv
         printf '[enrollment]\\nfirst = \"hold\"\\n' >var/lib/enroll-server/server/policy.d/lot-8.toml",
    );
    let mut asked = false;
    let walk = stage.walk_with(&Page::load("docs/inventory.md"), |block| {
        if block.text.contains("device queue") {
            asked = true;
            stage.run(
                "for device in SN-0001 SN-0002; do
                     (umask 077; enroll-server token create --device $device | sed -n 1p >$device.token)
                     agent --server-host localhost --server-port 8443 --identity-device $device --state-dir $device.state \\
                         --trust-bundle /var/lib/enroll-server/server/trust.bundle --identity-token-file $device.token \\
                         run >$device.log 2>&1 &
                     until enroll-server device queue | grep -q $device; do sleep 0.1; done
                     kill $!
                 done",
            );
        }
    });
    assert!(asked && walk.output().contains("2 added"), "{}", walk.output());
}

#[test]
fn the_commands_of_the_evidence_do_what_they_say() {
    let stage = desk(
        "firmware-sim factory --dir psa --evidence psa --count 1 >/dev/null
         awk -F, 'NR == 2 { print $3 }' psa/attestation-keys.csv | python3 -c \
             'import sys; sys.stdout.buffer.write(bytes.fromhex(sys.stdin.read().strip()))' >iak.der
         openssl pkey -pubin -inform DER -in iak.der -out iak.pem
         awk -F, 'NR == 2 { print $1 }' psa/attestation-keys.csv >instance
         firmware-sim factory --dir more --evidence psa --count 1 >/dev/null
         cp more/attestation-keys.csv keys.csv
         new_ca before; enroll-server maker add before.pem --name example; new_ca ek; new_ca ca-2026; new_ca batch-ca; new_key claim.key
         openssl req -new -key claim.key -subj /CN=claim -out claim.csr
         openssl x509 -req -in claim.csr -CA batch-ca.pem -CAkey batch-ca.key -days 30 -out claim.pem
         printf '[ca]\ndefault_ca=c\n[c]\ndatabase=index\ncrlnumber=number\ndefault_md=sha256\ndefault_crl_days=30\n' >crl.cnf
         : >index; echo 01 >number
         openssl ca -gencrl -config crl.cnf -keyfile ca-2026.key -cert ca-2026.pem -out list.pem",
    );
    let instance = std::fs::read_to_string(stage.path("instance")).unwrap();
    let id = |what: &str| {
        format!(
            "$(enroll-server {what} list --json | grep -o '\"id\": \"[^\"]*\"' | cut -d '\"' -f 4 | head -n 1)"
        )
    };
    let stage = stage.with("INSTANCE", instance.trim());
    let stage = stage.reading("\"$KEY\"", &id("key")).reading("\"$BATCH\"", &id("batch"));
    let walk = stage.walk(&Page::load("docs/evidence.md"));
    assert!(walk.steps.len() >= 6, "{:?}", walk.steps);
}

#[test]
fn the_commands_of_reference_values_do_what_they_say() {
    let page = Page::load("docs/reference-values.md");
    let list = page.blocks("csv");
    let stage = desk("new_ca acme; enroll-server maker add acme.pem --name acme");
    std::fs::write(stage.path("sensor-a.csv"), list[0]).unwrap();
    stage.run(page.blocks("sh").iter().find(|block| block.starts_with("openssl genpkey")).unwrap());
    let walk = stage.walk(&page);
    assert!(walk.output().contains("is withdrawn"), "{}", walk.output());
}

#[test]
fn the_commands_of_log_events_and_dashboard_do_what_they_say() {
    let stage = desk(
        "sed -i '/^\\[dashboard\\]/,/^listen/s/^listen = .*/listen = \"127.0.0.1:8445\"/' $ENROLL_SERVER_CONFIG
         systemctl restart enroll-server >/dev/null 2>&1
         firmware-sim device --dir lot/devices/* --enroll >/dev/null
         until enroll-server audit verify | grep -q '; 0 leaves wait'; do sleep 0.1; done
         cp var/lib/enroll-server/server/log/checkpoint kept.checkpoint
         cp var/lib/enroll-server/server/{root-ca.crt,log.vkey} .
         new_ca ada; mv ada.pem ada.crt
         enroll-server cert list --json | grep -o '\"serial\": \"[0-9a-f]*\"' | cut -d '\"' -f 4 >serial",
    );
    let serial = std::fs::read_to_string(stage.path("serial")).unwrap();
    let stage = stage.with("SERIAL", serial.trim()).with("SESSION", "5f3a9c0d12ab");
    // A name of this machine; what goes on for ever ends; nobody has this session.
    let follow = "enroll-server event follow --device SN-0001";
    let stage = stage
        .reading("https://ca.example:", "https://localhost:")
        .reading(follow, &format!("timeout 1 {follow} || test $? = 124"))
        .reading("sign-out \"$SESSION\"", "sign-out \"$SESSION\" || test $? = 4");
    let log = stage.walk(&Page::load("docs/log.md"));
    assert!(log.output().contains("Nothing is wrong."), "{}", log.output());
    let events = stage.walk(&Page::load("docs/events.md"));
    assert!(events.output().contains("issued"), "{}", events.output());
    let dashboard = stage.walk(&Page::load("docs/dashboard.md"));
    assert!(dashboard.output().contains("https://"), "{}", dashboard.output());
}

#[test]
fn the_runbook_finds_the_device_that_was_not_renewed() {
    // Certificates of five days.
    let stage = desk(
        "sed -i 's/^days = \"profile\"/days = 5/' var/lib/enroll-server/server/policy.toml
         systemctl restart enroll-server >/dev/null 2>&1
         firmware-sim device --dir lot/devices/* --enroll >/dev/null",
    );
    let walk = stage.walk(&Page::load("docs/observability.md"));
    assert_eq!(walk.steps.len(), 1, "{:?}", walk.steps);
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

    /// Whether brokers are still given the root that `docs/operations.md` loses.
    fn gives_lost_root(&self) -> bool {
        let [given, lost] = ["server/authorities.pem", "lost/root-ca.crt"].map(|file| {
            let pem = std::fs::read(self.0.path(format!("var/lib/enroll-server/{file}"))).unwrap();
            ca::pem::read_certificates(&pem).unwrap()
        });
        given.contains(&lost[0])
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
    let [dump, restore] = ["pg_dump ", "psql "].map(|start| {
        let block = blocks.iter().find(|block| block.text.starts_with(start)).unwrap();
        assert_eq!(block.mark, "test: tests/tests/book/walks.rs");
        block.text
    });

    let server = postgres_server::PostgresServer::start().unwrap();
    let address = server.database().unwrap();
    let stage = Stage::new().as_service().with("DATABASE", &address);
    let stage = stage.with("BACKUP", "/var/backups/enroll-server/of-a-test");
    stage.run("enroll-server init --dir var/lib/enroll-server/server --tenant Acme --host localhost");
    let settings = stage.path("var/lib/enroll-server/server/enroll-server.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    let store = format!("[store]\npostgres = {:?}", address);
    std::fs::write(&settings, text.replacen("[store]", &store, 1)).unwrap();
    stage.run(&format!(
        "export ENROLL_SERVER_CONFIG=var/lib/enroll-server/server/enroll-server.toml
         mkdir -p \"$BACKUP\"
         printf 'device,model\\nSN-1,a\\n' >one.csv; printf 'device,model\\nSN-2,a\\n' >two.csv
         enroll-server device import one.csv
         enroll-server backup --out copy.sqlite 2>refused && exit 1; grep pg_dump refused
         {dump}
         enroll-server device import two.csv
         psql -q \"$DATABASE\" -c 'CREATE TABLE of_a_newer_version (number INTEGER)'"
    ));
    let devices = || Service(&stage).tell("device list");
    assert!(devices().contains("SN-2"));
    stage.run(restore);
    let listed = devices();
    assert!(listed.contains("SN-1") && !listed.contains("SN-2"), "{listed}");
    // What a newer version made is gone, or its next start would find it there.
    stage.run("! psql \"$DATABASE\" -c 'TABLE of_a_newer_version' 2>why; grep 'does not exist' why");
}
