//! Money leaves the node: the operator's, or a user's share. A payment is written down before it is made, so that a
//! kill between the money and the ledger leaves no gap: what was written down is looked up again until its end is known.

use std::time::Duration;

use anyhow::{Context, bail};
use lightning::{Invoice, Paid, failpoint};
use lnmp::Msat;
use serde::{Deserialize, Serialize};
use store::{AccountId, Side};

use crate::house::{House, now_ms};

/// Invoices being paid, as JSON.
const UNDER_WAY: &str = "payouts";
/// Payments under way at once; more would be a loop gone wrong.
const UNDER_WAY_MAX: usize = 100;

/// LDK pays at most one per cent and this in fees.
const FEE_MSAT: u64 = 50_000;

/// How long a payment is watched; wallets stop watching long before. One that is held at its payee has no end for hours.
const WATCHED: Duration = Duration::from_secs(300);

/// A payment whose end is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written")]
struct UnderWay {
    bolt11: String,
    /// Whose money; the operator's where it is nobody's.
    user: Option<i64>,
}

/// As it was written: before users had payouts, the invoice alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Operators(String),
    Any { bolt11: String, user: Option<i64> },
}

impl From<Written> for UnderWay {
    fn from(written: Written) -> Self {
        match written {
            Written::Operators(bolt11) => Self { bolt11, user: None },
            Written::Any { bolt11, user } => Self { bolt11, user },
        }
    }
}

impl UnderWay {
    /// What may leave at most: the invoice and the fees.
    fn most(&self) -> anyhow::Result<Msat> {
        Ok(with_fees(Invoice::parse(&self.bolt11)?.amount))
    }
}

/// Pays an invoice with the operator's money and books it.
pub async fn pay(house: &House, bolt11: &str) -> anyhow::Result<Paid> {
    send(house, UnderWay { bolt11: bolt11.to_owned(), user: None }, WATCHED).await
}

/// Pays an invoice from what a user is owed. The fees on the way are the user's, too: whoever asks for a payout chooses
/// when it is worth them.
pub async fn pay_user(house: &House, user: AccountId, bolt11: &str) -> anyhow::Result<Paid> {
    send(house, UnderWay { bolt11: bolt11.to_owned(), user: Some(user.0) }, WATCHED).await
}

/// As [`pay_user`], watched only for `watched` from when it begins: its end is booked by [`look`].
pub async fn begin_user(house: &House, user: AccountId, bolt11: &str, watched: Duration) -> anyhow::Result<Paid> {
    send(house, UnderWay { bolt11: bolt11.to_owned(), user: Some(user.0) }, watched).await
}

async fn send(house: &House, new: UnderWay, watched: Duration) -> anyhow::Result<Paid> {
    let wallet = &house.running()?.wallet;
    let invoice = Invoice::parse(&new.bolt11)?;
    let _turn = house.paying.lock().await;
    let audit = house.store.audit().await?;
    if let Some(finding) = audit.findings.first() {
        bail!("nothing is paid while the books are wrong: {finding}");
    }
    let mut noted = under_way(house).await?;
    if noted.len() >= UNDER_WAY_MAX {
        bail!("{UNDER_WAY_MAX} payments are under way; wait for one to end");
    }
    if !noted.contains(&new) {
        afford(house, &new, &noted, invoice.amount).await?;
        noted.push(new.clone());
        note(house, &noted).await?;
        failpoint::pass("payout.noted");
    }
    // From the note on nothing may end this early: what is noted and not yet sent would be taken for never sent.
    let paid = tokio::time::timeout(watched, wallet.pay(&new.bolt11)).await.unwrap_or(Ok(Paid::Pending));
    failpoint::pass("payout.sent");
    end(house, &new, &mut noted).await?;
    Ok(paid?)
}

/// Whether the money is there, beside what is under way already.
async fn afford(house: &House, new: &UnderWay, noted: &[UnderWay], amount: Msat) -> anyhow::Result<()> {
    let books = house.store.balances().await?;
    let sum = |of: &dyn Fn(&UnderWay) -> bool| {
        noted.iter().filter(|one| of(one)).try_fold(Msat::ZERO, |sum, one| anyhow::Ok(sum + one.most()?))
    };
    match new.user {
        None => {
            let leaving = i64::try_from((sum(&|_| true)? + amount).0).context("the amount is too large")?;
            if books.node - leaving < books.users + books.escrow {
                bail!("this would pay out money that is owed to users");
            }
        }
        Some(user) => {
            let owed = owed(&books, AccountId(user));
            let (leaving, most) = (sum(&|one| one.user == Some(user))?, new.most()?);
            if i64::try_from((leaving + most).0).is_ok_and(|all| all <= owed) {
                return Ok(());
            }
            bail!(
                "{} are owed to this account, {leaving} are on their way; the invoice and the fees on the way may come to {most}",
                Msat(owed.unsigned_abs())
            );
        }
    }
    Ok(())
}

fn owed(books: &store::Balances, user: AccountId) -> i64 {
    books.by_user.iter().find(|(account, _)| *account == user).map_or(0, |(_, owed)| *owed)
}

/// Whether a payment of a user's has not ended.
pub async fn is_under_way(house: &House, user: AccountId) -> anyhow::Result<bool> {
    Ok(under_way(house).await?.iter().any(|one| one.user == Some(user.0)))
}

/// What a user is owed and nothing is on its way of.
pub async fn spare(house: &House, user: AccountId) -> anyhow::Result<Msat> {
    let owed = Msat(owed(&house.store.balances().await?, user).max(0).unsigned_abs());
    let leaving = under_way(house).await?.into_iter().filter(|one| one.user == Some(user.0));
    leaving.map(|one| one.most()).try_fold(owed, |spare, most| Ok(Msat(spare.0.saturating_sub(most?.0))))
}

/// Looks up what is under way and books what ended.
pub async fn look(house: &House) -> anyhow::Result<()> {
    // Somebody pays just now, and will look themselves.
    let Ok(_turn) = house.paying.try_lock() else { return Ok(()) };
    let mut noted = under_way(house).await?;
    for one in noted.clone() {
        end(house, &one, &mut noted).await?;
    }
    Ok(())
}

/// What is under way, with the highest fees: so much may be missing from the node that the ledger still has.
pub async fn in_flight(house: &House) -> anyhow::Result<Msat> {
    under_way(house).await?.iter().try_fold(Msat::ZERO, |sum, one| Ok(sum + one.most()?))
}

/// An amount with the most that paying it may cost.
pub fn with_fees(amount: Msat) -> Msat {
    amount + Msat(amount.0 / 100 + FEE_MSAT)
}

/// Books a payment that ended and strikes it off; one under way stays.
async fn end(house: &House, one: &UnderWay, noted: &mut Vec<UnderWay>) -> anyhow::Result<()> {
    let invoice = Invoice::parse(&one.bolt11)?;
    match house.running()?.wallet.sent(invoice.hash).await? {
        Some(Paid::Pending) => return Ok(()),
        Some(Paid::Succeeded { fee }) => {
            book(house, one, &invoice, fee).await?;
            failpoint::pass("payout.booked");
        }
        Some(Paid::Failed) | None => {}
    }
    noted.retain(|noted| noted != one);
    note(house, noted).await?;
    failpoint::pass("payout.ended");
    Ok(())
}

async fn under_way(house: &House) -> anyhow::Result<Vec<UnderWay>> {
    match house.store.get_meta(UNDER_WAY).await? {
        Some(bytes) => Ok(serde_json::from_slice(&bytes)?),
        None => Ok(Vec::new()),
    }
}

async fn note(house: &House, noted: &[UnderWay]) -> anyhow::Result<()> {
    Ok(house.store.set_meta(UNDER_WAY, &serde_json::to_vec(noted)?).await?)
}

/// Once: the key is the payment's.
async fn book(house: &House, one: &UnderWay, invoice: &Invoice, fee: Msat) -> anyhow::Result<()> {
    let debits = match one.user {
        Some(user) => vec![(Side::User(AccountId(user)), invoice.amount + fee)],
        None => vec![(Side::Operator, invoice.amount), (Side::Routing, fee)],
    };
    let posting = store::Posting {
        key: format!("paid:{}", invoice.hash),
        gate: None,
        debits,
        credits: vec![(Side::Node, invoice.amount + fee)],
    };
    Ok(house.store.post(posting, now_ms()).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_before_users_had_payouts_is_read() {
        let noted: Vec<UnderWay> = serde_json::from_str(r#"["lnbcrt1a", {"bolt11": "lnbcrt1b", "user": 3}]"#).unwrap();
        assert_eq!(noted[0], UnderWay { bolt11: "lnbcrt1a".into(), user: None });
        assert_eq!(noted[1].user, Some(3));
        let again: Vec<UnderWay> = serde_json::from_slice(&serde_json::to_vec(&noted).unwrap()).unwrap();
        assert_eq!(again, noted);
    }
}
