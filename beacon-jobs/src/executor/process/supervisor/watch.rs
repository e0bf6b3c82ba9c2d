use std::future::pending;
use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::OwnedReadHalf;

use super::super::wire::{EndedBy, NotBegun, Order, Report};
use super::tree::Tree;
use super::{Runner, Signals};
use crate::clock::{Clock, SystemClock};

/// Why the tree is to end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict {
    pub(super) ended_by: EndedBy,
    pub(super) because: &'static str,
}

/// How far the command has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Inert,
    /// It was told to go, and has not answered.
    Beginning,
    Runs,
}

impl Tree {
    /// Carries out the runner's orders until the tree is to end.
    pub(super) async fn watch(
        mut self,
        orders: OwnedReadHalf,
        runner: &mut Runner,
        mut signals: Signals,
    ) -> (Self, Verdict) {
        let mut orders = BufReader::new(orders).lines();
        let mut phase = Phase::Inert;
        // The grace that is over first counts, so a later, shorter one shortens it.
        let mut graces: FuturesUnordered<Pin<Box<dyn Future<Output = ()> + Send>>> = FuturesUnordered::new();
        let verdict = loop {
            tokio::select! {
                biased;
                order = orders.next_line() => {
                    let order = order.ok().flatten();
                    match order.as_deref().map(serde_json::from_str) {
                        Some(Ok(Order::Go(launch))) if phase == Phase::Inert => {
                            phase = Phase::Beginning;
                            // If it is gone, the reaper tells.
                            let _ = self.stage.go(&launch).await;
                        }
                        Some(Ok(Order::Stop { grace_ms })) => {
                            if phase == Phase::Inert || grace_ms == 0 {
                                break self.forced(phase, "stop");
                            }
                            if graces.is_empty() {
                                if !self.reaper.terminate_group() {
                                    break self.forced(phase, "the command exited");
                                }
                                self.record("SIGTERM", format!("process group {}", self.ready.command.pid));
                            }
                            graces.push(Box::pin(async move {
                                SystemClock.sleep(Duration::from_millis(grace_ms)).await;
                            }));
                        }
                        Some(Ok(Order::Go(_))) => {}
                        Some(Err(_)) | None => break self.forced(phase, "the runner is gone"),
                    }
                }
                _ = signals.force.recv() => break self.forced(phase, "another runner's stop"),
                outcome = async {
                    if phase == Phase::Beginning { self.stage.outcome().await } else { pending().await }
                } => match began(outcome, runner).await {
                    Some(verdict) => break verdict,
                    None => phase = Phase::Runs,
                },
                () = self.reaper.changed() => {
                    if self.reaper.reaped().command.is_none() {
                        continue;
                    }
                    // What it said before it exited is still to be heard.
                    if phase == Phase::Beginning {
                        if let Some(verdict) = began(self.stage.outcome().await, runner).await {
                            break verdict;
                        }
                        phase = Phase::Runs;
                    }
                    if graces.is_empty() {
                        break self.forced(phase, "the command exited");
                    }
                    // The others of its group were told as well, and may save themselves too.
                    if !self.reaper.group_is_left() {
                        break Verdict { ended_by: EndedBy::Term, because: "stop" };
                    }
                }
                Some(()) = graces.next(), if !graces.is_empty() => break self.forced(phase, "the grace was over"),
            }
        };
        (self, verdict)
    }

    /// What ends the command when the tree is ended by force now.
    fn forced(&self, phase: Phase, because: &'static str) -> Verdict {
        let terminated = !self.sent.is_empty();
        let ended_by = match (phase, self.reaper.reaped().command) {
            (Phase::Inert, _) => EndedBy::NeverBegan,
            (_, None) => EndedBy::Kill,
            (_, Some(_)) if terminated => EndedBy::Term,
            (_, Some(_)) => EndedBy::Exit,
        };
        Verdict { ended_by, because }
    }
}

/// Tells the runner whether the command has begun. If not, that is the verdict.
async fn began(outcome: Result<(), NotBegun>, runner: &mut Runner) -> Option<Verdict> {
    match outcome {
        Ok(()) => {
            runner.tell(&Report::Begun).await;
            None
        }
        Err(not_begun) => {
            runner.tell(&Report::NotBegun(not_begun)).await;
            Some(Verdict { ended_by: EndedBy::NeverBegan, because: "it could not begin" })
        }
    }
}
