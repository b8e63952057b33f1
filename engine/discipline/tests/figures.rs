//! How well it keeps time, in the worlds it is judged by. Bounds are loose; the table is printed
//! (`cargo test -p timeball-discipline --test figures -- --nocapture`).

use timeball_sim::{ClockModel, Server, World, config};

struct Row {
    name: &'static str,
    model: ClockModel,
    servers: Vec<Server>,
    seconds: i64,
    iburst: bool,
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Median RMS over the seeds, in µs, from synchronisation and from 131 s.
fn run(row: &Row) -> (f64, f64) {
    let mut figures = Vec::new();
    for seed in 0..SEEDS {
        let mut config = config(row.servers.len());
        config.sources.iter_mut().for_each(|source| source.iburst = row.iburst);
        let mut world = World::new(1001 + seed, config, row.model, row.servers.clone());
        world.run_to(row.seconds);
        let sync = world.synchronised_at().expect("synchronises") as f64;
        let poll = row.seconds as f64 * row.servers.len() as f64 / world.sent.len() as f64;
        figures.push([world.rms(sync as usize), world.rms(131), sync, poll]);
    }
    let column = |k: usize| median(figures.iter().map(|figure| figure[k]).collect());
    let (from_sync, from_131) = (column(0) * 1e6, column(1) * 1e6);
    println!(
        "{:8} {:6} sync {:4} s  RMS {from_sync:6.1} µs, from 131 s {from_131:6.1} µs, poll {:4.0} s",
        row.name,
        if row.iburst { "burst" } else { "" },
        column(2),
        column(3),
    );
    (from_sync, from_131)
}

fn s1() -> Row {
    Row {
        name: "S1",
        model: ClockModel::default(),
        servers: vec![Server::default()],
        seconds: 10_000,
        iburst: true,
    }
}

fn s5() -> Row {
    let server = |k: usize| Server {
        base: 1e-3,
        lie: if k < 3 { 0.0 } else { k as f64 },
        ..Server::default()
    };
    Row { name: "S5", servers: (0..5).map(server).collect(), ..s1() }
}

fn w2() -> Row {
    Row {
        name: "W2",
        model: ClockModel { wander: 1e-10, ..ClockModel::default() },
        servers: vec![Server { base: 5e-5, jitter: 1e-5, ..Server::default() }],
        ..s1()
    }
}

#[test]
fn s1_one_server_on_a_lan() {
    assert!(run(&s1()).0 <= 120.0);
    assert!(run(&Row { iburst: false, ..s1() }).1 <= 120.0);
}

#[test]
fn s3_a_wandering_clock() {
    let model = ClockModel { wander: 1e-7, ..ClockModel::default() };
    assert!(run(&Row { name: "S3", model, ..s1() }).0 <= 200.0);
}

#[test]
fn s5_two_liars_of_five() {
    assert!(run(&s5()).0 <= 120.0);
    assert!(run(&Row { iburst: false, ..s5() }).1 <= 120.0);
}

#[test]
fn w1_over_a_wide_area() {
    let servers = vec![Server { base: 1e-2, jitter: 1e-3, ..Server::default() }];
    assert!(run(&Row { name: "W1", servers, ..s1() }).0 <= 1200.0);
}

#[test]
fn w2_a_quiet_lan() {
    assert!(run(&w2()).0 <= 20.0);
    assert!(run(&Row { iburst: false, ..w2() }).1 <= 20.0);
}

#[test]
fn w7_four_servers_far_away() {
    let server = Server { base: 15e-3, jitter: 2e-3, ..Server::default() };
    assert!(run(&Row { name: "W7", servers: vec![server; 4], ..s1() }).0 <= 2000.0);
}

const SEEDS: u64 = if cfg!(debug_assertions) { 5 } else { 20 };
