//! Turns values into a [`Config`]: kinds, bounds, defaults, and which fields go together.

mod identity;

use core::str::FromStr;
use core::time::Duration;
use std::path::{Path, PathBuf};

use shared::evidence::DebugStatus;
use shared::limits;
use zeroize::Zeroizing;

use super::error::{ConfigError, ConfigErrors, Origin, Problem};
use super::fields::{Kind, find};
use super::layers::{Located, Value, Values};
use super::{
    Action, Config, Export, Firmware, Hook, Log, LogFormat, LogLevel, Measurement, MeasurementSource, Server,
    Signal, Timeouts,
};
use crate::proxy::ProxySettings;

/// Longest path of the state directory: the control socket's path has at most 107 bytes (unix(7)).
const MAX_STATE_DIR: usize = 90;
/// The service manager's program.
const SYSTEMCTL: &str = "/usr/bin/systemctl";
/// Most bytes of `hwmodel` (RFC 9711, section 4.2.4).
const MAX_MODEL: usize = 32;

/// Builds the configuration; `errors` are those found before.
pub(super) fn build(
    values: Values,
    token: Option<Zeroizing<String>>,
    errors: Vec<ConfigError>,
) -> Result<Config, ConfigErrors> {
    let mut reader = Reader { values, errors };
    let config = reader.config(token);
    match config {
        Some(config) if reader.errors.is_empty() => Ok(config),
        _ => Err(ConfigErrors(reader.errors)),
    }
}

struct Reader {
    values: Values,
    errors: Vec<ConfigError>,
}

impl Reader {
    /// Asks for every field even after an error, so that all errors come out at once.
    fn config(&mut self, token: Option<Zeroizing<String>>) -> Option<Config> {
        let state_dir = self.path("state_dir").or_else(|| Some(PathBuf::from("/var/lib/agent")));
        if state_dir.as_ref().is_some_and(|dir| dir.as_os_str().len() > MAX_STATE_DIR) {
            self.expected("state_dir", &format!("a path of at most {MAX_STATE_DIR} bytes"), "a longer one");
        }
        let trust_bundle = self.path("trust_bundle");
        let server = self.server();
        let identity = self.identity(token);
        let firmware = self.firmware();
        let telemetry_interval = self.duration("telemetry.interval", 60, 1..=86_400);
        let export = self.export();
        let hook = self.hook();
        let proxy = self.proxy();
        let network = Timeouts {
            connect: self.duration("network.connect_timeout", 10, 1..=60),
            handshake: self.duration("network.handshake_timeout", 10, 1..=60),
            exchange: self.duration("network.exchange_timeout", 30, 1..=60),
        };
        let check_in = self.duration("network.check_in", 86_400, 0..=30 * 86_400);
        let log = self.log();
        Some(Config {
            state_dir: state_dir?,
            trust_bundle,
            server: server?,
            identity: identity?,
            firmware: firmware?,
            telemetry_interval,
            export,
            hook,
            proxy,
            network,
            check_in,
            log,
        })
    }

    fn server(&mut self) -> Option<Server> {
        self.require("server.host");
        let is_host = |text: &str| {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':');
            (1..=limits::MAX_HOST).contains(&text.len()) && text.bytes().all(allowed)
        };
        let host = self.text("server.host", "a host name or IP address without scheme or port", is_host);
        let port = self.number("server.port", 1..=65_535).unwrap_or(8443);
        Some(Server { host: host?, port: u16::try_from(port).ok()? })
    }

    fn firmware(&mut self) -> Option<Firmware> {
        let or = |text: Option<String>, default: &str| text.unwrap_or_else(|| default.to_owned());
        let maker_number = self.number("firmware.maker_number", 0..=i64::from(u32::MAX)).unwrap_or(32_473);
        let printable = |text: &str| text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
        let model = self.text("firmware.model", "1 to 32 printable ASCII characters", |text| {
            (1..=MAX_MODEL).contains(&text.len()) && printable(text)
        });
        let claim = "1 to 64 bytes of text";
        let hardware_version = self.text("firmware.hardware_version", claim, is_claim);
        let name = self.text("firmware.name", claim, is_claim);
        let version = self.text("firmware.version", "a version MAJOR.MINOR.PATCH", |text| {
            let parts: Vec<_> = text.split('.').collect();
            is_claim(text) && parts.len() == 3 && parts.iter().all(|part| part.parse::<u32>().is_ok())
        });
        let debug = self.choice("firmware.debug").unwrap_or(1);
        Some(Firmware {
            maker_number: u32::try_from(maker_number).ok()?,
            model: or(model, "linux"),
            hardware_version: or(hardware_version, "1"),
            name: or(name, "agent"),
            version: or(version, "0.1.0"),
            debug: DebugStatus::ALL.get(debug).copied()?,
            measurements: self.measurements(),
        })
    }

    fn measurements(&mut self) -> Vec<Measurement> {
        const KEY: &str = "firmware.measurements";
        let Some(Located { value, origin }) = self.values.get(KEY).cloned() else { return Vec::new() };
        let expected = "a list of tables with component, version, and either digest (64 hex digits) or file";
        let Value::List(list) = value else {
            self.expected(KEY, expected, &describe(&value));
            return Vec::new();
        };
        if list.len() > limits::MAX_MEASUREMENTS {
            let most = format!("at most {} measurements", limits::MAX_MEASUREMENTS);
            self.expected(KEY, &most, &list.len().to_string());
        }
        let mut measurements = Vec::new();
        for (index, value) in list.iter().enumerate() {
            match measurement(value, &origin) {
                Some(measurement) => measurements.push(measurement),
                None => self.expected(KEY, expected, &format!("something else as number {}", index + 1)),
            }
        }
        measurements
    }

    fn export(&mut self) -> Option<Export> {
        let group_readable = self.switch("export.group_readable").unwrap_or(false);
        let owner = self.parsed("export.owner");
        Some(Export { directory: self.path("export.directory")?, group_readable, owner })
    }

    fn hook(&mut self) -> Option<Hook> {
        let timeout = self.duration("hook.timeout", 30, 1..=3_600);
        let mut actions: Vec<Action> = self.signal().into_iter().collect();
        actions.extend(self.units());
        if let Some((program, arguments)) = self.command("hook.command") {
            actions.push(Action::Run { program, arguments });
        }
        (!actions.is_empty()).then_some(Hook { actions, timeout })
    }

    fn signal(&mut self) -> Option<Action> {
        let signal = self.choice("hook.signal");
        let pid_file = self.path("hook.pid_file");
        let given = |key| self.values.contains_key(key);
        if given("hook.signal") != given("hook.pid_file") {
            let key = if given("hook.signal") { "hook.signal" } else { "hook.pid_file" };
            self.combination(key, "signal and pid_file belong together: what to send, and to whom");
        }
        let signal = match signal? {
            0 => Signal::Hup,
            1 => Signal::Usr1,
            _ => Signal::Usr2,
        };
        Some(Action::Signal { signal, pid_file: pid_file? })
    }

    /// Units are a command of the service manager.
    fn units(&mut self) -> Option<Action> {
        let restart = self.switch("hook.restart").unwrap_or(false);
        let value = self.values.get("hook.units")?.value.clone();
        let names: Option<Vec<String>> = match &value {
            Value::List(list) => list.iter().map(as_text).collect(),
            _ => None,
        };
        let Some(names) = names.filter(|names| !names.is_empty() && names.iter().all(|name| is_unit(name)))
        else {
            let expected = "a list of names of units, such as [\"nginx.service\"]";
            self.expected("hook.units", expected, &describe(&value));
            return None;
        };
        let verb = if restart { "try-restart" } else { "try-reload-or-restart" };
        let mut arguments = vec!["--no-ask-password".to_owned(), verb.to_owned(), "--".to_owned()];
        arguments.extend(names);
        Some(Action::Run { program: SYSTEMCTL.into(), arguments })
    }

    fn proxy(&mut self) -> Option<ProxySettings> {
        let listen = self.parsed("proxy.listen");
        let socket_mode = match self.choice("proxy.socket_mode") {
            Some(1) => 0o660,
            Some(2) => 0o666,
            _ => 0o600,
        };
        let socket_owner = self.parsed("proxy.socket_owner");
        let connections = self.number("proxy.connections", 1..=1024).unwrap_or(32);
        let idle = self.duration("proxy.idle", 3_600, 1..=7 * 86_400);
        let drain = self.duration("proxy.drain", 0, 0..=7 * 86_400);
        let drain = self.values.contains_key("proxy.drain").then_some(drain);
        let connections = usize::try_from(connections).ok()?;
        Some(ProxySettings { listen: listen?, socket_mode, socket_owner, connections, idle, drain })
    }

    /// A text that its type reads, or says what it expects.
    fn parsed<T: FromStr<Err: core::fmt::Display>>(&mut self, key: &str) -> Option<T> {
        let text = self.text(key, "a text", |_| true)?;
        match text.parse() {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.invalid(key, &text, error.to_string());
                None
            }
        }
    }

    /// A program by its absolute path, and its arguments.
    fn command(&mut self, key: &str) -> Option<(PathBuf, Vec<String>)> {
        let value = self.values.get(key)?.value.clone();
        let words: Option<Vec<String>> = match &value {
            Value::List(list) => list.iter().map(as_text).collect(),
            _ => None,
        };
        let command = words.as_deref().and_then(<[String]>::split_first);
        if let Some((program, arguments)) = command
            && Path::new(program).is_absolute()
        {
            return Some((program.into(), arguments.to_vec()));
        }
        let expected = "a list of texts: the absolute path of a program, then its arguments";
        self.expected(key, expected, &describe(&value));
        None
    }

    fn log(&mut self) -> Log {
        let format = match self.choice("log.format") {
            Some(1) => LogFormat::Json,
            _ => LogFormat::Text,
        };
        let level = match self.choice("log.level") {
            Some(0) => LogLevel::Error,
            Some(1) => LogLevel::Warn,
            Some(3) => LogLevel::Debug,
            _ => LogLevel::Info,
        };
        Log { format, level }
    }

    /// A text that obeys `rule`.
    fn text(&mut self, key: &str, expected: &str, rule: impl Fn(&str) -> bool) -> Option<String> {
        let value = self.values.get(key)?.value.clone();
        match value {
            Value::Text(text) if rule(&text) => Some(text),
            other => {
                self.expected(key, expected, &describe(&other));
                None
            }
        }
    }

    /// A path; a relative one in a file counts from the file's directory.
    fn path(&mut self, key: &str) -> Option<PathBuf> {
        let origin = self.values.get(key)?.origin.clone();
        let text = self.text(key, "a path", |text| !text.is_empty() && !text.contains('\0'))?;
        Some(anchored(&text, &origin))
    }

    fn number(&mut self, key: &str, bounds: core::ops::RangeInclusive<i64>) -> Option<i64> {
        let value = self.values.get(key)?.value.clone();
        match value {
            Value::Integer(number) if bounds.contains(&number) => Some(number),
            other => {
                let expected = format!("a whole number from {} to {}", bounds.start(), bounds.end());
                self.expected(key, &expected, &describe(&other));
                None
            }
        }
    }

    fn switch(&mut self, key: &str) -> Option<bool> {
        match self.values.get(key)?.value.clone() {
            Value::Switch(switch) => Some(switch),
            other => {
                self.expected(key, "true or false", &describe(&other));
                None
            }
        }
    }

    fn duration(&mut self, key: &str, default: u64, bounds: core::ops::RangeInclusive<u64>) -> Duration {
        let Some(Located { value, .. }) = self.values.get(key) else { return Duration::from_secs(default) };
        let seconds = match value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::Text(text) => seconds(text),
            _ => None,
        };
        if let Some(seconds) = seconds.filter(|s| bounds.contains(s)) {
            return Duration::from_secs(seconds);
        }
        let found = describe(value);
        let expected = format!(
            "a time from {} to {} seconds, as seconds or like \"90s\", \"15m\", \"2h\"",
            bounds.start(),
            bounds.end()
        );
        self.expected(key, &expected, &found);
        Duration::from_secs(default)
    }

    /// Which of the field's words was given.
    fn choice(&mut self, key: &str) -> Option<usize> {
        let Some(Kind::Choice(words)) = find(key).map(|field| field.kind) else { return None };
        let text = self.text(key, &words.join(", "), |text| words.contains(&text))?;
        words.iter().position(|word| *word == text)
    }

    fn require(&mut self, key: &str) {
        if let Some(field) = find(key)
            && !self.values.contains_key(key)
        {
            let problem = Problem::Missing { flag: field.flag(), variable: field.variable() };
            self.errors.push(ConfigError { origin: Origin::Configuration, field: key.to_owned(), problem });
        }
    }

    fn expected(&mut self, key: &str, expected: &str, found: &str) {
        let origin = self.values.get(key).map_or(Origin::Configuration, |located| located.origin.clone());
        let problem = Problem::Expected { expected: expected.to_owned(), found: found.to_owned() };
        self.errors.push(ConfigError { origin, field: key.to_owned(), problem });
    }

    fn invalid(&mut self, key: &str, text: &str, reason: String) {
        let origin = self.values.get(key).map_or(Origin::Configuration, |located| located.origin.clone());
        let found = describe(&Value::Text(text.to_owned()));
        let problem = Problem::Invalid { found, reason };
        self.errors.push(ConfigError { origin, field: key.to_owned(), problem });
    }

    fn combination(&mut self, key: &str, sentence: &'static str) {
        let mut origins = self.values.iter().filter(|(name, _)| name.starts_with(key));
        let origin = origins.next().map_or(Origin::Configuration, |(_, located)| located.origin.clone());
        let problem = Problem::Combination(sentence);
        self.errors.push(ConfigError { origin, field: key.to_owned(), problem });
    }
}

fn measurement(value: &Value, origin: &Origin) -> Option<Measurement> {
    let Value::Table(table) = value else { return None };
    let text = |key: &str| table.get(key).and_then(as_text);
    let claim = |key: &str| text(key).filter(|text| is_claim(text));
    let known = |key: &String| matches!(key.as_str(), "component" | "version" | "digest" | "file");
    let source = match (text("digest"), text("file")) {
        (Some(digest), None) => MeasurementSource::Digest(digest_from_hex(&digest)?),
        (None, Some(file)) if !file.is_empty() => MeasurementSource::File(anchored(&file, origin)),
        _ => return None,
    };
    let complete = table.keys().all(known);
    let measurement = Measurement { component: claim("component")?, version: claim("version")?, source };
    complete.then_some(measurement)
}

fn digest_from_hex(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let pair = core::str::from_utf8(pair).ok().filter(|pair| !pair.starts_with('+'))?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(digest)
}

fn is_claim(text: &str) -> bool {
    (1..=limits::MAX_CLAIM_TEXT).contains(&text.len()) && !text.contains(char::is_control)
}

/// A name by the rules of systemd.unit(5), with its type.
fn is_unit(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b':' | b'_' | b'.' | b'@' | b'-' | b'\\');
    let typed = name.rsplit_once('.').is_some_and(|(name, of)| !name.is_empty() && !of.is_empty());
    name.len() <= 255 && !name.starts_with('-') && name.bytes().all(allowed) && typed
}

fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    }
}

fn anchored(text: &str, origin: &Origin) -> PathBuf {
    match origin {
        Origin::File { path, .. } => path.parent().unwrap_or_else(|| Path::new("")).join(text),
        _ => PathBuf::from(text),
    }
}

/// Seconds of `90`, `90s`, `15m`, `2h`, `1d`.
fn seconds(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match text.strip_prefix(digits)? {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

fn describe(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("\"{}\"", text.chars().take(80).collect::<String>().escape_debug()),
        Value::Integer(number) => number.to_string(),
        Value::Switch(switch) => switch.to_string(),
        Value::List(list) if list.is_empty() => "an empty list".to_owned(),
        Value::List(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
        Value::Other(kind) => (*kind).to_owned(),
    }
}
