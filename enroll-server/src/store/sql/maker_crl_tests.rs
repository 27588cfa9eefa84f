//! Makers' revocation lists: the newest of each issuer, and never an older one.

use shared::UnixTime;

use crate::store::{CrlStored, EventQuery, Maker, Store as _, StoredCrl};
use crate::store::{Place, on_both};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

on_both!(a_newer_list_takes_the_place_of_an_older_one);

fn list(issuer: u8, number: u8, der: u8) -> StoredCrl {
    let mut wide = [0; 20];
    wide[19] = number;
    let (chain, der) = (format!("chain {issuer}"), vec![0x30, der]);
    StoredCrl { issuer: [issuer; 32], maker: [9; 32], number: wide, added: NOW, chain, der }
}

async fn a_newer_list_takes_the_place_of_an_older_one(place: Place) {
    let store = place.open();
    let maker = Maker { name: "Acme".into(), sha256: [9; 32], added: NOW, der: vec![0x30] };
    store.add_maker(maker).await.unwrap();
    let makers = async || store.generations().await.unwrap().makers;
    let before = makers().await;
    let put = async |list| store.put_maker_crl(list, NOW).await.unwrap();
    assert_eq!(put(list(1, 5, 1)).await, CrlStored::Stored);
    let stored = makers().await;
    assert!(stored > before, "whoever holds the makers reads them anew");

    assert_eq!(put(list(1, 5, 1)).await, CrlStored::Unchanged);
    assert_eq!(put(list(1, 5, 2)).await, CrlStored::Older { held: list(1, 5, 1).number }, "the same number");
    assert_eq!(put(list(1, 4, 3)).await, CrlStored::Older { held: list(1, 5, 1).number });
    assert_eq!(store.maker_crls().await.unwrap(), [list(1, 5, 1)]);
    assert_eq!(makers().await, stored);

    assert_eq!(put(list(2, 1, 4)).await, CrlStored::Stored, "of another issuer");
    assert_eq!(put(list(1, 6, 5)).await, CrlStored::Stored);
    assert_eq!(store.maker_crls().await.unwrap(), [list(1, 6, 5), list(2, 1, 4)]);
    let events = store.events(EventQuery::last(10)).await.unwrap();
    let told: Vec<_> =
        events.iter().filter(|event| event.kind == "maker-crl").map(|event| &event.detail).collect();
    assert_eq!(told.len(), 3);
    assert_eq!(*told[0], format!("number {}06 of issuer {}", "00".repeat(19), "01".repeat(32)));
}
