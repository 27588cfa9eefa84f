//! The command line: reads it, sets up the log and the runtime, and hands over to the commands.

mod commands;
mod doctor;
mod flags;
mod renew;
mod report;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::config::{Config, DEFAULT_FILE, Sources};
use crate::exit::Exit;
use commands::ended;
use flags::Flags;
pub(crate) use report::{chain as causes, serial};
use report::{complain, help, say};

/// The agent of one device: enrolls it, keeps its certificate fresh, and connects it to its MQTT broker.
#[derive(Debug, Parser)]
#[command(
    name = "agent",
    version,
    max_term_width = 110,
    after_help = flags::exit_codes(),
    after_long_help = flags::exit_codes(),
    long_about = LONG_ABOUT
)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// The configuration file [default: /etc/agent/agent.toml] [env: AGENT_CONFIG]
    #[arg(long, global = true, value_name = "PATH")]
    config: Option<PathBuf>,

    #[command(flatten)]
    flags: Flags,
}

const LONG_ABOUT: &str = "\
The agent of one device: enrolls it, keeps its certificate fresh, and connects it to its MQTT broker.

A new device makes a P-256 key, proves to the enrollment server what it is (with the IDevID its maker put in, or \
with a one-time token), and gets a short-lived certificate, its LDevID. `agent run` does this when needed, \
connects to the broker over mutual TLS, renews long before the certificate ends, and goes on for ever; run it as \
a service. The other commands are for looking and for hands-on work.

First steps:
  1. Put the server's trust bundle and the IDevID in place and write /etc/agent/agent.toml;
     `agent sample` prints one with every setting explained.
  2. Try it once:  agent enroll && agent status
  3. Start the service:  systemctl enable --now agent";

#[derive(Debug, Subcommand)]
enum Command {
    /// Get a first certificate, once, and stop. Does nothing where there is one
    Enroll,
    /// Enroll if needed, connect, publish, renew and reconnect until stopped
    Run,
    /// Show where the device stands; works whether or not the agent runs
    Status {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Get the next certificate if it is due; asks the running agent, or does it itself where none runs
    ///
    /// An agent that runs renews by itself, at a random point between two thirds and five sixths of the certificate's
    /// life. Where that point has not come, this command says when it will, and does nothing. The new certificate
    /// is tried at the broker before the old one is given up.
    Renew {
        /// Renew now, whether or not it is due
        #[arg(long)]
        force: bool,
        /// Print one JSON object; its member "outcome" is renewed, not-due, pending, refused, under-way, failed or
        /// not-enrolled
        #[arg(long)]
        json: bool,
    },
    /// Carry a local MQTT port without TLS to the broker over the device's identity, until stopped
    ///
    /// For software that knows no client certificates: it connects to a Unix socket or a loopback port, and
    /// what it says goes to the broker over mutual TLS. Client identifier and topics are the software's own;
    /// the broker decides what they may be. Settings: proxy.listen and those beside it. Certificate, broker and
    /// trust are those of the agent.
    ///
    ///   agent proxy --proxy-listen unix:/run/agent/mqtt.sock --proxy-socket-mode 0660
    ///   mosquitto_pub --unix /run/agent/mqtt.sock -t devices/SN-0001/telemetry -m 21.5
    ///
    /// A loopback port is open to every user of this machine, a Unix socket to those that its mode and owner
    /// let in. `agent run` serves the same port where its configuration has proxy.listen; this command is for a
    /// process of its own. It neither enrolls nor renews: without a certificate it listens, and closes what
    /// connects. Each connection goes out with the certificate that is in use at that time.
    #[command(verbatim_doc_comment)]
    Proxy,
    /// Erase keys, certificates and exported files; the agent must not run. Trust and time floor stay
    Reset {
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Say in plain words what is wrong between this device, the enrollment server and the broker, and what to do
    ///
    /// Goes the way that the agent goes: clock, files and keys, name, port, TLS, the server's chain and name, the
    /// client certificate, login and rights at the broker. At the broker it publishes one message {"doctor":true} to the
    /// telemetry topic, not retained. It does not log in where that would end a session: where an agent runs and is logged
    /// in, or, where none runs, programs reach the broker by the proxy.
    /// Exit status 0 where all is fine, 1 where something was found.
    Doctor {
        /// Another server to look at, by the same trust and identity
        #[arg(value_name = "HOST:PORT", value_parser = doctor::address)]
        server: Option<(String, u16)>,
        /// Print one JSON object; its member "verdict" is fine, or the name of the first cause
        #[arg(long)]
        json: bool,
        /// Log in at the broker although somebody is logged in as the device, which ends that session for a moment
        #[arg(long)]
        login: bool,
    },
    /// Print a configuration file with every setting explained
    Sample,
}

/// The command line, for manual pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the program with these arguments, the program's name first, and these environment variables.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>, environment: BTreeMap<String, String>) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let (coloured, plain) = (error.render().ansi().to_string(), error.render().to_string());
            if error.use_stderr() {
                complain(&coloured, &plain);
                return Exit::Usage;
            }
            return ended(help(&coloured, &plain).map(|()| Exit::Done));
        }
    };
    if matches!(cli.command, Command::Sample) {
        return ended(say(crate::config::sample().trim_end()).map(|()| Exit::Done));
    }
    let file = cli.config.or_else(|| environment.get("AGENT_CONFIG").map(PathBuf::from));
    let sources = Sources { file, flags: cli.flags.into_values(), environment };
    let config = match Config::load(&sources) {
        Ok(config) => config,
        Err(errors) => {
            let file =
                sources.file.as_deref().map_or_else(|| DEFAULT_FILE.into(), |file| file.to_string_lossy());
            // The service manager does not start again after a wrong configuration: what a disk failed to give once must
            // not count as one.
            let (is, exit) = if errors.is_out_of_reach() {
                ("is out of reach", Exit::Files)
            } else {
                ("is wrong", Exit::Usage)
            };
            report::failure(&format!("the configuration ({file}) {is}:\n{errors}"));
            return exit;
        }
    };
    // Only a second log in one process fails, and then the first one serves.
    if let Err(error) = crate::logging::set_up(config.log) {
        tracing::debug!(%error, "the log was set up before");
    }
    // One thread is enough: the flow is one task, and its disk writes are meant to be finished in one go.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => {
            runtime.block_on(Box::pin(commands::carry_out(&cli.command, &config, &sources.environment)))
        }
        Err(error) => {
            report::failure(&format!("the program cannot start: {error}"));
            Exit::Later
        }
    }
}

#[cfg(test)]
mod tests {
    use super::main;
    use crate::exit::Exit;
    use std::collections::BTreeMap;

    /// The service manager gives up for good after [`Exit::Usage`], so that must not be the word for a disk that fails.
    #[test]
    fn a_configuration_that_cannot_be_read_is_not_a_wrong_one() {
        let here = tempfile::tempdir().unwrap();
        let path = |name: &str| here.path().join(name);
        std::fs::write(path("binary"), [0xff, 0xfe]).unwrap();
        std::fs::write(path("empty"), "").unwrap();
        // To read one is an I/O error, also for root.
        std::fs::create_dir(path("directory")).unwrap();
        for (name, exit) in [
            ("directory", Exit::Files),
            ("missing", Exit::Usage),
            ("binary", Exit::Usage),
            ("empty", Exit::Usage),
        ] {
            let arguments = ["agent".into(), "--config".into(), path(name).into_os_string(), "status".into()];
            assert_eq!(main(arguments, BTreeMap::new()), exit, "{name}");
        }
    }
}
