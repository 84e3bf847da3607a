use lnmp::Act;

use super::*;
use crate::{Posting, Side};

/// Steps of one walk.
const STEPS: usize = 150;
/// Mails open at once.
const GATES: usize = 6;

/// Chance that is the same every time.
pub struct Dice(pub u64);

impl Dice {
    /// 0 to `below` - 1.
    pub fn throw(&mut self, below: usize) -> usize {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }
}

fn payout(key: &str, account: AccountId, msat: u64) -> Posting {
    Posting {
        key: key.into(),
        gate: None,
        debits: vec![(Side::User(account), Msat(msat))],
        credits: vec![(Side::Node, Msat(msat))],
    }
}

/// Nothing is owed that is not there, no millisatoshi comes or goes by itself, and history only grows.
async fn check(store: &Subject, arrived: u64, paid_out: u64, lines_before: usize) -> usize {
    let books = store.balances().await.unwrap();
    assert_eq!(books.node + books.routing + books.chain + books.loss, books.operator + books.fees + books.users);
    assert_eq!(books.node, (arrived - paid_out) as i64);
    assert!(books.users + books.escrow <= books.node);
    assert!(books.by_user.iter().all(|(_, owed)| *owed >= 0));
    assert_eq!(store.audit().await.unwrap().findings, Vec::<String>::new());
    let lines = store.ledger(None).await.unwrap().len();
    assert!(lines >= lines_before);
    lines
}

pub async fn whatever_happens_the_books_balance(store: Subject) {
    let accounts = [account(&store, "alice").await, account(&store, "carol").await];
    let mut dice = Dice(0x5a7c_8e11);
    let mut now = NOW;
    let (mut arrived, mut paid_out, mut lines, mut chance) = (0, 0, 0, 0_u8);
    let mut open: Vec<(GateId, QuoteId, PaymentHash, u64)> = Vec::new();
    for step in 0..STEPS {
        now += 1 + dice.throw(2 * HOUR as usize) as i64;
        let account = accounts[dice.throw(2)];
        let any = (!open.is_empty()).then(|| open[dice.throw(open.len().max(1))]);
        match (dice.throw(8), any) {
            (0 | 1, _) | (_, None) if open.len() < GATES && chance < u8::MAX => {
                chance += 1;
                let gate = deliver(&store, priced(account, "bob@shop.test")).await.gate.unwrap();
                let (id, hash) = quote(&store, gate, 100, chance, now).await;
                open.push((gate, id, hash, 100 + dice.throw(5000) as u64));
            }
            (2 | 3, Some((_, _, hash, sat))) => {
                store.payment_held(incoming(hash, sat), now).await.unwrap();
            }
            (4, Some((_, _, hash, sat))) => {
                // The node's word that the money is ours; told twice as often as not.
                let msat = sat * 1000 + dice.throw(1000) as u64;
                for _ in 0..=dice.throw(2) {
                    if store.payment_settled(&hash, Msat(msat), now).await.unwrap() {
                        arrived += msat;
                    }
                }
            }
            (5, Some((gate, ..))) => {
                let act = if dice.throw(2) == 0 { Act::MarkedAccepted } else { Act::MarkedDeclined };
                store.decide(gate, act, now).await.unwrap();
            }
            (6, Some((_, id, _, _))) => {
                store.payment_lost(id, now).await.unwrap();
            }
            (7, _) => {
                let owed =
                    store.balances().await.unwrap().by_user.iter().find(|(id, _)| *id == account).map(|one| one.1);
                let msat = dice.throw(owed.unwrap_or(0) as usize + 1) as u64;
                let posting = payout(&format!("payout:{step}"), account, msat);
                // Twice: a repeat books nothing.
                store.post(posting.clone(), now).await.unwrap();
                store.post(posting, now).await.unwrap();
                paid_out += msat;
            }
            _ => {
                store.end_holds(now, HEIGHT, 12).await.unwrap();
                open.remove(0);
            }
        }
        lines = check(&store, arrived, paid_out, lines).await;
    }
    assert!(arrived > 0 && paid_out > 0 && lines > 20, "the walk came somewhere: {arrived} {paid_out} {lines}");
}

pub async fn an_overdrawn_user_is_found(store: Subject) {
    let alice = account(&store, "alice").await;
    assert_eq!(store.audit().await.unwrap(), LedgerAudit::default());
    store.post(payout("payout:1", alice, 5), NOW).await.unwrap();
    let audit = store.audit().await.unwrap();
    assert_eq!((audit.postings, &audit.findings[..]), (1, &[format!("user {} is overdrawn by 5 msat", alice.0)][..]));
}
