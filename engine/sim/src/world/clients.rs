//! The world's clients: they ask the workers while the discipline runs, and judge what they are told.
//!
//! Must never: change what the discipline sees: a run is the same with clients and without.

use super::{CLIENT_STREAM, Happening, World};
use crate::carrier::Request;
use crate::random::Random;
use crate::serving::{Serving, judge};

impl World {
    /// Lets clients ask production workers every `every_s` seconds on average; each reply is judged.
    pub fn serve(&mut self, seed: u64, every_s: f64) {
        let random = Random::new(seed, CLIENT_STREAM);
        self.serving = Some(Serving::new(self.snapshot, every_s, random));
        self.queue.push(self.clock.now(), Happening::Asked);
    }

    /// Replies judged so far.
    pub fn replies(&self) -> u64 {
        self.serving.as_ref().map_or(0, |serving| serving.replies)
    }

    /// Clients send their requests.
    pub(super) fn ask(&mut self) {
        let Some(serving) = &mut self.serving else { return };
        let now = self.clock.now();
        for (at, request) in serving.ask(now) {
            self.queue.push(at, Happening::Reaches(request));
        }
        self.queue.push(now + serving.pause(), Happening::Asked);
    }

    /// A request reaches the server.
    pub(super) fn reach(&mut self, request: Request) {
        let Some(serving) = &mut self.serving else { return };
        let (now, clock) = (self.clock.now(), self.clock.reading().realtime);
        if let Some((worker, after)) = serving.arrive(request, now, clock) {
            self.queue.push(now + after, Happening::Turn(worker));
        }
    }

    /// A worker takes a turn.
    pub(super) fn turn(&mut self, worker: usize) {
        let Some(serving) = &mut self.serving else { return };
        let now = self.clock.now();
        let (replies, more) = serving.turn(worker, self.clock.reading().realtime);
        let excused = !self.honest || self.promises.is_excused();
        for reply in replies {
            // What was stamped by a clock that has since been set cannot be told.
            let excused = excused || reply.request.arrived <= self.disturbed;
            if let Err(promise) = judge(&reply, now, self.leap, excused) {
                self.promises.fail(promise);
            }
        }
        if more {
            self.queue.push(now + TURN, Happening::Turn(worker));
        }
    }
}

/// From one turn of a worker that has more to do to the next, ns.
const TURN: i64 = 100_000;
