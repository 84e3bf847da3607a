//! Messages: delivered, appended, deleted with their attachments' references.

use bytes::Bytes;
use lnmp::{Act, GateId, Place};
use rusqlite::DatabaseName;
use rusqlite::blob::Blob;

use super::db::Db;
use super::entries::{self, Stored};
use super::keywords;
use super::sharing::{self, Access};
use super::vault::Of;
use super::verdicts::{self, Mail};
use super::writer::Tx;
use super::{accounts, contacts, desk, digests, gates, jobs, mailboxes, queue, quotas, sent_copies, vouchers};
use crate::limits::{APPEND_MESSAGES_MAX, UNPIN_CIDS};
use crate::{
    AccountId, Append, Appended, Author, Batch, Delivered, Delivery, Flags, JobKind, MailboxId, MessageId, NewMessage,
    Result, Rights, SealedParts, StoreError, Uid, UnixMs,
};

/// Commits what one SMTP transaction, one submission or one job caused.
pub(super) fn commit(tx: &mut Tx<'_>, batch: &Batch, bodies: &[Vec<u8>], now: UnixMs) -> Result<Vec<Delivered>> {
    let delivered = batch.deliveries.iter().map(|delivery| deliver(tx, delivery, now)).collect::<Result<Vec<_>>>()?;
    for copy in &batch.sent_copies {
        sent_copies::file(tx, copy, now)?;
    }
    for (outgoing, body) in batch.outgoing.iter().zip(bodies) {
        queue::enqueue(tx, outgoing, body, now)?;
    }
    for outgoing in &batch.large_outgoing {
        queue::enqueue_large(tx, outgoing, now)?;
    }
    for (account, author) in &batch.friends {
        contacts::raise(tx, *account, author, lnmp::Relation::Friend, now)?;
    }
    for sent in &batch.sent {
        contacts::sent(tx, sent.account, &sent.message_id, &sent.recipients)?;
    }
    for (account, ids) in &batch.replied {
        for id in ids {
            replied(tx, *account, id, now)?;
        }
    }
    if let Some(letter) = delivered.first() {
        digests::told(tx, letter, &batch.told, now)?;
    }
    for gate in &batch.asked {
        jobs::note_asked(tx, *gate, now)?;
    }
    for pay in &batch.auto_pay {
        if contacts::pay_once(tx, pay)? {
            jobs::push(tx, now, &JobKind::AutoPay(pay.account, pay.bolt11.clone()))?;
        }
    }
    for (key, value) in &batch.meta {
        accounts::set_meta(tx, key, &tx.vault.seal(Of::Meta, value))?;
    }
    Ok(delivered)
}

/// Puts one message into a mailbox.
pub(super) fn deliver(tx: &mut Tx<'_>, delivery: &Delivery, now: UnixMs) -> Result<Delivered> {
    let redeemed = vouchers::redeem(tx, delivery, now)?;
    let place = redeemed.as_ref().map_or(delivery.place, |redeemed| redeemed.place);
    let own = delivery.folder.as_deref().filter(|_| place == Place::Inbox && redeemed.is_none());
    let own = own.map(|name| mailboxes::own_named(tx, delivery.account, name)).transpose()?.flatten();
    let mailbox = match own {
        Some(mailbox) => mailbox,
        None => mailboxes::born(tx, delivery.account, place)?,
    };
    let gate = match (&delivery.gate, &redeemed) {
        (_, Some(redeemed)) => Some(redeemed.gate()),
        (Some(gate), None) => Some(gates::create(
            tx,
            delivery.account,
            gate,
            delivery.author.as_ref(),
            gates::page_of(tx, delivery.author.as_ref()),
            delivery.message_id.as_deref(),
            delivery.content_digest.as_ref(),
            now,
        )?),
        (None, None) => None,
    };
    // A gate has its author among its parties.
    let author = delivery.author.as_ref().filter(|_| gate.is_none());
    let message = insert(tx, delivery.account, &delivery.sealed, gate, author)?;
    if let (Some(id), Some(gate)) = (gate, &delivery.gate) {
        gates::set_message(tx, id, message)?;
        // Who may not be asked now costs no job: a burst of mail from one author is one request.
        if gate.ask.is_some()
            && place == Place::Unpaid
            && tx.rules.may_ask(&jobs::ask_counts_of(tx, delivery.account, gate, delivery.author.as_ref(), now)?)
        {
            jobs::push(tx, now, &JobKind::Ask(id))?;
        }
    }
    if let Some(alias) = delivery.alias {
        accounts::count_use(tx, alias)?;
    }
    let entry = Stored {
        mailbox,
        uid: 0,
        message,
        gate,
        modseq: 0,
        flags: redeemed.as_ref().map_or(delivery.flags, |redeemed| delivery.flags.with(redeemed.flags)),
        internal_date: delivery.internal_date,
        zone: 0,
        size: size(&delivery.sealed)?,
        keywords: keywords::seal(tx, &keywords::split(&delivery.keywords)?.own),
    };
    let uid = entries::insert(tx, mailbox, &entry, now)?;
    if let Some(redeemed) = redeemed {
        vouchers::arrived(tx, redeemed, now)?;
    }
    Ok(Delivered { message, mailbox, uid: mailboxes::uid_of(uid as u32)?, gate })
}

fn size(sealed: &SealedParts) -> Result<i64> {
    i64::try_from(sealed.size).map_err(|_| StoreError::Limit("the size of a mail"))
}

fn insert(
    tx: &Tx<'_>,
    account: AccountId,
    sealed: &SealedParts,
    gate: Option<GateId>,
    author: Option<&Author>,
) -> Result<MessageId> {
    let id = tx.insert(
        "INSERT INTO message(account, gate, author, summary) VALUES (?1, ?2, ?3, ?4)",
        (
            account.0,
            gate.map(|gate| gate.0),
            author.map(|author| tx.vault.seal_json(Of::Author, author)),
            &sealed.summary,
        ),
    )?;
    tx.run("INSERT INTO content(message, body) VALUES (?1, ?2)", (id, &sealed.content))?;
    if let Some(trigrams) = &sealed.trigrams {
        tx.run("INSERT INTO trigrams(message, filter) VALUES (?1, ?2)", (id, trigrams))?;
    }
    for (cid, size) in &sealed.attachments {
        // The same attachment twice in one mail is one reference.
        tx.run(
            "INSERT OR IGNORE INTO attachment(message, cid, size) VALUES (?1, ?2, ?3)",
            (id, cid, i64::try_from(*size).unwrap_or(i64::MAX)),
        )?;
    }
    Ok(MessageId(id))
}

/// The user replied to what bears this Message-ID.
fn replied(tx: &mut Tx<'_>, account: AccountId, id: &str, now: UnixMs) -> Result<()> {
    let found = tx.all(
        "SELECT id, message FROM gate WHERE account = ?1 AND message_id_hash = ?2",
        (account.0, contacts::message_id_hash(tx, account, id)),
        |row| Ok(Mail { gate: Some(GateId(row.get(0)?)), message: MessageId(row.get(1)?) }),
    )?;
    found.into_iter().try_for_each(|mail| verdicts::act(tx, account, mail, Act::Replied, now))
}

/// APPEND and REPLACE. An error undoes all of it: the caller's savepoint is rolled back.
pub(super) fn append(tx: &mut Tx<'_>, append: &Append, now: UnixMs) -> Result<Appended> {
    let into = sharing::access(tx, append.account, append.mailbox, Rights::INSERT)?;
    desk::refuse(tx, append.mailbox)?;
    let mailbox = tx.touch(append.mailbox)?;
    let (to, uid_validity) = (mailbox.place, mailbox.uid_validity);
    if append.messages.len() > APPEND_MESSAGES_MAX {
        return Err(StoreError::Limit("messages in one APPEND"));
    }
    let mut growth = append.messages.iter().map(|message| size(&message.sealed)).sum::<Result<i64>>()?;
    let mut replaced = None;
    if let Some((from, uid)) = append.replaces {
        // RFC 8508 §4.1: the rights of STORE, EXPUNGE and APPEND together.
        let source = sharing::access(tx, append.account, from, Rights::DELETE_MESSAGES.with(Rights::EXPUNGE))?;
        desk::refuse(tx, from)?;
        replaced = Some((source, from, uid));
        // RFC 8508 §3.4: nothing to replace, nothing is appended.
        let old = entries::get(tx, from, i64::from(uid.get()))?.ok_or(StoreError::NoSuch("message"))?;
        if source.owner == into.owner {
            growth -= old.size;
        }
    }
    quotas::check(tx, into.owner, growth)?;
    let mut appended = Appended { uid_validity, uids: Vec::new(), messages: Vec::new() };
    for message in &append.messages {
        let (uid, id) = append_one(tx, append, into, to, message, now)?;
        appended.uids.push(uid);
        appended.messages.push(id);
    }
    // The new one first: content that comes back was never gone.
    if let Some((source, from, uid)) = replaced {
        entries::expunge_uids(tx, source, from, &[i64::from(uid.get())], now)?;
    }
    if to == Place::Sent {
        let ids: Vec<&str> = append.messages.iter().filter_map(|message| message.message_id.as_deref()).collect();
        sent_copies::appended(tx, into, append.mailbox, &ids, now)?;
    }
    Ok(appended)
}

/// Content of a gated mail that comes back is a copy of that mail.
fn append_one(
    tx: &mut Tx<'_>,
    append: &Append,
    into: Access,
    to: Place,
    new: &NewMessage,
    now: UnixMs,
) -> Result<(Uid, MessageId)> {
    let owner = into.owner;
    let digest = gates::digest_hash(tx, owner, &new.content_digest);
    let gate: Option<i64> = tx.value(
        "SELECT id FROM gate WHERE account = ?1 AND digest_hash = ?2 ORDER BY id DESC LIMIT 1",
        (owner.0, digest),
    )?;
    // Who does not decide brings a mail of its own.
    let gate = gate.map(GateId).filter(|_| into.decides());
    let message = insert(tx, owner, &new.sealed, gate, None)?;
    let seen = new.flags.contains(Flags::SEEN) && into.rights.contains(Rights::SEEN);
    if let Some(viewer) = into.viewer().filter(|_| seen) {
        sharing::set_seen(tx, viewer, message, true)?;
    }
    // RFC 4314 §4: flags are stored as far as the user may set them. `\Seen` of an entry is its owner's.
    let (flags, keywords) = match into.viewer() {
        None => (new.flags, &new.keywords[..]),
        Some(_) => {
            let writes = into.rights.contains(Rights::WRITE);
            (Flags(new.flags.0 & into.flags().0).without(Flags::SEEN), if writes { &new.keywords[..] } else { &[] })
        }
    };
    let entry = Stored {
        mailbox: append.mailbox,
        uid: 0,
        message,
        gate,
        modseq: 0,
        flags,
        internal_date: new.internal_date,
        zone: new.zone,
        size: size(&new.sealed)?,
        keywords: keywords::seal(tx, &keywords::split(keywords)?.own),
    };
    let uid = entries::insert(tx, append.mailbox, &entry, now)?;
    if gate.is_some() {
        verdicts::act(tx, owner, entry.mail(), Act::AppendedAgain { to }, now)?;
    }
    Ok((mailboxes::uid_of(uid as u32)?, message))
}

/// Deletes a message that no entry shows any more.
pub(super) fn delete(tx: &mut Tx<'_>, id: MessageId) -> Result<()> {
    let cids = tx.all("SELECT cid FROM attachment WHERE message = ?1", [id.0], |row| row.get(0))?;
    tx.freed.extend(cids);
    tx.run("DELETE FROM message WHERE id = ?1", [id.0])?;
    Ok(())
}

/// Queues the unpinning of what lost its last reference in this write, and names it.
pub(super) fn unpin(tx: &mut Tx<'_>) -> Result<Vec<String>> {
    let mut freed = std::mem::take(&mut tx.freed);
    freed.sort();
    freed.dedup();
    let mut gone = Vec::with_capacity(freed.len());
    for cid in freed {
        if !tx.exists("SELECT 1 FROM attachment WHERE cid = ?1", [&cid])? {
            gone.push(cid);
        }
    }
    for some in gone.chunks(UNPIN_CIDS) {
        // Due at once, whatever the clock says.
        jobs::push(tx, 0, &JobKind::Unpin(some.to_vec()))?;
    }
    Ok(gone)
}

/// Sealed summaries, in the order asked.
pub(super) fn summaries(db: Db<'_>, account: AccountId, ids: &[MessageId]) -> Result<Vec<(MessageId, Bytes)>> {
    let mut out = Vec::with_capacity(ids.len());
    let mut statement = db.conn.prepare_cached("SELECT summary FROM message WHERE id = ?1 AND account = ?2")?;
    for &id in ids {
        let mut rows = statement.query((id.0, account.0))?;
        if let Some(row) = rows.next()? {
            let summary = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
            out.push((id, Bytes::copy_from_slice(summary)));
        }
    }
    Ok(out)
}

/// Octets of one sealed content.
pub(super) fn content_length(db: Db<'_>, account: AccountId, id: MessageId) -> Result<Option<i64>> {
    db.value(
        "SELECT length(c.body) FROM content c JOIN message m ON m.id = c.message WHERE m.id = ?1 AND m.account = ?2",
        (id.0, account.0),
    )
}

/// One sealed content.
pub(super) fn content(db: Db<'_>, account: AccountId, id: MessageId) -> Result<Option<Bytes>> {
    let body: Option<Vec<u8>> = db.value(
        "SELECT c.body FROM content c JOIN message m ON m.id = c.message WHERE m.id = ?1 AND m.account = ?2",
        (id.0, account.0),
    )?;
    Ok(body.map(Bytes::from))
}

/// Sealed contents, in the order asked. Read straight into their buffers: a query's result would be copied once more.
pub(super) fn contents(db: Db<'_>, account: AccountId, ids: &[MessageId]) -> Result<Vec<(MessageId, Bytes)>> {
    let own = owned(&db, account, ids)?;
    let mut out = Vec::with_capacity(own.len());
    let mut bodies: Option<Blob<'_>> = None;
    for id in own {
        let body = match bodies.take() {
            Some(mut body) => body.reopen(id.0).map(|()| body),
            None => db.conn.blob_open(DatabaseName::Main, "content", "body", id.0, true),
        };
        let body = body?;
        let mut octets = vec![0; body.len()];
        body.read_at_exact(&mut octets, 0)?;
        out.push((id, Bytes::from(octets)));
        bodies = Some(body);
    }
    Ok(out)
}

/// Sealed trigrams, in the order asked; of those messages that have some.
pub(super) fn trigrams(db: Db<'_>, account: AccountId, ids: &[MessageId]) -> Result<Vec<(MessageId, Bytes)>> {
    let own = owned(&db, account, ids)?;
    let mut out = Vec::with_capacity(own.len());
    let mut statement = db.conn.prepare_cached("SELECT filter FROM trigrams WHERE message = ?1")?;
    for id in own {
        let mut rows = statement.query([id.0])?;
        if let Some(row) = rows.next()? {
            let filter = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
            out.push((id, Bytes::copy_from_slice(filter)));
        }
    }
    Ok(out)
}

/// Those of `ids` that are the account's, in their order.
pub(super) fn owned(db: &Db<'_>, account: AccountId, ids: &[MessageId]) -> Result<Vec<MessageId>> {
    let (Some(first), Some(last)) = (ids.iter().min(), ids.iter().max()) else { return Ok(Vec::new()) };
    // What lies close together is one walk over the index; what is scattered is looked up one by one.
    if last.0 - first.0 < DENSE * ids.len() as i64 {
        let present: Vec<MessageId> = db.all(
            "SELECT id FROM message INDEXED BY message_account WHERE account = ?1 AND id BETWEEN ?2 AND ?3 ORDER BY id",
            (account.0, first.0, last.0),
            |row| row.get(0).map(MessageId),
        )?;
        return Ok(ids.iter().copied().filter(|id| present.binary_search(id).is_ok()).collect());
    }
    let mut own = Vec::with_capacity(ids.len());
    for &id in ids {
        if db.exists("SELECT 1 FROM message WHERE id = ?1 AND account = ?2", (id.0, account.0))? {
            own.push(id);
        }
    }
    Ok(own)
}

/// A range of ids is read as a whole when it holds at most this many for each that is asked.
const DENSE: i64 = 8;

/// Every CID some message references.
pub(super) fn cids(db: Db<'_>) -> Result<Vec<String>> {
    db.all("SELECT DISTINCT cid FROM attachment", (), |row| row.get(0))
}

/// Server-made move of every copy of a gated mail in `from`: the old UIDs can still be followed.
pub(super) fn server_move(
    tx: &mut Tx<'_>,
    account: AccountId,
    gate: GateId,
    from: Place,
    to: Place,
    flags: Flags,
    now: UnixMs,
) -> Result<()> {
    let source = mailboxes::born(tx, account, from)?;
    let target: MailboxId = mailboxes::born(tx, account, to)?;
    for entry in entries::of_gate(tx, gate)? {
        if entry.mailbox != source {
            continue;
        }
        entries::insert(tx, target, &Stored { flags: entry.flags.with(flags), ..entry.clone() }, now)?;
        entries::remove(tx, &entry)?;
        tx.run(
            "INSERT INTO tombstone(mailbox, uid, gate, until) VALUES (?1, ?2, ?3, ?4)",
            (source.0, entry.uid, gate.0, now + crate::limits::TOMBSTONE_DAYS * 86_400_000),
        )?;
    }
    Ok(())
}
