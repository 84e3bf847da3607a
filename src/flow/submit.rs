//! One of our users sends a mail.

use std::sync::Arc;

use converter::MessageFacts;
use smtp::{Accepted, Envelope, MailParameters, PeerInfo, Recipient, Refusal, Spool};
use store::{
    Account, AccountId, Batch, Flags, LargeOutgoing, MailWishes, NewOutgoing, OutgoingRecipient, RecipientWishes,
    Resolution, SentRecord, UnixMs,
};

use crate::flow::bounce::{self, About};
use crate::flow::judge::{self, Judged, Provenance, judge};
use crate::flow::mail::{Arrived, Mail};
use crate::flow::receive::{
    Addressed, commit, context, delivery, everybody, new_queue_id, refuse_store, resolve, rfc5322_date, room_in,
    taken_apart,
};
use crate::flow::seal::Attached;
use crate::flow::voucher;
use crate::groups;
use crate::house::{House, now_ms};
use crate::letters::{Action, Reported};

/// Days a mail is tried before its sender gets a bounce (RFC 5321 §4.5.4.1: at least 4 to 5).
const QUEUE_DAYS: i64 = 5;

/// RCPT at submission: those who live here are resolved, everybody else is queued.
pub async fn recipient(house: &House, mailbox: &str) -> Result<Recipient, Refusal> {
    let Some((_, domain)) = mailbox.rsplit_once('@') else {
        return Err(Refusal::new(550, (5, 1, 3), "a recipient is local-part@domain"));
    };
    if house.config.is_local_domain(&domain.to_lowercase()) {
        let addressed = resolve(house, mailbox).await?;
        room_in(house, &addressed).await?;
        return Ok(Recipient::local(mailbox, addressed.account.id.0).with_context(Arc::new(addressed)));
    }
    Ok(Recipient::remote(mailbox))
}

/// DATA at submission.
pub async fn message(house: &Arc<House>, envelope: Envelope, content: Spool) -> Result<Accepted, Refusal> {
    let now = now_ms();
    let Some(submitter) = &envelope.peer.authenticated else {
        return Err(Refusal::new(530, (5, 7, 0), "log in first"));
    };
    let account = AccountId(submitter.id);
    let sender = house.store.account(account).await.map_err(refuse_store)?;
    let Some(sender) = sender else { return Err(Refusal::new(550, (5, 7, 1), "this account was removed")) };
    let _room = house.room_to_convert(&content).await;
    let arrived = Arrived::open(content).await?;
    let facts = converter::facts(arrived.top());
    let from = own_address(house, &sender, &facts).await?;

    let queue_id = new_queue_id();
    let top = prepare(house, arrived.top(), &facts, (&envelope.peer, envelope.parameters.mt_priority), &queue_id, now);
    let facts = converter::facts(&top);
    let mail = arrived.under(&top[..]);

    let mut batch = Batch::default();
    let mut remote = Vec::new();
    let provenance = Provenance {
        author: Some(from.clone()),
        aligned: true,
        reply_to_ids: ids(&facts),
        message_id: facts.message_id.clone(),
        ask: (!facts.automatic()).then(|| from.clone()),
        ..Provenance::default()
    };
    let mut judgements = Vec::new();
    let looked_at = judge::Mail { raw: &top, size: mail.size() };
    let everybody = everybody(house, &envelope.recipients).await?;
    for addressed in &everybody {
        let free = addressed.free || addressed.account.id == account;
        let to = judge::Recipient { account: &addressed.account, addressed: &addressed.address, free };
        let judged = judge(house, &provenance, &looked_at, &to, now).await.map_err(refuse_store)?;
        judgements.push((addressed, judged));
    }
    remote.extend(envelope.recipients.iter().filter(|one| context(one).is_none()).map(|recipient| OutgoingRecipient {
        address: recipient.mailbox.clone(),
        wishes: RecipientWishes { notify: notify(recipient), orcpt: recipient.parameters.orcpt.clone() },
    }));
    if let Some(why) = judge::refused_by_all(judgements.iter().map(|(_, judged)| judged)).filter(|_| remote.is_empty())
    {
        let refused: Vec<_> = judgements.iter().map(|(addressed, judged)| (&***addressed, judged)).collect();
        return Err(Refusal::new(550, (5, 7, 1), voucher::refusal(house, why, &refused, now).await));
    }
    let mut attached = Attached::default();
    for (addressed, judged) in judgements {
        let traced = arrived.under(local_trace(&from, &judged, &top));
        batch.deliveries.push(delivery(house, addressed, &traced, judged, &provenance, &mut attached, now).await?);
    }
    // A report has no sender who would look for it in Sent.
    if !envelope.reverse_path.is_null() && !sender.files_what_it_sends(now) {
        batch.sent_copies.push(sent_copy(house, sender, &mail, &facts, &mut attached, now).await?);
    }
    remember(&mut batch, account, &facts, &envelope, now);
    let wishes = wishes(&envelope.parameters, now);
    let reverse_path = if envelope.reverse_path.is_null() { "" } else { &from };
    // RFC 3461 §5.2.3: who lives here has it with this commit, and whoever asked is told so in the same one.
    let delivered: Vec<Reported> = envelope
        .recipients
        .iter()
        .filter(|one| context(one).is_some())
        .filter_map(|one| delivered(one, reverse_path))
        .collect();
    let about = About { reverse_path, wishes: &wishes, original: &top, queued_at: now };
    bounce::report(house, about, Action::Delivered, &delivered, &mut batch, now).await;
    if !remote.is_empty() {
        let hold_until = hold_until(&envelope.parameters, now);
        let expires_at = hold_until.unwrap_or(now) + QUEUE_DAYS * 86_400_000;
        let mail = NewOutgoing {
            // A receipt or a vacation note has none, and must not get one here.
            reverse_path: if envelope.reverse_path.is_null() { String::new() } else { from },
            recipients: remote,
            message: top,
            account: Some(account),
            expires_at: wishes.deliver_by.filter(|by| by.returns).map_or(expires_at, |by| by.at.min(expires_at)),
            hold_until,
            wishes,
        };
        match arrived.rest() {
            None => batch.outgoing.push(mail),
            Some(rest) => batch.large_outgoing.push(LargeOutgoing { mail, rest }),
        }
    }
    commit(house, batch, now).await?;
    // A reply may have decided on a gate: the claim is due now.
    house.work.notify_waiters();
    Ok(Accepted { queue_id })
}

/// What MAIL asked for, as the queue keeps it.
fn wishes(parameters: &MailParameters, now: UnixMs) -> MailWishes {
    MailWishes {
        envid: parameters.envid.clone(),
        return_full: parameters.ret.map(|ret| ret == smtp::Ret::Full),
        require_tls: parameters.require_tls,
        priority: parameters.mt_priority,
        deliver_by: parameters.by.map(|by| store::DeliverBy {
            at: now.saturating_add(by.seconds.saturating_mul(1000)),
            returns: by.mode == smtp::ByMode::Return,
            trace: by.trace,
        }),
        smtputf8: parameters.smtputf8,
    }
}

/// RFC 4865: not to be sent before.
fn hold_until(parameters: &MailParameters, now: UnixMs) -> Option<UnixMs> {
    parameters.hold.map(|hold| match hold {
        smtp::Hold::For(time) => now.saturating_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX)),
        smtp::Hold::Until(second) => second.saturating_mul(1000),
    })
}

fn notify(recipient: &Recipient) -> Option<store::Notify> {
    recipient.parameters.notify.map(|notify| store::Notify {
        success: notify.success,
        failure: notify.failure,
        delay: notify.delay,
    })
}

/// What a sender who asked is told of a recipient who lives here.
fn delivered(recipient: &Recipient, reverse_path: &str) -> Option<Reported> {
    bounce::is_wanted(reverse_path, notify(recipient), Action::Delivered).then(|| Reported {
        recipient: recipient.mailbox.clone(),
        original: recipient.parameters.orcpt.clone(),
        status: "2.1.5".into(),
        diagnostic: String::new(),
        remote: None,
    })
}

/// What the sender finds in Sent: the mail as it goes out, without Bcc. A client that keeps copies of its own appends
/// one, with Bcc, which takes this one's place.
async fn sent_copy(
    house: &House,
    sender: Account,
    mail: &Mail<'_>,
    facts: &MessageFacts,
    attached: &mut Attached,
    now: UnixMs,
) -> Result<store::Delivery, Refusal> {
    let address = sender.address();
    let addressed = Addressed { account: sender, alias: None, address, free: true, group: None };
    let judged = Judged::free_into(lnmp::Place::Sent);
    let provenance = Provenance { message_id: facts.message_id.clone(), ..Provenance::default() };
    let copy = delivery(house, &addressed, mail, judged, &provenance, attached, now).await?;
    Ok(store::Delivery { flags: Flags::SEEN, ..copy })
}

/// The From address, which must be the account's own, one of its aliases, or that of a group it belongs to.
async fn own_address(house: &House, sender: &Account, facts: &MessageFacts) -> Result<String, Refusal> {
    let Some(from) = facts.author().and_then(converter::Mailbox::address) else {
        return Err(Refusal::new(550, (5, 6, 0), "a mail needs exactly one From address here"));
    };
    let from = from.to_lowercase();
    let refused = || {
        Refusal::new(
            550,
            (5, 7, 1),
            format!("this account may not write as the From address of the mail; it may as {}", sender.address()),
        )
    };
    let Some((local, domain)) = from.rsplit_once('@') else { return Err(refused()) };
    let name = local.split(['#', '+']).next().unwrap_or(local);
    match house.store.resolve(name, domain, now_ms()).await.map_err(refuse_store)? {
        Resolution::Account { account, .. } if account.id == sender.id => Ok(from),
        Resolution::Unknown
            if groups::find(house, &format!("{name}@{domain}")).is_some_and(|group| group.has(sender)) =>
        {
            Ok(from)
        }
        Resolution::Account { .. } | Resolution::AliasOver | Resolution::Unknown => Err(refused()),
    }
}

/// Received on top; Date and Message-ID where they are missing (RFC 6409 §8).
fn prepare(
    house: &House,
    raw: &[u8],
    facts: &MessageFacts,
    (peer, priority): (&PeerInfo, i8),
    queue_id: &str,
    now: UnixMs,
) -> Vec<u8> {
    let name = &house.config.server.name;
    // RFC 6710 §6: the priority stands in the trace.
    let priority = if priority == 0 { String::new() } else { format!(" PRIORITY {priority}") };
    // Not the client's address: where a user sits is nobody's business.
    let mut top =
        format!("Received: by {name} with {} id {queue_id}{priority};\r\n\t{}\r\n", peer.protocol(), rfc5322_date(now));
    if facts.message_id.is_none() {
        top.push_str(&format!("Message-ID: <{queue_id}.{now}@{name}>\r\n"));
    }
    if facts.sent.is_none() {
        top.push_str(&format!("Date: {}\r\n", rfc5322_date(now)));
    }
    let mut whole = top.into_bytes();
    // RFC 5322 §3.6.3: Bcc is for the sender's eyes.
    let mut kept = 0;
    for field in converter::fields(raw).filter(|field| field.is("Bcc")) {
        whole.extend_from_slice(&raw[kept..field.start]);
        kept = field.start + field.raw.len();
    }
    whole.extend_from_slice(&raw[kept..]);
    whole
}

/// What a local recipient sees on top.
fn local_trace(from: &str, judged: &Judged, top: &[u8]) -> Vec<u8> {
    let gate = match &judged.gate {
        Some(gate) if gate.voucher => "voucher",
        Some(_) => "waiting",
        None => "free",
    };
    let mut out = format!(
        "Return-Path: <{from}>\r\nLNMP-Relation: {}\r\nLNMP-Price: {}\r\nLNMP-Gate: {gate}\r\n",
        judged.relation.name(),
        judged.price,
    )
    .into_bytes();
    out.extend_from_slice(top);
    out
}

/// Whom the user wrote to becomes a friend, and replies decide; automatic mail does neither (design section 2).
fn remember(batch: &mut Batch, account: AccountId, facts: &MessageFacts, envelope: &Envelope, _now: UnixMs) {
    if facts.automatic() || envelope.reverse_path.is_null() {
        return;
    }
    let recipients: Vec<String> = envelope
        .recipients
        .iter()
        .map(|recipient| context(recipient).map_or_else(|| recipient.mailbox.to_lowercase(), |to| to.address.clone()))
        .collect();
    batch.friends.extend(recipients.iter().map(|address| (account, address.clone())));
    let replied = ids(facts);
    if !replied.is_empty() {
        batch.replied.push((account, replied));
    }
    if let Some(message_id) = &facts.message_id {
        batch.sent.push(SentRecord { account, message_id: message_id.clone(), recipients });
    }
}

fn ids(facts: &MessageFacts) -> Vec<String> {
    facts.in_reply_to.iter().chain(&facts.references).cloned().collect()
}

/// A letter of the bridge to somebody who lives here: straight to INBOX, free; to each member of a group; to nobody, where
/// nobody is.
pub async fn letter(house: &House, to: &str, letter: &[u8], now: UnixMs) -> Result<Vec<store::Delivery>, Refusal> {
    let Ok(addressed) = resolve(house, to).await else { return Ok(Vec::new()) };
    let mut whole = b"Return-Path: <>\r\n".to_vec();
    whole.extend_from_slice(letter);
    let facts = converter::facts(letter);
    let provenance = Provenance { message_id: facts.message_id, ..Provenance::default() };
    let mut deliveries = Vec::new();
    let mut attached = Attached::default();
    for one in taken_apart(house, &addressed).await? {
        let judged = Judged::free_into(lnmp::Place::Inbox);
        deliveries.push(delivery(house, &one, &whole[..].into(), judged, &provenance, &mut attached, now).await?);
    }
    Ok(deliveries)
}
