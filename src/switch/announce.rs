//! "This number is not active": an announcement to the caller, then the end (`call-flows` 3.6).

use crate::sdp::{CodecKind, Format};
use crate::switch::bridge::own_formats;
use crate::switch::call::{Call, Purpose};
use crate::switch::cx::Cx;
use crate::switch::leg::LegState;
use crate::switch::media::{MediaCommand, PortPair, Sound};
use crate::switch::record::{Cause, EndedBy, Status};
use crate::switch::settings::AnnouncementMode;

/// The codecs announcements are stored in.
const SPOKEN: [CodecKind; 2] = [CodecKind::Pcma, CodecKind::Pcmu];
/// The only sound a call plays so far.
const ANNOUNCEMENT: u32 = 1;

impl Call {
    /// Opens the caller's media and answers it, or gives it early media, by the trunk's mode.
    pub(super) fn announce(&mut self, ports: PortPair, cx: &mut Cx<'_>) {
        let mode = self.announcement_mode(cx);
        if !self.caller_reachable(ports) {
            cx.media(MediaCommand::Close { slot: ports.slot });
            return self.end(EndedBy::System, Cause::NoCodec, cx);
        }
        let offer = self.caller_offer();
        self.caller_leg().open_media(ports, cx);
        let formats: Vec<Format> = match &offer {
            Some((session, index)) => {
                let offered = session.media.get(*index).map(|m| m.formats.as_slice());
                let spoken = |f: &&Format| SPOKEN.contains(&f.codec.kind);
                offered
                    .unwrap_or_default()
                    .iter()
                    .filter(spoken)
                    .copied()
                    .collect()
            }
            // No SDP before the 200 can be sent to a caller that brought no offer.
            None if mode == AnnouncementMode::Early => Vec::new(),
            None => own_formats(&SPOKEN),
        };
        let sdp = match formats.first() {
            Some(first) => {
                self.codec = Some(first.codec.kind.name().to_owned());
                self.describe_to_caller(formats, None, cx)
            }
            None => None,
        };
        // Nothing the caller could hear: the refusal alone must do.
        let Some(sdp) = sdp else {
            return self.end(EndedBy::System, Cause::NoAllocation, cx);
        };
        match mode {
            AnnouncementMode::Early => {
                self.caller_leg().progress(183, Some(&sdp), cx);
                self.play(cx);
            }
            AnnouncementMode::Answer => {
                if !self.caller_leg().accept(&sdp, cx) {
                    return self.end(EndedBy::System, Cause::Internal, cx);
                }
                self.sip_code = Some(200);
                self.live.answered_ms = Some(cx.now.wall_ms);
                self.live.status = Status::InProgress;
            }
        }
        self.show(cx);
    }

    /// The caller has acknowledged our answer: now it hears every word.
    pub(super) fn announcement_may_begin(&mut self, cx: &mut Cx<'_>) {
        if matches!(self.purpose, Purpose::Announce(_)) && self.caller_leg().state == LegState::Up {
            self.play(cx);
        }
    }

    /// A sound has been played to its end.
    pub(super) fn played(&mut self, id: u32, cx: &mut Cx<'_>) {
        if id == ANNOUNCEMENT && matches!(self.purpose, Purpose::Announce(_)) {
            self.end(EndedBy::System, Cause::NoAllocation, cx);
        }
    }

    fn play(&mut self, cx: &mut Cx<'_>) {
        let Purpose::Announce(announce) = &self.purpose else {
            return;
        };
        let sound = Sound::Announcement(announce.announcement.clone());
        if let Some(slot) = self.caller_leg().slot() {
            cx.media(MediaCommand::Play {
                slot,
                id: ANNOUNCEMENT,
                sound,
            });
        }
    }

    fn announcement_mode(&self, cx: &Cx<'_>) -> AnnouncementMode {
        let settings = &cx.core.settings;
        let trunk = self
            .legs
            .first()
            .and_then(|leg| settings.trunks.get(usize::from(leg.trunk)));
        trunk
            .and_then(|t| t.announcement_mode)
            .unwrap_or(settings.announcement_mode)
    }
}
