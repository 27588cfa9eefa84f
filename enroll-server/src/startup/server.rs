//! A running server: its tasks, its addresses, its end.

use core::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::chores::{keep_records, look_at_clock, write_counted, write_refusals};
use super::error::StartError;
use super::load::LoadError;
use super::open::{Opened, keeper, open, publisher};
use crate::admin::Admin;
use crate::admission::Gate;
use crate::api::{self, Api, SharedLook};
use crate::audit::{ADMIN_TOKEN, Actor, Refusals, Repeated};
use crate::brokers::Brokers;
use crate::clock::Clock;
use crate::config::{Config, Est};
use crate::dashboard::{self, Dashboard};
use crate::est;
use crate::failpoint::Hook;
use crate::issuance::{Journal, Recovered};
use crate::mqtt::{Identity, Teller, TellerParts, certified};
use crate::ocsp::Ocsp;
use crate::policies;
use crate::revocation::Revocations;
use crate::rollover::{Follower, put_certificates_in_trail};
use crate::serve::{Site, Tls, serve};
use crate::store::Store;
use crate::telemetry::{Metrics, OnDisk, SpanCounts};
use crate::tls::Following;
use crate::transparency_log::Folder;
use crate::webhook::{Courier, Sender};

/// What a program that runs the server inside itself can add.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Looks on at the named places of the issuance; for tests.
    pub hook: Hook,
    /// What becomes of the spans of traces, where they are sent; for the metrics.
    pub spans: Option<Arc<SpanCounts>>,
    /// The planted bug that the test of the start has to find: the lists are made when someone comes to it.
    #[cfg(test)]
    pub(crate) publishes_late: bool,
}

/// Addresses the server is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The native protocol.
    pub https: SocketAddr,
    /// Health, metrics and the revocation list, where that listener is on.
    pub http: Option<SocketAddr>,
    /// Enrollment over Secure Transport, where that listener is on.
    pub est: Option<SocketAddr>,
    /// The dashboard, where it is on.
    pub dashboard: Option<SocketAddr>,
}

/// A running server. Dropping it without [`stop`](Self::stop) stops it too, but waits for nothing.
#[derive(Debug)]
pub struct Server {
    bound: Bound,
    admin: Admin,
    store: Arc<dyn Store>,
    refusals: Arc<Refusals>,
    repeated: Arc<Repeated>,
    clock: Arc<dyn Clock>,
    revocations: watch::Receiver<Arc<Revocations>>,
    policies: Arc<Notify>,
    log: Arc<Notify>,
    records: Arc<Journal>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts a server on the current tokio runtime. It serves when this returns: what the last run left open is
    /// finished, and a fresh revocation list is out.
    ///
    /// # Errors
    /// Says what is missing or wrong; nothing runs then.
    pub async fn start(config: Config, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        Self::start_with(config, clock, Options::default()).await
    }

    /// As [`start`](Self::start), with more options.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_with(
        config: Config,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Result<Self, StartError> {
        // The start is long and happens once: its state is not carried in the future of whoever waits for it.
        Box::pin(Self::begin(config, clock, options)).await
    }

    async fn begin(config: Config, clock: Arc<dyn Clock>, options: Options) -> Result<Self, StartError> {
        let Opened { issuance, trust, tls, lineup, generation } =
            open(&config, &clock, options.hook.clone()).await?;
        let store = Arc::clone(issuance.store());
        look_at_clock(store.as_ref(), clock.now()).await?;
        put_certificates_in_trail(&config, store.as_ref(), &issuance.in_office().now(), clock.now()).await?;
        let senders = config.webhooks.iter().cloned().map(Sender::new).collect::<Result<Vec<_>, _>>()?;
        for sender in &senders {
            // Before anything happens, so that nothing is missed.
            store.open_webhook(sender.webhook().name.clone()).await?;
        }
        let identity =
            config.mqtt.as_ref().map(|mqtt| (mqtt.clone(), Identity::new(&config, mqtt, &lineup, &clock)));
        if let Some((_, identity)) = &identity {
            if let Some(made) = identity.keep(issuance.authorities().issuer(), clock.now())? {
                store.add_peer_event(made.serial, certified(&made, clock.now())).await?;
            }
            // Whatever is wrong with the files is told now.
            identity.check()?;
        }
        // Bound before anything is published, so that a second server on the same address does no harm.
        let https = listen(config.listen.https).await?;
        let http = match config.listen.http {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let est = match config.est {
            Some(Est { listen: address }) => Some((listen(address).await?, Arc::clone(&tls))),
            None => None,
        };
        let dashboard = match &config.dashboard {
            Some(settings) => Some((listen(settings.listen).await?, settings.clone())),
            None => None,
        };
        let recovered = issuance.recover().await.map_err(StartError::Recovery)?;
        if recovered != Recovered::default() {
            let Recovered { finished, voided, left } = recovered;
            tracing::info!(finished, voided, left, "looked after what the last run left open");
        }
        let mut publisher = publisher(&config, &issuance, &lineup, &clock);
        #[cfg(test)]
        let late = options.publishes_late;
        #[cfg(not(test))]
        let late = false;
        if !late {
            publisher.publish_if_due().await?;
        }
        let revocations = publisher.subscribe();
        let keeper = Box::pin(keeper(&config, &store, &clock, options.hook)).await?;
        let (log, log_status) =
            (Arc::new(Folder::new(config.transparency.folder.clone())), keeper.subscribe());
        let admin = Admin::new(Arc::clone(&store), Arc::clone(&clock));
        let (policies, records) = (Arc::clone(issuance.policies()), Arc::clone(issuance.refusals()));
        let reload = Arc::new(Notify::new());
        let (metrics, refusals) = (Arc::new(Metrics::default()), Arc::new(Refusals::default()));
        let repeated = Arc::new(Repeated::new(config.repeated_refusals));
        let ocsp = Ocsp::new(
            Arc::clone(&store),
            Arc::clone(issuance.in_office()),
            Arc::clone(&clock),
            config.ocsp.valid,
        );
        let teller = match identity {
            Some((settings, identity)) => Some(Teller::new(TellerParts {
                settings,
                identity,
                store: Arc::clone(&store),
                clock: Arc::clone(&clock),
                brokers: Brokers::new(&config).map_err(LoadError::from)?,
                policies: Arc::clone(&policies),
                in_office: Arc::clone(issuance.in_office()),
                metrics: Arc::clone(&metrics),
            })),
            None => None,
        };
        let follower = Follower::new(
            Arc::new(config.clone()),
            Arc::clone(&store),
            Arc::clone(&clock),
            Arc::clone(issuance.in_office()),
            Arc::clone(&trust),
            Arc::clone(&tls),
            Arc::clone(&lineup),
            generation,
        );
        let api = Arc::new(Api {
            issuance,
            admin: admin.acting_as(Actor::AdminApi(ADMIN_TOKEN.to_owned())),
            admin_token_sha256: config.admin_token_sha256,
            broker_token: config.files.broker_token.clone(),
            trust: Arc::clone(&trust),
            lineup,
            brokers: Brokers::new(&config).map_err(LoadError::from)?,
            approval_retry: config.approval_retry,
            busy_retry: config.busy_retry,
            limits: config.limits,
            on_disk: OnDisk::of(&config, follower.shown()),
            traces: config.traces.clone(),
            spans: options.spans,
            revocations: revocations.clone(),
            rollover: follower.standing(),
            ocsp,
            metrics: Arc::clone(&metrics),
            refusals: Arc::clone(&refusals),
            repeated: Arc::clone(&repeated),
            webhooks: config.webhooks,
            log,
            log_status,
            health: SharedLook::default(),
            gauges: SharedLook::default(),
        });
        let bound = Bound {
            https: https.1,
            http: http.as_ref().map(|(_, address)| *address),
            est: est.as_ref().map(|((_, address), _)| *address),
            dashboard: dashboard.as_ref().map(|((_, address), _)| *address),
        };
        let (stop, ending) = watch::channel(false);
        let (limits, gate) = (config.limits, api.issuance.gate().clone());
        let site = Site {
            router: api::https(Arc::clone(&api)),
            tls: Some(Tls::Native(Arc::clone(&tls))),
            limits,
            gate: gate.clone(),
            metrics: Arc::clone(&metrics),
        };
        let mut tasks = vec![
            tokio::spawn(serve(https.0, site, ending.clone())),
            tokio::spawn(publisher.run(ending.clone())),
            tokio::spawn(write_refusals(
                (Arc::clone(&refusals), Arc::clone(&repeated)),
                Arc::clone(&store),
                Arc::clone(&clock),
                ending.clone(),
            )),
            tokio::spawn(policies::watch(
                policies,
                Arc::clone(&store),
                Arc::clone(&clock),
                Arc::clone(&metrics),
                Arc::clone(&reload),
                ending.clone(),
            )),
            tokio::spawn(keep_records(
                Arc::clone(&records),
                Arc::clone(&store),
                Arc::clone(&clock),
                ending.clone(),
            )),
        ];
        let nudge = Arc::new(Notify::new());
        tasks.push(tokio::spawn(keeper.run(Arc::clone(&nudge), ending.clone())));
        tasks.push(tokio::spawn(follower.run(ending.clone())));
        for sender in senders {
            let courier = Courier::new(sender, Arc::clone(&store), Arc::clone(&clock));
            tasks.push(tokio::spawn(courier.run(ending.clone())));
        }
        if let Some(((listener, _), tls)) = est {
            let (router, metrics) = (api::est(Arc::clone(&api)), Arc::clone(&metrics));
            let tls = Some(Tls::Est(Arc::new(Following::new(tls, est::server_config))));
            let site = Site { router, tls, limits, gate, metrics };
            tasks.push(tokio::spawn(serve(listener, site, ending.clone())));
        }
        if let Some((listener, settings)) = dashboard {
            // A gate of its own: operators look at a storm while it is there.
            let gate = Gate::new(config.admission.without_tls());
            let tls = Some(Tls::Dashboard(Arc::new(Following::new(tls, dashboard::tls(&settings)))));
            let dashboard = Dashboard::new(settings, Arc::clone(&api), Arc::clone(&clock));
            let (router, metrics) = (dashboard.router(), Arc::clone(&metrics));
            let site = Site { router, tls, limits, gate, metrics };
            tasks.push(tokio::spawn(serve(listener.0, site, ending.clone())));
        }
        if let Some(teller) = teller {
            tasks.push(tokio::spawn(teller.run(ending.clone())));
        }
        if let Some((listener, _)) = http {
            let gate = Gate::new(config.admission.without_tls());
            let site = Site { router: api::http(api), tls: None, limits, gate, metrics };
            tasks.push(tokio::spawn(serve(listener, site, ending)));
        }
        tracing::info!(https = %bound.https, http = ?bound.http, est = ?bound.est, dashboard = ?bound.dashboard, "the server is ready");
        Ok(Self {
            bound,
            admin,
            store,
            refusals,
            repeated,
            clock,
            revocations,
            policies: reload,
            log: nudge,
            records,
            stop,
            tasks,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn bound(&self) -> Bound {
        self.bound
    }

    /// The operator's hand, on the same store.
    #[must_use]
    pub const fn admin(&self) -> &Admin {
        &self.admin
    }

    /// What is revoked, now and at every change: for a broker in the same process. A broker in another process
    /// reads the published file.
    #[must_use]
    pub fn revocations(&self) -> watch::Receiver<Arc<Revocations>> {
        self.revocations.clone()
    }

    /// Has the policy files read at once, whether or not they changed. Changes are noticed without that.
    pub fn reload_policies(&self) {
        self.policies.notify_one();
    }

    /// Has what waits for the log logged at once. It is logged a moment later without that.
    pub fn log_now(&self) {
        self.log.notify_one();
    }

    /// Stops: takes no new connection, finishes the requests under way, closes the store.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        for task in core::mem::take(&mut self.tasks) {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the server ended badly");
            }
        }
        let store = self.store.as_ref();
        write_counted(&self.refusals, &self.repeated, store, self.clock.now()).await;
        self.records.write(store).await;
        if let Err(error) = self.store.close().await {
            tracing::warn!(%error, "the store could not be closed");
        }
        tracing::info!("the server has stopped");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}
