//! What can be written on the command line.

mod audit;
mod ca;
mod credentials;
mod dashboard;
mod device;
mod doctor;
mod makers;
mod peers;
mod policy;
mod profile;
mod records;
mod rollover;
mod values;
mod webhooks;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub(super) use audit::{Audit, WhichLog};
pub(super) use ca::{Ca, Csr, Import, RootCeremony, RootCrl, Sign, TpmCreate};
pub(super) use credentials::{Batch, CreateToken, Key, Token};
pub(super) use dashboard::Dashboard;
pub(super) use device::{Device, ForGood, Format, Renew, TagCommand, Which, page};
pub(super) use doctor::Doctor;
pub(super) use makers::{AttestationKey, Maker, Reference, ReferenceFile};
pub(super) use peers::{Broker, PeerOutput, Terminator};
pub(super) use policy::Policy;
pub(super) use profile::Profile;
pub(super) use records::{Cert, Event, EventFilter};
pub(super) use rollover::{CaStatus, Rollover, Signer, Start, TrustBundle};
pub(super) use webhooks::{ReplayWhat, Webhook};

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

Exit status: 0 done, 1 failed (`doctor`: something was found), 2 wrong arguments, 3 the configuration has mistakes, 4 there is no such thing,
5 a new policy would decide otherwise (`policy replay`), 6 the log or the database is not what it should be
(`audit verify`).";

const AFTER_OPENAPI: &str = "\
A client in your language:
  enroll-server openapi > openapi.json
  openapi-generator-cli generate -i openapi.json -g python -o client
A running server has its own:
  curl --cacert root-ca.crt -H \"Authorization: Bearer $(cat admin.token)\" https://HOST:8443/admin/v1/openapi.json
How an operator calls it, with roles, pages and errors: docs/admin-api.md.";

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
    /// Copy the database into a new file while servers use it: one moment of it, looked through (SQLite).
    ///
    /// Keys, settings and the log's folder are files of their own: see docs/operations.md. For PostgreSQL there are pg_dump
    /// and pg_basebackup.
    Backup(Backup),
    /// Move the database to PostgreSQL, all of it or nothing. Stop the server first.
    ///
    /// Takes files.store, and writes to the empty database that store.postgres names, in one transaction. Every row is
    /// read back and compared before it counts. Afterwards the file takes nothing new, and servers use PostgreSQL.
    Migrate(Migrate),
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
    /// Profiles of certificates: check them, see samples, the profiles in force, the rules before a signature.
    #[command(subcommand)]
    Profile(Profile),
    /// Batches of devices that share a claim certificate, as secure elements have it.
    #[command(subcommand)]
    Batch(Batch),
    /// Reference values: firmware that is known to be good, by makers' manifests and release lists.
    #[command(subcommand)]
    Reference(Reference),
    /// One-time tokens, for devices without an IDevID.
    #[command(subcommand)]
    Token(Token),
    /// The certificate authority: the issuing CA's key, its certificate, the root.
    #[command(subcommand)]
    Ca(Ca),
    /// Brokers: their certificates, and configurations for them.
    #[command(subcommand)]
    Broker(Broker),
    /// Configurations for programs that end TLS in front of HTTPS services.
    #[command(subcommand)]
    Terminator(Terminator),
    /// Certificates that were issued.
    #[command(subcommand)]
    Cert(Cert),
    /// The dashboard: links to sign in by, and who is signed in.
    #[command(subcommand)]
    Dashboard(Dashboard),
    /// The audit trail.
    #[command(subcommand)]
    Event(Event),
    /// The log of what was issued and revoked: verify it against the database, export it, prove what is in it.
    #[command(subcommand)]
    Audit(Audit),
    /// Why mutual TLS fails, in plain words: at a server, or in certificates, keys and lists. Exit status 1 where
    /// something is found. Needs no settings.
    Doctor(Box<Doctor>),
    /// Print the description of the server's HTTP interface as JSON (OpenAPI 3.1): every path with who may call it,
    /// what it takes, what it answers, and the codes of its refusals. Needs no settings.
    #[command(name = "openapi", after_help = AFTER_OPENAPI)]
    OpenApi,
    /// Services that events are posted to.
    #[command(subcommand)]
    Webhook(Webhook),
}

/// Where to.
#[derive(Debug, clap::Args)]
pub(super) struct Backup {
    /// The new file, mode 0600; one that is there is not overwritten.
    #[arg(long, value_name = "FILE")]
    pub(super) out: PathBuf,
}

/// From where to where.
#[derive(Debug, clap::Args)]
pub(super) struct Migrate {
    /// What the database is in now.
    #[arg(long, value_name = "sqlite", value_parser = ["sqlite"])]
    pub(super) from: String,
    /// Where it is to be.
    #[arg(long, value_name = "postgres", value_parser = ["postgres"])]
    pub(super) to: String,
    /// Only look: count what would be moved, and check that the target is empty.
    #[arg(long)]
    pub(super) dry_run: bool,
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
    /// Make no root: take this certificate of one that `ca root-ceremony` made elsewhere. The issuing CA follows by
    /// `ca csr`, `ca sign` there, and `ca import`.
    #[arg(long, value_name = "CERTIFICATE")]
    pub(super) offline_root: Option<PathBuf>,
    /// The revocation list of that root.
    #[arg(long, requires = "offline_root", value_name = "FILE")]
    pub(super) root_crl: Option<PathBuf>,
    /// Have this TPM 2.0 make the issuing CA's key, which then never leaves it; such as /dev/tpmrm0.
    #[arg(long, value_name = "DEVICE")]
    pub(super) tpm: Option<PathBuf>,
    /// File of mode 0600 with the authorization value for that key, 16 to 32 characters. The server reads it there.
    #[arg(long, requires = "tpm", value_name = "FILE")]
    pub(super) tpm_auth_file: Option<PathBuf>,
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
    fn usage_names_values_in_the_order_in_which_they_are_read() {
        let mut commands = vec![Args::command()];
        commands[0].build();
        let mut looked_at = 0;
        while let Some(mut command) = commands.pop() {
            let usage = command.render_usage().to_string();
            let names = command.get_positionals().filter_map(|value| value.get_value_names()?.first());
            let places: Vec<_> = names.map(|name| usage.rfind(name.as_str()).expect(&usage)).collect();
            assert!(places.is_sorted(), "{usage}");
            looked_at += usize::from(places.len() > 1);
            commands.extend(command.get_subcommands().cloned());
        }
        assert!(looked_at >= 3, "set-group, tag add, tag remove");
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
            "enroll-server ca status --after SN-1 --limit 5 --json",
            "enroll-server ca rollover start",
            "enroll-server ca rollover start --same-root --root-key r.key --lifetime 3650d --encrypt-keys",
            "enroll-server ca rollover start --issuing-certificate i.crt --issuing-key i.key --root r.crt --cross c.crt --bundle n",
            "enroll-server ca rollover start --issuing-certificate i.crt --issuing-key-settings k.toml",
            "enroll-server ca rollover switch --force",
            "enroll-server ca rollover retire --force --trust-signer t.key",
            "enroll-server ca rollover abort --bundle next.bundle",
            "enroll-server ca trust-bundle --after a --signer s --root r --root q --next-signer t --out o",
            "enroll-server ca publish-bundle one two",
            "enroll-server broker certificate --name mqtt.example --name 10.0.0.1 --out broker",
            "enroll-server broker config mosquitto",
            "enroll-server broker config nats --broker north --out d --owner 0:0 --watch --hook nats-server --signal reload=7",
            "enroll-server broker config aws-iot --json",
            "enroll-server terminator config nginx --host api.example --listen 8443 --upstream 127.0.0.1:80 --out d",
            "enroll-server terminator config caddy --certificate a --key b --server https://ca.example:8443",
            "enroll-server device retire --tag old",
            "enroll-server device deny SN-1 --reason unknown",
            "enroll-server device transfer SN-1 --to lot-7",
            "enroll-server device renew SN-1 --wait 5m",
            "enroll-server device renew --group lot-7 --rate 300/m --json",
            "enroll-server device renew --all --yes",
            "enroll-server device renew --tag old --cancel",
            "enroll-server device renewals --group lot-7 --after SN-1",
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
            "enroll-server cert revoke --certificate broker.crt --reason key-compromise",
            "enroll-server audit verify --from old.checkpoint --json",
            "enroll-server audit verify --url https://ca.example/log --ca-file a.pem --vkey log.vkey --log-only",
            "enroll-server audit export --out log.ndjson --no-proofs",
            "enroll-server audit inclusion 5f6a7b8c5f6a7b8c5f6a7b8c5f6a7b8c",
            "enroll-server audit accept --yes",
            "enroll-server dashboard link",
            "enroll-server dashboard link --role operator --for 15m --name ada --json",
            "enroll-server dashboard sessions",
            "enroll-server dashboard sign-out 5f3a9c",
            "enroll-server dashboard sign-out --all",
            "enroll-server init --dir d --tenant Acme --tpm /dev/tpmrm0 --tpm-auth-file a",
            "enroll-server ca tpm-create --device /dev/tpmrm0 --auth-file a --out issuing-ca.tpm",
            "enroll-server ca root-ceremony --dir root --tenant Acme",
            "enroll-server init --dir d --tenant Acme --offline-root r.crt --root-crl r.pem",
            "enroll-server ca csr --out a.csr",
            "enroll-server ca sign --root root a.csr --out a.crt --days 700",
            "enroll-server ca import a.crt --host a --host b",
            "enroll-server ca root-crl --root root --revoke a.crt --reason key-compromise",
        ] {
            Args::try_parse_from(line.split(' ')).unwrap();
        }
        for line in [
            "enroll-server device show S/1",
            "enroll-server token create --hours 0",
            "enroll-server device revoke SN-1 --reason because",
            "enroll-server device revoke SN-1 --reason certificate-hold",
            "enroll-server device suspend",
            "enroll-server cert revoke --reason key-compromise",
            "enroll-server cert revoke --certificate broker.crt --reason certificate-hold",
            "enroll-server ca status --limit 0",
            "enroll-server ca rollover start --same-root --no-cross",
            "enroll-server ca rollover start --root r.crt",
            "enroll-server ca rollover start --issuing-certificate i.crt --root-key r.key",
            "enroll-server ca rollover retire --bundle b --trust-signer t",
            "enroll-server ca trust-bundle --after a --signer s --out o",
            "enroll-server ca publish-bundle",
            "enroll-server broker certificate --out broker",
            "enroll-server broker config nginx",
            "enroll-server broker config mosquitto --watch",
            "enroll-server broker config mosquitto --out d --hook true",
            "enroll-server terminator config nginx --certificate a",
            "enroll-server device suspend SN-1 --group lot-7",
            "enroll-server device transfer SN-1",
            "enroll-server device renew",
            "enroll-server device renew SN-1 --all",
            "enroll-server device renew SN-1 --rate 0/s",
            "enroll-server device renew SN-1 --cancel --rate 5/s",
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
            "enroll-server dashboard link --role root",
            "enroll-server dashboard link --for 25h",
            "enroll-server dashboard link --name a,b\u{e9}",
            "enroll-server dashboard sign-out",
            "enroll-server dashboard sign-out 5f3a9c --all",
            "enroll-server webhook replay alarms",
            "enroll-server audit verify --ca-file a.pem",
            "enroll-server audit inclusion 00",
            "enroll-server webhook replay alarms --parked --from 1",
            "enroll-server init --dir d --tenant Acme --tpm-auth-file a",
            "enroll-server ca sign --root root a.csr --days 4000",
            "enroll-server ca root-ceremony --dir root --tenant Acme --years 21",
            "enroll-server ca root-crl --root root --reason key-compromise",
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
