//! Processes, ports and peers for tests that run the real binaries.
//!
//! Nothing here waits a fixed time: each wait ends with the event it waits for, or fails after a limit with what
//! was seen until then.

mod binaries;
pub mod device;
pub mod est;
pub mod flood;
pub mod hand_tpm;
mod https;
mod issue;
pub mod matrix;
pub mod measured_boot;
mod mosquitto;
mod nginx;
pub mod otlp;
mod probe;
mod process;
mod prometheus;
pub mod secrets;
mod site;
mod swtpm;
pub mod tpm_fleet;
mod wait;
mod world;

pub use binaries::{CRL_HOOK, binary, peer, python_peer};
pub use device::{Csr, HandDevice, post, written};
pub use https::{ClientKey, Reply, client_config, connect, exchange, http, https, operator, send, try_https};
pub use issue::{
    Order, certify, certify_by_ca_in, certify_by_client, certify_by_impostor, certify_by_stranger,
    certify_changed,
};
pub use mosquitto::{Files as BrokerFiles, Mosquitto, Weakness};
pub use nginx::{Nginx, echo_service};
pub use probe::{Login, NOT_AUTHORIZED, Probe, ProbeError, Version};
pub use process::{Finished, Process, run};
pub use prometheus::{Prometheus, promtool};
pub use site::Site;
pub use swtpm::{Swtpm, TpmMaker};
pub use tpm_fleet::TpmFleet;
pub use wait::{LIMIT, free_port, now, pause, until};
pub use world::{LOT_GROUP, QEMU_HOST, Wishes, World, configure};
