//! The end of a run: everything heals, settles and is closed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::node::Power;
use super::super::script::Faults;
use super::{Violation, World};

/// Everything heals within this time.
const HEALING: Duration = Duration::from_secs(1_500);

impl World {
    /// Everything that was wrong is over, and after a while all is settled.
    pub(super) async fn heal(self: &Arc<Self>) -> Result<(), Violation> {
        self.log(|| "everything heals".to_owned());
        self.healed.store(true, Ordering::Relaxed);
        self.traps.lock().unwrap().clear();
        {
            let mut weather = self.weather();
            weather.faults = Faults::default();
            weather.store_away_until = Duration::ZERO;
            weather.provider_away_until = Duration::ZERO;
        }
        for object in self.provider.objects.lock().unwrap().values_mut() {
            object.ignores = false;
        }
        for life in self.lives() {
            life.set_power(Power::Up);
        }
        let deadline = self.clock.elapsed() + HEALING;
        let mut quiet = 0;
        while quiet < 3 {
            for node in 0..self.script.nodes {
                self.start(node);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.tick();
            self.fails()?;
            let left = self.unsettled();
            quiet = if left.is_none() { quiet + 1 } else { 0 };
            if let Some(left) = left.filter(|_| self.clock.elapsed() > deadline) {
                self.violate("P7 everything ends after healing", || left);
            }
        }
        let let_off = self.truth.lock().unwrap().let_off.len() as u64;
        self.figures(|figures| figures.let_off += let_off);
        Ok(())
    }

    /// Ends all nodes, and looks whether anything is left of them.
    pub(super) async fn close(self: &Arc<Self>) {
        for life in self.lives() {
            let runner = life.runner.lock().unwrap().take();
            let Some(runner) = runner else { continue };
            let report = runner.shutdown(Duration::from_secs(60)).await;
            let contexts = life.jobs().map_or(0, |jobs| jobs.contexts().count());
            if report.interrupted + report.unsettled + report.open_stops + contexts > 0 {
                self.violate("P10 nothing is left", || format!("n{}: {report:?} {contexts}", life.node));
            }
        }
        // Whatever is still on its way arrives.
        tokio::time::sleep(Duration::from_secs(120)).await;
        for life in self.lives() {
            self.end(&life, true);
        }
        // The readers of signals end with their nodes.
        tokio::task::yield_now().await;
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        if tasks > 0 && !self.cut_off.load(Ordering::Relaxed) {
            self.violate("P10 nothing is left", || format!("{tasks} tasks"));
        }
    }
}
