use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use beacon_jobs::JobId;
use beacon_jobs::job::{ExecutionOutline, ExecutionStatus};
use beacon_jobs::stop::StopState;
use sha2::{Digest, Sha256};

/// The form of ids. Another form is not read: its client is told everything again.
const FORM: u8 = 1;

/// How many bytes of an id tell for which job it is.
const CHECK: usize = 2;

/// The longest an id gets, in bytes before it is written as text. Runs that do not fit are left
/// out, and told again after a reconnect.
const MOST_BYTES: usize = 768;

/// How much of an execution's state a client was told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) status: ExecutionStatus,
    pub(super) attempt: u32,
    /// `not_needed` where there is no stop.
    pub(super) stop: StopState,
}

impl Mark {
    /// What everybody knows of an execution.
    const SUBMITTED: Self = Self { status: ExecutionStatus::Queued, attempt: 0, stop: StopState::NotNeeded };

    pub(super) fn of(execution: &ExecutionOutline) -> Self {
        let stop = execution.stop.as_ref().map_or(StopState::NotNeeded, |stop| stop.state);
        Self { status: execution.status, attempt: execution.attempt, stop }
    }

    fn code(self) -> u64 {
        let place = |found: Option<usize>| found.unwrap_or_default() as u64;
        let status = place(ExecutionStatus::ALL.iter().position(|status| *status == self.status));
        let stop = place(StopState::ALL.iter().position(|stop| *stop == self.stop));
        (u64::from(self.attempt) * ExecutionStatus::ALL.len() as u64 + status) * StopState::ALL.len() as u64
            + stop
    }

    fn from_code(code: u64) -> Option<Self> {
        let (code, stop) = split(code, StopState::ALL)?;
        let (attempt, status) = split(code, ExecutionStatus::ALL)?;
        Some(Self { status, attempt: u32::try_from(attempt).ok()?, stop })
    }
}

fn split<T: Copy>(code: u64, all: &[T]) -> Option<(u64, T)> {
    let count = all.len() as u64;
    Some((code / count, *all.get(usize::try_from(code % count).ok()?)?))
}

/// What a client was told about a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    check: [u8; CHECK],
    /// Of what it was told about the job itself; zero when that was nothing.
    job: u64,
    /// Its executions, from the first on, as runs of equal ones.
    runs: Vec<(Mark, u32)>,
    /// How those after the runs are known.
    rest: Option<Mark>,
}

impl View {
    /// That of a client that was told nothing, and knows that a new job's executions are queued.
    pub(crate) fn fresh(id: &JobId) -> Self {
        Self { check: check(id), job: 0, runs: Vec::new(), rest: Some(Mark::SUBMITTED) }
    }

    /// Reads an event's id. `None` for what is no id of an event of this job.
    pub(crate) fn read(id: &JobId, text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let rest = bytes.strip_prefix(&[FORM])?.strip_prefix(&check(id))?;
        let (job, mut rest) = rest.split_first_chunk::<8>()?;
        let mut runs = Vec::new();
        while !rest.is_empty() {
            let mark = Mark::from_code(take_number(&mut rest)?)?;
            let count = u32::try_from(take_number(&mut rest)?).ok().filter(|count| *count > 0)?;
            runs.push((mark, count));
        }
        Some(Self { check: check(id), job: u64::from_be_bytes(*job), runs, rest: None })
    }

    /// The id of an event after which a client has this view.
    pub(super) fn id(&self) -> String {
        let mut bytes = Vec::with_capacity(64);
        bytes.push(FORM);
        bytes.extend(self.check);
        bytes.extend(self.job.to_be_bytes());
        for (mark, count) in &self.runs {
            let before = bytes.len();
            put_number(&mut bytes, mark.code());
            put_number(&mut bytes, u64::from(*count));
            if bytes.len() > MOST_BYTES {
                bytes.truncate(before);
                break;
            }
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Makes the runs those of a job of so many executions.
    pub(super) fn fit(&mut self, executions: usize) {
        let count = u32::try_from(executions).unwrap_or(u32::MAX);
        let mut known = 0;
        self.runs.retain_mut(|(_, run)| {
            *run = (*run).min(count - known);
            known += *run;
            *run > 0
        });
        if let Some(mark) = self.rest
            && known < count
        {
            self.runs.push((mark, count - known));
        }
    }

    /// What is known of the executions, one after another; `None` of one that may have been told
    /// anything.
    pub(super) fn marks(&self) -> impl Iterator<Item = Option<Mark>> {
        let known = self.runs.iter().flat_map(|(mark, count)| std::iter::repeat_n(*mark, *count as usize));
        known.map(Some).chain(std::iter::repeat(None))
    }

    /// What is known of an execution; `None` when it may have been anything.
    pub(super) fn mark(&self, index: usize) -> Option<Mark> {
        let mut index = u32::try_from(index).unwrap_or(u32::MAX);
        for (mark, count) in &self.runs {
            match index.checked_sub(*count) {
                Some(rest) => index = rest,
                None => return Some(*mark),
            }
        }
        None
    }

    /// Notes what was told of an execution. Those before it are known.
    pub(super) fn tell(&mut self, index: usize, mark: Mark) {
        let mut index = u32::try_from(index).unwrap_or(u32::MAX);
        let mut place = 0;
        while let Some((_, count)) = self.runs.get(place)
            && *count <= index
        {
            index -= count;
            place += 1;
        }
        let Some((before, count)) = self.runs.get(place).copied() else {
            self.runs.push((mark, 1));
            return self.join(place);
        };
        if before == mark {
            return;
        }
        let parts = [(before, index), (mark, 1), (before, count - index - 1)];
        self.runs.splice(place..=place, parts.into_iter().filter(|(_, count)| *count > 0));
        let told = place + usize::from(index > 0);
        self.join(told + 1);
        self.join(told);
    }

    /// Makes one of a run and that before it, if they are equal.
    fn join(&mut self, place: usize) {
        let Some(before) = place.checked_sub(1) else { return };
        if let (Some(first), Some(second)) = (self.runs.get(before), self.runs.get(place))
            && first.0 == second.0
        {
            let count = first.1 + second.1;
            self.runs[before].1 = count;
            self.runs.remove(place);
        }
    }

    /// Whether exactly this was told about the job itself.
    pub(super) fn knows_job(&self, told: &[u8]) -> bool {
        self.job == digest(told)
    }

    /// Notes what was told about the job itself.
    pub(super) fn tell_job(&mut self, told: &[u8]) {
        self.job = digest(told);
    }
}

fn check(id: &JobId) -> [u8; CHECK] {
    let hash: [u8; 32] = Sha256::digest(id.as_str()).into();
    [hash[0], hash[1]]
}

/// Never zero.
fn digest(told: &[u8]) -> u64 {
    let hash: [u8; 32] = Sha256::digest(told).into();
    u64::from_be_bytes([hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]]).max(1)
}

/// Seven bits a byte, the lowest first; the highest bit says that more come.
fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's panic is its verdict")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn job() -> JobId {
        JobId::new("job").unwrap()
    }

    fn mark() -> impl Strategy<Value = Mark> {
        let statuses = proptest::sample::select(ExecutionStatus::ALL);
        let stops = proptest::sample::select(StopState::ALL);
        // Few attempts mostly, so that runs of equal ones come up.
        (statuses, prop_oneof![Just(0), Just(1), any::<u32>()], stops)
            .prop_map(|(status, attempt, stop)| Mark { status, attempt, stop })
    }

    proptest! {
        #[test]
        fn a_view_is_what_was_told(
            count in 1_usize..40,
            told in proptest::collection::vec((0_usize..40, mark()), 0..80),
        ) {
            let mut view = View::fresh(&job());
            view.fit(count);
            let mut model = vec![Mark::SUBMITTED; count];
            for (index, mark) in told {
                let index = index % count;
                view.tell(index, mark);
                model[index] = mark;
            }
            let marks: Vec<_> = view.marks().take(count).collect();
            prop_assert_eq!(marks, model.iter().copied().map(Some).collect::<Vec<_>>());
            prop_assert!(view.runs.windows(2).all(|pair| pair[0].0 != pair[1].0), "{:?}", view.runs);
            let mut again = View::read(&job(), &view.id()).unwrap();
            again.fit(count);
            prop_assert_eq!(again.runs, view.runs);
        }

        #[test]
        fn an_id_of_any_form_is_read_or_not_but_never_a_fault(text in "\\PC{0,80}", bytes: Vec<u8>) {
            let _ = View::read(&job(), &text);
            let written = URL_SAFE_NO_PAD.encode([&[FORM][..], &check(&job()), &bytes].concat());
            if let Some(mut view) = View::read(&job(), &written) {
                view.fit(3);
                view.tell(0, Mark::SUBMITTED);
                prop_assert!(view.id().len() <= 1_024);
            }
        }
    }

    #[test]
    fn the_id_of_a_large_and_scattered_job_is_short_and_tells_of_the_first_part() {
        let mut view = View::fresh(&job());
        view.fit(10_000);
        for index in (0..10_000).step_by(2) {
            view.tell(
                index,
                Mark { status: ExecutionStatus::Completed, attempt: 1, stop: StopState::NotNeeded },
            );
        }
        let id = view.id();
        assert!(id.len() <= 1_024, "{}", id.len());
        let mut again = View::read(&job(), &id).unwrap();
        again.fit(10_000);
        let known = again.marks().take(10_000).take_while(Option::is_some).count();
        assert!(known > 300, "{known}");
        assert!(again.marks().take(known).eq(view.marks().take(known)));
    }

    #[test]
    fn an_id_of_another_job_is_not_read() {
        let view = View::fresh(&job());
        assert!(View::read(&job(), &view.id()).is_some());
        assert!(View::read(&JobId::new("other").unwrap(), &view.id()).is_none());
    }
}
