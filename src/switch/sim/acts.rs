//! What an administrator does, and what nobody should.

use super::coverage::View;
use super::mischief;
use super::scene::{Action, switch_socket};
use super::ua::{Packet, Talk, Ua};
use super::world::{Traced, World};
use crate::switch::event::{Command, Input, Output};
use std::net::SocketAddr;

impl World {
    /// Does what is planned.
    pub(super) fn act(&mut self, action: Action) {
        match action {
            Action::Hangup => {
                let newest = self.switch.calls.keys().max().copied();
                let call = newest
                    .and_then(|key| self.switch.calls.get(&key))
                    .map(|call| call.live.sid);
                if let Some(call) = call {
                    self.feed(Input::Command(Command::Hangup { call }), None);
                }
            }
            Action::Drain => {
                self.draining = true;
                self.feed(
                    Input::Command(Command::Drain {
                        retry_after_secs: 30,
                    }),
                    None,
                );
            }
            Action::EndAll => self.feed(Input::Command(Command::EndAll), None),
            Action::Garbage(seed) => {
                let bytes = mischief::garbage(seed);
                let from = mischief::intruder(1);
                self.feed_packet(
                    &Packet {
                        from,
                        to: switch_socket(),
                        bytes,
                    },
                    None,
                );
            }
            Action::Options | Action::Unknown => {
                let method = if action == Action::Options {
                    "OPTIONS"
                } else {
                    "FROB"
                };
                let packet = mischief::out_of_dialog(method, self.now_us);
                self.feed_packet(&packet, None);
            }
            Action::ThirdParty(what) => self.third_party(what),
            Action::Stray => {
                let packet = mischief::stray(self.now_us);
                self.strictly(&packet, None);
            }
        }
    }

    /// Somebody behind the other trunk knows everything about a call and says `what`.
    fn third_party(&mut self, what: &str) {
        let alive = |ua: &&Ua| {
            ua.invite.is_some() && ua.dialogs.first().is_some_and(|d| d.talk != Talk::Over)
        };
        let count = self.uas.iter().filter(alive).count() as u64;
        if count == 0 {
            return;
        }
        let nth = self.rng.below(count) as usize;
        let Some(ua) = self.uas.iter().filter(alive).nth(nth) else {
            return;
        };
        let other = if self.scene.settings.trunk_of(ua.socket.ip()) == Some(0) {
            2
        } else {
            1
        };
        let from = mischief::intruder(other);
        let packet = mischief::forge(ua, what, from);
        self.strictly(&packet, Some(from));
    }

    /// A message that must have no effect but an answer to its sender.
    fn strictly(&mut self, packet: &Packet, answer_to: Option<SocketAddr>) {
        let (before, tracing) = (self.trace.len(), self.tracing);
        self.tracing = true;
        let views = self.views();
        self.feed_packet(packet, None);
        self.tracing = tracing;
        let after = self.views();
        let states = |views: &[View]| {
            views
                .iter()
                .map(|v| (v.call, v.leg, v.state))
                .collect::<Vec<_>>()
        };
        let allowed = |traced: &Traced| matches!(&traced.output, Output::Send { flow, .. } if Some(flow.remote) == answer_to);
        let wrong =
            self.trace[before..].iter().any(|t| !allowed(t)) || states(&views) != states(&after);
        if wrong {
            self.problems.push(format!(
                "a stranger had an effect with {}",
                String::from_utf8_lossy(&packet.bytes)
            ));
        }
        if !tracing {
            self.trace.truncate(before);
        }
    }
}
