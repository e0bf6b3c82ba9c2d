use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::{IdSource, RandomIds};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Children, Place, Runner, TOKEN, children_of, command, is_settled, kill, request};

/// Numbers from a seed that is printed, and can be given again as `CHAOS_SEED`.
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    fn new() -> Self {
        let given = std::env::var("CHAOS_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| RandomIds.uuid().as_u64_pair().1 >> 16 | 1);
        println!("CHAOS_SEED={seed}");
        Self(seed)
    }

    /// A number below `most`, by xorshift64*.
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % most
    }

    /// A moment in the next so many milliseconds.
    async fn moment(&mut self, most: u64) {
        let pause = Duration::from_micros(self.below(most * 1000));
        SystemClock.sleep(pause).await;
    }
}

/// Jobs under chaos, and what was promised about them.
#[derive(Debug)]
struct Ledger {
    place: Place,
    children: Children,
    jobs: Vec<String>,
    acknowledged: BTreeSet<String>,
    asked: BTreeSet<String>,
}

impl Ledger {
    fn new() -> Self {
        let place = Place::new();
        let children = Children::new(&place);
        Self { place, children, jobs: Vec::new(), acknowledged: BTreeSet::new(), asked: BTreeSet::new() }
    }

    /// Twelve short children in three lanes. Each leaves a process behind that would live for long
    /// in a session of its own. Both hold a lock of their execution, so that another attempt that
    /// lives beside them would notice.
    fn next_job(&self, chance: &mut Chance, longest: u64) -> Value {
        let number = self.jobs.len();
        let executions = (0..12).map(|index| {
            let lock = self.place.path(&format!("lock-{number}-{index}"));
            let script = format!(
                "exec 8>'{}'; flock -n 8 || echo overlap >&9; setsid sleep 600 & sleep 0.{:03}",
                lock.display(),
                chance.below(longest)
            );
            json!({"executor": "process", "lane": format!("lane {}", index % 3), "input": self.children.input(&script)})
        });
        json!({"id": format!("chaos-{number}"), "backoff_seconds": 0, "executions": executions.collect::<Vec<_>>()})
    }

    /// Submits another job when the last one is over.
    async fn keep_busy(&mut self, url: &str, chance: &mut Chance, longest: u64) {
        if let Some(last) = self.jobs.last() {
            let (_, job) = request(url, "GET", &format!("/api/v1/jobs/{last}?exec_limit=0"), Some(TOKEN), "")
                .await
                .unwrap();
            if ["queued", "running"].contains(&job["status"].as_str().unwrap()) {
                return;
            }
        }
        let job = self.next_job(chance, longest);
        let (status, answer) =
            request(url, "POST", "/api/v1/jobs", Some(TOKEN), &job.to_string()).await.unwrap();
        assert_eq!(status, 201, "{answer}");
        self.jobs.push(job["id"].as_str().unwrap().to_owned());
    }

    /// Asks to cancel the last job; no answer promises nothing.
    async fn cancel(&mut self, url: &str, mode: &str) {
        let Some(last) = self.jobs.last().cloned() else { return };
        self.asked.insert(last.clone());
        let body = json!({ "mode": mode, "grace_seconds": 1 }).to_string();
        match request(url, "POST", &format!("/api/v1/jobs/{last}/cancel"), Some(TOKEN), &body).await {
            Some((200, answer)) => {
                assert_eq!(answer["new_status"], "cancelled", "{answer}");
                self.acknowledged.insert(last);
            }
            Some((409, _)) | None => {}
            Some(other) => panic!("{other:?}"),
        }
    }

    /// Waits until every job is over and checks every promise.
    async fn reckon(&mut self, runner: &Runner) {
        let (mut completed, mut cancelled, mut attempts, mut unconfirmed) = (0, 0, 0, 0);
        for id in &self.jobs {
            let job = runner.reaches(id, "settled", is_settled).await;
            let status = job["status"].as_str().unwrap();
            match status {
                "completed" => completed += 1,
                "cancelled" => cancelled += 1,
                _ => panic!("no child fails by itself, and yet {id} {status}: {job:#}"),
            }
            assert!(
                status == "cancelled" || !self.acknowledged.contains(id),
                "{id}: a cancel was acknowledged, and it {status}"
            );
            assert!(status == "completed" || self.asked.contains(id), "{id}: nobody asked for a cancel");
            attempts += job["executions"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["attempt"].as_u64().unwrap())
                .sum::<u64>();
            unconfirmed += job["stops"]["unconfirmed"].as_u64().unwrap();
        }
        self.children.all_gone().await;
        assert!(!self.children.has_said("overlap"), "two attempts of one execution lived at once");
        println!(
            "{} jobs: {completed} completed, {cancelled} cancelled ({} acknowledged); {attempts} attempts, {unconfirmed} stops unconfirmed",
            self.jobs.len(),
            self.acknowledged.len()
        );
    }
}

#[tokio::test]
async fn chaos_kill_9_of_the_runner_at_50_moments_loses_nothing_and_leaves_nobody() {
    let mut chance = Chance::new();
    let mut ledger = Ledger::new();
    for round in 0..50 {
        if chance.below(8) == 0 {
            // In the middle of its start.
            let mut starting = serving(&ledger.place);
            let mut child = starting.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            chance.moment(60).await;
            child.start_kill().unwrap();
            child.wait().await.unwrap();
            continue;
        }
        let runner = Runner::spawn(&ledger.place, &mut serving(&ledger.place)).await;
        ledger.keep_busy(&runner.url, &mut chance, 400).await;
        if chance.below(5) == 0 {
            let mode = ["graceful", "immediate"][usize::try_from(chance.below(2)).unwrap()];
            let (before, after) = (chance.below(200), chance.below(20));
            // The kill comes before, during or after the cancel.
            let url = runner.url.clone();
            let cancel = async {
                SystemClock.sleep(Duration::from_millis(before)).await;
                ledger.cancel(&url, mode).await;
            };
            let killed = async {
                SystemClock.sleep(Duration::from_millis(before) + Duration::from_micros(after * 500)).await;
                runner.kill_9().await;
            };
            tokio::join!(cancel, killed);
        } else {
            chance.moment(500).await;
            runner.kill_9().await;
        }
        if round % 5 == 0 {
            // Nobody needs a next runner to be ended.
            ledger.children.all_gone().await;
        }
    }
    let runner = Runner::spawn(&ledger.place, &mut serving(&ledger.place)).await;
    ledger.reckon(&runner).await;
}

#[tokio::test]
async fn chaos_kill_9_of_supervisors_at_20_moments_loses_nothing_and_leaves_nobody() {
    let mut chance = Chance::new();
    let mut ledger = Ledger::new();
    let runner = Runner::spawn(&ledger.place, &mut serving(&ledger.place)).await;
    let mut killed = 0;
    while killed < 20 {
        ledger.keep_busy(&runner.url, &mut chance, 900).await;
        chance.moment(200).await;
        let supervisors = children_of(runner.pid());
        if supervisors.is_empty() {
            continue;
        }
        let victim = supervisors[usize::try_from(chance.below(supervisors.len() as u64)).unwrap()];
        kill(victim, Signal::KILL);
        killed += 1;
        if chance.below(9) == 0 {
            chance.moment(20).await;
            ledger.cancel(&runner.url, "graceful").await;
        }
    }
    ledger.reckon(&runner).await;
}

fn serving(place: &Place) -> tokio::process::Command {
    let mut command = command(&["serve", "--listen", "127.0.0.1:0", "--poll-ms", "50"]);
    command.args(["--database", &place.database()]).env("BEACON_ADMIN_TOKEN", TOKEN);
    command
}
