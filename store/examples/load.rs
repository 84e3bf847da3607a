//! How fast the store is on this machine: `cargo run --release -p store --example load [DIR]`.
//!
//! Twenty tasks deliver mails of 4 to 6 KiB, each waiting for its own fsync, as twenty SMTP connections do;
//! then the reads that a mail client waits for. DIR should lie on the disk in question, not on a tmpfs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lnmp::{Act, BridgeKey, GateFacts, Msat, Place, Relation, Verdict};
use store::{
    AccountId, AccountSettings, Author, Batch, CredentialKind, Delivery, Flags, ModSeq, NewAccount, NewCredential,
    NewGate, Rules, SealedParts, Sqlite, Store, StoreError,
};

struct NoRules;

impl Rules for NoRules {
    fn meaning(&self, _: &Act, _: &GateFacts) -> Verdict {
        Verdict::Nothing
    }
    fn meaning_without_gate(&self, _: &Act) -> Verdict {
        Verdict::Nothing
    }
}

const TASKS: usize = 20;
const NOW: i64 = 1_800_000_000_000;

fn delivery(account: AccountId, number: usize, place: Place) -> Delivery {
    let author = format!("author{}@shop.test", number % 97);
    Delivery {
        account,
        place,
        folder: None,
        sealed: SealedParts {
            content: vec![number as u8; 4096 + number * 37 % 2048],
            summary: vec![number as u8; 600],
            trigrams: Some(vec![number as u8; 624]),
            size: 5000,
            attachments: Vec::new(),
        },
        internal_date: NOW,
        flags: Flags::NONE,
        keywords: Vec::new(),
        author: Some(Author { address: author.clone(), aligned: true, evidence: None }),
        message_id: Some(format!("<{number}@shop.test>")),
        content_digest: Some([number as u8; 32]),
        gate: (place == Place::Unpaid).then(|| NewGate {
            relation: Relation::Stranger,
            price: Msat(100_000),
            priority_price: Msat(1_000_000),
            recipient: "someone@satchel.test".into(),
            ask: Some(author),
            dkim_signature: Some(vec![1; 32]),
            message_id: Some(format!("<{number}@shop.test>")),
            voucher: false,
        }),
        alias: None,
    }
}

async fn load(store: &Arc<Sqlite>, accounts: &[AccountId], place: Place, each: usize) -> Result<(), StoreError> {
    let started = Instant::now();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (store, accounts) = (store.clone(), accounts.to_vec());
            tokio::spawn(async move {
                let mut slowest = Duration::ZERO;
                for number in 0..each {
                    let delivery = delivery(accounts[(task + number) % accounts.len()], task * each + number, place);
                    let sent = Instant::now();
                    store.commit(Batch { deliveries: vec![delivery], ..Batch::default() }, NOW).await?;
                    slowest = slowest.max(sent.elapsed());
                }
                Ok::<_, StoreError>(slowest)
            })
        })
        .collect();
    let mut slowest = Duration::ZERO;
    for task in tasks {
        slowest = slowest.max(task.await.map_err(|_| StoreError::Busy)??);
    }
    let rate = (TASKS * each) as f64 / started.elapsed().as_secs_f64();
    println!("{:>9.0} mails/s into {place:?}, slowest commit {slowest:?}", rate);
    Ok(())
}

async fn timed<T>(
    what: &str,
    times: u32,
    mut run: impl AsyncFnMut() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut out = run().await?;
    let started = Instant::now();
    for _ in 0..times {
        out = run().await?;
    }
    println!("{:>9.1} us {what}", started.elapsed().as_secs_f64() * 1e6 / f64::from(times));
    Ok(out)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = match std::env::args().nth(1) {
        Some(parent) => tempfile::tempdir_in(parent)?,
        None => tempfile::tempdir()?,
    };
    let store = Sqlite::open(&dir.path().join("store.sqlite"), BridgeKey::from_bytes([1; 32]), Arc::new(NoRules))?;
    let mut accounts = Vec::new();
    for number in 0..10 {
        let credential = NewCredential {
            kind: CredentialKind::Server,
            wrap_id: String::new(),
            label: String::new(),
            wrap: vec![0; 60],
        };
        let account = NewAccount {
            local: format!("user{number}"),
            domain: "satchel.test".into(),
            identity: [1; 32],
            sealed_seed: vec![1; 48],
            credentials: vec![credential],
            settings: AccountSettings::default(),
        };
        accounts.push(store.create_account(account, NOW).await?);
    }
    load(&store, &accounts, Place::Inbox, 1500).await?;
    load(&store, &accounts, Place::Unpaid, 500).await?;
    load(&store, &accounts[..1], Place::Inbox, 500).await?;
    let me = accounts[0];
    for number in 0..792 {
        store.create_mailbox(me, &format!("Folder {number}"), NOW).await?;
    }
    let mailboxes = store.mailboxes(me).await?;
    let inbox = mailboxes[0].id;
    let ids: Vec<_> = mailboxes.iter().map(|mailbox| mailbox.id).collect();
    let view = timed("view of the whole INBOX", 20, async || store.open(me, inbox, false).await).await?;
    println!("          ({} entries)", view.entries.len());
    let messages: Vec<_> = view.entries.iter().map(|entry| entry.message).collect();
    timed("summaries of all of it", 5, async || store.summaries(me, &messages).await).await?;
    timed("contents of all of it", 5, async || store.contents(me, &messages).await).await?;
    timed("one content", 2000, async || store.content(me, messages[messages.len() / 2]).await).await?;
    timed("resolve", 2000, async || store.resolve("user3", "satchel.test", NOW).await).await?;
    let newest = ModSeq(view.mailbox.highest_modseq.0 - 1);
    timed("changes with one entry", 2000, async || store.changes(me, inbox, newest).await).await?;
    timed("list of 800 mailboxes", 50, async || store.mailboxes(me).await).await?;
    timed("status of 800 mailboxes", 50, async || store.status(me, &ids).await).await?;
    timed("one commit alone", 200, async || {
        let delivery = delivery(me, 1, Place::Inbox);
        store.commit(Batch { deliveries: vec![delivery], ..Batch::default() }, NOW).await
    })
    .await?;
    let started = Instant::now();
    store.close().await;
    println!("{:>9.1} ms close", started.elapsed().as_secs_f64() * 1e3);
    Ok(())
}
