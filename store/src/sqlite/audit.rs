//! The ledger's own proof: postings balance, history is as it was written, settled payments and postings agree.
//!
//! ```text
//!   link(n) = HMAC(bridge key; link(n-1), posting n, its lines)
//! ```
//! Without the bridge key nobody can change a posting, or put one between, and make the links fit again. Postings taken
//! off the end leave settled payments without one.

use super::db::Db;
use super::vault::{Hash, Of};
use super::writer::Tx;
use crate::{LedgerAudit, Result};

/// Postings read at once.
const PAGE: usize = 1000;
/// Findings that are told; more of a kind tell nothing more.
const FINDINGS_MAX: usize = 20;

/// One posting with its lines, as written.
struct Written {
    id: i64,
    key: String,
    gate: Option<i64>,
    at: i64,
    lines: Vec<(String, Option<i64>, i64)>,
    link: Option<Vec<u8>>,
}

impl Written {
    fn link_after(&self, db: &Db<'_>, before: &[u8]) -> Hash {
        let mut octets = Vec::new();
        let mut text = |text: &str| {
            octets.extend_from_slice(&(text.len() as u64).to_be_bytes());
            octets.extend_from_slice(text.as_bytes());
        };
        text(&self.key);
        for (side, _, _) in &self.lines {
            text(side);
        }
        let mut number = |number: Option<i64>| {
            octets.push(u8::from(number.is_some()));
            octets.extend_from_slice(&number.unwrap_or_default().to_be_bytes());
        };
        number(Some(self.id));
        number(self.gate);
        number(Some(self.at));
        for (_, account, amount) in &self.lines {
            number(*account);
            number(Some(*amount));
        }
        db.vault.hash(Of::Link, &[before, &octets])
    }
}

/// Postings after `id`, oldest first, a page of them.
fn page(db: &Db<'_>, id: i64) -> Result<Vec<Written>> {
    let mut postings = db.all(
        "SELECT p.id, p.key, p.gate, p.at, l.link FROM posting p LEFT JOIN link l ON l.posting = p.id
         WHERE p.id > ?1 ORDER BY p.id LIMIT ?2",
        (id, PAGE as i64),
        |row| {
            Ok(Written {
                id: row.get(0)?,
                key: row.get(1)?,
                gate: row.get(2)?,
                at: row.get(3)?,
                lines: Vec::new(),
                link: row.get(4)?,
            })
        },
    )?;
    for posting in &mut postings {
        posting.lines =
            db.all("SELECT side, account, amount FROM ledger WHERE posting = ?1 ORDER BY line", [posting.id], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
    }
    Ok(postings)
}

/// Links what is not linked: the posting just written, and all of a database from before there were links.
pub(super) fn link(tx: &Tx<'_>) -> Result<()> {
    let last = tx.one("SELECT posting, link FROM link ORDER BY posting DESC LIMIT 1", (), |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
    })?;
    let (mut last, mut before) = last.unwrap_or_default();
    loop {
        let postings = page(tx, last)?;
        let is_all = postings.len() < PAGE;
        for posting in postings {
            before = posting.link_after(tx, &before).to_vec();
            last = posting.id;
            tx.run("INSERT INTO link(posting, link) VALUES (?1, ?2)", (last, &before))?;
        }
        if is_all {
            return Ok(());
        }
    }
}

/// Looks through all of it.
pub(super) fn audit(db: Db<'_>) -> Result<LedgerAudit> {
    let mut audit = LedgerAudit::default();
    let (mut last, mut before, mut unlinked) = (0, Vec::new(), false);
    loop {
        let postings = page(&db, last)?;
        let is_all = postings.len() < PAGE;
        for posting in postings {
            audit.postings += 1;
            last = posting.id;
            let sum = posting.lines.iter().fold(0_i128, |sum, (_, _, amount)| sum + i128::from(*amount));
            if sum != 0 {
                audit.find(FINDINGS_MAX, || format!("posting {last}: debits and credits differ by {sum} msat"));
            }
            let link = posting.link_after(&db, &before).to_vec();
            // Written before there were links: the next posting links it, so that none of those is followed by a link.
            let follows_unlinked = std::mem::replace(&mut unlinked, posting.link.is_none()) && posting.link.is_some();
            if follows_unlinked || posting.link.as_ref().is_some_and(|written| *written != link) {
                audit.find(FINDINGS_MAX, || format!("posting {last}: its history is not what was written"));
            }
            // One broken link is one finding: what follows is judged by what is there.
            before = posting.link.unwrap_or(link);
        }
        if is_all {
            break;
        }
    }
    unbooked(&db, &mut audit)?;
    overdrawn(&db, &mut audit)?;
    undecided(&db, &mut audit)?;
    summed(&db, &mut audit)?;
    Ok(audit)
}

/// A settled payment is booked, with the amount that arrived; and nothing is booked that did not settle.
fn unbooked(db: &Db<'_>, audit: &mut LedgerAudit) -> Result<()> {
    let quotes = db.all(
        "SELECT q.id, q.received, (SELECT SUM(l.amount) FROM posting p JOIN ledger l ON l.posting = p.id
             WHERE p.key = 'settle:' || lower(hex(q.hash)) AND l.side = 'node')
         FROM quote q WHERE q.state = 'settled' AND q.kind = 'htlc'",
        (),
        |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?, row.get::<_, Option<i64>>(2)?)),
    )?;
    for (id, received, booked) in quotes {
        if booked.is_none() {
            audit.find(FINDINGS_MAX, || format!("payment {id} settled and is not booked"));
        } else if booked != received {
            let (received, booked) = (received.unwrap_or(0), booked.unwrap_or(0));
            audit.find(FINDINGS_MAX, || format!("payment {id}: {received} msat arrived, {booked} are booked"));
        }
    }
    let strangers = db.all(
        "SELECT p.id FROM posting p WHERE p.key LIKE 'settle:%' AND NOT EXISTS
         (SELECT 1 FROM quote q WHERE p.key = 'settle:' || lower(hex(q.hash)) AND q.state = 'settled')",
        (),
        |row| row.get::<_, i64>(0),
    )?;
    for id in strangers {
        audit.find(FINDINGS_MAX, || format!("posting {id} books a payment that did not settle"));
    }
    Ok(())
}

/// What was received in escrow and not given away is what the ledger owes for it.
fn undecided(db: &Db<'_>, audit: &mut LedgerAudit) -> Result<()> {
    let kept: Option<i64> =
        db.value("SELECT COALESCE(SUM(received), 0) FROM quote WHERE state IN ('escrowed', 'refunding', 'stuck')", ())?;
    let owed: Option<i64> = db.value("SELECT COALESCE(-SUM(amount), 0) FROM ledger WHERE side = 'escrow'", ())?;
    if kept != owed {
        let (kept, owed) = (kept.unwrap_or(0), owed.unwrap_or(0));
        audit.find(FINDINGS_MAX, || format!("{kept} msat in escrow are undecided, {owed} are booked"));
    }
    Ok(())
}

/// The sums that are kept beside the ledger are its own.
fn summed(db: &Db<'_>, audit: &mut LedgerAudit) -> Result<()> {
    let differ = db.all(
        "SELECT side FROM (SELECT side, COALESCE(account, 0) AS account, amount FROM ledger
         UNION ALL SELECT side, account, -amount FROM balance) GROUP BY side, account HAVING SUM(amount) <> 0",
        (),
        |row| row.get::<_, String>(0),
    )?;
    for side in differ {
        audit.find(FINDINGS_MAX, || format!("the kept sum of {side} is not the ledger's"));
    }
    Ok(())
}

/// Nobody owes the bridge: what users draw they had.
fn overdrawn(db: &Db<'_>, audit: &mut LedgerAudit) -> Result<()> {
    let accounts = db.all(
        "SELECT side, account, SUM(amount) FROM ledger WHERE side IN ('user', 'escrow') GROUP BY side, account
         HAVING SUM(amount) > 0",
        (),
        |row| Ok((row.get::<_, String>(0)?, row.get::<_, Option<i64>>(1)?, row.get::<_, i64>(2)?)),
    )?;
    for (side, account, sum) in accounts {
        let account = account.map_or_else(String::new, |account| format!(" {account}"));
        audit.find(FINDINGS_MAX, || format!("{side}{account} is overdrawn by {sum} msat"));
    }
    Ok(())
}
