//! DTMF as RTP events (RFC 4733 §2.3): read into four fields and printed anew, so that neither
//! the reserved bit nor bytes behind the event cross from one leg to the other.

/// Length of one event's payload, in bytes.
pub const EVENT_LEN: usize = 4;

/// The highest event code that passes: 0–9, `*`, `#`, A–D (RFC 4733 §3.2) and flash, 16.
pub const LAST_EVENT: u8 = 16;

/// One report on a key being pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Event code.
    pub code: u8,
    /// Whether this report is the event's end.
    pub end: bool,
    /// Power below 1 mW, 0 to 63 dB.
    pub volume: u8,
    /// Duration so far, in timestamp units.
    pub duration: u16,
}

impl Event {
    /// Reads the first event of a payload; `None` when it is cut off or no DTMF event.
    pub fn parse(payload: &[u8]) -> Option<Event> {
        let [code, flags, d0, d1] = *payload.first_chunk::<EVENT_LEN>()?;
        (code <= LAST_EVENT).then_some(Event {
            code,
            end: flags & 0x80 != 0,
            volume: flags & 0x3f,
            duration: u16::from_be_bytes([d0, d1]),
        })
    }

    /// The payload; the reserved bit is 0.
    pub fn print(&self) -> [u8; EVENT_LEN] {
        let [d0, d1] = self.duration.to_be_bytes();
        let flags = (u8::from(self.end) << 7) | (self.volume & 0x3f);
        [self.code, flags, d0, d1]
    }

    /// The digit a person pressed; `None` for flash.
    pub fn digit(&self) -> Option<char> {
        "0123456789*#ABCD".chars().nth(usize::from(self.code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_printed_without_the_reserved_bit() {
        let event = Event::parse(&[11, 0xca, 0x03, 0x20]).unwrap();
        assert_eq!(
            event,
            Event {
                code: 11,
                end: true,
                volume: 10,
                duration: 800
            }
        );
        assert_eq!(event.digit(), Some('#'));
        assert_eq!(event.print(), [11, 0x8a, 0x03, 0x20]);
    }

    #[test]
    fn junk_is_refused() {
        assert_eq!(Event::parse(&[1, 2, 3]), None);
        assert_eq!(Event::parse(&[17, 0, 0, 0]), None, "not a DTMF event");
        assert_eq!(Event::parse(&[16, 0, 0, 0]).unwrap().digit(), None);
    }
}
