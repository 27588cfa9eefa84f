//! What can be written on the command line.

use core::time::Duration;
use std::path::PathBuf;

use appraisal::GroupName;
use ca::Serial;
use clap::{Parser, Subcommand};
use shared::{DeviceId, UnixTime};

use super::device_args::Device;

use crate::audit::{EventKind, Severity};
use crate::config::parse_duration;

/// Enrolls devices: challenges them, appraises their evidence, issues certificates, publishes revocations.
#[derive(Debug, Parser)]
#[command(name = "enroll-server", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Args {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

const AFTER_HELP: &str = "\
Begin with:
  enroll-server init --dir server --tenant Acme --host enroll.example
  enroll-server --config server/enroll-server.toml maker add maker-ca.pem
  enroll-server --config server/enroll-server.toml device import inventory.csv
  enroll-server --config server/enroll-server.toml serve

Exit status: 0 done, 1 failed, 2 wrong arguments, 3 the configuration has mistakes, 4 there is no such thing,
5 a new policy would decide otherwise (`policy replay`).";

/// For every command.
#[derive(Debug, clap::Args)]
pub(super) struct Global {
    /// Settings, as `init` writes them.
    #[arg(
        long,
        global = true,
        env = "ENROLL_SERVER_CONFIG",
        default_value = "enroll-server.toml",
        value_name = "FILE"
    )]
    pub(super) config: PathBuf,
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a new server: CAs, certificates, keys, settings, an empty database. Overwrites nothing.
    Init(Init),
    /// Run the server until SIGTERM or SIGINT.
    Serve,
    /// Makers whose devices may enroll.
    #[command(subcommand)]
    Maker(Maker),
    /// Devices: the inventory, approvals, revocations.
    #[command(subcommand)]
    Device(Device),
    /// Attestation keys of devices that prove themselves with PSA tokens, and have no certificate for the key.
    #[command(subcommand)]
    AttestationKey(AttestationKey),
    /// Symmetric keys, for devices without an IDevID: one device's own, or a group's to derive them from.
    #[command(subcommand)]
    Key(Key),
    /// Policies: check them, try them on the past, see what is in force and why a device was refused.
    #[command(subcommand)]
    Policy(Policy),
    /// Batches of devices that share a claim certificate, as secure elements have it.
    #[command(subcommand)]
    Batch(Batch),
    /// Reference values: firmware that is known to be good, by makers' manifests and release lists.
    #[command(subcommand)]
    Reference(Reference),
    /// One-time tokens, for devices without an IDevID.
    #[command(subcommand)]
    Token(Token),
    /// Certificates that were issued.
    #[command(subcommand)]
    Cert(Cert),
    /// The audit trail.
    #[command(subcommand)]
    Event(Event),
    /// Services that events are posted to.
    #[command(subcommand)]
    Webhook(Webhook),
}

#[derive(Debug, clap::Args)]
pub(super) struct Init {
    /// Folder to make; must be empty or not there.
    #[arg(long, value_name = "FOLDER")]
    pub(super) dir: PathBuf,
    /// Your organisation, letters and digits only; stands in every certificate.
    #[arg(long, visible_alias = "name", value_name = "NAME")]
    pub(super) tenant: String,
    /// Name or address under which devices reach this server; may be repeated. By default this machine's own.
    #[arg(long = "host", value_name = "HOST")]
    pub(super) hosts: Vec<String>,
    /// Host of the MQTT broker that devices are told.
    #[arg(long, default_value = "localhost", value_name = "HOST")]
    pub(super) broker_host: String,
    /// Port of the MQTT broker.
    #[arg(long, default_value_t = 8883, value_name = "PORT")]
    pub(super) broker_port: u16,
    /// Private enterprise number of your organisation (RFC 9039); the default is for examples.
    #[arg(long, default_value_t = 32473, value_name = "NUMBER")]
    pub(super) pen: u32,
    /// Encrypt the keys of the CAs and of the trust bundle. The passphrase comes from --passphrase-file, else from
    /// the environment variable ENROLL_SERVER_PASSPHRASE, else it is asked for.
    #[arg(long)]
    pub(super) encrypt_keys: bool,
    /// File with the passphrase, mode 0600.
    #[arg(long, requires = "encrypt_keys", value_name = "FILE")]
    pub(super) passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Maker {
    /// Trust a maker's CA: devices with an IDevID from it can be appraised.
    Add {
        /// The CA's certificate, PEM or DER.
        file: PathBuf,
        /// What policies call it; by default the common name of its subject.
        #[arg(long)]
        name: Option<String>,
    },
    /// Register the public key that a maker signs releases with, for `reference import`.
    #[command(after_help = RELEASE_KEY_HELP)]
    ReleaseKey {
        /// The maker's name, as in `maker list`.
        maker: String,
        /// The public key in PEM: EC on P-256 or P-384.
        file: PathBuf,
    },
    /// List the keys that makers sign releases with.
    ReleaseKeys,
    /// Remove a release key: nothing it signs is taken any more; what it signed before stays in force.
    RemoveReleaseKey {
        /// SHA-256 of the key, as in `maker release-keys`.
        #[arg(value_parser = sha256)]
        sha256: Sha256Arg,
    },
    /// List the makers.
    List,
    /// Take in a revocation list of a maker: devices whose certificates it lists are refused, as the policy says
    /// (evidence.crl). Its signature is checked, and its number must not go back. A running server goes by it at
    /// once.
    Crl {
        /// The maker: its name, or the SHA-256 of its CA.
        maker: String,
        /// The list, PEM or DER.
        file: PathBuf,
        /// Certificates of CAs below the maker's, where one of those issued the list; may be repeated.
        #[arg(long = "ca", value_name = "FILE")]
        chain: Vec<PathBuf>,
    },
    /// List the makers' revocation lists, and which of them are overdue.
    Crls,
}

#[derive(Debug, Subcommand)]
pub(super) enum AttestationKey {
    /// Register the attestation key of one device, as its maker gives it.
    Add {
        /// Instance identifier of its PSA tokens, in hexadecimal: 32 bytes, or 33 with the type byte 01 in front.
        #[arg(long, value_name = "HEX", value_parser = crate::attestation_keys::instance)]
        instance_id: appraisal::psa::InstanceId,
        /// The device it is in.
        #[arg(long)]
        device: DeviceId,
        /// The public key, PEM or DER: an EC key on P-256, P-384 or P-521.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Name or fingerprint of the maker who vouches for it; one of `enroll-server maker list`.
        #[arg(long)]
        maker: Option<String>,
        /// The device's model.
        #[arg(long)]
        model: Option<String>,
    },
    /// Register many: CSV with the header `instance_id,device,key,maker,model`, or JSON lines with these fields. The
    /// key is a SubjectPublicKeyInfo in DER, in hexadecimal. What is known already is not overwritten.
    Import {
        /// The file.
        file: PathBuf,
    },
    /// List the attestation keys.
    List,
    /// Remove an attestation key: its device cannot attest with it any more.
    Remove {
        /// Its instance identifier, in hexadecimal.
        #[arg(value_name = "INSTANCE", value_parser = crate::attestation_keys::instance)]
        instance_id: appraisal::psa::InstanceId,
    },
}

const RELEASE_KEY_HELP: &str = "\
The maker makes the key once and keeps it where releases are built:
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out release-key.pem
  openssl pkey -in release-key.pem -pubout -out release-key.pub.pem
and hands over release-key.pub.pem, in a way that you trust.";

#[derive(Debug, Subcommand)]
pub(super) enum Reference {
    /// Import reference values from a CoRIM (draft-ietf-rats-corim) or a release list (CSV or JSON). All of the
    /// file or nothing; a running server judges by it at once.
    Import(ReferenceFile),
    /// List the sets of reference values in force.
    List {
        /// Also those that were superseded or withdrawn.
        #[arg(long)]
        all: bool,
    },
    /// Show a set with its values: the version in force, else the newest.
    Show {
        /// Its name.
        set: String,
        /// Its maker, where several have a set of this name.
        #[arg(long)]
        maker: Option<String>,
        /// How many values.
        #[arg(long, default_value_t = 1000)]
        count: u32,
    },
    /// Withdraw a set: devices with its firmware are refused from now on, unless another set knows it.
    Withdraw {
        /// Its name.
        set: String,
        /// Its maker, where several have a set of this name.
        #[arg(long)]
        maker: Option<String>,
        /// Why; stands in the audit trail.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Find the sets that know a digest, in force or not.
    Find {
        /// The digest in hexadecimal, as a refusal shows it.
        #[arg(long)]
        digest: String,
    },
}

#[derive(Debug, clap::Args)]
#[command(after_help = IMPORT_HELP)]
pub(super) struct ReferenceFile {
    /// The file; what it is shows from its first bytes.
    pub(super) file: PathBuf,
    /// The maker whose devices the values are for. By default its signer says, or the file.
    #[arg(long)]
    pub(super) maker: Option<String>,
    /// Detached signature of the file: ECDSA in DER or Base64.
    #[arg(long, value_name = "FILE")]
    pub(super) signature: Option<PathBuf>,
    /// Take a file that nobody signed. Only for files that reached you in a way you trust.
    #[arg(long, conflicts_with = "signature")]
    pub(super) unsigned: bool,
    /// Name of a release list that says none; by default the name of the file without its extension.
    #[arg(long, value_name = "NAME")]
    pub(super) set: Option<String>,
    /// Number of a release list that says none; by default one more than the newest.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(..=i64::MAX.unsigned_abs()))]
    pub(super) release: Option<u64>,
    /// Let an older version take the place of a newer one, and a withdrawn one come back.
    #[arg(long)]
    pub(super) force: bool,
    /// Check everything and say what would change; change nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
}

const IMPORT_HELP: &str = "\
A release list in CSV has a header and a line a component; model and version may be empty:
  # name: sensor-a
  # release: 7
  model,component,version,digest
  sensor-a,application,1.3.0,2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
and is signed by the maker with the key of `maker release-key`:
  openssl dgst -sha256 -sign release-key.pem -out list.csv.sig list.csv
  enroll-server reference import list.csv --signature list.csv.sig
A signed CoRIM carries its signature; its signer is a release key, or a certificate from the maker's CA with
the extended key usage codeSigning. A newer version of a set takes the place of the older one.";

#[derive(Debug, Subcommand)]
pub(super) enum Key {
    /// Make a key; it is shown once, or written to a file that only you can read.
    ///
    /// A policy has to accept the kind "symmetric-key". Whoever has a group's key can be any device of the group:
    /// keep it at the factory, and give each device what `key derive` makes of it.
    #[command(group = clap::ArgGroup::new("for").required(true).args(["device", "group"]))]
    Create {
        /// The one device it is for. It overrides the key of the device's group, for good.
        #[arg(long, value_name = "ID")]
        device: Option<DeviceId>,
        /// The group it is for; its devices are put into the device group of the same name.
        #[arg(long, value_name = "NAME")]
        group: Option<GroupName>,
        /// Put its devices into this device group instead.
        #[arg(long, value_name = "GROUP")]
        enroll_group: Option<GroupName>,
        /// Days until it ends; by default it has no end.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=36_500))]
        expires_days: Option<u32>,
        /// How many devices it may bring in; by default any number.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        quota: Option<u32>,
        /// Write the key to this new file, mode 0600, instead of showing it.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Derive a device's key from its group's: HMAC-SHA256 over the device identifier. For the factory; needs no
    /// server.
    Derive {
        /// The group's key, as `key create --group` wrote it; only you may have access to the file.
        #[arg(long, value_name = "FILE")]
        group_key: PathBuf,
        /// The device.
        #[arg(long, value_name = "ID")]
        device: DeviceId,
        /// Write the key to this new file, mode 0600, instead of showing it.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// List the keys, without their secrets.
    List,
    /// Revoke a key: no device enrolls by it any more. To shut out one device of a group, make a key for that device
    /// and revoke it.
    Revoke {
        /// Its name in the list.
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Batch {
    /// Add a batch. Its certificate shows which batch a device is of, not which device it is: so each enrollment by
    /// it waits for an operator (--hold), or their number has an end (--quota), or both.
    ///
    /// A policy has to accept the kind "claim-certificate". Such an enrollment never leads to a device that is there
    /// already.
    #[command(group = clap::ArgGroup::new("bound").required(true).multiple(true).args(["hold", "quota"]))]
    Add {
        /// The certificate of the CA that issued the batch's claim certificates, or the claim certificate itself; PEM
        /// or DER.
        file: PathBuf,
        /// The device group that its devices are put into.
        #[arg(long, value_name = "NAME")]
        group: GroupName,
        /// Let every enrollment wait for an operator's approval.
        #[arg(long)]
        hold: bool,
        /// How many devices it may bring in.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        quota: Option<u32>,
        /// Days until it ends; by default it has no end.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=36_500))]
        expires_days: Option<u32>,
    },
    /// List the batches.
    List,
    /// Revoke a batch: no device enrolls by its certificate any more, and it cannot be added again.
    Revoke {
        /// Its name in the list.
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Make a token, or many; their texts are shown once and kept nowhere.
    Create(CreateToken),
    /// List the tokens, without their texts.
    List,
    /// Revoke a token.
    Revoke {
        /// Its name in the list.
        id: String,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct CreateToken {
    /// The one device it is for; by default any device.
    #[arg(long)]
    pub(super) device: Option<DeviceId>,
    /// Limit it to this group: the device is put into it, and one of another group cannot use it.
    #[arg(long, value_name = "NAME")]
    pub(super) group: Option<GroupName>,
    /// Hours until it expires.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=8760))]
    pub(super) hours: u32,
    /// Make so many, as a table, or as CSV or JSON.
    #[arg(long, value_name = "N", conflicts_with = "device",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) count: Option<u32>,
    /// The form that people can type: 16 letters and digits, one of which finds typing errors; 75 random bits in
    /// place of 128.
    #[arg(long)]
    pub(super) short: bool,
    /// Print CSV: token,text,group,expires.
    #[arg(long, conflicts_with_all = ["json", "print"])]
    pub(super) csv: bool,
    /// Print labels to cut out, each with a QR code that holds the token's text.
    #[arg(long, conflicts_with = "json")]
    pub(super) print: bool,
    /// Write the QR code to this new file, mode 0600, as SVG.
    #[arg(long, value_name = "FILE.svg", conflicts_with = "count")]
    pub(super) qr: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Cert {
    /// List certificates, newest first.
    List {
        /// Only those of this device.
        #[arg(long)]
        device: Option<DeviceId>,
    },
    /// Show one certificate and the evidence it was issued on.
    Show {
        /// Its serial number, 32 hexadecimal digits.
        serial: Serial,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Event {
    /// List the latest events, newest first.
    List {
        #[command(flatten)]
        filter: EventFilter,
        /// How many at most.
        #[arg(long, default_value_t = 50)]
        count: u32,
    },
    /// Print events as they happen, until it is stopped; with --json one object a line.
    Follow {
        #[command(flatten)]
        filter: EventFilter,
    },
    /// List the kinds of events: what each means, and what to do.
    Kinds,
}

#[derive(Debug, Subcommand)]
pub(super) enum Policy {
    /// Look for mistakes: all of them, each with file, line and field. Exit status 3 where there are any.
    Check {
        /// Policy files; by default all those of the settings. A file in the folder of groups is read over the
        /// policy of the group default.
        files: Vec<PathBuf>,
        /// The group the files are meant for, where their names do not say it.
        #[arg(long)]
        group: Option<GroupName>,
    },
    /// Tell which rule decided about a device, with every rule that was looked at and what its evidence said.
    #[command(group = clap::ArgGroup::new("what").required(true).args(["device", "evidence"]))]
    Explain {
        /// What was recorded of this device.
        #[arg(long)]
        device: Option<DeviceId>,
        /// How many of its last requests.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
        last: u32,
        /// Work out what would become of this enroll request: a file with the bytes as they are sent. Changes
        /// nothing.
        #[arg(long, value_name = "FILE")]
        evidence: Option<PathBuf>,
        /// As if it came at this time: in seconds since 1970, or like 2026-11-25T19:00:00Z.
        #[arg(long, conflicts_with = "device", value_parser = time)]
        at: Option<UnixTime>,
        /// As if the device were of this group.
        #[arg(long, conflicts_with = "device")]
        group: Option<GroupName>,
        /// By this policy instead of the one in force.
        #[arg(long, conflicts_with = "device", value_name = "FILE")]
        policy: Option<PathBuf>,
    },
    /// Put past requests before a new policy: which would change? Exit status 5 where any would.
    Replay {
        /// The time since, such as 7d or 12h ago.
        #[arg(long, default_value = "7d", value_parser = duration)]
        since: Duration,
        /// The new policy.
        #[arg(long, value_name = "FILE")]
        policy: PathBuf,
        /// The group it is for. The policy of the group default is the base of all others, so that one is put
        /// before the requests of every group.
        #[arg(long)]
        group: Option<GroupName>,
    },
    /// Show the policy of a group with every value.
    Show {
        /// The group.
        #[arg(long, default_value = "default")]
        group: GroupName,
        /// The candidate instead of the policy in force.
        #[arg(long)]
        candidate: bool,
    },
    /// What the running server judges by, what the files say, and what candidates would have done.
    Status,
    /// Put a group's candidate in the place of its policy; the old one is kept as FILE.previous.
    Promote {
        /// The group.
        #[arg(long, default_value = "default")]
        group: GroupName,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Webhook {
    /// List the webhooks of the settings.
    List,
    /// Show how a webhook stands, or all of them: what was delivered, what waits, what is parked.
    Status {
        /// Its name.
        name: Option<String>,
    },
    /// List the events that a receiver refused for good.
    Parked {
        /// The webhook's name.
        name: String,
    },
    /// Have events sent again by the server that runs.
    Replay {
        /// The webhook's name.
        name: String,
        #[command(flatten)]
        what: ReplayWhat,
    },
    /// Send a test event now, from here, and show the answer. Exit status 1 where the receiver does not take it.
    Test {
        /// The webhook's name.
        name: String,
    },
    /// Make a secret to be shared with a receiver, in a new file.
    Secret {
        /// The file.
        file: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct ReplayWhat {
    /// All parked events.
    #[arg(long)]
    pub(super) parked: bool,
    /// One parked event.
    #[arg(long, value_name = "NUMBER")]
    pub(super) event: Option<u64>,
    /// Every event from this number on, whether it was delivered or not.
    #[arg(long, value_name = "NUMBER")]
    pub(super) from: Option<u64>,
}

/// Which events.
#[derive(Debug, clap::Args)]
pub(super) struct EventFilter {
    /// Only this kind; may be repeated. `event kinds` lists them.
    #[arg(long = "kind", value_name = "KIND", value_parser = event_kind)]
    pub(super) kinds: Vec<EventKind>,
    /// Only those about this device.
    #[arg(long)]
    pub(super) device: Option<DeviceId>,
    /// Only those of the time since, such as 7d, 12h or 30m ago.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(super) since: Option<Duration>,
    /// Only those at least so severe: info, notice, warning or critical.
    #[arg(long, value_parser = severity)]
    pub(super) severity: Option<Severity>,
}

fn event_kind(text: &str) -> Result<EventKind, String> {
    EventKind::from_name(text).ok_or_else(|| "there is no such kind; `event kinds` lists them".to_owned())
}

fn severity(text: &str) -> Result<Severity, String> {
    Severity::from_name(text).ok_or_else(|| "expected info, notice, warning or critical".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "expected a duration such as 7d, 12h or 30m".to_owned())
}

fn time(text: &str) -> Result<UnixTime, String> {
    let wrong = || "expected seconds since 1970, or a time such as 2026-11-25T19:00:00Z".to_owned();
    if let Ok(seconds) = text.parse() {
        return Ok(UnixTime::from_secs(seconds));
    }
    let numbers: Vec<u64> = text
        .strip_suffix('Z')
        .ok_or_else(wrong)?
        .split(['-', 'T', ':'])
        .map(|part| part.parse().map_err(|_| wrong()))
        .collect::<Result<_, _>>()?;
    let [year, month, day, hour, minute, second] = numbers.as_slice() else { return Err(wrong()) };
    UnixTime::from_civil(*year, *month, *day, *hour, *minute, *second).ok_or_else(wrong)
}

/// SHA-256 of something, on the command line.
pub(super) type Sha256Arg = [u8; 32];

fn sha256(text: &str) -> Result<Sha256Arg, String> {
    let mut hash = [0; 32];
    let decoded = hex::decode_to_slice(text.replace(':', ""), &mut hash);
    decoded.map(|()| hash).map_err(|_| "expected 64 hexadecimal digits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::Args;
    use clap::{CommandFactory as _, Parser as _};

    #[test]
    fn the_arguments_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn options_may_stand_before_and_after_the_command() {
        for line in [
            "enroll-server --config f.toml device import inventory.csv --json",
            "enroll-server init --dir d --tenant Acme --host a --host b --broker-port 1",
            "enroll-server init --dir d --name Acme",
            "enroll-server token create --device SN-1 --hours 2",
            "enroll-server device revoke SN-1 --reason key-compromise",
            "enroll-server cert list --device SN-1 --json",
            "enroll-server device list --state held --group lot-7 --tag a --tag b --find SN --limit 5 --after SN-1",
            "enroll-server device suspend --group lot-7",
            "enroll-server device retire --tag old",
            "enroll-server device deny SN-1 --reason unknown",
            "enroll-server device transfer SN-1 --to lot-7",
            "enroll-server device set-group lot-8 --group lot-7",
            "enroll-server device tag add site:berlin,env=prod SN-1",
            "enroll-server device export --format jsonl --state enrolled",
            "enroll-server policy check",
            "enroll-server policy check a.toml b.toml --group lab --json",
            "enroll-server policy explain --device SN-1 --last 3",
            "enroll-server policy explain --evidence request.cbor --at 2026-11-25T19:00:00Z --group lab",
            "enroll-server policy explain --evidence request.cbor --at 1800000000 --policy new.toml",
            "enroll-server policy replay --since 30d --policy new.toml",
            "enroll-server policy promote --group lab",
            "enroll-server maker release-key acme key.pem",
            "enroll-server reference import a.corim --maker acme --dry-run --json",
            "enroll-server reference import a.csv --signature a.sig --set a --release 7 --force",
            "enroll-server reference list --all",
            "enroll-server reference withdraw a --maker acme --reason broken",
            "enroll-server event list --kind rollback --kind debug-opened --since 7d --severity warning",
            "enroll-server event follow --device SN-1 --json",
            "enroll-server maker crl example list.pem --ca factory.pem --ca other.pem",
            "enroll-server webhook replay alarms --event 7",
            "enroll-server webhook status --json",
        ] {
            Args::try_parse_from(line.split(' ')).unwrap();
        }
        for line in [
            "enroll-server device show S/1",
            "enroll-server token create --hours 0",
            "enroll-server device revoke SN-1 --reason because",
            "enroll-server device revoke SN-1 --reason certificate-hold",
            "enroll-server device suspend",
            "enroll-server device suspend SN-1 --group lot-7",
            "enroll-server device transfer SN-1",
            "enroll-server device tag add a,,b SN-1",
            "enroll-server cert show 00",
            "enroll-server reference import a.csv --signature a.sig --unsigned",
            "enroll-server maker remove-release-key 00",
            "enroll-server event list --kind no-such-kind",
            "enroll-server event list --since yesterday",
            "enroll-server policy explain",
            "enroll-server policy explain --device SN-1 --evidence request.cbor",
            "enroll-server policy explain --device SN-1 --at 1800000000",
            "enroll-server policy explain --evidence request.cbor --at 2026-13-01T00:00:00Z",
            "enroll-server policy replay --since 30d",
            "enroll-server policy show --group ../lab",
            "enroll-server event follow --count 3",
            "enroll-server webhook replay alarms",
            "enroll-server webhook replay alarms --parked --from 1",
        ] {
            Args::try_parse_from(line.split(' ')).unwrap_err();
        }
    }

    #[test]
    fn the_help_teaches() {
        let help = Args::command().render_long_help().to_string();
        for word in
            ["init", "serve", "maker", "device", "policy", "token", "cert", "Begin with:", "Exit status:"]
        {
            assert!(help.contains(word), "{word}");
        }
    }
}
