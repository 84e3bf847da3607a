//! Everything the flows share: the rooms, the keys, the config.

use std::sync::{Arc, OnceLock, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use attachments::Shelf;
use lightning::{Sandbox, Wallet};
use lnmp::{Act, Allowed, GateFacts, HoldKind, NoRoom, Quoting, Sealer, Verdict};
use store::{AskCounts, Rules, Store, UnixMs};
use tokio::sync::{Notify, Semaphore, SemaphorePermit, watch};

use crate::accounts::Sessions;
use crate::acme::Acme;
use crate::config::{Config, LookUps};
use crate::dir::Dir;
use crate::flow::dnsbl::Blocklists;
use crate::flow::greylist::Greylist;
use crate::flow::tls_report::Counts;
use crate::groups::Group;
use crate::keys::Keys;
use crate::tls::Certificates;

/// Memory for messages being converted, over all connections, in MiB: eight of the largest that leave at once, or seven
/// hundred that arrive.
const CONVERSIONS_MIB: u32 = 1536;
/// How often a message that is in memory as a whole is there: as it came, with its trace, as content.
const COPIES: u64 = 3;
/// What a message takes of which only windows are in memory, in MiB: its header, a skeleton and its content, or a window
/// and some chunks.
const WINDOWED_MIB: u32 = 2;

/// The house.
pub struct House {
    /// What the operator chose.
    pub config: Config,
    /// Where everything lies.
    pub dir: Dir,
    /// Bridge key and identity.
    pub keys: Keys,
    /// Accounts, mail, gates, ledger.
    pub store: Arc<dyn Store>,
    /// Seals arriving mail to its recipient.
    pub sealer: Sealer,
    /// Who is logged in.
    pub sessions: Sessions,
    /// Rung after every commit that made a job or queued a mail.
    pub work: Notify,
    /// Held while a quote is made: what one reserves, the next must see.
    pub quoting: tokio::sync::Mutex<()>,
    /// Held while the operator pays from the node: what is under way is one list.
    pub paying: tokio::sync::Mutex<()>,
    /// Held while the prices that users' wallets pay change: they are one list.
    pub spending: tokio::sync::Mutex<()>,
    /// Held while the channels are looked at; a difference between ledger and node, and since when it stands.
    pub channels: tokio::sync::Mutex<Option<(i64, UnixMs)>>,
    /// Held while a digest is written: two sessions that begin together are one first session.
    pub digesting: tokio::sync::Mutex<()>,
    /// Held while an owner's choices change: two changes at once are both kept.
    pub choosing: tokio::sync::Mutex<()>,
    /// The bridge's allow-list, as the store keeps it: asked for every mail.
    allowed: RwLock<Arc<Vec<Allowed>>>,
    /// The groups, as the store keeps them: asked for names that are nobody's.
    groups: RwLock<Arc<Vec<Group>>>,
    /// MiB of messages being converted, over all connections.
    conversions: Semaphore,
    /// Which networks came again.
    pub greylist: Greylist,
    /// What block lists said.
    pub blocklists: Blocklists,
    /// What sessions with other servers came to.
    pub tls_counts: Counts,
    /// Held while a report of another server is read: what is kept of them is one record.
    pub reporting: tokio::sync::Mutex<()>,
    /// Adds records to the sandbox's zone, where that answers.
    pub zone: OnceLock<smtp::ZonePublisher>,
    /// What only a running server has; empty while a command works on a closed DIR.
    running: OnceLock<Running>,
}

/// What only a running server has.
pub struct Running {
    /// Attachments.
    pub shelf: Arc<dyn Shelf>,
    /// The bridge's wallet.
    pub wallet: Arc<dyn Wallet>,
    /// The sandbox around it.
    pub sandbox: Option<Arc<Sandbox>>,
    /// Checks who wrote a mail.
    pub authenticator: smtp::Authenticator,
    /// Finds other servers.
    pub resolver: smtp::Resolver,
    /// And the way to them.
    pub router: smtp::Router,
    /// Base of links in mails, without a slash at the end.
    pub public_url: String,
    /// Where the doors are bound.
    pub ports: Ports,
    /// What TLS shows.
    pub certificates: Arc<Certificates>,
    /// Orders them, where a CA is configured.
    pub acme: Option<Arc<Acme>>,
}

/// The bound ports, as `run/ready.json` holds them; `null` where the role is not run.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
#[expect(missing_docs, reason = "the names are those of design section 8")]
pub struct Ports {
    pub smtp: Option<u16>,
    pub submission: Option<u16>,
    pub submissions: Option<u16>,
    pub imap: Option<u16>,
    pub imaps: Option<u16>,
    pub web: Option<u16>,
    #[serde(default)]
    pub https: Option<u16>,
    /// Only where it is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lmtp: Option<u16>,
    /// The relay comes with a later version.
    pub relay: Option<u16>,
}

/// A command needs the running server.
#[derive(Debug, thiserror::Error)]
#[error("the server is not running: start `satchel up` first")]
pub struct NotRunning;

impl House {
    /// A house without doors: enough for commands on a closed DIR.
    pub fn new(config: Config, dir: Dir, keys: Keys, store: Arc<dyn Store>) -> Self {
        let sealer = Sealer::new(keys.identity());
        Self {
            config,
            dir,
            keys,
            store,
            sealer,
            sessions: Sessions::default(),
            work: Notify::new(),
            quoting: tokio::sync::Mutex::new(()),
            paying: tokio::sync::Mutex::new(()),
            spending: tokio::sync::Mutex::new(()),
            channels: tokio::sync::Mutex::new(None),
            digesting: tokio::sync::Mutex::new(()),
            choosing: tokio::sync::Mutex::new(()),
            allowed: RwLock::default(),
            groups: RwLock::default(),
            conversions: Semaphore::new(CONVERSIONS_MIB as usize),
            greylist: Greylist::default(),
            blocklists: Blocklists::default(),
            tls_counts: Counts::default(),
            reporting: tokio::sync::Mutex::new(()),
            zone: OnceLock::new(),
            running: OnceLock::new(),
        }
    }

    /// Opens for business; once.
    pub fn start(&self, running: Running) {
        if self.running.set(running).is_err() {
            unreachable!("run::run starts a house once");
        }
    }

    /// What only a running server has.
    pub fn running(&self) -> Result<&Running, NotRunning> {
        self.running.get().ok_or(NotRunning)
    }

    /// Whom the bridge lets in free, for every account.
    pub fn allowed(&self) -> Arc<Vec<Allowed>> {
        Arc::clone(&self.allowed.read().expect("no holder of this lock panics"))
    }

    /// What [`House::allowed`] says from now on.
    pub fn set_allowed(&self, list: Vec<Allowed>) {
        *self.allowed.write().expect("no holder of this lock panics") = Arc::new(list);
    }

    /// The addresses of several people.
    pub fn groups(&self) -> Arc<Vec<Group>> {
        Arc::clone(&self.groups.read().expect("no holder of this lock panics"))
    }

    /// What [`House::groups`] says from now on.
    pub fn set_groups(&self, list: Vec<Group>) {
        *self.groups.write().expect("no holder of this lock panics") = Arc::new(list);
    }

    /// Waits until there is room in memory to convert a message that has arrived.
    pub async fn room_to_convert(&self, content: &smtp::Spool) -> Option<SemaphorePermit<'_>> {
        match content.in_memory() {
            Some(content) => self.room_for(content.len() as u64).await,
            None => self.room_for_windows().await,
        }
    }

    /// Waits until there is room in memory for a message of which there are only windows.
    pub async fn room_for_windows(&self) -> Option<SemaphorePermit<'_>> {
        self.conversions.acquire_many(WINDOWED_MIB).await.ok()
    }

    /// Waits until there is room in memory for a whole message of so many octets.
    pub async fn room_for(&self, octets: u64) -> Option<SemaphorePermit<'_>> {
        let mib = u32::try_from(octets * COPIES / (1024 * 1024)).unwrap_or(u32::MAX).saturating_add(1);
        self.conversions.acquire_many(mib.min(CONVERSIONS_MIB)).await.ok()
    }

    /// The address letters of the bridge come from.
    pub fn bridge_address(&self) -> String {
        format!("postmaster@{}", self.config.first_domain())
    }

    /// Whether the disk is too full to take anything new (design section 4, "when things are short").
    pub fn is_short_of_disk(&self) -> bool {
        let floor = self.config.limits.disk_free_mib * 1024 * 1024;
        self.dir.free_bytes().is_ok_and(|free| free < floor)
    }

    /// What mail clients connect to: the server's name, or the address where nobody else could reach it.
    pub fn connect_to(&self) -> String {
        let address = self.config.listen.address;
        if address.is_loopback() { address.to_string() } else { self.config.server.name.clone() }
    }

    /// Whom to ask, where it is not the sandbox's own zone.
    pub fn configured_resolver(&self) -> Option<smtp::DnsConfig> {
        let config = match self.config.dns.resolver {
            LookUps::Sandbox => return None,
            LookUps::System => smtp::DnsConfig::default(),
            LookUps::Server(address) => smtp::DnsConfig::server(address),
        };
        Some(smtp::DnsConfig { trust_anchor: self.config.dns.anchor(), ..config })
    }
}

/// The wall clock, owned here; everything below takes `now`.
pub fn now_ms() -> UnixMs {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// `policy`, in the shape the store asks inside its transactions.
#[derive(Debug, Clone, Copy)]
pub struct PolicyRules {
    /// The config's `money.expunge_grace`.
    pub grace: std::time::Duration,
    /// The config's `money.author_quotes` and `money.domain_quotes`.
    pub quotas: policy::Quotas,
}

impl PolicyRules {
    /// The rules as the config chooses.
    pub fn of(config: &Config) -> Self {
        let quotas = policy::Quotas { author: config.money.author_quotes, domain: config.money.domain_quotes };
        Self { grace: config.money.expunge_grace, quotas }
    }
}

impl Rules for PolicyRules {
    fn meaning(&self, act: &Act, facts: &GateFacts) -> Verdict {
        policy::meaning(act, facts)
    }

    fn meaning_without_gate(&self, act: &Act) -> Verdict {
        policy::meaning_without_gate(act)
    }

    fn may_ask(&self, counts: &AskCounts) -> bool {
        may_ask(counts)
    }

    fn hold_kind(&self, quoting: &Quoting) -> Result<HoldKind, NoRoom> {
        policy::hold_kind(quoting, self.quotas)
    }

    fn may_offer(&self, of_author: u32, of_domain: u32) -> bool {
        policy::may_offer(of_author, of_domain, self.quotas)
    }

    fn grace_ms(&self) -> i64 {
        i64::try_from(self.grace.as_millis()).unwrap_or(i64::MAX / 2)
    }
}

/// Whether one more payment request may go to an author who was asked this often.
pub fn may_ask(counts: &AskCounts) -> bool {
    policy::within_limits(&policy::AskCounts {
        author_account_day: counts.author_account_day,
        author_day: counts.author_day,
        domain_hour: counts.domain_hour,
        dkim_signature: counts.dkim_signature,
    })
}

/// Waits until the server stops.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error says that whoever could stop us is gone: that is a stop, too.
    let _ = stop.wait_for(|stop| *stop).await;
}
