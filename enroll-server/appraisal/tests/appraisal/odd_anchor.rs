//! A maker whose CA certificate is not of the form that RFC 5280 gives it, as some are that are decades old: it is a
//! trust anchor all the same, and never stands in another maker's way.

use appraisal::{Endorsements, MakerCa, MakerCrl, idevid};
use rcgen::SerialNumber;

use crate::dice::Boot;
use crate::maker_crl::{list, sign};
use crate::support::{Maker, NOW, World};

/// Their serial numbers are zero, and longer than 20 bytes (RFC 5280, section 4.1.2.2).
fn odd() -> [Maker; 2] {
    [&[0][..], &[1; 21]]
        .map(|serial| Maker::with("Odd", |p| p.serial_number = Some(SerialNumber::from_slice(serial))))
}

fn ca(maker: &Maker) -> MakerCa {
    MakerCa::new("odd", &maker.der).unwrap()
}

#[test]
fn devices_of_other_makers_and_its_own_enroll_by_dice() {
    for odd in odd() {
        let (mut world, boot) = World::dice();
        let other = world.makers.iter().next().unwrap().clone();
        world.makers = Endorsements::new(vec![ca(&odd), other]);
        world.enroll(&boot.alias).unwrap();
        world.enroll(&Boot::new(&odd, "SN-0001").alias).unwrap();
    }
}

#[test]
fn its_idevids_and_its_revocation_lists_are_taken() {
    for odd in odd() {
        let makers = Endorsements::new(vec![ca(&odd)]);
        let leaf = odd.device("SN-0001").chain.remove(0);
        idevid::verify(&[&leaf], &makers, NOW).unwrap();
        // Its certificate may come along.
        idevid::verify(&[&leaf, &odd.der], &makers, NOW).unwrap();
        let crl = sign(list(1, &[&[7]]), &odd);
        assert_eq!(MakerCrl::new(&crl, &[], &ca(&odd)).unwrap().revoked(), 1);
    }
}
