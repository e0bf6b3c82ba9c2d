//! What users ask for, at whatever node is up.

use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::cancel::{Actor, CancelOutcome, CancelRequest};
use beacon_jobs::job::JobSpec;
use beacon_jobs::{ErrorKind, JobId, Jobs};

use super::super::node::{Life, Power};
use super::super::script::{By, OWNERS};
use super::World;

impl World {
    /// A node that is up, this one rather than another.
    async fn door(&self, node: usize) -> (Arc<Life>, Jobs) {
        loop {
            let near = (0..self.script.nodes).filter_map(|next| self.life(node + next));
            if let Some(life) = near.into_iter().find(|life| life.power() == Power::Up)
                && let Some(jobs) = life.jobs()
            {
                return (life, jobs);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub(super) async fn submit(self: Arc<Self>, node: usize, owner: &'static str, spec: JobSpec) {
        if let Some(id) = &spec.id {
            let as_asked = (owner.to_owned(), spec.clone());
            self.truth.lock().unwrap().specs.insert(id.clone(), as_asked);
        }
        for next in node.. {
            let (life, jobs) = self.door(next).await;
            let answer = tokio::select! {
                biased;
                () = life.crashed() => continue,
                answer = jobs.submit(owner, spec.clone()) => answer,
            };
            match answer {
                Ok(_) => return,
                Err(error) if error.is_retryable() => tokio::time::sleep(Duration::from_millis(200)).await,
                Err(error) => {
                    return self.violate("P7 a job may be submitted again", || error.to_string());
                }
            }
        }
    }

    /// Cancels jobs of one owner.
    pub(super) async fn cancel(
        self: Arc<Self>,
        node: usize,
        of: Vec<usize>,
        by: By,
        grace: Option<Duration>,
    ) {
        let ids: Vec<_> = of.iter().map(|job| JobId::new(format!("job-{job}")).unwrap()).collect();
        let owner = OWNERS[of[0] % 2];
        let actor = match by {
            By::Owner => Actor::Owner(owner.to_owned()),
            By::Admin => Actor::Admin("root".to_owned()),
            By::Stranger => Actor::Owner("mallory".to_owned()),
        };
        let reason = format!("request {}", self.figures.lock().unwrap().cancels);
        self.figures(|figures| figures.cancels += 1);
        let request = CancelRequest::new(actor).with_reason(reason);
        let request = match grace {
            Some(grace) => request.with_grace(grace),
            None => request.immediate(),
        };
        if by != By::Stranger {
            let asked =
                ids.iter().map(|id| (id.clone(), request.by.name().to_owned(), request.reason.clone()));
            self.truth.lock().unwrap().requests.extend(asked);
        }
        for next in node..node + 3 {
            let (life, jobs) = self.door(next).await;
            let call = async {
                match &ids[..] {
                    [id] => jobs.cancel(id, &request).await.map(|answer| vec![answer]),
                    ids => jobs.cancel_many(ids, &request).await,
                }
            };
            let answers = tokio::select! {
                biased;
                () = life.crashed() => continue,
                answers = call => answers,
            };
            self.log(|| format!("cancel of {ids:?} by {:?} at n{}: {answers:?}", request.by, life.node));
            match answers {
                Ok(answers) => {
                    let cancelled = ids.into_iter().zip(answers).filter(|(_, answer)| {
                        matches!(
                            answer.outcome,
                            CancelOutcome::Cancelled { .. } | CancelOutcome::AlreadyCancelled { .. }
                        )
                    });
                    self.truth.lock().unwrap().acknowledged.extend(cancelled.map(|(id, _)| id));
                    return;
                }
                Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::OutcomeUnknown) => {}
                Err(error) => return self.violate("P2 a cancel is answered", || error.to_string()),
            }
        }
    }
}
