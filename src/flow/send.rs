//! Mail goes out: the queue is leased, delivered, retried, and bounced when it must be.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use smtp::client::{self, Deadlines, Outcome, Outgoing, Reply, Target, Tls};
use smtp::{DnsError, ReversePath};
use store::{Batch, CaughtMail, QueueItem, QueueOutcome, UnixMs};
use tokio::sync::{Semaphore, watch};

use crate::config::Network;
use crate::flow::{bounce, submit};
use crate::house::{House, now_ms, stopped};

/// A leased item comes back after this long when its sender died: longer than any delivery may take.
const LEASE_MS: i64 = 15 * 60_000;
/// Items taken at once.
const ITEMS_AT_ONCE: usize = 200;
/// Deliveries under way at once, over all domains.
const DELIVERIES_AT_ONCE: usize = 20;
/// Nothing due: look again at least this often.
const IDLE: Duration = Duration::from_millis(500);
/// Waits between tries: quick at first (greylisting), then as RFC 5321 §4.5.4.1 asks.
const RETRY_MINUTES: [i64; 8] = [1, 5, 15, 30, 60, 120, 240, 240];
/// Servers of one domain tried in one attempt.
const HOSTS_MAX: usize = 5;

/// Delivers until `stop`.
pub async fn run(house: Arc<House>, mut stop: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(DELIVERIES_AT_ONCE));
    loop {
        let bell = house.work.notified();
        match house.store.lease_queue(now_ms(), LEASE_MS, ITEMS_AT_ONCE).await {
            Ok(items) if !items.is_empty() => {
                for group in by_destination(items) {
                    let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
                    let house = Arc::clone(&house);
                    tokio::spawn(async move {
                        deliver(&house, group).await;
                        drop(slot);
                    });
                }
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the queue cannot be read"),
        }
        tokio::select! {
            () = bell => {}
            () = tokio::time::sleep(IDLE) => {}
            () = stopped(&mut stop) => return,
        }
    }
}

/// Recipients of one mail in one domain share a connection.
fn by_destination(items: Vec<QueueItem>) -> Vec<Vec<QueueItem>> {
    let mut groups: HashMap<(i64, String), Vec<QueueItem>> = HashMap::new();
    for item in items {
        groups.entry((item.mail, domain_of(&item.recipient).to_owned())).or_default().push(item);
    }
    groups.into_values().collect()
}

fn domain_of(mailbox: &str) -> &str {
    mailbox.rsplit_once('@').map_or("", |(_, domain)| domain)
}

/// What one recipient's try came to.
enum Try {
    Taken,
    Later(String),
    Never { status: String, text: String },
}

async fn deliver(house: &House, items: Vec<QueueItem>) {
    let Some(first) = items.first() else { return };
    let domain = domain_of(&first.recipient).to_lowercase();
    let tries = attempt(house, &domain, &items).await;
    let now = now_ms();
    let mut outcomes = Vec::with_capacity(items.len());
    let mut causes = Batch::default();
    for (item, one) in items.iter().zip(tries) {
        match one {
            Try::Taken => outcomes.push(QueueOutcome::Done(item.id)),
            Try::Later(error) if now < item.expires_at => {
                outcomes.push(QueueOutcome::Retry { id: item.id, due_at: next_try(item, now), error });
            }
            Try::Later(error) => {
                outcomes.push(QueueOutcome::Done(item.id));
                let text = format!("given up after {} tries; the last one met: {error}", item.attempts + 1);
                bounce::bounce(house, item, "4.4.7", &text, &mut causes, now).await;
            }
            Try::Never { status, text } => {
                outcomes.push(QueueOutcome::Done(item.id));
                bounce::bounce(house, item, &status, &text, &mut causes, now).await;
            }
        }
    }
    let again = !causes.outgoing.is_empty();
    if let Err(error) = house.store.finish_queue(outcomes, causes, now).await {
        // The lease runs out and it is sent again: the one way a duplicate can come to be.
        tracing::error!(%error, "delivered mail could not be ticked off");
    }
    if again {
        house.work.notify_waiters();
    }
}

fn next_try(item: &QueueItem, now: UnixMs) -> UnixMs {
    let index = usize::try_from(item.attempts).unwrap_or(usize::MAX).min(RETRY_MINUTES.len() - 1);
    now + RETRY_MINUTES[index] * 60_000
}

async fn attempt(house: &House, domain: &str, items: &[QueueItem]) -> Vec<Try> {
    let all = |make: &dyn Fn() -> Try| items.iter().map(|_| make()).collect::<Vec<_>>();
    if house.config.is_local_domain(domain) {
        return to_ourselves(house, items).await;
    }
    let Ok(running) = house.running() else { return all(&|| Try::Later("the server is stopping".into())) };
    let targets = match house.config.routes.get(domain) {
        Some(address) => vec![Target { host: domain.to_owned(), addresses: vec![*address] }],
        None if house.config.network == Network::Sandbox && is_test(domain) => {
            let mut tries = Vec::with_capacity(items.len());
            for item in items {
                tries.push(catch(house, item).await);
            }
            return tries;
        }
        None => match targets(&running.resolver, domain).await {
            Ok(targets) => targets,
            Err(failed) => return all(&|| failed.as_try()),
        },
    };
    let Some(first) = items.first() else { return Vec::new() };
    let recipients: Vec<String> = items.iter().map(|item| item.recipient.clone()).collect();
    let reverse_path = match first.reverse_path.as_str() {
        "" => ReversePath::Null,
        mailbox => ReversePath::Mailbox(mailbox.to_owned()),
    };
    let message = signed(house, &first.message);
    let outgoing = Outgoing {
        helo: &house.config.server.name,
        reverse_path: &reverse_path,
        recipients: &recipients,
        message: &message,
        smtputf8: needs_smtputf8(&message),
    };
    let mut last = Try::Later(format!("no server of {domain} could be reached"));
    for target in &targets {
        match client::deliver(target, &outgoing, Tls::Opportunistic, Deadlines::default()).await {
            Ok(outcomes) => {
                return outcomes
                    .into_iter()
                    .map(|outcome| match outcome {
                        Outcome::Delivered(_) => Try::Taken,
                        Outcome::Temporary(reply) => Try::Later(reply.to_string()),
                        Outcome::Permanent(reply) => never(&reply),
                    })
                    .collect();
            }
            Err(error) if error.is_permanent() => {
                let reply = error.reply();
                return all(&|| never(&reply));
            }
            Err(error) => last = Try::Later(error.to_string()),
        }
    }
    let Try::Later(why) = last else { return Vec::new() };
    all(&|| Try::Later(why.clone()))
}

/// The message under a DKIM signature of its From domain, when that is ours; else as it is.
fn signed<'a>(house: &House, message: &'a [u8]) -> Cow<'a, [u8]> {
    let facts = converter::facts(message);
    let Some(domain) = facts.author().map(|author| author.domain.to_lowercase()) else { return Cow::Borrowed(message) };
    if !house.config.is_local_domain(&domain) {
        return Cow::Borrowed(message);
    }
    match house.keys.dkim(&domain).and_then(|key| key.sign(message)) {
        Ok(field) => Cow::Owned([field.as_bytes(), message].concat()),
        Err(error) => {
            tracing::error!(%error, "a mail goes out without a DKIM signature");
            Cow::Borrowed(message)
        }
    }
}

fn never(reply: &Reply) -> Try {
    let (class, subject, detail) = reply.enhanced.unwrap_or((5, 0, 0));
    Try::Never { status: format!("{class}.{subject}.{detail}"), text: reply.to_string() }
}

/// RFC 6532: whether the header itself is beyond ASCII.
fn needs_smtputf8(message: &[u8]) -> bool {
    !message[..converter::header_length(message)].is_ascii()
}

/// Why a domain has no server.
enum NoServer {
    Later(String),
    Never(&'static str, String),
}

impl NoServer {
    fn as_try(&self) -> Try {
        match self {
            Self::Later(why) => Try::Later(why.clone()),
            Self::Never(status, text) => Try::Never { status: (*status).to_owned(), text: text.clone() },
        }
    }
}

async fn targets(resolver: &smtp::Resolver, domain: &str) -> Result<Vec<Target>, NoServer> {
    let hosts = match resolver.mx(domain).await {
        Ok(hosts) => hosts,
        Err(error @ DnsError::NullMx(_)) => return Err(NoServer::Never("5.1.10", error.to_string())),
        Err(error @ DnsError::NoSuchName(_)) => return Err(NoServer::Never("5.1.2", error.to_string())),
        Err(error) => return Err(NoServer::Later(format!("looking up {domain}: {error}"))),
    };
    let mut targets = Vec::new();
    for host in hosts.into_iter().take(HOSTS_MAX) {
        if let Ok(addresses) = resolver.addresses(&host.host).await
            && !addresses.is_empty()
        {
            let addresses = addresses.into_iter().map(|ip| SocketAddr::new(ip, SMTP_PORT)).collect();
            targets.push(Target { host: host.host, addresses });
        }
    }
    if targets.is_empty() {
        return Err(NoServer::Later(format!("no server of {domain} has an address")));
    }
    Ok(targets)
}

/// RFC 5321 §4.5.4.2.
const SMTP_PORT: u16 = 25;

fn is_test(domain: &str) -> bool {
    domain == "test" || domain.ends_with(".test")
}

/// The sandbox's catch-all takes what no route names.
async fn catch(house: &House, item: &QueueItem) -> Try {
    let mail = CaughtMail {
        from: item.reverse_path.clone(),
        to: item.recipient.clone(),
        message: item.message.as_ref().clone(),
        at: now_ms(),
    };
    match house.store.catch_mail(mail).await {
        Ok(()) => Try::Taken,
        Err(error) => Try::Later(error.to_string()),
    }
}

/// A letter of the bridge to one of our own: filed, once, with the item's end.
async fn to_ourselves(house: &House, items: &[QueueItem]) -> Vec<Try> {
    let mut tries = Vec::with_capacity(items.len());
    for item in items {
        let now = now_ms();
        let filed = match submit::letter(house, &item.recipient, &item.message, now).await {
            Ok(Some(delivery)) => {
                let causes = Batch { deliveries: vec![delivery], ..Batch::default() };
                // Filing and ticking off are one commit: a crash between would file it twice.
                house.store.finish_queue(vec![QueueOutcome::Done(item.id)], causes, now).await.map(|()| true)
            }
            Ok(None) => Ok(false),
            Err(refusal) => {
                tries.push(Try::Later(refusal.text));
                continue;
            }
        };
        tries.push(match filed {
            Ok(true) => Try::Taken,
            Ok(false) => Try::Never { status: "5.1.1".into(), text: "there is no such mailbox here".into() },
            Err(error) => Try::Later(error.to_string()),
        });
    }
    tries
}
