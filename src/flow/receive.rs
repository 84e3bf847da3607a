//! A mail comes in from another server: who is it for, who wrote it, what does it cost, where does it go.

#[cfg(test)]
mod verdicts;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use lightning::failpoint;
use lnmp::{Msat, PublicKey, UnpaidPolicy};
use rand::RngCore;
use smtp::{Accepted, AuthResult, DkimOutcome, Envelope, Kind, PeerInfo, Recipient, Refusal, ReversePath, Spool};
use store::{Account, AccountId, Alias, Batch, Delivery, Resolution, StoreError, UnixMs};

use crate::flow::judge::{self, Judged, Provenance, judge};
use crate::flow::mail::{Arrived, Mail};
use crate::flow::outbound_price;
use crate::flow::own_wallet;
use crate::flow::return_path::{self, Untagged};
use crate::flow::seal::{Attached, SealError, seal};
use crate::flow::{dnsbl, greylist, reports, voucher};
use crate::groups::{self, Group};
use crate::house::{House, now_ms};

/// Servers a mail may have come through (RFC 5321 §6.3).
const RECEIVED_MAX: usize = 100;

/// What a recipient resolved to, kept from RCPT to the end of DATA.
#[derive(Clone)]
pub struct Addressed {
    /// Whose mail it is.
    pub account: Account,
    /// By which alias.
    pub alias: Option<Alias>,
    /// As addressed, in lower case.
    pub address: String,
    /// Never priced.
    pub free: bool,
    /// The group that was addressed; the account is one of its members then.
    pub group: Option<Group>,
}

/// RCPT at the MX: only those who live here.
pub async fn recipient(
    house: &House,
    peer: &PeerInfo,
    reverse_path: &ReversePath,
    mailbox: &str,
    so_far: &[Recipient],
) -> Result<Recipient, Refusal> {
    // A bounce of what we sent carries the tag we gave it, and is free (design section 2).
    let (untagged, is_bounce) = match return_path::untag(house, mailbox, now_ms()) {
        Untagged::Plain => (mailbox, false),
        Untagged::Ours(address) => (address, reverse_path.is_null()),
        Untagged::Foreign(address) => (address, false),
    };
    let mut addressed = resolve(house, untagged).await?;
    addressed.free |= is_bounce;
    room_in(house, &addressed).await?;
    if peer.kind == Kind::Mx {
        dnsbl::at_rcpt(house, peer.address.ip(), reverse_path.as_str(), &addressed).await?;
    }
    // One reply to DATA serves all: whoever might need another one comes alone (design section 2.6). LMTP has one each.
    if peer.kind == Kind::Mx && so_far.iter().filter_map(context).any(|other| !refuse_alike(other, &addressed)) {
        return Err(Refusal::separately());
    }
    Ok(Recipient::local(mailbox, addressed.account.id.0).with_context(Arc::new(addressed)))
}

/// Whether two recipients refuse the same mail at DATA, as far as their choices tell. A group refuses as its members do, and
/// so it comes alone.
fn refuse_alike(one: &Addressed, other: &Addressed) -> bool {
    if one.group.is_some() || other.group.is_some() {
        return one.address == other.address;
    }
    let (one, other) = (&one.account, &other.account);
    let refusing = |account: &Account| {
        let filters = account.settings.filters.iter().filter(|filter| filter.then.refuse);
        filters.map(|filter| filter.when.clone()).collect::<Vec<_>>()
    };
    // Where a page is told, it is one account's.
    let keeps = |account: &Account| account.settings.unpaid == UnpaidPolicy::Keep;
    one.id == other.id
        || (keeps(one)
            && keeps(other)
            && one.settings.unverified == other.settings.unverified
            && refusing(one) == refusing(other))
}

/// A full mailbox is told at RCPT, where it concerns nobody else. The mail that fills it is still taken whole: after DATA
/// there is one answer for all recipients.
pub async fn room_in(house: &House, addressed: &Addressed) -> Result<(), Refusal> {
    let members = match &addressed.group {
        Some(group) => groups::members(house, group).await.map_err(refuse_store)?,
        None => Vec::new(),
    };
    // A group is full when all of its members are.
    let ids = if members.is_empty() { vec![addressed.account.id] } else { members.iter().map(|one| one.id).collect() };
    for id in ids {
        let quota = house.store.quota(id).await.map_err(refuse_store)?;
        if quota.limit.is_none_or(|limit| quota.used < limit) {
            return Ok(());
        }
    }
    Err(over_quota())
}

/// Whom a mail is for: each account once, groups taken apart. Two aliases of one account are one mail and one gate.
pub async fn everybody<'a>(house: &House, recipients: &'a [Recipient]) -> Result<Vec<Cow<'a, Addressed>>, Refusal> {
    let (mut seen, mut all) = (HashSet::new(), Vec::new());
    for addressed in recipients.iter().filter_map(context) {
        let members = taken_apart(house, addressed).await?;
        all.extend(members.into_iter().filter(|one| seen.insert(one.account.id)));
    }
    Ok(all)
}

/// The members of a group; somebody alone is one.
pub async fn taken_apart<'a>(house: &House, addressed: &'a Addressed) -> Result<Vec<Cow<'a, Addressed>>, Refusal> {
    let Some(group) = &addressed.group else { return Ok(vec![Cow::Borrowed(addressed)]) };
    let members = groups::members(house, group).await.map_err(refuse_store)?;
    let one = |account| Cow::Owned(Addressed { account, ..addressed.clone() });
    Ok(members.into_iter().map(one).collect())
}

/// What RCPT found, given back with the message.
pub fn context(recipient: &Recipient) -> Option<&Addressed> {
    recipient.context.as_ref().and_then(|context| context.downcast_ref())
}

/// Resolves a local mailbox: an account, an alias, an LNMP address, a plus-address, a group, postmaster or abuse.
pub async fn resolve(house: &House, mailbox: &str) -> Result<Addressed, Refusal> {
    let unknown = || Refusal::new(550, (5, 1, 1), "there is no such mailbox here");
    let (local, domain) = match mailbox.rsplit_once('@') {
        Some((local, domain)) => (local.to_lowercase(), domain.to_lowercase()),
        // RFC 5321 §4.5.1: the bare word is always taken.
        None if mailbox.eq_ignore_ascii_case("postmaster") => {
            ("postmaster".to_owned(), house.config.first_domain().to_owned())
        }
        None => return Err(Refusal::new(550, (5, 1, 3), "a recipient is local-part@domain")),
    };
    if !house.config.is_local_domain(&domain) {
        return Err(Refusal::new(550, (5, 7, 1), "this server takes no mail for that domain: relaying is denied"));
    }
    if matches!(local.as_str(), "postmaster" | "abuse")
        && let Some(account) = postmaster(house).await?
    {
        let address = format!("{local}@{domain}");
        return Ok(Addressed { account, alias: None, address, free: true, group: None });
    }
    let address = format!("{local}@{domain}");
    // The plain name first; then with a checksum or a plus detail taken off.
    let (name, detail) = match local.find(['#', '+']) {
        Some(at) => {
            (&local[..at], Some((local.as_bytes()[at], &mailbox[at + 1..mailbox.rfind('@').unwrap_or(mailbox.len())])))
        }
        None => (local.as_str(), None),
    };
    for candidate in [Some(local.as_str()), detail.map(|_| name)].into_iter().flatten() {
        match house.store.resolve(candidate, &domain, now_ms()).await.map_err(refuse_store)? {
            Resolution::Account { account, alias } => {
                if let Some((b'#', sum)) = detail
                    && candidate == name
                {
                    check_sum(name, sum, &domain, &account)?;
                }
                let free = alias.as_ref().is_some_and(|alias| alias.expires_at.is_some() || alias.max_uses.is_some());
                return Ok(Addressed { account: *account, alias, address, free, group: None });
            }
            Resolution::AliasOver => {
                return Err(Refusal::new(550, (5, 1, 6), "this temporary address was used up or has expired"));
            }
            Resolution::Unknown => {}
        }
        // A checksum is of somebody's key.
        if !matches!(detail, Some((b'#', _)))
            && let Some(group) = groups::find(house, &format!("{candidate}@{domain}"))
            && let Some(account) = groups::members(house, &group).await.map_err(refuse_store)?.into_iter().next()
        {
            return Ok(Addressed { account, alias: None, address, free: false, group: Some(group) });
        }
    }
    Err(unknown())
}

/// A wrong checksum is refused with a clear text (design section 6): it guards against a mistyped name.
fn check_sum(name: &str, sum: &str, domain: &str, account: &Account) -> Result<(), Refusal> {
    let wrong = |why: String| Refusal::new(550, (5, 1, 1), why);
    let address = lnmp::Address::parse(&format!("{name}#{sum}@{domain}")).map_err(|error| wrong(error.to_string()))?;
    let key = PublicKey::from_bytes(account.identity).map_err(|_| Refusal::try_again())?;
    if address.checksum_matches(&key) {
        return Ok(());
    }
    Err(wrong(format!(
        "the checksum #{sum} does not belong to {name}@{domain}; check the address, or leave #{sum} out"
    )))
}

/// Who reads postmaster@ and abuse@.
async fn postmaster(house: &House) -> Result<Option<Account>, Refusal> {
    let chosen = &house.config.server.postmaster;
    if let Some((local, domain)) = chosen.rsplit_once('@')
        && let Some(account) = house.store.account_by_address(local, domain).await.map_err(refuse_store)?
    {
        return Ok(Some(account));
    }
    Ok(house.store.accounts().await.map_err(refuse_store)?.into_iter().next())
}

/// DATA at the MX. `Ok` only once everything is on disk.
pub async fn message(house: &Arc<House>, envelope: Envelope, content: Spool) -> Result<Accepted, Refusal> {
    take(house, &envelope, content).await.map(|(accepted, _)| accepted)
}

/// The same at LMTP, where who refuses a mail refuses it alone. RFC 2033 §4.2.
pub async fn message_each(house: &Arc<House>, envelope: Envelope, content: Spool) -> Vec<Result<Accepted, Refusal>> {
    let (accepted, refused) = match take(house, &envelope, content).await {
        Ok(taken) => taken,
        Err(refusal) => return vec![Err(refusal); envelope.recipients.len()],
    };
    let mut answers = Vec::with_capacity(envelope.recipients.len());
    for recipient in &envelope.recipients {
        let everybody = match context(recipient) {
            Some(to) => taken_apart(house, to).await.unwrap_or_default(),
            None => Vec::new(),
        };
        // A group refuses when all of its members do.
        let why = everybody.first().and_then(|one| refused.get(&one.account.id));
        answers.push(match why.filter(|_| everybody.iter().all(|one| refused.contains_key(&one.account.id))) {
            Some(why) => Err(Refusal::new(550, (5, 7, 1), why.as_str())),
            None => Ok(accepted.clone()),
        });
    }
    answers
}

/// Takes a mail. At LMTP, also tells which accounts did not.
async fn take(
    house: &Arc<House>,
    envelope: &Envelope,
    content: Spool,
) -> Result<(Accepted, HashMap<AccountId, String>), Refusal> {
    let now = now_ms();
    let _room = house.room_to_convert(&content).await;
    let mail = Arrived::open(content).await?;
    let running = house.running().map_err(|_| Refusal::try_again())?;
    let ((ip, helo), reverse_path) = (brought_by(&envelope.peer), &envelope.reverse_path);
    let checked = match mail.spool() {
        None => running.authenticator.verify(ip, helo, reverse_path, mail.top()).await,
        Some(spool) => {
            let checked = running.authenticator.verify_spooled(ip, helo, reverse_path, mail.top(), spool).await;
            checked.map_err(|_| Refusal::try_again())?
        }
    };
    if checked.received_count >= RECEIVED_MAX {
        return Err(Refusal::new(
            554,
            (5, 4, 6),
            format!("more than {RECEIVED_MAX} Received fields: this mail goes in circles"),
        ));
    }
    let reverse_path = reverse_path.as_str();
    let facts = converter::facts(mail.top());
    let server_name = &house.config.server.name;
    let (kept, removed) = converter::strip_forged(mail.top(), server_name, &|name, nth| checked.covered(name, nth));
    let mut provenance = provenance(&checked, &facts, reverse_path, &envelope.recipients);
    provenance.price_asked = outbound_price::asked(&checked.dkim, &provenance, &facts, mail.top(), reverse_path);

    let queue_id = new_queue_id();
    let received = received_field(server_name, &envelope.peer, &queue_id, now);
    let mut batch = Batch::default();
    let mut judgements = Vec::new();
    let looked_at = judge::Mail { raw: mail.top(), size: mail.size() };
    let everybody = everybody(house, &envelope.recipients).await?;
    if everybody.is_empty() {
        // The last member left since RCPT.
        return Err(Refusal::new(550, (5, 1, 1), "there is no such mailbox here any more"));
    }
    for addressed in everybody.iter().map(|one| &**one) {
        let to = judge::Recipient { account: &addressed.account, addressed: &addressed.address, free: addressed.free };
        let judged = judge(house, &provenance, &looked_at, &to, now).await.map_err(refuse_store)?;
        judgements.push((addressed, judged));
    }
    let mut refused = HashMap::new();
    if envelope.peer.kind == Kind::Lmtp {
        // Of a group that takes the mail everybody gets it, as at the MX.
        let takes = |group: &Group| {
            judgements.iter().any(|(one, judged)| one.group.as_ref() == Some(group) && judged.rejects.is_none())
        };
        for (addressed, judged) in &judgements {
            if let Some(why) = judged.rejects.filter(|_| !addressed.group.as_ref().is_some_and(&takes)) {
                // Of a group nobody is told apart.
                let alone: Vec<_> = addressed.group.is_none().then_some((*addressed, judged)).into_iter().collect();
                refused.insert(addressed.account.id, voucher::refusal(house, why, &alone, now).await);
            }
        }
        judgements.retain(|(addressed, _)| !refused.contains_key(&addressed.account.id));
    } else {
        if let Some(why) = judge::refused_by_all(judgements.iter().map(|(_, judged)| judged)) {
            let refused: Vec<_> = judgements.iter().map(|(addressed, judged)| (*addressed, judged)).collect();
            return Err(Refusal::new(550, (5, 7, 1), voucher::refusal(house, why, &refused, now).await));
        }
        keep_out(house, ip, reverse_path, &provenance, &judgements, now).await?;
    }
    let mut attached = Attached::default();
    for (addressed, judged) in judgements {
        let mut top = Vec::with_capacity(kept.len() + 1024);
        if let Some(asked) = provenance.price_asked.as_ref().filter(|_| judged.asks_price) {
            let wallet = own_wallet::wallet(house, addressed.account.id).await;
            let has_wallet = wallet.map_err(|_| Refusal::try_again())?.is_some();
            top.extend_from_slice(outbound_price::trace(&addressed.account, asked, has_wallet).as_bytes());
            batch.auto_pay.extend(outbound_price::auto_pay(&addressed.account, asked, &provenance));
        }
        write_trace(&mut top, reverse_path, &received, &checked.header_value, &judged, &removed);
        top.extend_from_slice(&kept);
        let whole = mail.under(top);
        batch.deliveries.push(delivery(house, addressed, &whole, judged, &provenance, &mut attached, now).await?);
    }
    commit(house, batch, now).await?;
    let to_postmaster = |to: &Recipient| context(to).is_some_and(|to| to.address.starts_with("postmaster@"));
    let may_be_report = mail.size() <= smtp::limits::REPORT_BYTES_MAX as u64;
    if may_be_report
        && provenance.aligned
        && envelope.recipients.iter().any(to_postmaster)
        && let Ok(whole) = mail.under(mail.top()).into_whole()
    {
        reports::take(house, whole.into());
    }
    Ok((Accepted { queue_id }, refused))
}

/// Who brought the mail to the first server that we trust: the peer, or whoever the MX in front names. Unspecified where
/// that is not known.
fn brought_by(peer: &PeerInfo) -> (IpAddr, &str) {
    match (peer.kind, &peer.forwarded) {
        (Kind::Lmtp, None) => (Ipv4Addr::UNSPECIFIED.into(), ""),
        (Kind::Lmtp, Some(forwarded)) => (
            forwarded.address.unwrap_or_else(|| Ipv4Addr::UNSPECIFIED.into()),
            forwarded.helo.as_deref().unwrap_or_default(),
        ),
        (Kind::Mx | Kind::Submission, _) => (peer.address.ip(), &peer.helo),
    }
}

/// Block lists and greylisting, for those whom nobody among the recipients wants for certain.
async fn keep_out(
    house: &House,
    ip: IpAddr,
    reverse_path: &str,
    provenance: &Provenance,
    judgements: &[(&Addressed, Judged)],
    now: UnixMs,
) -> Result<(), Refusal> {
    if !judgements.iter().any(|(_, judged)| judged.passes || judged.voucher)
        && let Some(list) = dnsbl::listed(house, ip).await
    {
        return Err(dnsbl::refusal(ip, &list));
    }
    let strangers: Vec<&str> = judgements
        .iter()
        .filter(|(_, judged)| !judged.is_welcome(provenance))
        .map(|(addressed, _)| addressed.address.as_str())
        .collect();
    if !house.config.smtp.greylist || strangers.is_empty() || house.config.smtp.trusts(ip) {
        return Ok(());
    }
    greylist::put_off(house, ip, reverse_path, &strangers, now).map_or(Ok(()), Err)
}

/// One sealed delivery.
pub async fn delivery(
    house: &House,
    addressed: &Addressed,
    mail: &Mail<'_>,
    judged: Judged,
    provenance: &Provenance,
    attached: &mut Attached,
    now: UnixMs,
) -> Result<Delivery, Refusal> {
    let key = PublicKey::from_bytes(addressed.account.identity).map_err(|_| Refusal::try_again())?;
    let sealed = seal(house, &key, mail, attached).await.map_err(|error| {
        tracing::error!(%error, "a message could not be sealed");
        match error {
            SealError::Shelf(_) => Refusal::storage_full(),
            SealError::NotRunning(_) | SealError::Spool(_) | SealError::Bug(_) => Refusal::try_again(),
        }
    })?;
    Ok(Delivery {
        account: addressed.account.id,
        place: judged.place,
        folder: judged.folder,
        sealed: sealed.parts,
        content_digest: Some(sealed.digest),
        internal_date: now,
        flags: judged.flags,
        keywords: judged.keywords,
        author: provenance.stored_author(),
        message_id: provenance.message_id.clone(),
        gate: judged.gate,
        alias: addressed.alias.as_ref().map(|alias| alias.id),
    })
}

/// Commits, and wakes whoever has work now.
pub async fn commit(house: &House, batch: Batch, now: UnixMs) -> Result<(), Refusal> {
    let has_work = !batch.outgoing.is_empty()
        || !batch.large_outgoing.is_empty()
        || !batch.auto_pay.is_empty()
        || batch.deliveries.iter().any(|delivery| delivery.gate.is_some());
    let by_voucher = batch.deliveries.iter().filter_map(|delivery| delivery.gate.as_ref()).any(|gate| gate.voucher);
    if by_voucher {
        failpoint::pass("voucher.begin");
    }
    house.store.commit(batch, now).await.map_err(refuse_store)?;
    if by_voucher {
        failpoint::pass("voucher.committed");
    }
    if has_work {
        house.work.notify_waiters();
    }
    Ok(())
}

/// RFC 3463 §3.3: the mailbox is full. Temporary, because its owner can make room while the sender's server tries again.
fn over_quota() -> Refusal {
    Refusal::new(452, (4, 2, 2), "this mailbox is full; please try again later")
}

/// The one place where the store's errors become replies.
pub fn refuse_store(error: StoreError) -> Refusal {
    match error {
        StoreError::Disk(_) => Refusal::storage_full(),
        StoreError::Limit(what) => Refusal::new(452, (4, 2, 2), format!("the mailbox is at a limit: {what}")),
        StoreError::OverQuota => over_quota(),
        StoreError::Busy => Refusal::try_again(),
        // Another mail of the same author took it meanwhile: the next try is judged anew.
        StoreError::NoSuch("voucher") => Refusal::try_again(),
        StoreError::NoSuch(_)
        | StoreError::Exists(_)
        | StoreError::Cannot(_)
        | StoreError::Denied(_)
        | StoreError::Damaged(_) => {
            tracing::error!(%error, "the store failed on an incoming mail");
            Refusal::try_again()
        }
    }
}

/// What the checks say about the author (design section 2, "free passes" and "who is asked").
fn provenance(
    checked: &smtp::Authentication,
    facts: &converter::MessageFacts,
    reverse_path: &str,
    recipients: &[Recipient],
) -> Provenance {
    let author = facts.author().and_then(converter::Mailbox::address).map(|address| address.to_lowercase());
    // A record that lets everybody in says nothing.
    let spf_aligned = checked.aligned_spf && !checked.spf.is_plus_all;
    let aligned = author.is_some() && (checked.aligned_dkim || spf_aligned);
    let signature =
        author.as_deref().filter(|_| checked.aligned_dkim).and_then(|author| aligned_signature(checked, author));
    let mut reply_to_ids = facts.in_reply_to.clone();
    reply_to_ids.extend(facts.references.iter().cloned());
    let addressed: Vec<String> = recipients.iter().filter_map(context).map(|to| to.address.clone()).collect();
    let ask = policy::ask(&policy::AskEvidence {
        from: author.as_deref(),
        reverse_path,
        dkim: signature.map(|signature| policy::DkimEvidence {
            limited_length: signature.has_l,
            testing: signature.testing,
            expired: signature.expired,
            signs_recipient: signs_recipient(signature, facts, &addressed),
        }),
        spf_aligned: checked.aligned_spf,
        spf_plus_all: checked.spf.is_plus_all,
        is_list: facts.list,
        is_automatic: facts.automatic(),
    });
    Provenance {
        evidence: if aligned { None } else { evidence(checked, facts) },
        dkim_signature: signature.map(|signature| signature.signature_hash.to_vec()),
        author,
        aligned,
        reply_to_ids,
        message_id: facts.message_id.clone(),
        passing: passing(checked),
        list_id: facts.list_id.clone(),
        price_asked: None,
        ask: match ask {
            policy::Ask::Yes { to } => Some(to),
            policy::Ask::No(_) => None,
        },
    }
}

/// The domains that something vouches for.
fn passing(checked: &smtp::Authentication) -> Vec<String> {
    let signed = checked.dkim.iter().filter(|one| one.result == AuthResult::Pass).map(|one| &one.domain);
    let spf = (checked.spf.result == AuthResult::Pass && !checked.spf.is_plus_all).then_some(&checked.spf.domain);
    signed.chain(spf).map(|domain| domain.to_lowercase()).collect()
}

/// Whether a recipient stands in a To or Cc that the signature covers: else a signed mail could be replayed.
fn signs_recipient(signature: &DkimOutcome, facts: &converter::MessageFacts, recipients: &[String]) -> bool {
    let stands = |field: &str, list: &[converter::Mailbox]| {
        signature.signed_headers.iter().any(|name| name.eq_ignore_ascii_case(field))
            && list
                .iter()
                .filter_map(converter::Mailbox::address)
                .any(|one| recipients.iter().any(|to| to.eq_ignore_ascii_case(&one)))
    };
    stands("to", &facts.to) || stands("cc", &facts.cc)
}

/// The passing signature that speaks for the author: of their domain, or one above or below it.
fn aligned_signature<'a>(checked: &'a smtp::Authentication, author: &str) -> Option<&'a DkimOutcome> {
    let domain = author.rsplit_once('@')?.1;
    let related = |signing: &str| {
        domain.eq_ignore_ascii_case(signing)
            || domain.strip_suffix(signing).is_some_and(|rest| rest.ends_with('.'))
            || signing.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
    };
    let may = |one: &&DkimOutcome| one.may_align();
    checked.dkim.iter().filter(may).find(|one| related(&one.domain)).or_else(|| checked.dkim.iter().find(may))
}

/// The first evidence there is of an unaligned author.
fn evidence(checked: &smtp::Authentication, facts: &converter::MessageFacts) -> Option<String> {
    let signed = checked.dkim.iter().find(|one| one.result == AuthResult::Pass).map(|one| &one.domain);
    let spf = (checked.spf.result == AuthResult::Pass && !checked.spf.is_plus_all).then_some(&checked.spf.domain);
    if let Some(domain) = signed {
        return Some(format!("dkim:{domain}"));
    }
    match (spf, &facts.list_id, &checked.host) {
        (Some(domain), None, _) => Some(format!("spf:{domain}")),
        // A list's reverse-path changes with every mail; its name stays.
        (Some(domain), Some(list), _) => Some(format!("list:{list} {domain}")),
        (None, _, Some(host)) => Some(format!("host:{host}")),
        (None, _, None) => None,
    }
}

fn write_trace(
    out: &mut Vec<u8>,
    reverse_path: &str,
    received: &str,
    results: &str,
    judged: &Judged,
    removed: &[String],
) {
    let mut text = format!("Return-Path: <{reverse_path}>\r\nLNMP-Relation: {}\r\n", judged.relation.name());
    if judged.price == Msat::ZERO {
        text.push_str("LNMP-Price: 0 sat\r\nLNMP-Gate: free\r\n");
    } else {
        let gate = match &judged.gate {
            Some(gate) if gate.voucher => "voucher",
            Some(_) => "waiting",
            None => "observed",
        };
        let _ = write!(text, "LNMP-Price: {}\r\nLNMP-Gate: {gate}\r\n", judged.price);
    }
    if !removed.is_empty() {
        let _ = write!(text, "LNMP-Removed: {}\r\n", removed.join(", "));
    }
    let results = results.trim_end();
    let _ = write!(text, "Authentication-Results: {results}\r\n{received}");
    out.extend_from_slice(text.as_bytes());
}

/// RFC 5321 §4.4. The peer's own words are only shown where they cannot break the line.
pub fn received_field(server_name: &str, peer: &PeerInfo, queue_id: &str, now: UnixMs) -> String {
    let helo: String =
        peer.helo.chars().filter(|c| c.is_ascii_graphic() && !"()<>\\\"".contains(*c)).take(255).collect();
    let helo = if helo.is_empty() { "unknown".to_owned() } else { helo };
    let ip = peer.address.ip();
    let literal = if ip.is_ipv6() { format!("IPv6:{ip}") } else { ip.to_string() };
    let tls = peer.tls.as_ref().map_or_else(String::new, |tls| format!(" ({} {})", tls.version, tls.cipher));
    format!(
        "Received: from {helo} ([{literal}])\r\n\tby {server_name} with {}{tls} id {queue_id};\r\n\t{}\r\n",
        peer.protocol(),
        rfc5322_date(now)
    )
}

/// A date as RFC 5322 §3.3 writes it.
pub fn rfc5322_date(at: UnixMs) -> String {
    DateTime::<Utc>::from_timestamp_millis(at).unwrap_or_default().to_rfc2822()
}

/// Names one SMTP transaction in replies and logs.
pub fn new_queue_id() -> String {
    let mut bytes = [0; 8];
    rand::thread_rng().fill_bytes(&mut bytes);
    hex::encode(bytes)
}
