//! The switch's commands, performed by the worker.

use std::sync::Arc;

use crate::media::leg::{Leg, Playing, Watch};
use crate::media::player::Player;
use crate::media::sounds::{Clip, Found};
use crate::media::timers::Due;
use crate::media::worker::Worker;
use crate::switch::media::{LegStats, MediaCommand, MediaEvent, Remote, Slot, Sound, StreamLine};

impl Worker {
    /// Performs one command. One that names a pair not in use is counted and changes nothing.
    pub(super) fn perform(&mut self, command: MediaCommand) {
        let done = match command {
            MediaCommand::Open { slot, line } => self.open(slot, line),
            MediaCommand::Remote { slot, remote } => self.agree(slot, *remote),
            MediaCommand::Bridge { a, b, timeout_ms } => self.bridge(a, b, timeout_ms),
            MediaCommand::Unbridge { slot } => self.unbridge(slot),
            MediaCommand::Play { slot, id, sound } => self.start_playing(slot, id, sound),
            MediaCommand::Stop { slot } => match self.leg(slot) {
                Some(leg) => {
                    leg.playing = None;
                    true
                }
                None => false,
            },
            MediaCommand::Close { slot } => self.close(slot),
        };
        if !done {
            self.totals.commands_ignored.count();
        }
    }

    fn open(&mut self, slot: Slot, line: StreamLine) -> bool {
        if !self.ports.is_taken(slot) || self.leg(slot).is_some() {
            return false;
        }
        match self.pairs.get_mut(slot as usize) {
            Some(Some(pair)) => pair.leg = Some(Box::new(Leg::new(slot, line))),
            _ => return false,
        }
        true
    }

    fn agree(&mut self, slot: Slot, remote: Remote) -> bool {
        let now_us = self.now_us;
        let Some(leg) = self.leg(slot) else {
            return false;
        };
        let first = leg.rtcp_due_us.is_none();
        leg.agree(remote, now_us);
        let report_us = leg.rtcp_due_us.filter(|_| first);
        let partner = leg.partner;
        if let Some(due_us) = report_us {
            self.timers.add(due_us, slot, Due::Report);
        }
        self.map(slot, partner);
        // A party that has just been taken off hold has had no time to speak.
        for side in [Some(slot), partner].into_iter().flatten() {
            if let Some(watch) = self.leg(side).and_then(|leg| leg.watch.as_mut()) {
                watch.since_us = now_us;
            }
        }
        true
    }

    /// Lays down what the payload types of a leg and of its partner mean to each other.
    fn map(&mut self, slot: Slot, partner: Option<Slot>) {
        let mut formats = |s: Slot| self.leg(s).map(|leg| leg.send_formats());
        let own = formats(slot).unwrap_or_default();
        let other = partner.and_then(formats).unwrap_or_default();
        if let Some(leg) = self.leg(slot) {
            leg.map_to(&other);
        }
        if let Some(leg) = partner.and_then(|p| self.leg(p)) {
            leg.map_to(&own);
        }
    }

    fn bridge(&mut self, a: Slot, b: Slot, timeout_ms: u32) -> bool {
        if a == b || self.leg(a).is_none() || self.leg(b).is_none() {
            return false;
        }
        self.unbridge(a);
        self.unbridge(b);
        for (slot, partner) in [(a, b), (b, a)] {
            if let Some(leg) = self.leg(slot) {
                leg.partner = Some(partner);
            }
        }
        self.map(a, Some(b));
        if timeout_ms > 0 {
            let timeout_us = u64::from(timeout_ms) * 1000;
            let watch = Watch {
                timeout_us,
                since_us: self.now_us,
                due_us: self.now_us + timeout_us,
            };
            if let Some(leg) = self.leg(a) {
                leg.watch = Some(watch);
            }
            self.timers.add(watch.due_us, a, Due::Silence);
        }
        true
    }

    /// Parts a leg from its partner. A leg without one is left as it is: either side may say it.
    fn unbridge(&mut self, slot: Slot) -> bool {
        let Some(leg) = self.leg(slot) else {
            return false;
        };
        leg.watch = None;
        let Some(partner) = leg.partner.take() else {
            return true;
        };
        if let Some(leg) = self.leg(partner) {
            leg.partner = None;
            leg.watch = None;
        }
        self.map(slot, None);
        self.map(partner, None);
        true
    }

    /// A sound that was playing gives way, unreported.
    fn start_playing(&mut self, slot: Slot, id: u32, sound: Sound) -> bool {
        let now_us = self.now_us;
        let Some(leg) = self.leg(slot) else {
            return false;
        };
        leg.playing = None;
        if leg.voice.is_none() {
            self.unplayable(slot, id, sound == Sound::Ringback);
            return true;
        }
        let found = match &sound {
            Sound::Ringback => Found::Clip(self.sounds.ringback()),
            Sound::Announcement(name) => self.sounds.announcement(name.as_deref(), now_us),
        };
        match found {
            Found::Clip(clip) => self.play_clip(slot, id, clip),
            Found::Soon => {
                if let (Some(leg), Sound::Announcement(Some(name))) = (self.leg(slot), sound) {
                    leg.playing = Some(Playing::Soon { id, name });
                    self.waiting.push(slot);
                }
            }
        }
        true
    }

    fn play_clip(&mut self, slot: Slot, id: u32, clip: Arc<Clip>) {
        let due_us = self.clock_us();
        if let Some(leg) = self.leg(slot) {
            leg.playing = Some(Playing::Now(Player::new(id, clip, due_us)));
            self.timers.add(due_us, slot, Due::Playout);
        }
    }

    /// The loader has read a file: plays it to those who still wait for it.
    pub(super) fn sound_loaded(&mut self, name: String, clip: Arc<Clip>) {
        for slot in std::mem::take(&mut self.waiting) {
            match self.leg(slot).and_then(|leg| leg.playing.as_ref()) {
                Some(Playing::Soon { id, name: wanted }) if *wanted == name => {
                    let id = *id;
                    self.play_clip(slot, id, clip.clone());
                }
                Some(Playing::Soon { .. }) => self.waiting.push(slot),
                _ => {}
            }
        }
        self.sounds.keep(name, clip, self.now_us);
    }

    /// Gives a pair back, opened or not; exactly one `Closed` for each taking.
    pub(super) fn close(&mut self, slot: Slot) -> bool {
        if !self.ports.unmark_taken(slot) {
            return false;
        }
        self.unbridge(slot);
        self.say_bye(slot);
        let leg = match self.pairs.get_mut(slot as usize) {
            Some(Some(pair)) => pair.leg.take(),
            _ => None,
        };
        let stats = leg.map_or_else(LegStats::default, |leg| leg.stats());
        self.lay_to_rest(slot);
        (self.events)(MediaEvent::Closed { slot, stats });
        true
    }
}
