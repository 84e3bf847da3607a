//! What waits in Unpaid is told once a day: no wanted mail is lost because its author never pays.
//!
//! The server cannot read sealed mail; so the digest is written in the owner's first session of a day, with the key
//! that session unlocked.

use std::collections::HashMap;

use converter::Summary;
use lnmp::{GateState, Msat, Opener, Place};
use store::{Account, Batch, GateFilter, MessageId, UnixMs};

use crate::flow::ask::new_message_id;
use crate::flow::submit;
use crate::house::House;
use crate::letters::{Cover, Digest, DigestLine, LISTED_MAX};

/// A day of the digest.
const DAY_MS: i64 = 86_400_000;
/// Summaries opened at once.
const SUMMARIES_AT_ONCE: usize = 200;

/// One mail in Unpaid that no digest named yet.
struct Line {
    message: MessageId,
    from: String,
    subject: String,
    date: UnixMs,
    price: Msat,
}

/// Writes the digest when this is the owner's first session of a day and something new waits.
pub async fn first_session(house: &House, account: &Account, opener: &Opener, now: UnixMs) -> anyhow::Result<()> {
    let key = format!("digest:{}", account.id.0);
    let _turn = house.digesting.lock().await;
    let last = house.store.get_meta(&key).await?.and_then(|text| String::from_utf8(text).ok()?.parse::<UnixMs>().ok());
    if last.is_some_and(|last| last / DAY_MS == now / DAY_MS) {
        return Ok(());
    }
    // The very first session begins the count: a fresh mailbox needs no digest of what it just showed.
    if last.is_some() {
        let lines = lines(house, account, opener).await?;
        if !lines.is_empty() {
            let shown: Vec<DigestLine<'_>> = lines
                .iter()
                .map(|line| DigestLine { from: &line.from, subject: &line.subject, date: line.date, price: line.price })
                .collect();
            let letter = Digest {
                cover: Cover {
                    from: &house.bridge_address(),
                    to: &account.address(),
                    message_id: &new_message_id(house),
                    now,
                },
                lines: &shown,
            };
            let deliveries = submit::letter(house, &account.address(), &letter.render(), now)
                .await
                .map_err(|refusal| anyhow::anyhow!(refusal.text))?;
            let told = lines.iter().map(|line| line.message).collect();
            let batch = Batch { deliveries, told, ..Batch::default() };
            house.store.commit(batch, now).await?;
        }
    }
    // After the letter: a crash between tells twice, the other order might tell never.
    house.store.set_meta(&key, now.to_string().as_bytes()).await?;
    Ok(())
}

/// Mails that no digest named: new ones, and those that came back because nobody answered. More than one digest lists are
/// named by the next.
async fn lines(house: &House, account: &Account, opener: &Opener) -> anyhow::Result<Vec<Line>> {
    let mailboxes = house.store.mailboxes(account.id).await?;
    let Some(unpaid) = mailboxes.iter().find(|mailbox| mailbox.place == Place::Unpaid) else { return Ok(Vec::new()) };
    let view = house.store.open(account.id, unpaid.id, false).await?;
    let filter = GateFilter { account: Some(account.id), state: Some(GateState::Waiting), limit: None };
    let untold: HashMap<MessageId, Msat> = house
        .store
        .gates(filter)
        .await?
        .into_iter()
        .filter(|gate| gate.told_at.is_none())
        .map(|gate| (gate.message, gate.price))
        .collect();
    let entries = view.entries.iter().filter(|entry| untold.contains_key(&entry.message)).take(LISTED_MAX);
    let dates: HashMap<MessageId, UnixMs> = entries.clone().map(|entry| (entry.message, entry.internal_date)).collect();
    let ids: Vec<MessageId> = entries.map(|entry| entry.message).collect();
    let mut lines = Vec::with_capacity(ids.len());
    for some in ids.chunks(SUMMARIES_AT_ONCE) {
        for (id, sealed) in house.store.summaries(account.id, some).await? {
            let facts = converter::facts(&Summary::decode(&opener.open_summary(&sealed)?)?.header);
            lines.push(Line {
                message: id,
                from: facts.from.first().and_then(converter::Mailbox::address).unwrap_or_default(),
                subject: facts.subject.unwrap_or_default(),
                date: dates.get(&id).copied().unwrap_or_default(),
                price: untold.get(&id).copied().unwrap_or_default(),
            });
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lnmp::Identity;
    use rand::rngs::OsRng;
    use store::{CredentialKind, Delivery, Flags, NewAccount, NewCredential, NewGate};

    use super::*;
    use crate::config::Config;
    use crate::dir::Dir;
    use crate::flow::seal::{Attached, seal};

    const DAY: i64 = 20_000 * DAY_MS;

    async fn closed_house(root: &std::path::Path) -> Arc<House> {
        let dir = Dir::open(root).unwrap();
        crate::command::closed(Config::default(), dir).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_unpaid_mail_is_told_in_the_next_days_first_session_and_once() {
        let root = tempfile::tempdir().unwrap();
        let house = closed_house(root.path()).await;
        let identity = Identity::generate(&mut OsRng);
        let new = NewAccount {
            local: "alice".into(),
            domain: "satchel.test".into(),
            identity: *identity.public_key().as_bytes(),
            sealed_seed: Vec::new(),
            credentials: vec![NewCredential {
                kind: CredentialKind::Server,
                wrap_id: String::new(),
                label: String::new(),
                wrap: vec![0],
            }],
            settings: store::AccountSettings::default(),
        };
        let id = house.store.create_account(new, DAY).await.unwrap();
        let account = house.store.account(id).await.unwrap().unwrap();
        let opener = Opener::new(&identity);
        let inbox = |house: Arc<House>| async move {
            let mailboxes = house.store.mailboxes(id).await.unwrap();
            let view = house.store.open(id, mailboxes[0].id, false).await.unwrap();
            view.entries
        };
        first_session(&house, &account, &opener, DAY).await.unwrap();

        let mail = b"From: Bank <no-reply@bank.test>\r\nSubject: Your code\r\n\r\n123456\r\n";
        let sealed = seal(&house, &identity.public_key(), &mail[..].into(), &mut Attached::default()).await.unwrap();
        let gate = NewGate {
            relation: lnmp::Relation::Stranger,
            price: Msat(100_000),
            priority_price: Msat(1_000_000),
            recipient: "alice@satchel.test".into(),
            ask: None,
            dkim_signature: None,
            message_id: None,
            voucher: false,
        };
        let delivery = Delivery {
            account: id,
            place: Place::Unpaid,
            folder: None,
            sealed: sealed.parts,
            content_digest: Some(sealed.digest),
            internal_date: DAY + 1000,
            flags: Flags::NONE,
            keywords: Vec::new(),
            author: None,
            message_id: None,
            gate: Some(gate),
            alias: None,
        };
        house.store.commit(Batch { deliveries: vec![delivery], ..Batch::default() }, DAY + 1000).await.unwrap();

        first_session(&house, &account, &opener, DAY + 2000).await.unwrap();
        assert!(inbox(Arc::clone(&house)).await.is_empty(), "not on the same day");

        first_session(&house, &account, &opener, DAY + DAY_MS).await.unwrap();
        first_session(&house, &account, &opener, DAY + DAY_MS + 5000).await.unwrap();
        first_session(&house, &account, &opener, DAY + 2 * DAY_MS).await.unwrap();
        let entries = inbox(Arc::clone(&house)).await;
        assert_eq!(entries.len(), 1, "told once");
        let sealed = house.store.content(id, entries[0].message).await.unwrap().unwrap();
        let content = lnmp::Content::decode(opener.open_content(&sealed).unwrap().content).unwrap();
        let text = String::from_utf8_lossy(&content.skeleton).into_owned();
        assert!(text.contains("no-reply@bank.test") && text.contains("Your code"), "{text}");
    }
}
