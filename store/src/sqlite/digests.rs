//! What stood in a digest, and what may leave Unpaid for it. No wanted mail goes unseen.

use lnmp::{CancelReason, GateState, Place};

use super::writer::Tx;
use super::{entries, gates, payments, verdicts};
use crate::limits::{DIGEST_BEFORE_DAYS, EXPIRED_AT_ONCE, UNPAID_DAYS};
use crate::{Delivered, MessageId, Result, UnixMs};

const DAY_MS: i64 = 86_400_000;

/// A digest named these mails.
pub(super) fn told(tx: &Tx<'_>, letter: &Delivered, mails: &[MessageId], now: UnixMs) -> Result<()> {
    for mail in mails {
        tx.run(
            "UPDATE gate SET told_at = ?2, told_uid = ?3 WHERE state = 'waiting' AND told_at IS NULL
             AND id = (SELECT gate FROM message WHERE id = ?1)",
            (mail.0, now, letter.uid.get()),
        )?;
    }
    Ok(())
}

/// Mails that are older than 30 days in Unpaid and stood in a digest 7 days ago, which a session has seen since: what
/// INBOX tells as recent begins behind it.
pub(super) fn expire_unpaid(tx: &mut Tx<'_>, now: UnixMs) -> Result<usize> {
    let over = tx.all(
        "SELECT g.id FROM gate g WHERE g.state = 'waiting' AND g.told_at <= ?1
         AND EXISTS (SELECT 1 FROM mailbox i WHERE i.account = g.account AND i.place = ?3 AND i.recent_from > g.told_uid)
         AND EXISTS (SELECT 1 FROM entry e JOIN mailbox m ON m.id = e.mailbox
                     WHERE e.gate = g.id AND m.place = ?4 AND e.saved_at <= ?2)
         ORDER BY g.told_at LIMIT ?5",
        (
            now - DIGEST_BEFORE_DAYS * DAY_MS,
            now - UNPAID_DAYS * DAY_MS,
            Place::Inbox.code(),
            Place::Unpaid.code(),
            EXPIRED_AT_ONCE,
        ),
        |row| row.get(0).map(lnmp::GateId),
    )?;
    for &gate in &over {
        let mut row = gates::load(tx, gate)?;
        payments::cancel_live(tx, gate, CancelReason::Gone, now)?;
        gates::become_state(tx, &mut row, GateState::Waived, now)?;
        for entry in entries::of_gate(tx, gate)? {
            if tx.touch(entry.mailbox)?.place == Place::Unpaid {
                entries::remove(tx, &entry)?;
                verdicts::entry_gone(tx, entry.mail(), now)?;
            }
        }
    }
    Ok(over.len())
}
