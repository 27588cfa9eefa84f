//! Who gets which broker: shares, stability, webhooks that are well and webhooks that are not.

use core::time::Duration;
use std::collections::BTreeMap;
use std::path::Path;

use shared::DeviceId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{Brokers, choose::choose};
use crate::config::{Choice, Config, NamedBroker};

fn config(text: &str) -> Config {
    Config::parse(&format!("tenant = \"Acme\"\n{text}"), Path::new("f.toml"), Path::new("/srv")).unwrap()
}

fn mistakes(text: &str) -> String {
    let text = format!("tenant = \"Acme\"\n{text}");
    Config::parse(&text, Path::new("f.toml"), Path::new("/srv")).unwrap_err().to_string()
}

const THREE: &str = "[broker]\nport = 1884\n[[brokers]]\nname = \"a\"\nhost = \"a.example\"\nweight = 1\n\
                     [[brokers]]\nname = \"b\"\nhost = \"b.example\"\nweight = 2\nport = 9\n\
                     [[brokers]]\nname = \"c\"\nhost = \"c.example\"\nweight = 5\n";

fn device(number: usize) -> DeviceId {
    DeviceId::new(&format!("SN-{number}")).unwrap()
}

fn shares(choice: &Choice, list: &[NamedBroker]) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for number in 0..8_000 {
        *shares.entry(choose(choice, &device(number), list).unwrap().name.clone()).or_insert(0) += 1;
    }
    shares
}

#[test]
fn shares_are_as_the_weights_say() {
    let list = config(THREE).brokers;
    for (name, expected) in [("a", 1_000_usize), ("b", 2_000), ("c", 5_000)] {
        let found = shares(&Choice::Weighted, &list)[name];
        assert!(found.abs_diff(expected) < 200, "{name}: {found}");
        let found = shares(&Choice::Hash, &list)[name];
        assert!(found.abs_diff(2_667) < 200, "{name}: {found}");
    }
    assert_eq!(shares(&Choice::Fixed("b".into()), &list)["b"], 8_000);
}

#[test]
fn another_broker_takes_its_share_and_moves_nobody_else() {
    let mut list = config(THREE).brokers;
    let before: Vec<_> = (0..8_000)
        .map(|number| choose(&Choice::Weighted, &device(number), &list).unwrap().name.clone())
        .collect();
    list.push(NamedBroker { name: "d".into(), weight: 2, ..list[0].clone() });
    list.reverse();
    let mut moved = 0;
    for (number, before) in before.iter().enumerate() {
        let after = &choose(&Choice::Weighted, &device(number), &list).unwrap().name;
        if after != before {
            assert_eq!(after, "d", "{number} moved from {before}");
            moved += 1;
        }
    }
    assert!((1_400..1_800).contains(&moved), "{moved} of 8000 for 2 of 10 shares");
}

/// Known answers: were the hash to change, every device would move.
#[test]
fn a_device_keeps_its_broker_from_version_to_version() {
    let list = config(THREE).brokers;
    let found: String =
        (0..16).map(|n| choose(&Choice::Weighted, &device(n), &list).unwrap().name.as_str()).collect();
    assert_eq!(found, KNOWN);
}

const KNOWN: &str = "cbcacaabbcbccccc";

#[test]
fn one_broker_is_enough_and_mistakes_are_named() {
    let single = Brokers::new(&config("[broker]\nhost = \"mqtt.example\"\n")).unwrap();
    assert_eq!(single.only().unwrap().host, "mqtt.example");
    let list = config(THREE).brokers;
    assert_eq!((list[0].broker.port, list[1].broker.port), (1884, 9), "what is not said is as in [broker]");
    for (text, expected) in [
        ("[[brokers]]\nhost = \"a\"\n", "brokers[0].name: is missing"),
        ("[[brokers]]\nname = \"a\"\n", "brokers[0].host: is missing"),
        (
            "[[brokers]]\nname = \"a\"\nhost = \"a\"\n[[brokers]]\nname = \"a\"\nhost = \"b\"\n",
            ":6: brokers[1].name",
        ),
        ("[[brokers]]\nname = \"a\"\nhost = \"a\"\nweight = 0\n", "brokers[0].weight"),
        ("[brokers]\nname = \"a\"\n", "is a list of tables, each headed [[brokers]]"),
        ("[assignment]\nrule = \"random\"\n", "assignment.rule: expected"),
        (
            "[assignment]\nrule = \"fixed\"\nbroker = \"a\"\n",
            "assignment.broker: expected the name of one of",
        ),
        ("[assignment]\nrule = \"webhook\"\n", "assignment.url: is missing"),
        ("[assignment]\nrule = \"webhook\"\nurl = \"http://far.example/\"\n", "assignment.url: expected"),
        ("[assignment.groups.No]\nrule = \"hash\"\n", "assignment.groups.No: a group's name"),
        ("[assignment.groups.a]\nrulee = \"hash\"\n", "assignment.groups.a.rulee: is no field"),
    ] {
        assert!(mistakes(text).contains(expected), "{text}: {}", mistakes(text));
    }
}

#[test]
fn the_examples_in_the_sample_load() {
    // The key is in one place; the other examples of places are loaded one by one, beside the configuration's tests.
    let other_places = |line: &&str| !line.starts_with("#   pkcs11 = ") && !line.starts_with("#   tpm = ");
    let lines = crate::config::SAMPLE.lines().filter(other_places);
    let text: Vec<_> = lines.map(|line| line.strip_prefix("#   ").unwrap_or(line)).collect();
    let config = Config::parse(&text.join("\n"), Path::new("f.toml"), Path::new("/srv")).unwrap();
    assert_eq!(config.brokers[0].name, "north");
    let rule = &config.assignment.groups[&"lot-7".parse().unwrap()];
    assert_eq!(rule.choice, Choice::Fixed("north".into()));
    let webhook = rule.webhook.as_ref().unwrap();
    assert_eq!(webhook.url.to_string(), "https://assign.example/broker");
    assert_eq!(webhook.ca_file.as_deref(), Some(Path::new("/srv/assign-ca.pem")));
}

/// Answers every request alike; gives the port.
async fn service(answer: &'static str, pause: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"}") {
                let mut part = [0; 1024];
                let read = stream.read(&mut part).await.unwrap();
                asked.extend_from_slice(&part[..read]);
            }
            assert!(String::from_utf8(asked).unwrap().contains("\"brokers\":[\"a\",\"b\",\"c\"]"));
            tokio::time::sleep(pause).await;
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length:";
            let _gone = stream.write_all(format!("{head} {}\r\n\r\n{answer}", answer.len()).as_bytes()).await;
        }
    });
    port
}

async fn asked(answer: &'static str, pause: Duration) -> String {
    let port = service(answer, pause).await;
    let rule = "rule = \"webhook\"\ntimeout = \"200ms\"\nfallback = \"c\"\n";
    let text =
        format!("{THREE}[assignment]\nrule = \"fixed\"\nbroker = \"b\"\n[assignment.groups.lot-7]\n{rule}");
    let brokers = Brokers::new(&config(&format!("{text}url = \"http://127.0.0.1:{port}/\"\n"))).unwrap();
    assert!(brokers.only().is_none());
    let other = brokers.assign(&device(1), &"default".parse().unwrap()).await.unwrap();
    assert_eq!(other.name, "b", "another group has another rule");
    brokers.assign(&device(1), &"lot-7".parse().unwrap()).await.unwrap().name.clone()
}

#[tokio::test]
async fn a_webhook_chooses_among_the_brokers_and_its_fallback_where_it_fails() {
    assert_eq!(asked("{\"broker\":\"a\"}", Duration::ZERO).await, "a");
    for bad in ["{\"broker\":\"evil.example\"}", "{\"broker\":1}", "a", "{}", ""] {
        assert_eq!(asked(bad, Duration::ZERO).await, "c", "{bad}");
    }
    assert_eq!(asked("{\"broker\":\"a\"}", Duration::from_secs(5)).await, "c", "too slow");
}

#[tokio::test]
async fn a_webhook_that_failed_is_not_waited_for_by_everyone() {
    let port = service("{}", Duration::from_secs(60)).await;
    let rule = "rule = \"webhook\"\ntimeout = \"300ms\"\nfallback = \"hash\"\n";
    let text = format!("{THREE}[assignment]\n{rule}url = \"http://127.0.0.1:{port}/\"\n");
    let brokers = Brokers::new(&config(&text)).unwrap();
    let begun = tokio::time::Instant::now();
    for number in 0..100 {
        let found = brokers.assign(&device(number), &"default".parse().unwrap()).await.unwrap();
        assert_eq!(found, choose(&Choice::Hash, &device(number), &config(THREE).brokers).unwrap());
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?} for 100 devices", begun.elapsed());
}
