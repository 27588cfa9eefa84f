//! The extensions' parsers against values that another encoder wrote: Python's asn1tools, from the ASN.1 of TCG DICE
//! Attestation Architecture 1.1 (with flagsMask of 1.2) and of the Open Profile for DICE.

use proptest::prelude::*;

use super::open_profile::{self, Mode};
use super::tcb_info::{self, Flags, MAX_TCB_INFOS};

const DEBUG: &str = "300784010087020410";
const NO_FLAGS_SET: &str = "3006830100870100";
const SEVERAL: &str = "303e3034810161a62f302d06096086480165030402010420\
                       4444444444444444444444444444444444444444444444444444444444444444\
                       3006810162850101";

fn full() -> String {
    format!(
        "3082010380074578616d706c65810873656e736f722d618205312e322e308302012c840101850102a681bd\
         302d06096086480165030402010420{}303d06096086480165030402020430{}304d06096086480165030402030440{}\
         8705000000000188020102890b6170706c69636174696f6e8a0500ff800001",
        "11".repeat(32),
        "22".repeat(48),
        "33".repeat(64)
    )
}

fn open(mode: &str) -> String {
    let (aa, bb) = ("aa".repeat(64), "bb".repeat(64));
    format!("3081d1a0420440{aa}a3420440{bb}a4420440{}a6030201{mode}", "00".repeat(64))
}

fn open_full() -> String {
    let (aa, bb, cc) = ("aa".repeat(64), "bb".repeat(64), "cc".repeat(64));
    format!(
        "3081eea0420440{aa}a103040163a2420440{bb}a3060404636f6e66a4420440{cc}a503040161a603020101a7090c076578616d706c65"
    )
}

fn hex(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

#[test]
fn every_field_of_a_tcb_info_is_read() {
    let info = tcb_info::one(&hex(&full())).unwrap();
    assert_eq!(
        (info.vendor.as_deref(), info.model.as_deref(), info.version.as_deref(), info.kind.as_deref()),
        (Some("Example"), Some("sensor-a"), Some("1.2.0"), Some("application"))
    );
    assert_eq!((info.svn, info.layer, info.index), (Some(300), Some(1), Some(2)));
    assert_eq!(info.digests, [vec![0x11; 32], vec![0x22; 48], vec![0x33; 64]]);
    let flags = info.flags.unwrap();
    assert!(flags.is_normal() && !flags.any_of(Flags::DEBUG | Flags::NOT_SECURE));

    let debug = tcb_info::one(&hex(DEBUG)).unwrap().flags.unwrap();
    assert!(debug.any_of(Flags::DEBUG) && !debug.any_of(Flags::NOT_SECURE) && !debug.is_normal());
    let info = tcb_info::one(&hex(NO_FLAGS_SET)).unwrap();
    assert_eq!((info.svn, info.flags.unwrap().is_normal()), (Some(0), true));
    let infos = tcb_info::several(&hex(SEVERAL)).unwrap();
    assert_eq!(infos.len(), 2);
    assert_eq!((infos[0].digests[0].as_slice(), infos[1].index), (&[0x44; 32][..], Some(1)));
    assert_eq!(infos[1].flags, None);
}

/// A mask that leaves a flag out takes back the statement, never a flag that is set.
#[test]
fn a_mask_cannot_make_debug_normal() {
    let with = |flags: &str, mask: &str| tcb_info::one(&hex(&format!("30088702{flags}8a02{mask}"))).unwrap();
    assert!(with("0400", "04f0").flags.unwrap().is_normal());
    let left_out = with("0400", "04e0").flags.unwrap();
    assert!(!left_out.is_normal() && !left_out.any_of(Flags::DEBUG), "says nothing of debug");
    assert!(with("0410", "04e0").flags.unwrap().any_of(Flags::DEBUG));
}

#[test]
fn inputs_of_the_open_profile_are_read() {
    let read = open_profile::read(&hex(&open_full())).unwrap();
    assert_eq!((read.code, read.configuration), (vec![0xaa; 64], vec![0xbb; 64]));
    assert_eq!((read.authority, read.mode), (vec![0xcc; 64], Mode::Normal));
    for (number, mode) in [
        ("00", Mode::NotConfigured),
        ("01", Mode::Normal),
        ("02", Mode::Debug),
        ("03", Mode::Recovery),
        ("04", Mode::NotConfigured),
    ] {
        let read = open_profile::read(&hex(&open(number))).unwrap();
        assert_eq!((read.mode, read.configuration), (mode, vec![0xbb; 64]));
    }
}

#[test]
fn what_is_empty_cut_or_too_much_is_refused() {
    let tcb = |text: &str| tcb_info::one(&hex(text));
    for broken in [
        "",
        "3000",                 // no field at all
        "30028000",             // empty text
        "3003800107",           // a control character
        "30028300",             // empty number
        "3003830180",           // a negative number
        "300483020001",         // not the shortest form
        "3002a600",             // no digest
        "3004a6023000",         // an empty one
        "30028700",             // flags without the count of unused bits
        "3003870101",           // unused bits of nothing
        "300487020401",         // an unused bit that is set
        "300487020800",         // eight unused bits
        "30088706000000000000", // more flags than 32
        "3006810161800162",     // the wrong order
        "3006800161800162",     // twice
        "30068001618c0100",     // a field that does not exist
        "300b800161",           // cut
        "30038001610500",       // something behind it
    ] {
        assert!(tcb(broken).is_err(), "{broken}");
    }
    // A digest of another length than its algorithm's, and an algorithm that is not known.
    let good = full();
    assert!(tcb(&good.replace("0201042011", "0202042011")).is_err());
    assert!(tcb(&good.replace("0201042011", "0204042011")).is_err());
    let many = format!("30{:02x}{}", 5 * (MAX_TCB_INFOS + 1), "3003840100".repeat(MAX_TCB_INFOS + 1));
    assert!(tcb_info::several(&hex(&many)).is_err());
    assert!(tcb_info::several(&hex("3000")).is_err());
    assert!(tcb_info::several(&hex("30023000")).is_err());

    let good = open_full();
    for (what, from, to) in [
        ("no code hash", format!("a0420440{}", "aa".repeat(64)), String::new()),
        ("no configuration", "a3060404636f6e66".into(), String::new()),
        ("no authority", format!("a4420440{}", "cc".repeat(64)), String::new()),
        ("no mode", "a603020101".into(), String::new()),
        ("a negative mode", "a603020101".into(), "a6030201ff".into()),
        ("a mode in another type", "a603020101".into(), "a603040101".into()),
        ("an empty descriptor", "a3060404636f6e66".into(), "a3020400".into()),
        ("a name that is no UTF-8", "a7090c076578616d706c65".into(), "a7090c07ff78616d706c65".into()),
    ] {
        let changed = good.replacen(&from, &to, 1);
        let body = changed.strip_prefix("3081ee").unwrap();
        let whole = format!("3081{:02x}{body}", body.len() / 2);
        assert!(open_profile::read(&hex(&whole)).is_err(), "{what}");
    }
}

proptest! {
    #[test]
    fn a_changed_or_cut_value_never_panics(
        which in 0_usize..5, at in any::<prop::sample::Index>(), flip: u8, cut in any::<prop::sample::Index>(),
    ) {
        let texts = [full(), DEBUG.into(), SEVERAL.into(), open("01"), open_full()];
        let mut value = hex(&texts[which]);
        let at = at.index(value.len());
        value[at] ^= flip;
        let _read = super::extensions_are_read(&value);
        let _read = super::extensions_are_read(&value[..cut.index(value.len())]);
    }
}
