//! The calls that have a transaction of their own.

use super::link::Link;
use super::queue::{Own, Reply};
use super::writer::Writer;
use super::{claim, ends, nodes, prune, sessions, stops, submit};
use crate::store::Signal;
use crate::store::sql::Fault;

/// What a call brought, and what to signal once it is committed.
pub(super) type Done<T> = Result<(T, Vec<Signal>), Fault>;

/// Runs a call, signals, and answers. Returns the fault, if there was one.
pub(super) async fn run(link: &mut Link<'_>, writer: &Writer, call: Own) -> Result<(), Fault> {
    let clock = &*writer.clock;
    match call {
        Own::Cancel(id, request, reply) => {
            let done = ends::cancel(link, clock, &id, &request).await;
            answer(link, writer, done, reply).await
        }
        Own::CancelMany(ids, request, reply) => {
            let done = ends::cancel_many(link, clock, &ids, &request).await;
            answer(link, writer, done, reply).await
        }
        Own::Check(reply) => {
            let done = nodes::check(link).await;
            answer(link, writer, done, reply).await
        }
        Own::Submit(job, reply) => {
            let done = submit::submit(link, clock, &job).await;
            answer(link, writer, done, reply).await
        }
        Own::Join(node, lease, reply) => {
            let done = nodes::join(link, clock, &node, lease).await;
            answer(link, writer, done, reply).await
        }
        Own::Heartbeat(incarnation, lease, reply) => {
            let done = nodes::heartbeat(link, clock, incarnation, lease).await;
            answer(link, writer, done, reply).await
        }
        Own::EndNode(incarnation, how, reply) => {
            let done = nodes::end_node(link, clock, incarnation, how).await;
            answer(link, writer, done, reply).await
        }
        Own::Claim(wish, reply) => {
            let done = claim::take(link, clock, &wish, super::statements::CLAIM).await;
            answer(link, writer, done, reply).await
        }
        Own::TakeOver(wish, reply) => {
            let done = claim::take(link, clock, &wish, super::statements::TAKE_OVER).await;
            answer(link, writer, done, reply).await
        }
        Own::Release(release, reply) => {
            let done = claim::release(link, clock, &release).await;
            answer(link, writer, done, reply).await
        }
        Own::FinishJob(finish, reply) => {
            let done = ends::finish_job(link, clock, &finish).await;
            answer(link, writer, done, reply).await
        }
        Own::TakeStops(take, reply) => {
            let done = stops::take(link, clock, &take).await;
            answer(link, writer, done, reply).await
        }
        Own::Prune(keep, limit, reply) => {
            let done = prune::prune(link, clock, keep, limit).await;
            answer(link, writer, done, reply).await
        }
        Own::GiveNonce(nonce, lifetime, reply) => {
            let done = sessions::give_nonce(link, clock, &nonce, lifetime).await;
            answer(link, writer, done, reply).await
        }
        Own::OpenSession(nonce, session, reply) => {
            let done = sessions::open_session(link, clock, &nonce, &session).await;
            answer(link, writer, done, reply).await
        }
        Own::EndSession(token, reply) => {
            let done = sessions::end_session(link, clock, &token).await;
            answer(link, writer, done, reply).await
        }
    }
}

async fn answer<T>(
    link: &mut Link<'_>,
    writer: &Writer,
    done: Done<T>,
    reply: Reply<T>,
) -> Result<(), Fault> {
    match link.settle(done).await {
        Ok((outcome, signals)) => {
            writer.signal(signals);
            reply.send(Ok(outcome));
            Ok(())
        }
        Err(fault) => {
            reply.send(Err(fault.clone()));
            Err(fault)
        }
    }
}
