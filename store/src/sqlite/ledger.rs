//! The ledger: double entry, append only. Triggers in the schema refuse what this code never tries.

use lnmp::{GateId, Msat};

use super::audit;
use super::db::{Db, unknown};
use super::gates::amount;
use super::writer::Tx;
use crate::{AccountId, Balances, LedgerLine, Posting, Result, Side, StoreError, UnixMs};

fn name(side: Side) -> (&'static str, Option<AccountId>) {
    match side {
        Side::Node => ("node", None),
        Side::Operator => ("operator", None),
        Side::Fees => ("fees", None),
        Side::User(account) => ("user", Some(account)),
        Side::Escrow => ("escrow", None),
        Side::Routing => ("routing", None),
        Side::Chain => ("chain", None),
        Side::Loss => ("loss", None),
    }
}

fn side_of(name: &str, account: Option<i64>) -> Result<Side> {
    Ok(match (name, account) {
        ("node", None) => Side::Node,
        ("operator", None) => Side::Operator,
        ("fees", None) => Side::Fees,
        ("user", Some(account)) => Side::User(AccountId(account)),
        ("escrow", None) => Side::Escrow,
        ("routing", None) => Side::Routing,
        ("chain", None) => Side::Chain,
        ("loss", None) => Side::Loss,
        _ => return Err(unknown("ledger account")),
    })
}

fn sum(lines: &[(Side, Msat)]) -> Result<i64> {
    lines.iter().try_fold(0_i64, |sum, (_, msat)| {
        sum.checked_add(amount(*msat)?).ok_or(StoreError::Limit("an amount of money"))
    })
}

/// Posts one transaction, once for its key.
pub(super) fn post(tx: &Tx<'_>, posting: &Posting, now: UnixMs) -> Result<()> {
    if sum(&posting.debits)? != sum(&posting.credits)? {
        return Err(StoreError::Cannot("debits and credits differ"));
    }
    if tx.exists("SELECT 1 FROM posting WHERE key = ?1", [&posting.key])? {
        return Ok(());
    }
    let id = tx.insert(
        "INSERT INTO posting(key, gate, at) VALUES (?1, ?2, ?3)",
        (&posting.key, posting.gate.map(|gate| gate.0), now),
    )?;
    let debits = posting.debits.iter().map(|(side, msat)| (*side, *msat, 1));
    let credits = posting.credits.iter().map(|(side, msat)| (*side, *msat, -1));
    for (line, (side, msat, sign)) in debits.chain(credits).filter(|(_, msat, _)| *msat > Msat::ZERO).enumerate() {
        let (side, account) = name(side);
        tx.insert(
            "INSERT INTO ledger(posting, line, side, account, amount) VALUES (?1, ?2, ?3, ?4, ?5)",
            (id, line as i64, side, account.map(|account| account.0), sign * amount(msat)?),
        )?;
        tx.run(
            "INSERT INTO balance(side, account, amount) VALUES (?1, ?2, ?3)
             ON CONFLICT(side, account) DO UPDATE SET amount = amount + excluded.amount",
            (side, account.map_or(0, |account| account.0), sign * amount(msat)?),
        )?;
    }
    audit::link(tx)
}

/// Sums of all accounts.
pub(super) fn balances(db: Db<'_>) -> Result<Balances> {
    let rows = db.all("SELECT side, NULLIF(account, 0), amount FROM balance ORDER BY side, account", (), |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, Option<i64>>(1)?, row.get::<_, i64>(2)?))
    })?;
    let mut out = Balances::default();
    for (name, account, sum) in rows {
        match side_of(&name, account)? {
            Side::Node => out.node = sum,
            Side::Operator => out.operator = -sum,
            Side::Fees => out.fees = -sum,
            Side::User(account) => {
                out.users -= sum;
                out.by_user.push((account, -sum));
            }
            Side::Escrow => out.escrow = -sum,
            Side::Routing => out.routing = sum,
            Side::Chain => out.chain = sum,
            Side::Loss => out.loss = sum,
        }
    }
    let held: Option<Option<i64>> =
        db.value("SELECT SUM(received) FROM quote WHERE state IN ('held', 'claiming')", ())?;
    out.held = held.flatten().unwrap_or(0) as u64;
    Ok(out)
}

/// What is owed to users: in [`balances`], without reading the rest.
pub(super) fn owed_to_users(db: &Db<'_>) -> Result<Msat> {
    let sum: Option<Option<i64>> = db.value("SELECT -SUM(amount) FROM balance WHERE side = 'user'", ())?;
    Ok(Msat(sum.flatten().unwrap_or(0).max(0).unsigned_abs()))
}

/// History, oldest first: of one user's account, or of all.
pub(super) fn lines(db: Db<'_>, account: Option<AccountId>) -> Result<Vec<LedgerLine>> {
    let rows = db.all(
        "SELECT p.at, p.key, p.gate, l.side, l.account, l.amount FROM ledger l JOIN posting p ON p.id = l.posting
         WHERE ?1 IS NULL OR l.account = ?1 ORDER BY l.posting, l.line",
        [account.map(|account| account.0)],
        |row| {
            Ok((
                row.get::<_, String>(3)?,
                row.get::<_, Option<i64>>(4)?,
                LedgerLine {
                    at: row.get(0)?,
                    key: row.get(1)?,
                    gate: row.get::<_, Option<i64>>(2)?.map(GateId),
                    side: Side::Node,
                    amount_msat: row.get(5)?,
                },
            ))
        },
    )?;
    rows.into_iter().map(|(name, account, line)| Ok(LedgerLine { side: side_of(&name, account)?, ..line })).collect()
}
