//! 200 devices through a rollover of root and issuing CA.

use firmware_sim::rollover::{RolloverOptions, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_devices_move_to_a_new_root_and_none_is_lost() {
    let mut story = Vec::new();
    let ended = Box::pin(run(&RolloverOptions { devices: 200 }, &mut story)).await;
    let story = String::from_utf8(story).unwrap();
    let summary = ended.unwrap_or_else(|error| panic!("{error}; until then:\n{story}"));
    assert!(summary.is_good(), "{summary:?}\n{story}");
    assert_eq!((summary.devices, summary.away), (200, 60));
    assert!(summary.reconnects >= 140 * 2, "each device confirms and renews: {summary:?}");
    // A reconnect with its renewal in between, of many devices at once on a machine of two cores.
    // Where the machine is too busy for the time limits of a login, the time says nothing.
    assert!(summary.longest_gap_ms < 15_000 || summary.slow_logins > 0, "{summary:?}");
}
