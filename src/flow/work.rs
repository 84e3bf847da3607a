//! What must happen after a commit, at least once: claims, cancels, requests, notices, unpins.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use lightning::{HoldStatus, WalletError, failpoint};
use lnmp::{Act, GateId, GateState, HoldKind, PaymentHash, QuoteId, QuoteState, Voucher};
use store::{Batch, GateFilter, Job, JobKind};
use tokio::sync::{Semaphore, watch};

use crate::flow::ask::{Asked, ask, new_message_id, page_url};
use crate::flow::{bounce, outbound_price, refund, submit};
use crate::house::{House, now_ms, stopped};
use crate::letters;

/// A leased job comes back after this long when its worker died.
const LEASE_MS: i64 = 60_000;
/// Jobs taken at once.
const JOBS_AT_ONCE: usize = 64;
/// Nothing due: look again at least this often (a job may fall due by the clock alone).
const IDLE: Duration = Duration::from_millis(500);
/// A claim is made again until the money arrives.
const CLAIM_AGAIN_MS: i64 = 2_000;
/// The first wait after a failure; it doubles.
const BACKOFF_MS: i64 = 500;
/// The longest wait after failures.
const BACKOFF_MAX_MS: i64 = 300_000;

/// Refunds worked at at once: each waits for servers elsewhere, and for a payment.
const REFUNDS_AT_ONCE: usize = 8;
/// A refund waits this long for one of those to end.
const REFUND_BUSY_MS: i64 = 1_000;

/// What a job came to.
pub enum Ended {
    /// Done; commit this with its end.
    With(Box<Batch>),
    /// Not yet; again in so many milliseconds.
    Again(i64),
}

impl Ended {
    /// Done, and nothing came of it.
    pub fn nothing() -> Self {
        Self::With(Box::default())
    }
}

/// Works until `stop`.
pub async fn run(house: Arc<House>, mut stop: watch::Receiver<bool>) {
    // What a mail client decides is committed below the house: only the store hears of it.
    let made = house.store.job_bell();
    let refunds = Arc::new(Semaphore::new(REFUNDS_AT_ONCE));
    loop {
        let (bell, made) = (house.work.notified(), made.notified());
        match house.store.lease_jobs(now_ms(), LEASE_MS, JOBS_AT_ONCE).await {
            Ok(jobs) if !jobs.is_empty() => {
                for job in jobs {
                    if matches!(job.kind, JobKind::Refund(_)) {
                        // Beside the others: a claim must not wait for somebody's server.
                        apart(&house, &refunds, job).await;
                    } else {
                        end(&house, job).await;
                    }
                }
                if *stop.borrow() {
                    return;
                }
                continue;
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "jobs cannot be read"),
        }
        tokio::select! {
            () = bell => {}
            () = made => {}
            () = tokio::time::sleep(IDLE) => {}
            () = stopped(&mut stop) => return,
        }
    }
}

async fn apart(house: &Arc<House>, free: &Arc<Semaphore>, job: Job) {
    let Ok(permit) = Arc::clone(free).try_acquire_owned() else {
        if let Err(error) = house.store.retry_job(job.id, now_ms() + REFUND_BUSY_MS).await {
            tracing::warn!(job = job.id.0, %error, "a refund could not be put off");
        }
        return;
    };
    let house = Arc::clone(house);
    tokio::spawn(async move {
        end(&house, job).await;
        drop(permit);
    });
}

async fn end(house: &House, job: Job) {
    let id = job.id;
    let written = match perform(house, &job).await {
        Ok(Ended::With(causes)) => {
            let queues = !causes.outgoing.is_empty();
            if matches!(job.kind, JobKind::Ask(_)) {
                failpoint::pass("ask.done");
            }
            let done = house.store.finish_job(id, *causes, now_ms()).await;
            match job.kind {
                JobKind::Ask(_) => failpoint::pass("ask.finished"),
                JobKind::Claim(..) => failpoint::pass("claim.finished"),
                JobKind::Cancel(..) => failpoint::pass("cancel.finished"),
                _ => {}
            }
            if queues {
                house.work.notify_waiters();
            }
            done
        }
        Ok(Ended::Again(ms)) => house.store.retry_job(id, now_ms() + ms).await,
        Err(error) => {
            tracing::warn!(
                job = id.0,
                attempts = job.attempts,
                error = format!("{error:#}"),
                "a job failed; it is tried again"
            );
            let wait = BACKOFF_MS.saturating_mul(1 << job.attempts.min(16)).min(BACKOFF_MAX_MS);
            house.store.retry_job(id, now_ms() + wait).await
        }
    };
    if let Err(error) = written {
        // Its lease runs out and it comes again: every step may be repeated.
        tracing::warn!(job = id.0, %error, "a job's end was not written");
    }
}

async fn perform(house: &House, job: &Job) -> anyhow::Result<Ended> {
    let nothing = Ended::nothing;
    match &job.kind {
        JobKind::Ask(gate) => match ask(house, *gate).await? {
            Asked::Done(batch) => Ok(Ended::With(batch)),
            Asked::Later(wait) => Ok(Ended::Again(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX))),
        },
        JobKind::Claim(quote, hash) => claim(house, *quote, *hash).await,
        JobKind::Cancel(_, hash) => {
            failpoint::pass("cancel.due");
            cancel_again(house, *hash).await?;
            failpoint::pass("cancel.told");
            Ok(nothing())
        }
        JobKind::Grace(gate) => {
            let decided = house.store.decide(*gate, Act::GraceOver { lies: None }, now_ms()).await;
            match decided {
                Ok(_) | Err(store::StoreError::NoSuch(_)) => {
                    house.work.notify_waiters();
                    Ok(nothing())
                }
                Err(error) => Err(error.into()),
            }
        }
        JobKind::Demote(account, message) => {
            house.store.demote(*account, *message, now_ms()).await?;
            Ok(nothing())
        }
        JobKind::Refund(quote) => refund::refund(house, *quote).await,
        JobKind::RefundLink(quote) => refund::link(house, *quote).await,
        JobKind::AutoPay(account, bolt11) => {
            outbound_price::pay(house, *account, bolt11).await?;
            Ok(nothing())
        }
        JobKind::Notice(account) => notice(house, *account).await,
        JobKind::TellLost(gate) => tell_lost(house, *gate).await,
        JobKind::Unpin(cids) => {
            for cid in cids {
                house.running()?.shelf.remove(cid).await.context("unpin")?;
            }
            Ok(nothing())
        }
    }
}

/// Claims until the money is there, or until it is certain that it never will be.
async fn claim(house: &House, id: QuoteId, hash: PaymentHash) -> anyhow::Result<Ended> {
    let wallet = &house.running()?.wallet;
    let Some(quote) = house.store.quote(&hash).await? else { return Ok(Ended::With(Box::default())) };
    let is_due = match quote.kind {
        HoldKind::Htlc => quote.gate_state == GateState::Settling && quote.state != QuoteState::Settled,
        // Received first, decided about later.
        HoldKind::Escrow => quote.state == QuoteState::Claiming,
    };
    if !is_due {
        return Ok(Ended::nothing());
    }
    let chain = wallet.chain().await?;
    // Only claims wait for a fresh chain: on a stale one the deadline may have passed unseen.
    if !chain.fresh {
        return Ok(Ended::Again(CLAIM_AGAIN_MS));
    }
    let preimage = house.store.preimage(id).await?.context("a quote without its preimage")?;
    failpoint::pass("claim.due");
    match wallet.settle(hash, quote.received.unwrap_or(quote.amount), &preimage).await {
        Ok(()) => {
            failpoint::pass("claim.told");
            Ok(Ended::Again(CLAIM_AGAIN_MS))
        }
        Err(WalletError::TooLate { .. } | WalletError::UnknownHash | WalletError::AlreadyCancelled) => {
            lost(house, id, hash, chain.height).await
        }
        Err(error) => Err(error).context("claim"),
    }
}

/// Lost only when the event queue is drained, the chain is past the deadline, and the node holds nothing.
async fn lost(house: &House, id: QuoteId, hash: PaymentHash, height: u32) -> anyhow::Result<Ended> {
    let wallet = &house.running()?.wallet;
    let deadline = house.store.quote(&hash).await?.and_then(|quote| quote.deadline_height);
    let past = deadline.is_none_or(|deadline| height >= deadline);
    let held = matches!(wallet.lookup(hash).await?, HoldStatus::Held { .. } | HoldStatus::Settled);
    if held || !past || wallet.ready_event().await.is_some() {
        return Ok(Ended::Again(CLAIM_AGAIN_MS));
    }
    failpoint::pass("lost.begin");
    if house.store.payment_lost(id, now_ms()).await? {
        failpoint::pass("lost.committed");
        tracing::error!("a payment was gone before its claim");
    }
    Ok(Ended::With(Box::default()))
}

/// Tells the owner, in INBOX, that paid mail waits: how many, how much, until when, nothing of the content.
async fn notice(house: &House, account: store::AccountId) -> anyhow::Result<Ended> {
    let now = now_ms();
    let filter = GateFilter { account: Some(account), state: Some(GateState::Held), limit: None };
    let mut held = house.store.gates(filter).await?;
    // What waits for its mail is not waiting for its owner.
    held.retain(|gate| gate.voucher != Some(Voucher::Open));
    let Some(owner) = house.store.account(account).await? else { return Ok(Ended::With(Box::default())) };
    if held.is_empty() {
        return Ok(Ended::With(Box::default()));
    }
    let amounts: Vec<_> = held
        .iter()
        .filter_map(|gate| gate.quotes.iter().rev().find(|q| is_locked(q.state)))
        .map(|q| q.amount)
        .collect();
    let letter = letters::Notice {
        cover: letters::Cover {
            from: &house.bridge_address(),
            to: &owner.address(),
            message_id: &new_message_id(house),
            now,
        },
        amounts: &amounts,
        deadline: held.iter().filter_map(|gate| gate.hold_until).min(),
    };
    deliver_letter(house, &owner.address(), &letter.render()).await
}

fn is_locked(state: QuoteState) -> bool {
    matches!(state, QuoteState::Held | QuoteState::Escrowed)
}

/// Tells owner and author that an accepted payment was gone.
async fn tell_lost(house: &House, id: GateId) -> anyhow::Result<Ended> {
    let Some(gate) = house.store.gate(id).await? else { return Ok(Ended::With(Box::default())) };
    let Some(owner) = house.store.account(gate.account).await? else { return Ok(Ended::With(Box::default())) };
    let now = now_ms();
    let page = page_url(house.running()?, &gate);
    let render = |to: &str| {
        letters::Lost {
            cover: letters::Cover { from: &house.bridge_address(), to, message_id: &new_message_id(house), now },
            amount: gate.price,
            recipient: gate.recipient.as_deref(),
            to_author: to != owner.address(),
            page_url: &page,
        }
        .render()
    };
    let mut ended = deliver_letter(house, &owner.address(), &render(&owner.address())).await?;
    if let (Ended::With(batch), Some(author)) = (&mut ended, &gate.ask) {
        batch.outgoing.push(bounce::from_bridge(author, render(author), now));
    }
    Ok(ended)
}

async fn deliver_letter(house: &House, to: &str, letter: &[u8]) -> anyhow::Result<Ended> {
    let deliveries =
        submit::letter(house, to, letter, now_ms()).await.map_err(|refusal| anyhow::anyhow!(refusal.text))?;
    Ok(Ended::With(Box::new(Batch { deliveries, ..Batch::default() })))
}

/// Fails a payment back whose refund was committed; also once more after a crash.
pub async fn cancel_again(house: &House, hash: PaymentHash) -> anyhow::Result<()> {
    match house.running()?.wallet.cancel(hash).await {
        // The money arrived before the cancel: it is booked by its event.
        Ok(()) | Err(WalletError::AlreadyClaimed) => Ok(()),
        Err(error) => Err(error).context("cancel"),
    }
}
