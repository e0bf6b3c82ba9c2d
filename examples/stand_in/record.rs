//! What the log says about what was promised.

use std::collections::{BTreeMap, BTreeSet};

use beacon_jobs::{AttemptId, JobId};

use crate::wire::{Entry, Event};

/// When one piece of work computed, in microseconds since 1970 UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// Its attempt.
    pub attempt: AttemptId,
    /// Its job.
    pub job: JobId,
    /// Its execution's place in the job.
    pub index: u32,
    /// When its node asked for its begin.
    pub asked: Option<i64>,
    /// From when.
    pub from: i64,
    /// Until when; not over yet when absent.
    pub until: Option<i64>,
}

/// A log, read.
#[derive(Clone, Debug, Default)]
pub struct Record {
    entries: Vec<Entry>,
    lives: BTreeMap<u64, Life>,
}

impl Record {
    /// Reads a log in the order in which it was written.
    #[must_use]
    pub fn new(entries: Vec<Entry>) -> Self {
        let mut lives: BTreeMap<u64, Life> = BTreeMap::new();
        for entry in &entries {
            match entry.event {
                Event::Begun => {
                    let (attempt, job, index, asked) =
                        (entry.attempt, entry.job.clone(), entry.index, entry.asked);
                    lives
                        .insert(entry.work, Life { attempt, job, index, asked, from: entry.at, until: None });
                }
                Event::Completed | Event::Failed | Event::Saved | Event::Ended => {
                    if let Some(life) = lives.get_mut(&entry.work) {
                        life.until = Some(entry.at);
                    }
                }
                _ => {}
            }
        }
        Self { entries, lives }
    }

    /// The log itself.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What was ever alive, in the order in which it was made.
    pub fn lives(&self) -> impl Iterator<Item = &Life> {
        self.lives.values()
    }

    /// What is alive at the end of the log.
    pub fn alive(&self) -> impl Iterator<Item = &Life> {
        self.lives().filter(|life| life.until.is_none())
    }

    /// What of an attempt was alive at a time, in microseconds since 1970 UTC, or after it.
    pub fn alive_after(&self, attempt: AttemptId, at: i64) -> impl Iterator<Item = &Life> {
        self.lives().filter(move |life| life.attempt == attempt && life.until.is_none_or(|until| until > at))
    }

    /// Attempts that were asked to begin more than once, or that began as more than one piece of
    /// work.
    #[must_use]
    pub fn begun_twice(&self) -> BTreeSet<AttemptId> {
        let mut seen = BTreeSet::new();
        let begins =
            self.entries.iter().filter(|entry| matches!(entry.event, Event::Begun | Event::BegunAgain));
        begins.map(|entry| entry.attempt).filter(|attempt| !seen.insert(*attempt)).collect()
    }

    /// Attempts for which more than one piece of work was made.
    #[must_use]
    pub fn created_twice(&self) -> BTreeSet<AttemptId> {
        let mut seen = BTreeSet::new();
        let creates = self.entries.iter().filter(|entry| entry.event == Event::Created);
        creates.map(|entry| entry.attempt).filter(|attempt| !seen.insert(*attempt)).collect()
    }

    /// Pairs of lives of one execution, of different attempts, at one time.
    #[must_use]
    pub fn overlaps(&self) -> Vec<(&Life, &Life)> {
        let mut executions: BTreeMap<(&JobId, u32), Vec<&Life>> = BTreeMap::new();
        for life in self.lives() {
            executions.entry((&life.job, life.index)).or_default().push(life);
        }
        let mut overlaps = Vec::new();
        for mut lives in executions.into_values() {
            lives.sort_by_key(|life| life.from);
            for pair in lives.windows(2) {
                if pair[0].until.is_none_or(|until| until > pair[1].from) {
                    overlaps.push((pair[0], pair[1]));
                }
            }
        }
        overlaps
    }

    /// What happened to one execution, as lines for a person.
    #[must_use]
    pub fn story(&self, job: &JobId, index: u32) -> String {
        let of_it = self.entries.iter().filter(|entry| entry.job == *job && entry.index == index);
        let line = |entry: &Entry| {
            format!(
                "{} {:?} work {} attempt {} from {}\n",
                entry.at, entry.event, entry.work, entry.attempt, entry.from
            )
        };
        of_it.map(line).collect()
    }
}
