//! Access rules in force: who gets the time from a running server.

mod common;

use std::time::{Duration, Instant};

use common::{Host, PATIENCE};

#[test]
fn a_rule_about_a_name_holds_as_soon_as_the_name_is_looked_up() {
    let host = Host::new();
    let _server = host.serve(
        "[server]\nlisten = [\"127.0.0.1:123\"]\n\
         [[access]]\nnetwork = \"default\"\nallow = []\n\
         [[access]]\nnetwork = \"127.0.0.0/8\"\nallow = []\n\
         [[access]]\nnetwork = \"localhost\"\n",
    );
    let begun = Instant::now();
    while host.query(&["127.0.0.1"])["best"] != "127.0.0.1:123" {
        assert!(begun.elapsed() < PATIENCE, "localhost is 127.0.0.1, and has a rule of its own");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn whom_a_rule_gives_no_time_gets_no_answer() {
    let host = Host::new();
    let mut server = host.serve(
        "[server]\nlisten = [\"127.0.0.1:123\", \"[::1]:123\"]\n\
         [[access]]\nnetwork = \"127.0.0.1\"\nallow = [\"query\"]\n",
    );
    let said = host.query(&["127.0.0.1", "::1"]);
    assert_eq!((&said["servers"][0]["replies"], &said["best"]), (&0.into(), &"[::1]:123".into()));
    server.signal("USR1");
    server.wait_for("access");
}
