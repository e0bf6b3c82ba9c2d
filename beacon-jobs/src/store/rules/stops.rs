use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{AttemptRow, Rows};
use crate::id::AttemptId;
use crate::mutation::{Mutation, is_broken};
use crate::stop::{SealedBy, StopState};
use crate::store::{CloseStop, CloseStopOutcome, Seal, StopAnswer, StopUpdate};

impl AttemptRow {
    /// Records a seal. The strongest stays; one by the minter reopens what rested on time.
    pub(super) fn seal(&mut self, now: OffsetDateTime, by: SealedBy) -> bool {
        match (self.sealed, by) {
            (None, _) => self.sealed = Some(by),
            (Some(SealedBy::Time), SealedBy::Minter) => {
                self.sealed = Some(by);
                if self.stop_state() == StopState::Confirmed {
                    self.reopen(now, "the node that had begun the attempt came back after its seal by time");
                }
            }
            (Some(SealedBy::Time), SealedBy::Ended | SealedBy::Stop) => self.sealed = Some(by),
            _ => return false,
        }
        if let Some(stop) = &mut self.stop
            && !stop.settled
        {
            stop.due_at = Some(now);
        }
        true
    }

    /// Opens a settled stop again and says why; an open one becomes due at once.
    pub(super) fn reopen(&mut self, now: OffsetDateTime, why: &str) {
        let Some(stop) = &mut self.stop else { return };
        if stop.settled {
            stop.state = StopState::Requested;
            stop.settled = false;
            stop.confirmed_at = None;
            stop.why = Some(format!("opened again: {why}"));
        }
        stop.due_at = Some(now);
    }
}

impl Rows {
    /// Records a seal.
    pub(crate) fn seal(&mut self, now: OffsetDateTime, seal: Seal) {
        let Some(attempt) = self.attempts.get_mut(&seal.attempt) else { return };
        if attempt.seal(now, seal.by) {
            self.changes.attempt(seal.attempt);
            if attempt.has_open_stop() {
                self.changes.stops_due();
            }
        }
    }

    /// Records what a stop call brought.
    pub(crate) fn record_stop(&mut self, now: OffsetDateTime, update: &StopUpdate) -> Option<StopState> {
        let attempt = self.attempts.get_mut(&update.attempt)?;
        let sealed_before = attempt.sealed.is_some() && attempt.sealed == update.seen_seal;
        let Some(stop) = &mut attempt.stop else { return Some(StopState::NotNeeded) };
        let is_kept = !is_broken(Mutation::ConfirmedIsOverwritten);
        if stop.state == StopState::Confirmed && !update.seen_confirmed && is_kept {
            return Some(StopState::Confirmed);
        }
        // Another call has shown more since this one was told what is known. This one does not count, so that
        // a third one, told all, is not behind in its turn.
        let is_behind = update.seen_tries.is_some_and(|seen| seen != stop.tries);
        if !is_behind {
            stop.tries = stop.tries.saturating_add(1);
        }
        if stop.state == StopState::Confirmed && update.seen_confirmed {
            stop.watched(now, update, attempt.sealed);
            let (state, job) = (stop.state, attempt.job.clone());
            self.changes.attempt(update.attempt);
            self.changes.job(&job);
            return Some(state);
        }
        // Sealed while the call was under way: what it brought is out of date.
        let outdated = is_behind || attempt.sealed != update.seen_seal;
        let again = if outdated { Some(now) } else { Some(now + update.due_in) };
        if outdated {
            self.changes.stops_due();
        }
        match &update.answer {
            StopAnswer::Nothing { why } => {
                stop.why = Some(why.clone());
                stop.due_at = again;
            }
            StopAnswer::Acknowledged { evidence } => {
                stop.acknowledge("the provider has not shown the end yet");
                stop.learn(evidence, is_behind);
                stop.due_at = again;
            }
            StopAnswer::Ended { evidence, .. } if is_behind => {
                stop.acknowledge(
                    "it has ended as one call shows; what another one showed at the same time is looked at",
                );
                stop.learn(evidence, is_behind);
                stop.due_at = again;
            }
            StopAnswer::Ended { evidence, seals } if sealed_before || *seals => {
                if !sealed_before {
                    attempt.sealed = Some(SealedBy::Stop);
                }
                let sealed = attempt.sealed.unwrap_or(SealedBy::Stop);
                stop.state = StopState::Confirmed;
                stop.settled = true;
                stop.confirmed_at = Some(now);
                stop.evidence = Some(with_seal(evidence.clone(), sealed));
                stop.why = None;
                stop.watch(now, update, sealed);
            }
            StopAnswer::Ended { evidence, .. } => {
                stop.acknowledge("nothing runs, but a request that begins the work may still be on its way");
                stop.learn(evidence, is_behind);
                stop.due_at = again;
            }
            StopAnswer::Unconfirmed { why, evidence, settled, again: asked_again } => {
                stop.state = StopState::Unconfirmed;
                if let Some(evidence) = evidence {
                    stop.learn(evidence, is_behind);
                }
                stop.settled |= *settled;
                stop.why = Some(why.clone());
                stop.due_at = if *asked_again { again } else { None };
            }
        }
        let state = stop.state;
        let job = attempt.job.clone();
        self.changes.attempt(update.attempt);
        self.changes.job(&job);
        Some(state)
    }

    /// Closes a stop by an administrator's word. The audit entry is the store's to write.
    pub(crate) fn close_stop(&mut self, close: &CloseStop) -> CloseStopOutcome {
        let Some(attempt) = self.attempts.get_mut(&close.attempt) else { return CloseStopOutcome::NotFound };
        let Some(stop) = attempt.stop.as_mut().filter(|stop| !stop.settled) else {
            return CloseStopOutcome::AlreadySettled;
        };
        stop.state = StopState::Unconfirmed;
        stop.settled = true;
        stop.why = Some(format!("closed by {}: {}", close.by, close.reason));
        stop.due_at = None;
        let job = attempt.job.clone();
        self.changes.attempt(close.attempt);
        self.changes.job(&job);
        CloseStopOutcome::Closed
    }

    /// The attempt's job, for audit entries.
    pub(crate) fn job_of(&self, attempt: &AttemptId) -> Option<&crate::JobId> {
        self.attempts.get(attempt).map(|attempt| &attempt.job)
    }
}

impl super::StopRow {
    /// A confirmation that rests on time alone is looked at again.
    fn watch(&mut self, now: OffsetDateTime, update: &StopUpdate, sealed: SealedBy) {
        let watched = update.watch && sealed == SealedBy::Time;
        self.due_at = watched.then(|| now + update.due_in);
    }

    /// What a call brought that began after the confirmation.
    fn watched(&mut self, now: OffsetDateTime, update: &StopUpdate, sealed: Option<SealedBy>) {
        // Only evidence from a call begun after a stronger seal ends the watch.
        let seen = sealed.filter(|_| sealed == update.seen_seal).unwrap_or(SealedBy::Time);
        match &update.answer {
            StopAnswer::Acknowledged { evidence } => {
                self.state = StopState::Acknowledged;
                self.settled = false;
                self.confirmed_at = None;
                self.evidence = Some(evidence.clone());
                self.why =
                    Some("opened again: the work was seen alive after its end had been shown".to_owned());
                self.due_at = Some(now + update.due_in);
            }
            StopAnswer::Ended { evidence, .. } => {
                self.evidence = Some(with_seal(evidence.clone(), seen));
                self.watch(now, update, seen);
            }
            StopAnswer::Nothing { .. } | StopAnswer::Unconfirmed { .. } => self.watch(now, update, seen),
        }
    }

    /// A stop that was shown as unconfirmed stays so until it is confirmed.
    fn acknowledge(&mut self, why: &str) {
        if self.state != StopState::Unconfirmed {
            self.state = StopState::Acknowledged;
            self.why = Some(why.to_owned());
        }
    }

    /// Keeps evidence, unless it comes from a call that did not know what is known.
    fn learn(&mut self, evidence: &Value, is_behind: bool) {
        if !is_behind {
            self.evidence = Some(evidence.clone());
        }
    }
}

/// Adds to evidence what the seal rests on, for a reader must know when it rests on time alone.
fn with_seal(evidence: Value, sealed: SealedBy) -> Value {
    match evidence {
        Value::Object(mut members) => {
            members.insert("sealed_by".to_owned(), json!(sealed));
            Value::Object(members)
        }
        other => json!({ "shown": other, "sealed_by": sealed }),
    }
}
