//! A device's next request does not become slower with each that it made before.

use super::actions::STANDING;
use super::complete::{ASKED, OTHERS};
use super::facts::ELSEWHERE;
use super::issue::REPLACED;
use super::read::{ISSUED, newest_of_device};
use super::revoke::IN_FORCE;
use crate::store::Place;

/// Whatever is asked about a device's certificates is answered by those in the state that is asked about, or by the one row of
/// a serial number.
#[test]
fn no_request_goes_through_all_certificates_of_its_device() {
    let place = Place::sqlite();
    let newest = newest_of_device();
    for sql in [STANDING, ASKED, OTHERS, ELSEWHERE, REPLACED, IN_FORCE, ISSUED, &newest] {
        let steps = place.plan(sql);
        let of_device: Vec<_> = steps.iter().filter(|step| step.contains("certificates_by_device")).collect();
        assert!(!of_device.is_empty(), "{steps:?}");
        for step in of_device {
            assert!(step.contains("INDEX certificates_by_device (device=? AND state=?)"), "{steps:?}");
        }
    }
}
