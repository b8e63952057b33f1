//! Field by field: what the program answers is what a worker answers.

use crate::bench::{Bench, client_of, endpoints, request};
use crate::frame::Frame;

#[test]
fn every_shape_of_a_plain_request_gets_the_workers_answer() {
    let Some(bench) = Bench::new() else { return };
    for endpoint in endpoints() {
        for version in [3, 4] {
            for poll in [-128, -1, 0, 6, 17, 18, 127] {
                let payload = request(version, poll, 7);
                let frame = Frame::to(&endpoint, client_of(&endpoint), &payload);
                bench.agrees(&frame).unwrap_or_else(|why| panic!("{endpoint:?} v{version}: {why}"));
            }
        }
    }
}
