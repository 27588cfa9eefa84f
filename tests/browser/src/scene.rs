//! A fleet with a past: a day of enrollments, devices in every state, requests that wait, a candidate policy. All of it
//! came about as it does in production; only the clock was moved on.

use core::time::Duration;
use std::fs;
use std::sync::Arc;

use enroll_server::admin::Admin;
use enroll_server::clock::SettableClock;
use enroll_server::config::Config;
use enroll_server::dashboard::Role;
use enroll_server::startup::Server;
use enroll_server::store::{Action, Label, Link, Page, Selection};
use shared::DeviceId;
use shared::evidence::DebugStatus;
use tests::harness::{Csr, HandDevice, Wishes, World, free_port, now};

pub use enroll_server::dashboard::Secret;

/// The fleet and its server, which runs in this process.
#[derive(Debug)]
pub struct Scene {
    /// Files and devices.
    pub world: World,
    /// Where the dashboard is.
    pub origin: String,
    server: Server,
    clock: SettableClock,
}

/// Devices that enroll in each hour of the day before.
const HOURS: [usize; 24] = [1, 0, 1, 1, 2, 1, 2, 3, 5, 6, 4, 3, 2, 4, 5, 3, 2, 2, 1, 1, 2, 0, 1, 2];
/// Devices that wait for an operator.
const WAITING: usize = 2;
/// Devices that are refused.
const REFUSED: usize = 3;
/// Groups, and how many days their certificates live.
const GROUPS: [(&str, u16); 4] = [("field", 4), ("lab", 12), ("depot", 26), ("roof", 60)];

impl Scene {
    /// Makes it, and leaves it a day later.
    ///
    /// # Panics
    /// Where anything fails.
    pub async fn new() -> Self {
        let lot = HOURS.iter().sum::<usize>() + WAITING + REFUSED;
        let devices = u32::try_from(lot).expect("a small lot");
        let world = blocking(|| World::new(Wishes { devices, ..Wishes::default() }));
        let port = free_port();
        world.configure(&[("dashboard", "listen", &format!("\"127.0.0.1:{port}\""))]);
        policies(&world);
        let clock = SettableClock::new(now());
        let server = serve(&world, &clock).await;
        let mut scene = Self { origin: format!("https://localhost:{port}"), world, server, clock };
        scene.a_day().await;
        scene.in_every_state().await;
        // Counted refusals are written down when the server stops.
        scene.server.stop().await;
        scene.server = serve(&scene.world, &scene.clock).await;
        scene
    }

    /// The operator's hand.
    #[must_use]
    pub const fn admin(&self) -> &Admin {
        self.server.admin()
    }

    /// The certificate that the server shows, in DER.
    #[must_use]
    pub fn certificate(&self) -> Vec<u8> {
        self.world.certificates("server/server.crt").remove(0)
    }

    /// Makes a link by the clock of the scene, and gives the path that it leads to.
    ///
    /// # Panics
    /// Where the store fails.
    pub async fn link(&self, role: Role) -> String {
        let (secret, now) = (Secret::new().expect("a secret"), self.admin().now());
        let (sha256, expires) = (secret.sha256(), now.after(Duration::from_secs(900)));
        let link = Link { sha256, label: "ada".to_owned(), role, created: now, expires, used: false };
        self.admin().store().add_link(link, now).await.expect("a link");
        format!("/sign-in?link={}", secret.expose())
    }

    /// Stops the server.
    pub async fn stop(self) {
        self.server.stop().await;
    }

    async fn a_day(&self) {
        let mut devices = self.world.devices.iter();
        for (hour, count) in HOURS.into_iter().enumerate() {
            for device in devices.by_ref().take(count) {
                let (group, _) =
                    GROUPS[(hour + device.len() + usize::from(device.as_bytes()[device.len() - 1])) % 4];
                self.put(device, group).await;
                self.ask(device, false);
            }
            self.later(3_600);
        }
        self.later(1_500);
        for device in devices.by_ref().take(WAITING) {
            self.put(device, "gate").await;
            self.ask(device, false);
        }
        for (times, device) in (1_usize..).zip(devices) {
            for _ in 0..4 * times {
                self.ask(device, times != 2);
            }
        }
    }

    async fn in_every_state(&self) {
        let inventory: String = (0..70).map(|n| format!("AX-{n:04},sensor-a,\n")).collect();
        let csv = format!("device,model,idevid_sha256\n{inventory}");
        self.admin().import_devices(&csv).await.expect("an inventory");
        let actions = [
            (3, Action::Suspend),
            (9, Action::Suspend),
            (14, Action::Revoke(ca_reason("key-compromise"))),
            (21, Action::Retire),
        ];
        for (place, action) in actions {
            let device = id(&self.world.devices[place]);
            self.admin().act_on(&device, action).await.expect("an action");
        }
        let tag = Label::add(vec!["north-hall".parse().expect("a tag"), "batch-7".parse().expect("a tag")]);
        let first = Selection::One(id(&self.world.devices[0]));
        self.admin().label(first, tag, Page::first(1)).await.expect("tags");
        for hours in [1, 24, 72] {
            let lifetime = Duration::from_secs(hours * 3_600);
            let made = self.admin().create_token(None, lifetime).await.expect("a token");
            if hours == 24 {
                self.admin().revoke_token(&made.token.id).await.expect("the end of a token");
            }
        }
    }

    /// Puts a device into a group.
    async fn put(&self, device: &str, group: &str) {
        let label = Label::Group(group.parse().expect("a group"));
        self.admin().label(Selection::One(id(device)), label, Page::first(1)).await.expect("a group");
    }

    /// Has a device ask for a certificate; with an open debug port, if it is to be refused.
    fn ask(&self, device: &str, open: bool) {
        blocking(|| {
            let (hand, csr) = (HandDevice::load(&self.world, device), Csr::new());
            let nonce = hand.challenge(&self.world);
            let evidence = hand.evidence_with(&nonce, &csr.point, |claims| {
                if open {
                    claims.dbgstat = DebugStatus::Enabled;
                }
            });
            let reply = hand.enroll(&self.world, &hand.enroll_request(&csr.der, nonce, &evidence));
            assert!(matches!(reply.status, 200 | 202 | 403), "{reply:?}");
        });
    }

    fn later(&self, seconds: u64) {
        self.clock.set(self.admin().now().after(Duration::from_secs(seconds)));
    }
}

async fn serve(world: &World, clock: &SettableClock) -> Server {
    let config = Config::load(&world.path("server/enroll-server.toml")).expect("settings");
    Server::start(config, Arc::new(clock.clone())).await.expect("a server")
}

/// A policy for each group, and a candidate that asks for more than the devices have.
fn policies(world: &World) {
    let folder = world.path("server/policy.d");
    fs::create_dir_all(&folder).expect("a folder for policies");
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("to write a policy");
    for (group, days) in GROUPS {
        write(&format!("{group}.toml"), &format!("[certificate]\ndays = {days}\n"));
    }
    write("gate.toml", "[enrollment]\nfirst = \"hold\"\n");
    let stricter = "[certificate]\ndays = 12\n[firmware]\ndebug = \"disabled-fully-and-permanently\"\n";
    write("lab.candidate.toml", stricter);
}

fn id(device: &str) -> DeviceId {
    DeviceId::new(device).expect("an identifier")
}

fn ca_reason(name: &str) -> ca::crl::Reason {
    ca::crl::Reason::from_name(name).expect("a reason")
}

/// Runs what blocks beside the tasks of the runtime.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}
