//! What the log is asked finds what it is asked for.

use beacon_jobs::{AttemptId, JobId, RandomIds};
use stand_in::{Entry, Event, Record};

struct Writer {
    job: JobId,
    attempts: [AttemptId; 2],
    entries: Vec<Entry>,
}

impl Writer {
    fn new() -> Self {
        let attempts = [AttemptId::mint(&RandomIds), AttemptId::mint(&RandomIds)];
        Self { job: JobId::mint(&RandomIds), attempts, entries: Vec::new() }
    }

    /// At this time, this happened to this work of this attempt.
    fn line(mut self, at: i64, event: Event, work: u64, attempt: usize) -> Self {
        let (attempt, job) = (self.attempts[attempt], self.job.clone());
        self.entries.push(Entry {
            at,
            event,
            work,
            attempt,
            job,
            index: 0,
            from: "a test".to_owned(),
            asked: None,
        });
        self
    }

    fn record(&self) -> Record {
        Record::new(self.entries.clone())
    }
}

#[test]
fn what_lived_on_after_a_time_is_found() {
    let log = Writer::new().line(1, Event::Begun, 0, 0).line(5, Event::Ended, 0, 0);
    let (record, attempt) = (log.record(), log.attempts[0]);
    assert_eq!(record.alive_after(attempt, 4).count(), 1);
    assert_eq!(record.alive_after(attempt, 5).count(), 0);
    assert_eq!(record.alive_after(log.attempts[1], 0).count(), 0);
    assert_eq!(record.alive().count(), 0);
    let log = log.line(7, Event::Begun, 1, 0);
    let record = log.record();
    assert_eq!((record.alive_after(attempt, 6).count(), record.alive().count()), (1, 1));
}

#[test]
fn an_attempt_that_was_begun_or_made_twice_is_found() {
    let once = Writer::new().line(1, Event::Created, 0, 0).line(2, Event::Begun, 0, 0);
    assert!(once.record().begun_twice().is_empty() && once.record().created_twice().is_empty());
    let again = once.line(3, Event::BegunAgain, 0, 0);
    assert_eq!(again.record().begun_twice().into_iter().collect::<Vec<_>>(), [again.attempts[0]]);
    let two = Writer::new().line(1, Event::Created, 0, 0).line(2, Event::Created, 1, 0);
    assert_eq!(two.record().created_twice().into_iter().collect::<Vec<_>>(), [two.attempts[0]]);
    let both = two.line(3, Event::Begun, 0, 0).line(4, Event::Begun, 1, 0);
    assert_eq!(both.record().begun_twice().len(), 1);
}

#[test]
fn two_attempts_that_computed_at_once_are_found() {
    let in_turn = Writer::new()
        .line(1, Event::Begun, 0, 0)
        .line(3, Event::Ended, 0, 0)
        .line(3, Event::Begun, 1, 1)
        .line(4, Event::Completed, 1, 1);
    assert!(in_turn.record().overlaps().is_empty());
    let at_once =
        Writer::new().line(1, Event::Begun, 0, 0).line(2, Event::Begun, 1, 1).line(3, Event::Ended, 0, 0);
    assert_eq!(at_once.record().overlaps().len(), 1);
}
