# Storms

    firmware-sim storm                                             # all, 100,000 devices, another seed each time
    firmware-sim storm --scenario power --devices 1000000 --seed 1 # one, a million
    firmware-sim storm --seed 1 --json --svg docs                  # the plots of this page

A fleet comes all at once, in virtual time. Each device is the lifecycle of the real agent (`agent_core::lifecycle`), with
its backoff, jitter and patience; whom the server lets in, and what it tells the others, is decided by its real admission
([limits](limits.md)). Simulated are time, the network (0.1 s each way), the server's handshakes (8 in the time of a
certificate, 2,000 a second at least) and its certificates, of which it makes exactly as many as its `rate` says. A broker
takes whoever has a certificate that has not ended. Half of the devices give evidence, and so ask twice. The same seed gives
the same storm. Exit status 0 says that all bounds hold. Use a release build for a million; a device takes about 0.8 KiB.

## What has to hold

With N devices and a capacity C (`limits.rate`):

1. In no second (or time of a hundred requests, where that is longer) does the server begin more than C.
2. Nobody is locked out, no certificate ends before it is renewed, nobody gives renewal up for enrollment.
3. The last is served by the bound in the table; attempts for one success stay below theirs.

| storm | what happens | C unless set | the last is served within | attempts |
|---|---|---|---|---|
| `power` | power comes back after so long that certificates have ended, all start within a minute; 40 % only need the time | N in 1,000 s | 1 min + 1.5 N/C | 2.2 |
| `birthday` | made and enrolled in one shift of 8 h, 90-day certificates | N in 11 days | 8 h + 1.5 N/C | 1.2 |
| `outage` | no server for 12 h, across the whole renewal window of 2-day certificates | N in 1 h | 1.5 N/C after its return | 1.8 after its return |
| `expiry` | 90-day certificates that end in the same second, no server for the first 6 h of their window | N in 11 days | 1.5 N/C | 1.2, those in vain included |
| `rollover` | all take a new trust bundle and are told to renew; 30 % are away and come back within a minute | N in 1,000 s | 1.5 N/C after that minute | 1.2 |

In `power` and `outage` many more come at once than can be served, and each is turned away about once: that is the price of
a server that remembers nobody. Weekly questions of devices (`check_in`, trust bundles) are left out: they can wait, and are
spread over the week.

## Figures

FIGURES

## What the storms changed

The simulation found three faults in the device, and one in the server, which are mended:

- A device added the jitter of its failures, up to an hour, to the time that a busy server had told it: it came long after
  its turn. Now a time that comes with 429 is kept to within 10 s.
- A device whose ended certificate the broker refused put the renewal that was under way off by up to an hour.
- A question for the time that was turned away waited for up to an hour, whatever the server had said.
- The server told everybody the same 5 seconds. (`Plant::SameTime` is that server; the test shows that its storm breaks the
  bound.)

And a renewal that has more than a day left asks a server that is away six times less often: most attempts of a storm were
made in vain.

Planted for the tests: a server that tells all the same time, one that tells none, one that turns nobody away, and devices
that give up for the day. Each breaks a bound (`firmware-sim/src/storm/tests.rs`).

## A hundred million devices

On paper; nothing of it was run.

- **Load.** 90-day certificates renewed between days 60 and 75 are one renewal a device in 67 days on average: 17 a second
  for 100 million, and with two weekly questions 350 requests a second. The steady load is no matter of size; what has to be
  provided for is how fast a storm should be over. A fleet that is to be served once within 3 hours takes 9,300 a second.
- **Regions.** A device has one address for enrollment; a DNS name or anycast for each region (5 to 20 million devices) keeps
  a region's power cut, CA key, database and `rate` its own. An issuing CA for each region under one root: trust bundles name
  the root, so that a device may renew anywhere; a region that is lost is served by another after its inventory was restored
  there. `rate` is for one server: of k replicas each gets C/k.
- **Replicas.** No state of a connection or nonce is on a server, so that any number of replicas stands behind a TCP load
  balancer, over one PostgreSQL a region; its writes (an intent, a certificate, events and leaves of the log for each
  certificate) are what limits a region.
- **Partitioning.** 20 million devices a region with 5 certificates a year kept for a year after their end are 200 million
  rows: certificates and events by month of their end, so that old months are dropped as a whole; devices by hash of the
  identifier.
- **Revocation lists.** With 10,000 certificates a list ([revocation](revocation.md)), 100 million live ones are 10,000 lists,
  at most 0.5 MB each and 25 kB at 5 % revoked: 250 MB in all behind a CDN. Each is signed at least every 12 hours: one
  signature in 4 s over all regions. Brokers read the complete list of their region's CA, or ask OCSP.
- **Brokers** meet the same storms and cannot tell a device when to come; a device's logins are spread by its own jitter only.
  The logins in the figures say what that is.
