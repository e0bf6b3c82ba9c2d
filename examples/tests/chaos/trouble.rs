//! What is done to the nodes, and the end of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use beacon_jobs::clock::{Clock, SystemClock};
use rustix::process::Signal;
use stand_in::{Faults, Kind, Point};
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::task::JoinHandle;

use crate::chance::Chance;
use crate::cluster::Cluster;
use crate::islet::Islet;
use crate::judge::{self, Figures};
use crate::ledger::Ledger;
use crate::node::{End, LEASE, Node, Recipe};
use crate::provider::Provider;
use crate::support::{code, run, stderr};

/// How long a call of the stand-in's executor may be under way.
const PATIENCE: Duration = Kind::two_step().patience;
/// How many users submit and cancel at once.
const USERS: usize = 8;
/// Until everything must be over once there is no more trouble.
const HEALING: Duration = Duration::from_secs(100);

/// Trouble that lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spell {
    Frozen(usize),
    Cut,
}

pub(crate) struct Trouble {
    chance: Chance,
    folder: TempDir,
    cluster: Cluster,
    provider: Provider,
    islet: Option<Arc<Islet>>,
    recipe: Recipe,
    nodes: Vec<Node>,
    spells: Vec<(OffsetDateTime, Spell)>,
    ledger: Ledger,
    users: Vec<JoinHandle<()>>,
    submitted: Arc<AtomicUsize>,
    enough: Arc<AtomicBool>,
    watcher: JoinHandle<()>,
    figures: Figures,
}

impl Trouble {
    pub(crate) async fn new(mut chance: Chance) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (cluster, socket) = (Cluster::new().await, folder.path().join("provider"));
        let provider = Provider::with_socket(&socket).await;
        let output = run(&["migrate", "--database", &cluster.database.url]).await;
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let islet = match Islet::new(&cluster.socket(), &socket).await {
            Ok(islet) => Some(Arc::new(islet)),
            Err(why) => {
                println!("NOT TESTED: no network namespace can be made here, so no node is cut off: {why}");
                None
            }
        };
        let names = ["one", "two", "three"];
        let mut nodes: Vec<Node> = names.iter().map(|name| Node::new(name, None)).collect();
        nodes.extend(islet.iter().map(|islet| Node::new("islet", Some(Arc::clone(islet)))));
        let (database, at) = (cluster.database.url.clone(), provider.url.clone());
        let recipe = Recipe { folder: folder.path().to_owned(), database, provider: at };
        let ledger = Ledger::default();
        let (submitted, enough) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let users = (0..USERS).map(|_| {
            let (ledger, mut chance) = (ledger.clone(), chance.fork());
            let (submitted, enough) = (Arc::clone(&submitted), Arc::clone(&enough));
            tokio::spawn(async move {
                while !enough.load(Ordering::Relaxed) {
                    let number = submitted.fetch_add(1, Ordering::Relaxed);
                    ledger.use_it(&mut chance, format!("chaos-{number}")).await;
                    chance.moment(800).await;
                }
            })
        });
        let users = users.collect();
        let watcher = {
            let (ledger, chance) = (ledger.clone(), chance.fork());
            tokio::spawn(async move { ledger.watch(chance).await })
        };
        let figures = Figures::default();
        let mut trouble = Self {
            chance,
            folder,
            cluster,
            provider,
            islet,
            recipe,
            nodes,
            spells: Vec::new(),
            ledger,
            users,
            submitted,
            enough,
            watcher,
            figures,
        };
        trouble.start_all(false).await;
        trouble
    }

    pub(crate) fn submitted(&self) -> usize {
        self.ledger.accepted()
    }

    /// Makes the next trouble, beside what still goes on.
    pub(crate) async fn next(&mut self) {
        self.chance.moment(600).await;
        for victim in 0..self.nodes.len() {
            // At its point.
            if self.nodes[victim].is_frozen() && !self.is_spellbound(victim) {
                *self.figures.frozen.entry(self.nodes[victim].frozen_at()).or_default() += 1;
                self.freeze(victim);
            }
        }
        self.end_spells(false).await;
        let victim = usize::try_from(self.chance.below(self.nodes.len() as u64)).unwrap();
        match self.chance.below(16) {
            // A frozen one dies too.
            0..=4 => {
                self.nodes[victim].kill_9().await;
                self.figures.kills += 1;
                self.tell_urls();
                self.chance.moment(1000).await;
            }
            5..=7 => self.freeze(victim),
            8..=10 => {
                self.cluster.restart_at_once().await;
                self.figures.restarts += 1;
            }
            11..=12 => self.cut().await,
            13 if !self.nodes[victim].is_frozen() => {
                self.nodes[victim].drain().await;
                self.figures.drains += 1;
            }
            14 => {
                let failing_calls = u32::try_from(self.chance.below(60)).unwrap();
                let hanging_calls = u32::try_from(self.chance.below(6)).unwrap();
                let faults = Faults { failing_calls, hanging_calls, ..Faults::default() };
                self.provider.client.set_faults(&faults).await.unwrap();
                self.figures.storms += 1;
            }
            _ => self.chance.moment(1500).await,
        }
        self.start_all(true).await;
    }

    fn is_spellbound(&self, victim: usize) -> bool {
        self.spells.iter().any(|(_, spell)| *spell == Spell::Frozen(victim))
    }

    /// Mostly past its lease, and now and then so long that its attempts are sealed without it.
    fn freeze(&mut self, victim: usize) {
        self.nodes[victim].signal(Signal::STOP);
        let least = self.begin_spell(Spell::Frozen(victim));
        self.figures.freezes += usize::from(least > 0);
    }

    async fn cut(&mut self) {
        let Some(islet) = &self.islet else { return };
        islet.set_connected(false).await;
        let least = self.begin_spell(Spell::Cut);
        self.figures.cuts += usize::from(least > 0);
    }

    /// For how many seconds it lasts at least.
    fn begin_spell(&mut self, spell: Spell) -> u64 {
        let least =
            self.chance.one_of(&[0, LEASE, LEASE + PATIENCE.as_secs(), LEASE + 2 * PATIENCE.as_secs()]);
        let lasts = Duration::from_millis(least * 1000 + self.chance.below(LEASE * 1000));
        self.spells.push((SystemClock.now() + lasts, spell));
        least
    }

    /// Thaws and connects what has been frozen and cut off for long enough, or all of it.
    async fn end_spells(&mut self, all: bool) {
        let now = SystemClock.now();
        let (over, on) =
            std::mem::take(&mut self.spells).into_iter().partition(|(end, _)| all || *end <= now);
        self.spells = on;
        let over: Vec<(_, Spell)> = over;
        if !over.is_empty() {
            self.figures.by_time += judge::sealed_by_time(&self.cluster.database).await;
        }
        for (_, spell) in over {
            match spell {
                Spell::Frozen(victim) => self.nodes[victim].signal(Signal::CONT),
                Spell::Cut => {
                    if let Some(islet) = &self.islet {
                        islet.set_connected(true).await;
                    }
                }
            }
        }
    }

    fn tell_urls(&self) {
        self.ledger.set_urls(self.nodes.iter().filter_map(|node| node.url.clone()).collect());
    }

    /// Starts what has ended; mostly it dies or freezes again at some point.
    async fn start_all(&mut self, may_abort: bool) {
        let is_cut = self.spells.iter().any(|(_, spell)| *spell == Spell::Cut);
        for node in &mut self.nodes {
            match node.has_ended() {
                Some(End::Aborted) => self.figures.aborted(&node.log()),
                // It could not be started: its store was not there.
                Some(End::Exited(1)) | None => {}
                Some(End::Exited(code)) => panic!("a node ended with {code}: {}", node.log()),
            }
            // Without its store it would only end again.
            let must_wait = is_cut && node.is_islet();
            if !node.lives() && !must_wait {
                // Between the permit and the begin lies the narrowest gap.
                let point =
                    if self.chance.once_in(3) { Point::AfterSave } else { self.chance.one_of(&Point::ALL) };
                let point = point.as_str();
                let what = self.chance.one_of(&["abort", "abort", "freeze"]);
                let point = format!("{what}@{point}={}", self.chance.below(8) + 1);
                let aborts = may_abort && !self.chance.once_in(3);
                node.start(&self.recipe, aborts.then_some(point.as_str())).await;
            }
        }
        self.tell_urls();
    }

    /// Makes no more trouble, and waits until everything is over.
    pub(crate) async fn heal(&mut self) {
        self.enough.store(true, Ordering::Relaxed);
        self.end_spells(true).await;
        self.provider.client.set_faults(&Faults::default()).await.unwrap();
        let healed = async {
            loop {
                self.start_all(false).await;
                self.nodes.iter().filter(|node| node.is_frozen()).for_each(|node| node.signal(Signal::CONT));
                let users = self.users.iter().all(JoinHandle::is_finished);
                let open = judge::open(&self.cluster.database).await;
                if users
                    && open.is_empty()
                    && self.ledger.accepted() == self.submitted.load(Ordering::Relaxed)
                {
                    return;
                }
                self.figures.open = open;
                SystemClock.sleep(Duration::from_millis(100)).await;
            }
        };
        if tokio::time::timeout(HEALING, healed).await.is_err() {
            let logs: String =
                self.nodes.iter().map(|node| format!("{}\n", last_lines(&node.log()))).collect();
            self.keep();
            panic!("it does not heal: {:#?}\n{logs}", self.figures.open);
        }
        self.watcher.abort();
    }

    /// Ends the nodes and checks every promise.
    pub(crate) async fn reckon(mut self) {
        for node in &mut self.nodes {
            node.drain().await;
        }
        let verdict =
            judge::judge(&self.cluster.database, &self.provider, &self.ledger, &mut self.figures).await;
        println!("{}", self.figures);
        if !verdict.is_empty() {
            self.keep();
            panic!("{} promises were broken:\n{}", verdict.len(), verdict.join("\n"));
        }
    }

    /// Leaves the logs for a person to read.
    fn keep(&mut self) {
        self.folder.disable_cleanup(true);
        println!("the logs of the nodes are in {}", self.folder.path().display());
    }
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
