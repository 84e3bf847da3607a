//! Mail goes out: the queue is leased, carried in lanes of one next hop each, tried again, and reported on.
//!
//! ```text
//!   lease ─▶ lane (next hop) ─▶ up to CONNECTIONS_PER_HOP couriers, each with one session for mail after mail
//!              taken ─▶ gone      later ─▶ due again, later and later; told once after DELAY_TOLD_AFTER
//!              never, or too late ─▶ gone, with a report in the same commit
//! ```
//! `docs/operations.md` has the schedule.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::Rng;
use store::{Batch, QueueId, QueueItem, QueueOutcome, UnixMs};
use tokio::sync::{Semaphore, watch};

use crate::flow::bounce::{About, is_wanted, report};
use crate::flow::deliver::{Courier, NextHop, Tried, Try};
use crate::flow::mail::HEADER_BYTES_MAX;
use crate::flow::queued::Queued;
use crate::house::{House, now_ms, stopped};
use crate::letters::{Action, RETURN_BYTES_MAX, Reported};

/// A leased item comes back after this long when its sender died: longer than any delivery may take.
const LEASE_MS: i64 = 2 * 3_600_000;
/// Items taken at once.
const ITEMS_AT_ONCE: usize = 200;
/// Items in memory over all lanes, without their messages; the rest waits in the store.
const ITEMS_MAX: usize = 10_000;
/// Items waiting in one lane: a slow next hop must not fill the memory that others need.
const LANE_MAX: usize = 1000;
/// What finds its lane full is looked at again after this.
const LANE_FULL_MS: i64 = 60_000;
/// Sessions with one next hop at a time. Large providers count connections; Postfix takes 20, Gmail refuses some of those.
const CONNECTIONS_PER_HOP: usize = 5;
/// Sessions at a time, over all next hops.
const CONNECTIONS_MAX: usize = 50;
/// Recipients of one mail in one transaction. RFC 5321 §4.5.3.1.8: every server takes 100.
const RECIPIENTS_MAX: usize = 100;
/// Nothing due: look again at least this often.
const IDLE: Duration = Duration::from_millis(500);
/// The wait after the first failed try; each further one waits twice as long. Short at first, for greylisting.
const RETRY_FIRST_MS: i64 = 60_000;
/// The longest wait. RFC 5321 §4.5.4.1 asks for 30 minutes or more between tries, once the first ones failed.
const RETRY_MAX_MS: i64 = 4 * 3_600_000;
/// Each wait is up to this part longer or shorter, so that what failed together does not come back together.
const RETRY_JITTER: f64 = 0.2;
/// A mail that is older than this and was tried and failed is reported as delayed, once.
const DELAY_TOLD_AFTER_MS: i64 = 4 * 3_600_000;

/// Delivers until `stop`.
pub async fn run(house: Arc<House>, mut stop: watch::Receiver<bool>) {
    let lanes = Arc::new(Lanes {
        house: Arc::clone(&house),
        slots: Semaphore::new(CONNECTIONS_MAX),
        state: Mutex::default(),
        stop: stop.clone(),
    });
    loop {
        let bell = house.work.notified();
        let room = ITEMS_MAX.saturating_sub(lanes.lock().items.len()).min(ITEMS_AT_ONCE);
        let mut took = 0;
        if room > 0 {
            match house.store.lease_queue(now_ms(), LEASE_MS, room).await {
                Ok(items) => {
                    took = items.len();
                    lanes.add(items).await;
                }
                Err(error) => tracing::warn!(%error, "the queue cannot be read"),
            }
        }
        if took == ITEMS_AT_ONCE && !*stop.borrow() {
            continue;
        }
        tokio::select! {
            () = bell => {}
            () = tokio::time::sleep(IDLE) => {}
            () = stopped(&mut stop) => return,
        }
    }
}

/// Everything leased, by next hop.
struct Lanes {
    house: Arc<House>,
    slots: Semaphore,
    state: Mutex<State>,
    stop: watch::Receiver<bool>,
}

#[derive(Default)]
struct State {
    lanes: HashMap<NextHop, Lane>,
    /// Every item in a lane or with a courier: a lease that ran out must not send it twice.
    items: HashSet<QueueId>,
}

#[derive(Default)]
struct Lane {
    /// Recipients of one mail each.
    waiting: VecDeque<Vec<QueueItem>>,
    items: usize,
    couriers: usize,
}

impl Lanes {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts leased items into their lanes, and couriers to work.
    async fn add(self: &Arc<Self>, items: Vec<QueueItem>) {
        let mut groups: HashMap<(i64, NextHop), Vec<QueueItem>> = HashMap::new();
        let mut order = Vec::new();
        for item in items {
            let key = (item.mail, NextHop::of(&self.house, &item.recipient));
            let group = groups.entry(key.clone()).or_default();
            if group.is_empty() {
                order.push(key);
            }
            group.push(item);
        }
        let mut overflow = Vec::new();
        let mut starts = Vec::new();
        {
            let mut state = self.lock();
            for key in order {
                let mut group = groups.remove(&key).unwrap_or_default();
                group.retain(|item| state.items.insert(item.id));
                let State { lanes, items } = &mut *state;
                let lane = lanes.entry(key.1.clone()).or_default();
                while !group.is_empty() {
                    let rest = group.split_off(group.len().min(RECIPIENTS_MAX));
                    let one = std::mem::replace(&mut group, rest);
                    if lane.items >= LANE_MAX {
                        for item in &one {
                            items.remove(&item.id);
                        }
                        overflow.extend(one);
                        continue;
                    }
                    lane.items += one.len();
                    // RFC 6710 §5.1: the higher priority goes first, also among what waits here already.
                    let priority = one.first().map_or(0, |item| item.wishes.priority);
                    let before =
                        |other: &Vec<QueueItem>| other.first().is_some_and(|item| item.wishes.priority >= priority);
                    let at = lane.waiting.partition_point(before);
                    lane.waiting.insert(at, one);
                    if lane.couriers < CONNECTIONS_PER_HOP && lane.waiting.len() > lane.couriers {
                        lane.couriers += 1;
                        starts.push(key.1.clone());
                    }
                }
                if lane.waiting.is_empty() && lane.couriers == 0 {
                    lanes.remove(&key.1);
                }
            }
        }
        for hop in starts {
            tokio::spawn(Arc::clone(self).work(hop));
        }
        if !overflow.is_empty() {
            let due_at = now_ms() + LANE_FULL_MS;
            let put_off = |item: QueueItem| QueueOutcome::PutOff {
                id: item.id,
                due_at,
                error: "many mails wait for this destination".to_owned(),
            };
            let outcomes = overflow.into_iter().map(put_off).collect();
            if let Err(error) = self.house.store.finish_queue(outcomes, Batch::default(), now_ms()).await {
                tracing::warn!(%error, "mail could not be put off; its lease runs out");
            }
        }
    }

    /// One courier: mail after mail, until its lane is empty.
    async fn work(self: Arc<Self>, hop: NextHop) {
        let Ok(_slot) = self.slots.acquire().await else { return };
        let mut courier = Courier::new(Arc::clone(&self.house), hop.clone());
        while let Some(group) = self.next(&hop) {
            if let Some(Tried { tries, .. }) = self.carry(&hop, &mut courier, &group).await
                && let Some(why) = tries.into_iter().next()
            {
                // What waits for the same hop has had its try with it.
                for group in self.drain(&hop) {
                    let tries = vec![why.clone(); group.len()];
                    self.forget(&hop, &group);
                    settle(&self.house, &group, tries, &[]).await;
                }
            }
        }
        courier.quit().await;
    }

    /// The next group of a lane; without one, or when the server stops, the courier goes home.
    fn next(&self, hop: &NextHop) -> Option<Vec<QueueItem>> {
        let mut state = self.lock();
        let lane = state.lanes.get_mut(hop)?;
        let next = if *self.stop.borrow() { None } else { lane.waiting.pop_front() };
        if next.is_none() {
            lane.couriers -= 1;
            if lane.couriers == 0 && lane.waiting.is_empty() {
                state.lanes.remove(hop);
            }
        }
        next
    }

    fn drain(&self, hop: &NextHop) -> Vec<Vec<QueueItem>> {
        self.lock().lanes.get_mut(hop).map(|lane| lane.waiting.drain(..).collect()).unwrap_or_default()
    }

    /// Called before what became of the group is committed: until then its lease keeps others off, and from then on it
    /// may be leased again.
    fn forget(&self, hop: &NextHop, group: &[QueueItem]) {
        let mut state = self.lock();
        for item in group {
            state.items.remove(&item.id);
        }
        if let Some(lane) = state.lanes.get_mut(hop) {
            lane.items = lane.items.saturating_sub(group.len());
        }
    }

    /// Carries one group and settles it. Gives the try back when the hop cannot be reached at all.
    async fn carry(&self, hop: &NextHop, courier: &mut Courier, group: &[QueueItem]) -> Option<Tried> {
        let first = group.first()?;
        // The catch-all keeps mails in one piece.
        let whole = Queued::is_small(first) || hop.takes_whole_mails();
        let _room = match whole {
            true => self.house.room_for(first.size).await,
            false => self.house.room_for_windows().await,
        };
        let queued = match Queued::read(&self.house, first, whole).await {
            Ok(Some(queued)) => queued,
            // Removed meanwhile.
            Ok(None) => {
                self.forget(hop, group);
                return None;
            }
            Err(error) => {
                self.forget(hop, group);
                tracing::error!(%error, item = first.id.0, "a queued mail cannot be read");
                let later = Try::Later { status: "4.3.0".into(), text: error.to_string(), by: None };
                settle(&self.house, group, vec![later; group.len()], &[]).await;
                return None;
            }
        };
        let tried = courier.carry(group, &queued).await;
        self.forget(hop, group);
        settle(&self.house, group, tried.tries.clone(), queued.whole().unwrap_or_default()).await;
        tried.unreachable.then_some(tried)
    }
}

/// Ends or puts off the items of one mail, and tells its sender what is to be told, all in one commit.
async fn settle(house: &House, items: &[QueueItem], tries: Vec<Try>, message: &[u8]) {
    let now = now_ms();
    let mut outcomes = Vec::with_capacity(items.len());
    let mut reports = Reports::new();
    for (item, one) in items.iter().zip(tries) {
        outcomes.push(match one {
            Try::Taken { told, keeps_time, by, said } => {
                let traces = item.wishes.deliver_by.is_some_and(|by| by.trace) && !keeps_time;
                let never = item.recipient_wishes.notify.is_some_and(|notify| notify == store::Notify::default());
                if traces && !never && !item.reverse_path.is_empty() {
                    // RFC 2852 §4: T asks where the time ceased to be kept, whatever NOTIFY asks but NEVER.
                    let said = format!("{said} (the time of BY is not kept from here on)");
                    reports.push((Action::Relayed, reported(item, "2.0.0".into(), said, by)));
                } else if !told {
                    // RFC 3461 §5.2.2: the next server tells nothing, so that it was handed on is all there is to tell.
                    tell(&mut reports, item, Action::Relayed, "2.0.0".into(), said, by);
                }
                QueueOutcome::Done(item.id)
            }
            Try::Next { text } => QueueOutcome::PutOff { id: item.id, due_at: now, error: text },
            Try::Later { status, text, by: remote } if now < item.expires_at => {
                // RFC 2852 §4: BY with N asks to be told of the delay at its own time.
                let by = item.wishes.deliver_by.filter(|by| !by.returns).map(|by| by.at);
                // The last try is made at the end, not after it; one comes when there is something to tell.
                let due_at = (now + wait(item.attempts, rand::thread_rng().r#gen())).min(item.expires_at);
                let due_at = by.filter(|by| *by > now).map_or(due_at, |by| due_at.min(by));
                let is_late = now >= item.created_at + DELAY_TOLD_AFTER_MS && item.attempts > 0;
                let delayed = (is_late || by.is_some_and(|by| now >= by)) && !item.delay_told;
                let action = Action::Delayed { until: item.expires_at };
                if delayed && tell(&mut reports, item, action, status, text.clone(), remote) {
                    QueueOutcome::Delayed { id: item.id, due_at, error: text }
                } else {
                    QueueOutcome::Retry { id: item.id, due_at, error: text }
                }
            }
            Try::Later { text, by, .. } => {
                let text = format!("given up after {} tries; the last one met: {text}", item.attempts + 1);
                tell(&mut reports, item, Action::Failed, "4.4.7".into(), text, by);
                QueueOutcome::Done(item.id)
            }
            Try::Never { status, text, by } => {
                if !tell(&mut reports, item, Action::Failed, status, text, by) {
                    tracing::info!(item = item.id.0, "an undeliverable mail is dropped: nobody wants to hear of it");
                }
                QueueOutcome::Done(item.id)
            }
        });
    }
    let mut causes = Batch::default();
    if let (Some(first), false) = (items.first(), reports.is_empty()) {
        // Large ones, and the others of a lane that cannot be reached, come without their message.
        let (mut read, mut wishes) = (None, first.wishes.clone());
        if message.is_empty() {
            let whole = first.size <= RETURN_BYTES_MAX as u64 && wishes.return_full == Some(true);
            let range = if whole { 0..u64::MAX } else { 0..HEADER_BYTES_MAX as u64 };
            read = house.store.outgoing_range(first.mail, range).await.ok().flatten();
            wishes.return_full = wishes.return_full.filter(|_| whole);
        }
        let about = About {
            reverse_path: &first.reverse_path,
            wishes: &wishes,
            original: read.as_deref().unwrap_or(message),
            queued_at: first.created_at,
        };
        while let Some((action, _)) = reports.first() {
            let action = *action;
            let (these, others): (Vec<_>, Vec<_>) = reports.into_iter().partition(|(other, _)| *other == action);
            let these: Vec<Reported> = these.into_iter().map(|(_, one)| one).collect();
            report(house, about, action, &these, &mut causes, now).await;
            reports = others;
        }
    }
    let again = !causes.outgoing.is_empty() || outcomes.iter().any(|one| matches!(one, QueueOutcome::PutOff { .. }));
    if let Err(error) = house.store.finish_queue(outcomes, causes, now).await {
        // The lease runs out and it is sent again: the one way a duplicate can come to be.
        tracing::error!(%error, "delivered mail could not be ticked off");
    }
    if again {
        house.work.notify_waiters();
    }
}

type Reports = Vec<(Action, Reported)>;

/// Adds what became of an item to what is reported, when its sender wants to hear of it; tells whether they do.
fn tell(
    reports: &mut Reports,
    item: &QueueItem,
    action: Action,
    status: String,
    diagnostic: String,
    remote: Option<String>,
) -> bool {
    let wanted = is_wanted(&item.reverse_path, item.recipient_wishes.notify, action);
    if wanted {
        reports.push((action, reported(item, status, diagnostic, remote)));
    }
    wanted
}

fn reported(item: &QueueItem, status: String, diagnostic: String, remote: Option<String>) -> Reported {
    let original = item.recipient_wishes.orcpt.clone();
    Reported { recipient: item.recipient.clone(), original, status, diagnostic, remote }
}

/// How long to wait after so many failed tries and this one; `chance` is in 0..1.
fn wait(attempts: u32, chance: f64) -> UnixMs {
    let doubled =
        RETRY_FIRST_MS.saturating_mul(1_i64.checked_shl(attempts.min(32)).unwrap_or(i64::MAX)).min(RETRY_MAX_MS);
    let factor = 1.0 + RETRY_JITTER * (2.0 * chance - 1.0);
    (doubled as f64 * factor) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_four_hours_and_differ_a_little() {
        let minutes: Vec<i64> = (0..12).map(|attempts| wait(attempts, 0.5) / 60_000).collect();
        assert_eq!(minutes, [1, 2, 4, 8, 16, 32, 64, 128, 240, 240, 240, 240]);
        assert_eq!((wait(0, 0.0), wait(0, 1.0)), (48_000, 72_000));
        assert_eq!(wait(u32::MAX, 0.5), RETRY_MAX_MS);
        // Within the five days of RFC 5321 §4.5.4.1 that makes some 35 tries.
        let five_days = 5 * 24 * 60;
        let tries = (0..)
            .scan(0, |at, attempts| {
                *at += wait(attempts, 0.5) / 60_000;
                Some(*at)
            })
            .take_while(|at| *at < five_days)
            .count();
        assert!((30..45).contains(&tries), "{tries}");
    }
}
