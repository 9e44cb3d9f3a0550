//! The network: it loses, repeats, reorders and delays, but never forever.
//!
//! It is fair: of one kind of message between one phone and the switch, no more than two requests
//! or one response in a row are lost (an INVITE goes out only seven times), and nothing stays under way for longer than T4. So whatever is retransmitted as
//! RFC 3261 asks arrives in time, and every complaint is somebody's fault.

use std::collections::BTreeMap;

use super::rng::Rng;
use super::ua::{Packet, SECOND_US};
use crate::phone::message::{Message, Start};

/// Most losses in a row of one kind of request.
const UNLUCKY_REQUESTS: u8 = 2;
/// Most losses in a row of one kind of response.
const UNLUCKY_RESPONSES: u8 = 1;
/// The longest delay.
const LATEST_US: u64 = 3 * SECOND_US;

/// How the network behaves: percentages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weather {
    pub lost: u64,
    pub twice: u64,
    pub late: u64,
}

impl Weather {
    /// Every datagram arrives once, after 10 ms.
    pub(super) const FINE: Weather = Weather {
        lost: 0,
        twice: 0,
        late: 0,
    };
}

/// A datagram under way, to a phone or to the switch.
#[derive(Debug, Clone)]
pub(super) struct Parcel {
    /// The phone's index; `None`: of no call.
    pub ua: Option<usize>,
    pub inbound: bool,
    pub packet: Packet,
    /// As the phones read it.
    pub message: Option<Message>,
}

/// What is under way.
#[derive(Debug)]
pub(super) struct Net {
    weather: Weather,
    rng: Rng,
    count: u64,
    under_way: BTreeMap<(u64, u64), Parcel>,
    losses: BTreeMap<(usize, bool, String), u8>,
}

impl Net {
    pub(super) fn new(weather: Weather, rng: Rng) -> Net {
        Net {
            weather,
            rng,
            count: 0,
            under_way: BTreeMap::new(),
            losses: BTreeMap::new(),
        }
    }

    /// When the next datagram arrives.
    pub(super) fn next_us(&self) -> Option<u64> {
        self.under_way.first_key_value().map(|(key, _)| key.0)
    }

    /// The next datagram.
    pub(super) fn take(&mut self) -> Option<Parcel> {
        self.under_way.pop_first().map(|(_, parcel)| parcel)
    }

    /// Puts a datagram on its way, or loses it.
    pub(super) fn send(&mut self, parcel: Parcel, now_us: u64) {
        let Weather { lost, twice, late } = self.weather;
        let (unlucky, again) = (self.rng.chance(lost), self.rng.chance(twice));
        let request = parcel
            .message
            .as_ref()
            .is_some_and(|m| m.method().is_some());
        let most = if request {
            UNLUCKY_REQUESTS
        } else {
            UNLUCKY_RESPONSES
        };
        if let Some(ua) = parcel.ua {
            let row = self
                .losses
                .entry((ua, parcel.inbound, kind(&parcel)))
                .or_insert(0);
            if unlucky && *row < most {
                *row += 1;
                return;
            }
            *row = 0;
        }
        for _ in 0..=u32::from(again) {
            let delay = match lost + twice + late {
                0 => 10_000,
                _ if self.rng.chance(late) => self.rng.between(200_000, LATEST_US),
                _ => self.rng.between(2_000, 80_000),
            };
            self.count += 1;
            self.under_way
                .insert((now_us + delay, self.count), parcel.clone());
        }
    }
}

/// Messages of one kind are repetitions of each other.
fn kind(parcel: &Parcel) -> String {
    let Some(message) = &parcel.message else {
        return String::new();
    };
    let cseq = message.field("CSeq").unwrap_or_default();
    match &message.start {
        Start::Request { method, .. } => format!("{method} {cseq}"),
        Start::Response { code, .. } => {
            format!("{code} {cseq} {}", message.branch().unwrap_or_default())
        }
    }
}
