//! Channels open and close: what that costs is booked, and the backup of them is written anew.
//!
//! Payments are booked by their own events. What a node owns changes besides only when a channel opens or closes: by the
//! fees of its transactions, by what was pushed to a peer or by one. While nothing is under way, the difference between
//! ledger and node is that and nothing else, if it is within what such a change may cost; any other difference is left for
//! `wallet audit` to find.

use std::collections::BTreeMap;

use lightning::channels::{OwnChannel, OwnChannels};
use lightning::limits::CHANNEL_COST_MAX_SAT;
use lightning::{Balance, Wallet};
use lnmp::{Msat, QuoteState};
use serde::{Deserialize, Serialize};
use store::{Posting, Side, UnixMs};

use crate::dir::write_durably;
use crate::flow::payout;
use crate::house::{House, now_ms};

/// What is known of the channels, as JSON.
const JOURNAL: &str = "channels";
/// A difference is believed when it stands so long: between two of LDK's steps money may be in neither place.
const STANDS_MS: i64 = 2_000;
/// A change is remembered so long, should what it cost turn out less: a sweep that was not seen yet. What comes later is
/// something else.
const REMEMBERED_MS: i64 = 3_600_000;
/// Changes remembered; a node with more has lost its oldest ones only.
const CHANGES_MAX: usize = 256;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Journal {
    /// Channels whose opening was seen, by their tag.
    known: BTreeMap<String, Known>,
    changes: Vec<Change>,
    /// What the backup was written of.
    backup: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    id: String,
    capacity: Msat,
}

/// A channel that opened or closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Change {
    tag: String,
    id: String,
    at: UnixMs,
    /// What it may still cost, what was pushed to the peer included.
    cost: Msat,
    /// What was pushed to the peer and is not booked.
    pushed: Msat,
    /// What the peer may have pushed to us.
    gift: Msat,
    /// What it cost so far.
    booked: Msat,
    /// Over: no cost of it is expected any more.
    over: bool,
}

/// What a look concludes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Booking {
    cost: Msat,
    pushed: Msat,
    gift: Msat,
    returned: Msat,
}

/// Looks at the channels: books what a change cost, and writes the backup anew.
pub async fn look(house: &House) -> anyhow::Result<()> {
    let wallet = &*house.running()?.wallet;
    let Some(own) = wallet.own_channels() else { return Ok(()) };
    let mut seen = house.channels.lock().await;
    let before = read(house).await?;
    let channels = own.list().await?;
    let mut journal = match &before {
        Some(journal) => journal.clone(),
        // What was there before the books were opened is in their first entry.
        None => Journal { known: known(&channels), ..Journal::default() },
    };
    let now = now_ms();
    journal.notice(&channels, now);
    let is_changing = journal.changes.iter().any(|change| !change.over);
    if let Some(tag) = journal.changes.last().map(|change| change.tag.clone())
        && let Some(difference) = difference(house, wallet, own).await?
        && (is_changing || difference < 0)
        && stands(&mut seen, difference, now)
    {
        let leaving: Vec<String> = own.leaving().await?.into_iter().filter_map(|leaving| leaving.id).collect();
        match journal.conclude(difference, &leaving) {
            Some(booking) => book(house, &tag, booking, now).await?,
            None => tracing::warn!(difference, "the node's money changed by more than its channels explain"),
        }
        *seen = None;
    }
    back_up(house, own, &mut journal, &channels).await?;
    if before.as_ref() != Some(&journal) {
        house.store.set_meta(JOURNAL, &serde_json::to_vec(&journal)?).await?;
    }
    Ok(())
}

/// A channel was closed: the node told.
pub async fn closed(house: &House, tag: u128) -> anyhow::Result<()> {
    let _turn = house.channels.lock().await;
    let mut journal = read(house).await?.unwrap_or_default();
    journal.close(&format!("{tag:032x}"), now_ms());
    Ok(house.store.set_meta(JOURNAL, &serde_json::to_vec(&journal)?).await?)
}

/// Channels that a restored node does not have were closed by their peers: what came back of them is all there is.
pub async fn recovered(house: &House, own: &dyn OwnChannels) -> anyhow::Result<()> {
    let _turn = house.channels.lock().await;
    let Some(mut journal) = read(house).await? else { return Ok(()) };
    let there = known(&own.list().await?);
    let lost: Vec<String> = journal.known.keys().filter(|tag| !there.contains_key(*tag)).cloned().collect();
    for tag in lost {
        journal.close(&tag, now_ms());
    }
    Ok(house.store.set_meta(JOURNAL, &serde_json::to_vec(&journal)?).await?)
}

/// How far ledger and node may be apart by channels that open or close now: what the node may have more, and less.
pub async fn expected(house: &House) -> anyhow::Result<(Msat, Msat)> {
    let journal = read(house).await?.unwrap_or_default();
    let open = || journal.changes.iter().filter(|change| !change.over);
    let more = open().fold(Msat::ZERO, |sum, change| sum + change.gift);
    Ok((more, open().fold(Msat::ZERO, |sum, change| sum + change.cost)))
}

/// What the books call the node's: held payments are not in it.
pub fn owned(balance: &Balance) -> Msat {
    balance.channel + balance.onchain + balance.closing
}

async fn read(house: &House) -> anyhow::Result<Option<Journal>> {
    Ok(house.store.get_meta(JOURNAL).await?.map(|bytes| serde_json::from_slice(&bytes)).transpose()?)
}

fn known(channels: &[OwnChannel]) -> BTreeMap<String, Known> {
    let confirmed = channels.iter().filter(|channel| channel.confirmations > 0);
    let entry =
        |channel: &OwnChannel| (channel.tag.clone(), Known { id: channel.id.clone(), capacity: channel.capacity });
    confirmed.map(entry).collect()
}

/// What the ledger has that the node has not, in millisatoshis; `None` while anything is under way that has its own
/// booking.
async fn difference(house: &House, wallet: &dyn Wallet, own: &dyn OwnChannels) -> anyhow::Result<Option<i64>> {
    let node = owned(&wallet.balance().await?);
    let refunding = |quote: &store::Quote| matches!(quote.state, QuoteState::Refunding(_));
    if !own.is_quiet().await?
        || payout::in_flight(house).await? > Msat::ZERO
        || house.store.open_quotes(now_ms()).await?.iter().any(refunding)
    {
        return Ok(None);
    }
    let books = house.store.balances().await?.node;
    // Nothing moved while we looked.
    let stood = owned(&wallet.balance().await?) == node && own.is_quiet().await?;
    Ok(stood.then(|| books - i64::try_from(node.0).unwrap_or(i64::MAX)))
}

async fn book(house: &House, tag: &str, booking: Booking, now: UnixMs) -> anyhow::Result<()> {
    if booking == Booking::default() {
        return Ok(());
    }
    let Booking { cost, pushed, gift, returned } = booking;
    // The node lost cost and pushed, or won gift and returned.
    let posting = Posting {
        key: format!("channel:{tag}:{now}"),
        gate: None,
        debits: vec![(Side::Chain, cost), (Side::Operator, pushed), (Side::Node, gift + returned)],
        credits: vec![(Side::Node, cost + pushed), (Side::Operator, gift), (Side::Chain, returned)],
    };
    house.store.post(posting, now).await?;
    tracing::info!(cost_msat = cost.0, "the cost of a channel is booked");
    Ok(())
}

/// Peers and addresses of the channels are written when they change; the file tells nobody else anything.
async fn back_up(
    house: &House,
    own: &dyn OwnChannels,
    journal: &mut Journal,
    channels: &[OwnChannel],
) -> anyhow::Result<()> {
    let row = |channel: &OwnChannel| format!("{} {} {:?}", channel.id, channel.peer, channel.address);
    let mut rows: Vec<String> = channels.iter().map(row).collect();
    rows.sort_unstable();
    let digest = hex::encode(ring::digest::digest(&ring::digest::SHA256, rows.join("\n").as_bytes()));
    let path = house.dir.channels_backup();
    if digest != journal.backup || !path.exists() {
        write_durably(&path, &own.backup().await?)?;
        journal.backup = digest;
    }
    Ok(())
}

impl Journal {
    fn notice(&mut self, channels: &[OwnChannel], now: UnixMs) {
        for (tag, entry) in known(channels) {
            if self.known.contains_key(&tag) {
                continue;
            }
            let channel = channels.iter().find(|channel| channel.tag == tag);
            let (pushed, gift) = match channel {
                Some(channel) if channel.opened_by_us => (entry.capacity - channel.ours, Msat::ZERO),
                Some(channel) => (Msat::ZERO, channel.ours),
                None => (Msat::ZERO, Msat::ZERO),
            };
            let cost = Msat(CHANNEL_COST_MAX_SAT * 1000) + pushed;
            self.add(Change {
                tag: tag.clone(),
                id: entry.id.clone(),
                at: now,
                cost,
                pushed,
                gift,
                booked: Msat::ZERO,
                over: false,
            });
            self.known.insert(tag, entry);
        }
        self.changes.retain(|change| !change.over || now - change.at < REMEMBERED_MS);
    }

    fn close(&mut self, tag: &str, now: UnixMs) {
        // One whose opening was not seen has nothing in the books; told twice it is closed once.
        let Some(was) = self.known.remove(tag) else { return };
        let cost = Msat(CHANNEL_COST_MAX_SAT * 1000).min(was.capacity);
        let (pushed, gift, booked) = (Msat::ZERO, Msat::ZERO, Msat::ZERO);
        self.add(Change { tag: tag.to_owned(), id: was.id, at: now, cost, pushed, gift, booked, over: false });
    }

    fn add(&mut self, change: Change) {
        if self.changes.len() >= CHANGES_MAX {
            self.changes.remove(0);
        }
        self.changes.push(change);
    }

    /// What a difference comes to; `None` when the changes do not explain it. `leaving` are the closed channels that
    /// have money on its way.
    fn conclude(&mut self, difference: i64, leaving: &[String]) -> Option<Booking> {
        let mut booking = Booking::default();
        let mut rest = Msat(difference.unsigned_abs());
        let take = |from: &mut Msat, rest: &mut Msat| {
            let taken = (*from).min(*rest);
            *from = *from - taken;
            *rest = *rest - taken;
            taken
        };
        let mut changes = self.changes.clone();
        if difference > 0 {
            for change in changes.iter_mut().filter(|change| !change.over) {
                let pushed = take(&mut change.pushed, &mut rest);
                change.cost = change.cost - pushed;
                booking.pushed = booking.pushed + pushed;
                let cost = take(&mut change.cost, &mut rest);
                change.booked = change.booked + cost;
                booking.cost = booking.cost + cost;
            }
        } else {
            for change in &mut changes {
                booking.returned = booking.returned + take(&mut change.booked, &mut rest);
                if !change.over {
                    booking.gift = booking.gift + take(&mut change.gift, &mut rest);
                }
            }
        }
        if rest > Msat::ZERO {
            return None;
        }
        self.changes = changes;
        // A difference was booked: the next look finds none, and then the change is over.
        if difference == 0 {
            for change in self.changes.iter_mut().filter(|change| !leaving.contains(&change.id)) {
                change.over = true;
            }
        }
        Some(booking)
    }
}

/// Whether a difference stood for a while.
fn stands(seen: &mut Option<(i64, UnixMs)>, difference: i64, now: UnixMs) -> bool {
    match *seen {
        Some((before, since)) if before == difference => now - since >= STANDS_MS,
        _ => {
            *seen = Some((difference, now));
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use lightning::channels::{ChannelState, Fees, Room};

    use super::*;

    fn channel(opened_by_us: bool, ours_sat: u64) -> OwnChannel {
        OwnChannel {
            id: "aa".into(),
            tag: "1".into(),
            peer: "02".into(),
            address: None,
            state: ChannelState::Usable,
            capacity: Msat(1_000_000_000),
            ours: Msat(ours_sat * 1000),
            held: Msat::ZERO,
            kept: Msat::ZERO,
            sendable: Msat::ZERO,
            receivable: Msat::ZERO,
            room: Room::default(),
            fees: Fees { base: Msat::ZERO, ppm: 0 },
            confirmations: 6,
            confirmations_required: 6,
            opened_by_us,
            announced: false,
            funding: None,
            delay_blocks: 144,
        }
    }

    #[test]
    fn opening_costs_its_fee_and_what_is_pushed_and_closing_what_is_missing_then() {
        let mut journal = Journal::default();
        journal.notice(&[channel(true, 900_000)], 0);
        // 100,000 sat were pushed, 154 paid for the funding.
        let booking = journal.conclude(100_154_000, &[]).unwrap();
        assert_eq!(booking, Booking { cost: Msat(154_000), pushed: Msat(100_000_000), ..Booking::default() });
        assert!(!journal.changes[0].over);
        assert_eq!(journal.conclude(0, &[]).unwrap(), Booking::default());
        assert!(journal.changes[0].over);
        assert_eq!(journal.conclude(1_000, &[]), None, "nothing opened or closed since");

        journal.close("1", 1);
        journal.close("1", 1);
        assert_eq!(journal.changes.len(), 2);
        assert_eq!(journal.conclude(500_001_000, &["aa".into()]), None, "no closing costs that much");
        assert_eq!(journal.conclude(800_000, &["aa".into()]).unwrap().cost, Msat(800_000));
        journal.conclude(0, &["aa".into()]).unwrap();
        assert!(!journal.changes[1].over, "its money is on its way");
        // A sweep that was missed comes after all.
        assert_eq!(journal.conclude(-300_000, &[]).unwrap().returned, Msat(300_000));
        assert_eq!(journal.conclude(-1_000_000, &[]), None, "more than ever was missing");
    }

    #[test]
    fn what_a_peer_pushes_is_the_operators() {
        let mut journal = Journal { known: BTreeMap::new(), ..Journal::default() };
        journal.notice(&[channel(false, 2_000)], 0);
        assert_eq!(journal.conclude(-2_000_000, &[]).unwrap().gift, Msat(2_000_000));
        assert_eq!(journal.conclude(-1, &[]), None);
    }

    #[test]
    fn a_difference_is_believed_when_it_stands() {
        let mut seen = None;
        assert!(!stands(&mut seen, 5, 0));
        assert!(!stands(&mut seen, 6, 3_000));
        assert!(!stands(&mut seen, 6, 4_999));
        assert!(stands(&mut seen, 6, 5_000));
    }
}
