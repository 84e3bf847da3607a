//! `satchel.toml`: what the operator may choose, with every default written out.
//!
//! Parsing is strict: an unknown key or a bad value is refused with file, line, key and what is allowed,
//! before anything is started or touched.

mod chain;
mod channels;
mod dns;
mod money;
mod names;
mod smtp;
mod time;
mod tls;
mod wallet;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

pub use self::chain::{Chain, ChainKind};
pub use self::channels::Channels;
pub use self::dns::{Dns, LookUps};
pub use self::money::Money;
use self::names::is_domain;
pub use self::names::{Listen, MtaStsMode, Server};
pub use self::smtp::{Relay, RelayTls, Smtp};
pub use self::time::DurationText;
pub use self::tls::{Pair, Tls};
pub use self::wallet::{WalletBackend, WalletConfig};

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
    /// Where the embedded node's blocks come from.
    pub chain: Chain,
    /// Where the embedded node's channels come from.
    pub channels: Channels,
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
    /// Bitcoin.
    Mainnet,
    /// The fourth test network, which the embedded node cannot.
    Testnet4,
    /// The test network whose blocks are signed.
    Signet,
    /// A chain of one's own.
    Regtest,
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
            chain: Chain::default(),
            channels: Channels::default(),
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
        self.wallet.check(self.network)?;
        self.chain.check(self.network, self.wallet.backend)?;
        self.channels.check(self.wallet.backend == WalletBackend::Embedded)?;
        let (least, most) = (policy::FINAL_CLTV_MIN, policy::FINAL_CLTV_MAX);
        if !(least..=most).contains(&self.money.final_cltv) {
            return Err((
                "money.final_cltv",
                format!("{} is out of range; allowed: {least} to {most} blocks", self.money.final_cltv),
            ));
        }
        let most = Duration::from_millis(policy::VOUCHER_MS_MAX.unsigned_abs());
        if self.money.voucher.is_zero() || self.money.voucher > most {
            return Err(("money.voucher", "is out of range; allowed: more than nothing, at most 24h".into()));
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
        !self.has_sandbox()
    }

    /// Whether the sandbox's chain and nodes are run.
    pub fn has_sandbox(&self) -> bool {
        self.network == Network::Sandbox && self.wallet.backend == WalletBackend::Embedded
    }

    /// How long a paid mail waits for an answer, by how its payment is held.
    pub fn hold(&self, kind: lnmp::HoldKind) -> Duration {
        let chosen = i64::try_from(self.money.hold.as_millis()).unwrap_or(i64::MAX / 2);
        Duration::from_millis(policy::hold_ms(kind, chosen, self.money.final_cltv).unsigned_abs())
    }

    /// How long a voucher waits, in milliseconds.
    pub fn voucher_wait_ms(&self) -> i64 {
        i64::try_from(self.money.voucher.as_millis()).unwrap_or(policy::VOUCHER_MS_MAX)
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
            ("network = \"testnet\"\n", ["line 1", "network", "`mainnet`"]),
            ("network = \"testnet4\"\n", ["line 1", "LDK", "\"signet\""]),
            ("network = \"mainnet\"\n", ["chain.source", "127.0.0.1:8332", "ssl://HOST:50002"]),
            ("network = \"signet\"\n[chain]\nsource = \"neutrino\"\n", ["line 3", "source", "`electrum`"]),
            ("network = \"signet\"\n[chain]\nsource = \"bitcoind\"\n", ["line 2", "chain.address", "127.0.0.1:8332"]),
            (
                "network = \"signet\"\n[chain]\nsource = \"bitcoind\"\naddress = \"a:1\"\n",
                ["line 2", "chain.cookie_file", "user and password_file"],
            ),
            (
                "network = \"signet\"\n[chain]\nsource = \"bitcoind\"\naddress = \"a:1\"\nuser = \"x\"\n",
                ["line 5", "chain.user", "belong together"],
            ),
            (
                "network = \"signet\"\n[chain]\nsource = \"electrum\"\naddress = \"a:1\"\n",
                ["line 4", "chain.address", "ssl://"],
            ),
            (
                "network = \"signet\"\n[chain]\nsource = \"esplora\"\naddress = \"https://a.test/api\"\nuser = \"x\"\n",
                ["line 5", "chain.user", "only a bitcoind"],
            ),
            (
                "[chain]\nsource = \"esplora\"\naddress = \"https://a.test\"\n",
                ["line 2", "chain.source", "the sandbox"],
            ),
            ("[chain]\naddress = \"https://a.test\"\n", ["line 1", "chain.source", "\"esplora\""]),
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
            ("[wallet]\nlisten = \"9735\"\n", ["line 2", "listen", "0.0.0.0:9735"]),
            ("[wallet]\nlisten = \"0.0.0.0:9735\"\n", ["line 2", "wallet.listen", "sandbox"]),
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
}
