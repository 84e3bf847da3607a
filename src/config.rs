//! `satchel.toml`: what the operator may choose, with every default written out.
//!
//! Parsing is strict: an unknown key or a bad value is refused with file, line, key and what is allowed,
//! before anything is started or touched.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// What `satchel up` writes into a fresh DIR: every key with its default.
pub const TEMPLATE: &str = include_str!("satchel.toml");

/// Bad usage or configuration: the process ends with code 2 and this text.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where everything is kept; the folder of the file when left out.
    pub dir: Option<PathBuf>,
    /// Which doors this process opens. Wallet and queue run with either.
    pub roles: Vec<Role>,
    /// Which chain the money lives on.
    pub network: Network,
    /// Whether the operator accepts keeping other people's money, for escrow. The sandbox's is nobody's.
    pub custody: Custody,
    /// `gate`, or `observe`: prices everything and gates nothing.
    pub mode: Mode,
    /// Names.
    pub server: Server,
    /// Ports.
    pub listen: Listen,
    /// The Lightning node.
    pub wallet: WalletConfig,
    /// Holds and graces.
    pub money: Money,
    /// Sizes and counts.
    pub limits: Limits,
    /// Who may bring mail.
    pub smtp: Smtp,
    /// Look-ups.
    pub dns: Dns,
    /// Where mail for a domain goes instead of its MX: `"shop.test" = "127.0.0.1:2626"`.
    pub routes: BTreeMap<String, SocketAddr>,
    /// A server that delivers for us.
    pub relay: Relay,
    /// Certificates.
    pub tls: Tls,
}

/// A server that delivers for us (a smart host), instead of the servers of each domain.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Relay {
    /// Its name and port, `"smtp.example.org:587"`; empty: mail goes to the servers of its domain.
    pub server: String,
    /// How it is encrypted.
    pub tls: RelayTls,
    /// Name to log in as; empty: no login.
    pub user: String,
    /// A file that holds the password, on one line.
    pub password_file: PathBuf,
}

impl Relay {
    /// Name and port, where there is one.
    pub fn host_and_port(&self) -> Option<(&str, u16)> {
        let (host, port) = self.server.rsplit_once(':')?;
        Some((host, port.parse().ok()?))
    }
}

/// How a smart host is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RelayTls {
    /// STARTTLS, with a certificate that this machine's authorities vouch for.
    #[default]
    Starttls,
    /// TLS from the first octet, likewise.
    Implicit,
    /// None: for a server on this machine.
    Off,
}

/// What a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// MX and submission.
    Gateway,
    /// IMAP, web.
    Mailbox,
}

/// Which chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// The embedded regtest chain with two real nodes.
    #[default]
    Sandbox,
}

/// Whether escrow is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Custody {
    /// HTLC holds only.
    #[default]
    None,
    /// The operator has read what custody means (`docs/operations.md`): escrow beyond what the channels can lock.
    Accepted,
}

/// Gate or only watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Strangers pay.
    #[default]
    Gate,
    /// Everything is priced and let in: for the first weeks of a migration.
    Observe,
}

/// Names.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// The name in banners, EHLO and links.
    pub name: String,
    /// The domains whose mail is ours.
    pub domains: Vec<String>,
    /// Who reads `postmaster@` and `abuse@`; the oldest account when empty.
    pub postmaster: String,
    /// Base of links in mails; derived from the web port when empty.
    pub public_url: String,
    /// What servers that send here are told about TLS (RFC 8461).
    pub mta_sts: MtaStsMode,
    /// HTTPS address of the logo that `satchel dns` names in a BIMI record; empty: none.
    pub bimi_logo: String,
}

/// The mode of the MTA-STS policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MtaStsMode {
    /// No policy is published.
    Off,
    /// Whoever cannot use TLS sends all the same, and reports it.
    #[default]
    Testing,
    /// Whoever cannot use TLS with a valid certificate does not send.
    Enforce,
}

impl MtaStsMode {
    /// The word of the policy; `None` for no policy.
    pub fn word(self) -> Option<&'static str> {
        match self {
            Self::Off => None,
            Self::Testing => Some("testing"),
            Self::Enforce => Some("enforce"),
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            name: "satchel.test".into(),
            domains: vec!["satchel.test".into()],
            postmaster: String::new(),
            public_url: String::new(),
            mta_sts: MtaStsMode::default(),
            bimi_logo: String::new(),
        }
    }
}

/// Addresses and ports. Port 0 picks a free one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// The address every listener binds to.
    pub address: IpAddr,
    /// MX.
    pub smtp: u16,
    /// Submission with STARTTLS.
    pub submission: u16,
    /// Submission with TLS from the start.
    pub submissions: u16,
    /// LMTP, for an MX in front; left out: none.
    pub lmtp: Option<u16>,
    /// IMAP with STARTTLS.
    pub imap: u16,
    /// IMAP with TLS from the start.
    pub imaps: u16,
    /// The web pages.
    pub web: u16,
    /// The web pages over TLS; `None`: not served.
    pub https: Option<u16>,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            address: IpAddr::from([127, 0, 0, 1]),
            smtp: 2525,
            submission: 2587,
            submissions: 2465,
            lmtp: None,
            imap: 2143,
            imaps: 2993,
            web: 8080,
            https: None,
        }
    }
}

/// The Lightning node: the embedded one, or one that somebody else runs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WalletConfig {
    /// Which.
    pub backend: WalletBackend,
    /// Where it is: `"https://127.0.0.1:8080"`. Nostr Wallet Connect needs none: its connection string says it.
    pub address: String,
    /// The only certificate that is trusted, PEM; empty: the public authorities.
    pub certificate: PathBuf,
    /// A file that holds the macaroon, the rune, the connection string or the password.
    pub secret_file: PathBuf,
}

/// What a bridge can take payments with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WalletBackend {
    /// LDK, in this process.
    #[default]
    Embedded,
    /// LND over REST.
    Lnd,
    /// Core Lightning over clnrest, with the plugin holdinvoice.
    Cln,
    /// Nostr Wallet Connect.
    Nwc,
    /// phoenixd, which settles at once.
    Phoenixd,
}

impl WalletBackend {
    /// Its word in the config.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Lnd => "lnd",
            Self::Cln => "cln",
            Self::Nwc => "nwc",
            Self::Phoenixd => "phoenixd",
        }
    }
}

impl WalletConfig {
    /// What types cannot say.
    fn check(&self) -> Result<(), (&'static str, String)> {
        let (name, remote) = (self.backend.name(), self.backend != WalletBackend::Embedded);
        let none = |key, what: &str| Err((key, format!("{what}; allowed with backend = \"{name}\": empty")));
        match (self.address.is_empty(), self.backend) {
            (false, WalletBackend::Embedded) => return none("wallet.address", "the embedded node has no address"),
            (false, WalletBackend::Nwc) => return none("wallet.address", "the connection string names the relay"),
            (true, WalletBackend::Lnd | WalletBackend::Cln | WalletBackend::Phoenixd) => {
                let example = match self.backend {
                    WalletBackend::Lnd => "https://127.0.0.1:8080",
                    WalletBackend::Cln => "https://127.0.0.1:3010",
                    _ => "http://127.0.0.1:9740",
                };
                return Err(("wallet.address", format!("is empty; allowed with \"{name}\": like \"{example}\"")));
            }
            (true, WalletBackend::Embedded | WalletBackend::Nwc) => {}
            (false, _) => lightning::remote::check_address(&self.address)
                .map_err(|error| ("wallet.address", format!("\"{}\" is refused: {error}", self.address)))?,
        }
        if !self.certificate.as_os_str().is_empty() && !matches!(self.backend, WalletBackend::Lnd | WalletBackend::Cln)
        {
            return none("wallet.certificate", "only LND and Core Lightning have a certificate of their own");
        }
        match (self.secret_file.as_os_str().is_empty(), remote) {
            (true, true) => {
                let what = match self.backend {
                    WalletBackend::Lnd => "LND's macaroon",
                    WalletBackend::Cln => "the rune",
                    WalletBackend::Nwc => "the connection string (nostr+walletconnect://)",
                    WalletBackend::Phoenixd | WalletBackend::Embedded => "phoenixd's http-password",
                };
                Err((
                    "wallet.secret_file",
                    format!("is empty; allowed with \"{name}\": a file (mode 0600) with {what}"),
                ))
            }
            (false, false) => none("wallet.secret_file", "the embedded node has its own keys"),
            _ => Ok(()),
        }
    }
}

/// Holds and graces.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Money {
    /// How long a paid mail waits for an answer.
    #[serde(deserialize_with = "duration")]
    pub hold: Duration,
    /// How long an invoice can be paid.
    #[serde(deserialize_with = "duration")]
    pub quote: Duration,
    /// How long a decline by expunge, or a demotion by Junk, waits.
    #[serde(deserialize_with = "duration")]
    pub expunge_grace: Duration,
    /// Blocks the final hop gives us; 244 holds a day with room for a fast chain.
    pub final_cltv: u16,
    /// Open invoices and undecided payments of one author over the whole bridge.
    pub author_quotes: u32,
    /// The same of one domain.
    pub domain_quotes: u32,
}

impl Default for Money {
    fn default() -> Self {
        Self {
            hold: Duration::from_millis(policy::HOLD_MS_DEFAULT.unsigned_abs()),
            quote: Duration::from_millis(policy::QUOTE_MS_DEFAULT.unsigned_abs()),
            expunge_grace: Duration::from_secs(600),
            final_cltv: policy::FINAL_CLTV_DEFAULT,
            author_quotes: policy::Quotas::default().author,
            domain_quotes: policy::Quotas::default().domain,
        }
    }
}

/// The least MESSAGELIMIT (RFC 9738 §3): clients ask for some hundred messages at once.
const IMAP_MESSAGES_MIN: u32 = 1000;

/// Sizes and counts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The largest mail, in MiB.
    pub message_mib: u32,
    /// Free disk below which nothing new is taken, in MiB.
    pub disk_free_mib: u64,
    /// SMTP connections at once.
    pub smtp_connections: usize,
    /// Messages one IMAP command goes through (MESSAGELIMIT, RFC 9738). Clients that do not know this limit take a part
    /// of a larger mailbox for all of it.
    pub imap_messages: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { message_mib: 50, disk_free_mib: 256, smtp_connections: 8192, imap_messages: imap::limits::MESSAGE_LIMIT }
    }
}

/// Who may bring mail.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Smtp {
    /// Whether mail of networks that are not known comes in at the second try only.
    pub greylist: bool,
    /// The time before the second try counts: those who only ever try once, try all at once.
    #[serde(deserialize_with = "duration")]
    pub greylist_delay: Duration,
    /// Block lists that are asked about each peer, by name.
    pub dnsbl: Vec<String>,
    /// Networks that neither is for; this machine, when nothing else is said.
    #[serde(deserialize_with = "networks")]
    pub trusted: Vec<smtp::Network>,
    /// Networks that LMTP serves.
    #[serde(deserialize_with = "networks")]
    pub lmtp_from: Vec<smtp::Network>,
}

impl Smtp {
    /// Whether a peer is in a trusted network.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(peer))
    }
}

impl Default for Smtp {
    fn default() -> Self {
        Self {
            greylist: false,
            greylist_delay: Duration::from_secs(300),
            dnsbl: Vec::new(),
            trusted: smtp::Network::loopback(),
            lmtp_from: smtp::Network::loopback(),
        }
    }
}

/// Look-ups.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dns {
    /// Who answers every look-up.
    pub resolver: LookUps,
    /// Whether answers are proved by DNSSEC where the resolver hands signatures on: DANE needs it. Never in the sandbox's
    /// own zone, which has none.
    pub dnssec: bool,
    /// DNSKEY records that proofs begin at; empty: the root's, as IANA publishes them.
    pub trust_anchor: PathBuf,
}

impl Default for Dns {
    fn default() -> Self {
        Self { resolver: LookUps::default(), dnssec: true, trust_anchor: PathBuf::new() }
    }
}

impl Dns {
    /// Where proofs begin.
    pub fn anchor(&self) -> smtp::TrustAnchor {
        match (self.dnssec, self.trust_anchor.as_os_str().is_empty()) {
            (false, _) => smtp::TrustAnchor::None,
            (true, true) => smtp::TrustAnchor::Iana,
            (true, false) => smtp::TrustAnchor::File(self.trust_anchor.clone()),
        }
    }
}

/// Who answers look-ups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LookUps {
    /// The sandbox's own zone, which knows names under `.test` only.
    #[default]
    Sandbox,
    /// The resolver of this machine, `"system"`.
    System,
    /// This one, `"127.0.0.1:5353"`.
    Server(SocketAddr),
}

/// Certificates.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// PEM chain; empty: a self-signed one is made on first use.
    pub certificate: PathBuf,
    /// PEM key.
    pub key: PathBuf,
    /// Further pairs, chosen by the name a client asks for.
    pub further: Vec<Pair>,
    /// Where to order a certificate by ACME: `letsencrypt`, `letsencrypt-staging`, or the address of a CA's directory; empty:
    /// nowhere.
    pub acme: String,
    /// An address the CA may write to.
    pub acme_contact: String,
    /// What the certificate is for; the server's name when empty.
    pub acme_names: Vec<String>,
    /// PEM: what to trust the CA's directory by, instead of the public authorities.
    pub acme_ca: PathBuf,
}

/// A certificate and its key.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// PEM chain.
    pub certificate: PathBuf,
    /// PEM key.
    pub key: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dir: None,
            roles: vec![Role::Gateway, Role::Mailbox],
            network: Network::default(),
            custody: Custody::default(),
            mode: Mode::default(),
            server: Server::default(),
            listen: Listen::default(),
            wallet: WalletConfig::default(),
            money: Money::default(),
            limits: Limits::default(),
            smtp: Smtp::default(),
            dns: Dns::default(),
            routes: BTreeMap::new(),
            relay: Relay::default(),
            tls: Tls::default(),
        }
    }
}

impl Config {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError(format!("{}: cannot be read: {error}", path.display())))?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Parses and checks a text; `name` stands for the file in messages.
    pub fn parse(text: &str, name: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
            let key = text.lines().nth(line - 1).and_then(|l| l.split_once('=')).map_or("", |(key, _)| key.trim());
            let at = if key.is_empty() { String::new() } else { format!(", key `{key}`") };
            ConfigError(format!("{name}: line {line}{at}: {}", error.message()))
        })?;
        config.check().map_err(|(key, what)| {
            let line = line_of(text, key).map_or_else(|| "default".to_owned(), |line| format!("line {line}"));
            ConfigError(format!("{name}: {line}, key `{key}`: {what}"))
        })?;
        Ok(config)
    }

    /// What types cannot say. Returns the key and what is allowed.
    fn check(&self) -> Result<(), (&'static str, String)> {
        if self.roles.is_empty() {
            return Err(("roles", "is empty; allowed: \"gateway\", \"mailbox\" or both".into()));
        }
        if self.server.domains.is_empty() {
            return Err(("server.domains", "is empty; allowed: at least one domain name".into()));
        }
        for domain in self.server.domains.iter().chain([&self.server.name]) {
            if !is_domain(domain) {
                return Err((
                    if domain == &self.server.name { "server.name" } else { "server.domains" },
                    format!("\"{domain}\" is no domain name; allowed: labels of a-z, 0-9 and '-' joined by dots"),
                ));
            }
        }
        for domain in self.routes.keys() {
            if !is_domain(domain) {
                return Err(("routes", format!("\"{domain}\" is no domain name")));
            }
        }
        if !self.relay.server.is_empty() && self.relay.host_and_port().is_none() {
            return Err((
                "relay.server",
                format!(
                    "\"{}\" is no server; allowed: name and port, like \"smtp.example.org:587\", or empty",
                    self.relay.server
                ),
            ));
        }
        if self.relay.user.is_empty() != self.relay.password_file.as_os_str().is_empty() {
            return Err(("relay.user", "user and password_file belong together: give both or neither".into()));
        }
        if !(1..=1024).contains(&self.limits.message_mib) {
            return Err((
                "limits.message_mib",
                format!("{} is out of range; allowed: 1 to 1024", self.limits.message_mib),
            ));
        }
        self.wallet.check()?;
        let (least, most) = (policy::FINAL_CLTV_MIN, policy::FINAL_CLTV_MAX);
        if !(least..=most).contains(&self.money.final_cltv) {
            return Err((
                "money.final_cltv",
                format!("{} is out of range; allowed: {least} to {most} blocks", self.money.final_cltv),
            ));
        }
        if self.money.author_quotes == 0 || self.money.domain_quotes == 0 {
            return Err(("money.author_quotes", "0 would let nobody pay; allowed: 1 and more".into()));
        }
        if self.tls.certificate.as_os_str().is_empty() != self.tls.key.as_os_str().is_empty() {
            return Err(("tls.certificate", "certificate and key belong together: give both or neither".into()));
        }
        if self.tls.certificate.as_os_str().is_empty() && !self.tls.further.is_empty() {
            return Err((
                "tls.further",
                "needs tls.certificate and tls.key: the first pair serves whoever asks for no name".into(),
            ));
        }
        if !self.server.bimi_logo.is_empty() && !self.server.bimi_logo.starts_with("https://") {
            return Err(("server.bimi_logo", "is no https:// address".into()));
        }
        self.check_acme()?;
        if self.listen.lmtp == Some(25) {
            // RFC 2033 §5: whoever connects to port 25 expects SMTP.
            return Err(("listen.lmtp", "25 is the port of SMTP; allowed: any other port, or 0 for a free one".into()));
        }
        if self.smtp.greylist_delay > Duration::from_secs(86_400) {
            return Err((
                "smtp.greylist_delay",
                "is too long; allowed: at most 24h, for then servers begin anew".into(),
            ));
        }
        if let Some(list) = self.smtp.dnsbl.iter().find(|list| !is_domain(list)) {
            return Err(("smtp.dnsbl", format!("\"{list}\" is no domain name; allowed: like \"zen.example.org\"")));
        }
        if self.smtp.lmtp_from.is_empty() {
            let allowed = "allowed: networks like \"127.0.0.0/8\"; leave listen.lmtp out for no LMTP";
            return Err(("smtp.lmtp_from", format!("is empty; {allowed}")));
        }
        if self.limits.smtp_connections == 0 {
            return Err(("limits.smtp_connections", "0 would refuse everybody; allowed: 1 and more".into()));
        }
        if self.limits.imap_messages < IMAP_MESSAGES_MIN {
            return Err((
                "limits.imap_messages",
                format!("{} is too low; allowed: {IMAP_MESSAGES_MIN} and more", self.limits.imap_messages),
            ));
        }
        Ok(())
    }

    fn check_acme(&self) -> Result<(), (&'static str, String)> {
        let tls = &self.tls;
        let is_known = matches!(tls.acme.as_str(), "" | "letsencrypt" | "letsencrypt-staging");
        // RFC 8555 §6.1: HTTPS and nothing else.
        if !is_known && !tls.acme.starts_with("https://") {
            let text =
                "allowed: \"letsencrypt\", \"letsencrypt-staging\", the https:// address of a CA's directory, or empty";
            return Err(("tls.acme", format!("\"{}\" is no CA; {text}", tls.acme)));
        }
        if !tls.acme.is_empty() && !self.runs(Role::Mailbox) {
            return Err(("tls.acme", "needs the role \"mailbox\": the CA asks at the web door".into()));
        }
        if !tls.acme_contact.is_empty() && !smtp::is_mailbox(&tls.acme_contact) {
            return Err(("tls.acme_contact", format!("\"{}\" is no mail address", tls.acme_contact)));
        }
        if let Some(name) = tls.acme_names.iter().find(|name| !is_domain(name)) {
            return Err((
                "tls.acme_names",
                format!("\"{name}\" is no name that HTTP-01 can prove; allowed: host names, without wildcards"),
            ));
        }
        Ok(())
    }

    /// What a certificate by ACME is for.
    pub fn acme_names(&self) -> Vec<String> {
        let named = &self.tls.acme_names;
        if named.is_empty() { vec![self.server.name.clone()] } else { named.clone() }
    }

    /// Whether money may be received before it is decided about.
    pub fn allows_escrow(&self) -> bool {
        !self.is_real() || self.custody == Custody::Accepted
    }

    /// Whether the money may be worth something: anything but the sandbox's own node.
    pub fn is_real(&self) -> bool {
        match (self.network, self.wallet.backend) {
            (Network::Sandbox, WalletBackend::Embedded) => false,
            (
                Network::Sandbox,
                WalletBackend::Lnd | WalletBackend::Cln | WalletBackend::Nwc | WalletBackend::Phoenixd,
            ) => true,
        }
    }

    /// How long a paid mail waits for an answer, by how its payment is held.
    pub fn hold(&self, kind: lnmp::HoldKind) -> Duration {
        let chosen = i64::try_from(self.money.hold.as_millis()).unwrap_or(i64::MAX / 2);
        Duration::from_millis(policy::hold_ms(kind, chosen, self.money.final_cltv).unsigned_abs())
    }

    /// Whether this process runs a role.
    pub fn runs(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Whether a domain (lower case) is ours.
    pub fn is_local_domain(&self, domain: &str) -> bool {
        self.server.domains.iter().any(|ours| ours.eq_ignore_ascii_case(domain))
    }

    /// The domain bare user names and bridge letters belong to.
    pub fn first_domain(&self) -> &str {
        self.server.domains.first().map_or("satchel.test", String::as_str)
    }
}

/// The line a key like `wallet.address` stands in; where it is left out, its table's.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let (table, leaf) = key.rsplit_once('.').unwrap_or(("", key));
    let (mut here, mut header) = ("", None);
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            here = name.trim();
            header = header.or_else(|| (here == table).then_some(index + 1));
        } else if here == table && line.strip_prefix(leaf).is_some_and(|rest| rest.trim_start().starts_with('=')) {
            return Some(index + 1);
        }
    }
    header
}

fn is_domain(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        })
}

/// A length of time in words: a whole number and `ms`, `s`, `m`, `h` or `d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DurationText(pub Duration);

impl std::str::FromStr for DurationText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let wrong =
            || format!("\"{text}\" is no length of time; allowed: a whole number and ms, s, m, h or d, like \"24h\"");
        let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
        let ms = match &text[digits..] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        number
            .checked_mul(ms)
            .filter(|ms| *ms <= 366 * 86_400_000)
            .map(|ms| Self(Duration::from_millis(ms)))
            .ok_or_else(wrong)
    }
}

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)] {
            if ms >= size && ms.is_multiple_of(size) {
                return write!(f, "{}{unit}", ms / size);
            }
        }
        write!(f, "{ms}ms")
    }
}

fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    String::deserialize(from)?.parse::<DurationText>().map(|text| text.0).map_err(D::Error::custom)
}

fn networks<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<smtp::Network>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    texts.iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
}

impl<'de> Deserialize<'de> for LookUps {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        match text.as_str() {
            "" => Ok(Self::Sandbox),
            "system" => Ok(Self::System),
            address => address.parse().map(Self::Server).map_err(|_| {
                let allowed = "IP and port, like \"127.0.0.1:5353\", \"system\", or empty";
                D::Error::custom(format!("\"{text}\" is no address; allowed: {allowed}"))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_says_exactly_the_defaults() {
        let written = Config::parse(TEMPLATE, "satchel.toml").unwrap();
        assert_eq!(format!("{written:?}"), format!("{:?}", Config::default()));
    }

    #[test]
    fn a_bad_value_names_file_line_key_and_what_is_allowed() {
        for (text, parts) in [
            ("\n[listen]\nsmtp = 70000\n", ["line 3", "smtp", "u16"]),
            ("[money]\nhold = \"soon\"\n", ["line 2", "hold", "like \"24h\""]),
            ("network = \"mainnet\"\n", ["line 1", "network", "sandbox"]),
            ("[server]\nnmae = \"x\"\n", ["line 2", "nmae", "expected one of"]),
            ("[server]\nname = \"not a name\"\n", ["line 2", "server.name", "labels"]),
            ("[limits]\nmessage_mib = 0\n", ["line 2", "message_mib", "1 to 1024"]),
            ("[relay]\nserver = \"smtp.example.org\"\n", ["line 2", "relay.server", "name and port"]),
            ("[tls]\nacme = \"http://ca.test/\"\n", ["line 2", "tls.acme", "https://"]),
            ("roles = [\"gateway\"]\n[tls]\nacme = \"letsencrypt\"\n", ["line 3", "tls.acme", "role \"mailbox\""]),
            ("[tls]\nacme_names = [\"*.a.test\"]\n", ["line 2", "acme_names", "wildcards"]),
            ("[tls]\nfurther = [{ certificate = \"a\", key = \"b\" }]\n", ["line 2", "tls.further", "first pair"]),
            ("[smtp]\ntrusted = [\"here\"]\n", ["line 2", "trusted", "192.0.2.0/24"]),
            ("[smtp]\ndnsbl = [\"no list\"]\n", ["line 2", "smtp.dnsbl", "zen.example.org"]),
            ("[listen]\nlmtp = 25\n", ["line 2", "listen.lmtp", "any other port"]),
            ("[dns]\nresolver = \"here\"\n", ["line 2", "resolver", "127.0.0.1:5353"]),
            ("[dns]\nresolver = \"System\"\n", ["line 2", "resolver", "\"system\""]),
            ("[wallet]\nbackend = \"electrum\"\n", ["line 2", "backend", "`phoenixd`"]),
            ("[listen]\naddress = \"::1\"\n[wallet]\naddress = \"x\"\n", ["line 4", "wallet.address", "empty"]),
            ("[wallet]\nbackend = \"lnd\"\n", ["line 1", "wallet.address", "https://127.0.0.1:8080"]),
            (
                "[wallet]\nbackend = \"cln\"\naddress = \"http://10.0.0.1\"\n",
                ["line 3", "wallet.address", "https://HOST"],
            ),
            ("[wallet]\nbackend = \"nwc\"\nsecret_file = \"\"\n", ["line 3", "wallet.secret_file", "0600"]),
            ("[wallet]\nbackend = \"nwc\"\ncertificate = \"x\"\n", ["line 3", "wallet.certificate", "empty"]),
        ] {
            let error = Config::parse(text, "f.toml").unwrap_err().to_string();
            assert!(error.starts_with("f.toml:"), "{error}");
            for part in parts {
                assert!(error.contains(part), "{error:?} should contain {part:?}");
            }
        }
    }

    #[test]
    fn escrow_needs_the_operators_word_wherever_money_is_real() {
        assert!(Config::default().allows_escrow());
        for backend in [WalletBackend::Lnd, WalletBackend::Cln, WalletBackend::Nwc, WalletBackend::Phoenixd] {
            let wallet = WalletConfig { backend, ..WalletConfig::default() };
            let real = Config { wallet, ..Config::default() };
            assert!(!real.allows_escrow(), "{}", backend.name());
            assert!(Config { custody: Custody::Accepted, ..real }.allows_escrow());
        }
    }

    #[test]
    fn a_hold_is_cut_to_what_its_blocks_last() {
        let text = "[money]\nhold = \"48h\"\n";
        let config = Config::parse(text, "f.toml").unwrap();
        assert_eq!(config.hold(lnmp::HoldKind::Htlc), Duration::from_secs(24 * 3600));
        assert_eq!(config.hold(lnmp::HoldKind::Escrow), Duration::from_secs(48 * 3600));
    }

    #[test]
    fn lengths_of_time_read_and_print() {
        for (text, ms) in
            [("250ms", 250), ("2s", 2000), ("10m", 600_000), ("24h", 86_400_000), ("60d", 60 * 86_400_000)]
        {
            assert_eq!(text.parse::<DurationText>().unwrap().0, Duration::from_millis(ms));
        }
        assert_eq!(DurationText(Duration::from_secs(600)).to_string(), "10m");
        for text in ["", "s", "5", "5 m", "-5m", "99999999999999999999d"] {
            assert!(text.parse::<DurationText>().is_err(), "{text}");
        }
    }
}
