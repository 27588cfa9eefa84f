//! Size and memory of the Linux agent beside a plain rumqttc program, and what the proxy costs beside a client with TLS of its
//! own. Prints figures; decides nothing.
//!
//!     cargo build --release -p agent --bins --examples && cargo run -p tests --example footprint
//!
//! The programs under measurement are of the release build, and the small agent of `scripts/small-agent` where that was run
//! before; server and broker are whatever the tests use.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a tool for developers, which prints figures")]
#![expect(clippy::disallowed_methods, reason = "measures in real time")]

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use tests::harness::{Process, Site, until};

/// Messages of the throughput measurement, and bytes in each.
const MESSAGES: usize = 50_000;
const LENGTH: usize = 256;

fn main() {
    let release = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release");
    let (agent, plain) = (release.join("agent"), release.join("examples/plain_rumqttc"));
    assert!(
        agent.is_file() && plain.is_file(),
        "to make the programs: cargo build --release -p agent --bins --examples"
    );
    let small = release.join("../small-agent");
    println!("size                            as built    stripped");
    for (name, path) in [("agent", &agent), ("plain rumqttc program", &plain), ("small agent", &small)] {
        if path.is_file() {
            println!("  {name:<28} {:>7} KiB {:>7} KiB", kib(path), stripped(path));
        } else {
            println!("  {name:<28} was not built; to have it: scripts/small-agent");
        }
    }

    let site = Site::new(1);
    let device = site.world.devices.first().expect("a device").clone();
    let _enrolled = site.world.agent(&device, &["enroll"]).success();
    let configured = site.world.agent_command(&device, &[]);
    let ours = |agent: &Path, arguments: &[&str]| {
        let mut command = Command::new(agent);
        command.args(configured.get_args()).args(arguments);
        command
    };
    let pem = |name: &str| site.world.path(&format!("agents/{device}-export/current/{name}"));
    let topic = format!("devices/{device}/telemetry");

    println!("memory                          resident     largest   of it own  its share");
    let port = site.broker.port().to_string();
    let mut command = Command::new(&plain);
    command.arg(&port).arg(&device).args([pem("trust.pem"), pem("chain.pem"), pem("key.pem")]).arg(&topic);
    let process = Process::start(&mut command);
    published(&process, "published");
    memory("plain rumqttc program", &process);
    drop(process);

    let busy = ["--log-level", "debug", "--telemetry-interval", "1s"];
    for (name, path) in [("agent run", &agent), ("small agent run", &small)] {
        if path.is_file() {
            let process = Process::start(&mut ours(path, &[&busy[..], &["run"]].concat()));
            published(&process, "telemetry published");
            memory(name, &process);
        }
    }

    let listen = ["--proxy-listen", "127.0.0.1:0", "--proxy-connections", "64", "proxy"];
    let process = Process::start(&mut ours(&agent, &listen));
    let local: u16 = process.wait_for("its address", |line| {
        let digits = line.split("127.0.0.1:").nth(1)?;
        digits.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
    });
    memory("agent proxy, nobody there", &process);
    let mut open = Vec::new();
    for number in 1..=32 {
        // The broker gives a device one session, and closes the one before at the next login. A login that is not finished
        // stays: the memory is that of a connection all the same.
        let mut stream = TcpStream::connect(("127.0.0.1", local)).expect("the proxy");
        stream.write_all(&[0x10]).expect("the proxy");
        open.push(stream);
        until("a connection to the broker", || {
            (process.output().matches("proxy-opened").count() == number).then_some(())
        });
        if number == 1 || number == 32 {
            memory(&format!("agent proxy, {number} connections"), &process);
        }
    }
    drop(open);

    println!("{MESSAGES} messages of {LENGTH} bytes, QoS 0, by mosquitto_pub");
    let by_proxy = ["-p".to_owned(), local.to_string()];
    let by_tls = ["-p".to_owned(), port, "--cafile".to_owned(), text(pem("trust.pem")), "--cert".to_owned()]
        .into_iter()
        .chain([text(pem("chain.pem")), "--key".to_owned(), text(pem("key.pem"))])
        .collect::<Vec<_>>();
    for round in 1..=3 {
        let direct = publish(&by_tls, &topic);
        let before = ticks(&process);
        let carried = publish(&by_proxy, &topic);
        let spent = (ticks(&process) - before) * 1000 / rustix::param::clock_ticks_per_second();
        println!(
            "  round {round}: TLS of its own {direct:>6.0} a second; by the proxy {carried:>6.0} a second, \
             {spent} ms of processor time in the proxy"
        );
    }
}

fn kib(path: &Path) -> u64 {
    fs::metadata(path).expect("a file").len() / 1024
}

fn stripped(path: &Path) -> u64 {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("stripped");
    let status = Command::new("strip").arg("-o").arg(&out).arg(path).status();
    assert!(status.is_ok_and(|status| status.success()), "strip is needed: apt-get install binutils");
    kib(&out)
}

/// Waits until it has published ten times.
fn published(process: &Process, word: &str) {
    until("ten publications", || (process.output().matches(word).count() >= 10).then_some(()));
}

/// Resident set, the largest it was, what of it is in no file (proc_pid_status(5)), and its share where pages of files are
/// shared with other processes (Pss of smaps_rollup).
fn memory(name: &str, process: &Process) {
    let read = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", process.id())).expect("its memory");
    let all = read("status") + &read("smaps_rollup");
    let field = |key: &str| {
        let line = all.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        line.split_whitespace().next().unwrap_or_default().to_owned()
    };
    let [resident, largest, own, share] = ["VmRSS:", "VmHWM:", "RssAnon:", "Pss:"].map(field);
    println!("  {name:<28} {resident:>7} KiB {largest:>7} KiB {own:>7} KiB {share:>7} KiB");
}

/// Processor time spent, in ticks (proc_pid_stat(5), fields 14 and 15).
fn ticks(process: &Process) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.id())).expect("its times");
    let after_name = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

/// Publishes all messages; how many went in a second.
fn publish(how: &[String], topic: &str) -> f64 {
    let mut command = Command::new("mosquitto_pub");
    command.args(["-h", "localhost"]).args(how).args(["-t", topic, "-l"]).stdin(Stdio::piped());
    let begin = Instant::now();
    let mut child = command.spawn().expect("mosquitto_pub is needed: apt-get install mosquitto-clients");
    let line = format!("{}\n", "x".repeat(LENGTH));
    let mut input = std::io::BufWriter::new(child.stdin.take().expect("piped"));
    for _ in 0..MESSAGES {
        input.write_all(line.as_bytes()).expect("a client that reads");
    }
    drop(input);
    assert!(child.wait().expect("its end").success());
    f64::from(u32::try_from(MESSAGES).expect("a small number")) / begin.elapsed().as_secs_f64()
}

fn text(path: PathBuf) -> String {
    path.to_string_lossy().into_owned()
}
