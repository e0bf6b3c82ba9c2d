//! The executor against genuine yagna daemons, a requestor's and a provider's, behind which real processes run.
//!
//! `scripts/golem-daemon` makes them ready. Their network is a namespace that has nothing but loopback.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's panic is its verdict")]

mod api;
mod crash;
mod inside;
mod network;
#[path = "../crash/node.rs"]
mod node;
#[path = "../crash/point.rs"]
mod point;
mod provider;
#[path = "../scenarios/mod.rs"]
mod scenarios;
mod world;
mod yagna;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use beacon_jobs::clock::{Clock, SystemClock};
use futures_util::FutureExt;

use crate::network::Network;
use crate::scenarios::each_scenario;

/// Runs scenarios one after the other on one network, and tells at the end which have failed.
struct Course {
    network: Arc<Network>,
    failed: Vec<&'static str>,
}

impl Course {
    async fn run(&mut self, name: &'static str, scenario: impl Future<Output = ()>) {
        if let Ok(only) = std::env::var("BEACON_SCENARIO")
            && !name.contains(&only)
        {
            return;
        }
        let begin = SystemClock.uptime();
        let verdict = AssertUnwindSafe(scenario).catch_unwind().await;
        let time = (SystemClock.uptime() - begin).as_secs_f32();
        println!("{} {name} ({time:.1} s)", if verdict.is_ok() { "passed" } else { "FAILED" });
        if verdict.is_err() {
            self.failed.push(name);
            println!("the requestor's daemon:\n{}", self.network.requestor.log());
            println!("the provider's daemon:\n{}", self.network.provider_daemon.log());
        }
        self.network.calm();
    }

    fn end(self) {
        assert_eq!(self.failed, Vec::<&str>::new(), "scenarios have failed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_genuine_daemon_shows_what_the_fake_does() {
    let Some(program) = inside::inside("a_genuine_daemon_shows_what_the_fake_does").await else { return };
    let network = Arc::new(Network::start(&program).await);
    let mut course = Course { network: Arc::clone(&network), failed: Vec::new() };
    macro_rules! run_each {
        ($($scenario:ident),* $(,)?) => {
            $(
                course.run(stringify!($scenario), scenarios::$scenario(&network)).await;
            )*
        };
    }
    each_scenario!(run_each);
    course.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_saved_step_a_node_leaves_nothing_at_a_genuine_daemon() {
    let test = "killed_at_every_saved_step_a_node_leaves_nothing_at_a_genuine_daemon";
    let Some(program) = inside::inside(test).await else { return };
    let network = Arc::new(Network::start(&program).await);
    let mut course = Course { network: Arc::clone(&network), failed: Vec::new() };
    for (name, point, way) in crash::ways() {
        course.run(name, crash::dies(&network, point, way)).await;
    }
    course.end();
}
