//! Bytes of a socket, after the upgrade.

use std::time::Duration;

use wavesoak::driver::frames::{Decoder, Item, MESSAGE_MAX};
use wavesoak::profile::BridgeOrder;
use wavesoak::session::{Ending, Input, Oddity};
use wavesoak::wire::{Created, SyncPage};

use super::client::Client;
use super::within;

/// The first three bytes are the client's bridge order and a seed of the sizes in which the rest arrives.
pub fn stream(input: &[u8]) {
    let Some(([order, high, low], bytes)) = input.split_first_chunk() else { return };
    let mut random = u32::from(*high) << 8 | u32::from(*low) | 1;
    let sizes = || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // Mostly a few bytes: heads of frames are cut then.
        let most = if random >> 30 == 0 { 5000 } else { 20 };
        (random >> 8) as usize % most + 1
    };
    let pieces = within(16, bytes.len(), || decode(bytes, sizes));
    assert_eq!(pieces, decode(bytes, || usize::MAX), "it does not matter how the bytes were cut");
    let order = if order % 2 == 0 { BridgeOrder::SyncFirst } else { BridgeOrder::StreamFirst };
    within(64, bytes.len(), || play(order, &pieces));
}

/// What comes out, owned.
#[derive(Debug, PartialEq)]
enum Got {
    Text(String),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Odd(Oddity),
    Close(u16, String),
    Broken,
}

impl From<Item<'_>> for Got {
    fn from(item: Item<'_>) -> Self {
        match item {
            Item::Text(text) => Self::Text(text.into_owned()),
            Item::Ping(payload) => Self::Ping(payload.to_vec()),
            Item::Pong(payload) => Self::Pong(payload.to_vec()),
            Item::Odd(oddity) => Self::Odd(oddity),
            Item::Close(code, reason) => Self::Close(code, reason.to_owned()),
            Item::Broken => Self::Broken,
        }
    }
}

/// As `driver::stream` does it: all pieces through one buffer, behind what is left of the one before.
fn decode(bytes: &[u8], mut size: impl FnMut() -> usize) -> Vec<Got> {
    let (mut decoder, mut buffer, mut got, mut left) = (Decoder::default(), Vec::new(), Vec::new(), bytes);
    while !left.is_empty() {
        let (piece, later) = left.split_at(size().min(left.len()));
        buffer.clear();
        buffer.extend_from_slice(decoder.rest());
        buffer.extend_from_slice(piece);
        left = later;
        let mut at = 0;
        while let Some(item) = decoder.next(&buffer, &mut at) {
            got.push(Got::from(item));
            if got.last() == Some(&Got::Broken) {
                return got;
            }
        }
        decoder.keep(&buffer[at..]);
        assert!(decoder.rest().len() < MESSAGE_MAX + 14, "{} bytes are kept", decoder.rest().len());
    }
    got
}

fn play(order: BridgeOrder, got: &[Got]) {
    let (mut client, last_page) = (Client::new(order), SyncPage::default());
    for item in got {
        client.publish(&Created { id: None, position: None });
        client.answer(&last_page);
        match item {
            Got::Text(text) => client.hears(text),
            Got::Ping(_) => client.say(Input::Ping { late: false }),
            Got::Pong(_) => {}
            Got::Odd(oddity) => client.say(Input::OddFrame(*oddity)),
            Got::Close(code, reason) => {
                let (code, reason) = (*code, reason.as_str().into());
                client.say(Input::Closed(Ending::Close { code, reason }));
            }
            Got::Broken => client.say(Input::Closed(Ending::Protocol)),
        }
        client.pass(Duration::from_millis(700), &last_page);
    }
    client.end();
}
