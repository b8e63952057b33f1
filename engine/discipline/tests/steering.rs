//! The kernel clock steered: whatever it does with commands, served time is right and the books
//! agree.

use timeball_discipline::{Config, Event, Steer, Steering, SteeringStatus};
use timeball_sim::{ClockModel, Kernel, Server, World, config};
use timeball_time::Rate;

fn steered(model: ClockModel, kernel: Kernel) -> World {
    let steering = Steering::Kernel { frequency: Rate::ZERO };
    let config = Config { steering, ..config(1) };
    let mut world = World::new(31, config, model, vec![Server::default()]);
    world.kernel = kernel;
    world
}

/// The estimator sees the bare oscillator whatever the kernel did: that is what books are for.
fn assert_books_agree(world: &World) {
    let frequency = world.discipline.status(world.reading()).frequency.as_ratio();
    let truth = 1.0 / (1.0 + world.oscillator()) - 1.0;
    assert!((frequency - truth).abs() < 1e-6, "{frequency} {truth}");
}

#[test]
fn the_kernel_clock_follows_served_time() {
    let mut world = steered(ClockModel::default(), Kernel::Obeys);
    world.run_to(4_000);
    assert!(world.rms(1_000) < 2e-4 && world.is_synchronised());
    assert!(world.kernel_error().abs() < 5e-4, "{}", world.kernel_error());
    assert_books_agree(&world);
    let steps = world.steers.iter().filter(|steer| matches!(steer, Steer::Step(_)));
    assert_eq!(steps.count(), 0, "0.1 s is slewed");
}

#[test]
fn a_large_offset_of_the_kernel_clock_is_stepped_once() {
    for (offset, notice_first) in [(30.0, false), (-30.0, false), (30.0, true), (-30.0, true)] {
        let model = ClockModel { offset, ..ClockModel::default() };
        let mut world = steered(model, Kernel::Obeys);
        world.notice_first = notice_first;
        world.run_to(1_000);
        let steps = world.steers.iter().filter(|steer| matches!(steer, Steer::Step(_)));
        assert_eq!(steps.count(), 1);
        assert!(world.kernel_error().abs() < 1e-3 && world.error().abs() < 5e-4);
        assert_eq!(world.count(|e| matches!(e, Event::ForeignStep { .. })), 0, "it was ours");
    }
}

#[test]
fn refused_commands_leave_the_books_right() {
    let mut world = steered(ClockModel::default(), Kernel::Refuses);
    world.run_to(4_000);
    assert!(world.rms(1_000) < 2e-4 && world.is_synchronised());
    assert_books_agree(&world);
    assert_eq!(world.count(|e| matches!(e, Event::SteeringRefused)), 1);
    assert!(world.steers.len() < 100, "retried once a minute");
    let status = world.discipline.status(world.reading());
    assert_eq!(status.steering, SteeringStatus::Refused);
}

#[test]
fn clamped_commands_leave_the_books_right() {
    let mut world = steered(ClockModel::default(), Kernel::Clamps(50e-6));
    world.run_to(4_000);
    assert!(world.rms(1_000) < 2e-4 && world.is_synchronised());
    assert!(world.kernel_error().abs() > 0.01, "the kernel cannot keep up; served time does");
    assert_books_agree(&world);
    assert_eq!(world.count(|e| matches!(e, Event::SteeringClamped { .. })), 1);
}

#[test]
fn an_oscillator_beyond_the_kernels_reach_is_served_right_all_the_same() {
    let model = ClockModel { frequency: 800e-6, ..ClockModel::default() };
    let mut world = steered(model, Kernel::Obeys);
    world.run_to(2_000);
    assert!(world.is_synchronised() && world.error().abs() < 5e-4);
    assert_books_agree(&world);
}

#[test]
fn a_foreign_step_and_a_foreign_frequency_are_undone() {
    let mut world = steered(ClockModel::default(), Kernel::Obeys);
    world.run_to(2_000);
    world.step_clock(-7.0, true);
    world.set_kernel_frequency(200e-6);
    world.run_to(4_000);
    assert!(world.rms(1_000) < 2e-4 && world.is_synchronised());
    assert!(world.kernel_error().abs() < 5e-4, "{}", world.kernel_error());
    assert_books_agree(&world);
    assert_eq!(world.count(|e| matches!(e, Event::ForeignStep { .. })), 1);
    assert_eq!(world.count(|e| matches!(e, Event::ForeignFrequency { .. })), 1);
}

#[test]
fn a_virtual_discipline_never_touches_the_kernel() {
    let mut world = World::new(1, config(1), ClockModel::default(), vec![Server::default()]);
    world.run_to(3_000);
    assert!(world.steers.is_empty());
    assert!(world.kernel_error() > 0.3, "0.1 s and 100 ppm for 3000 s");
}
