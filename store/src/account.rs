//! Accounts, their credentials, aliases and contacts.

use lnmp::{AcceptOn, Allowed, Filter, Prices, Relation, UnpaidPolicy, UnverifiedPolicy};
use serde::{Deserialize, Serialize};

use crate::UnixMs;

/// Names one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccountId(pub i64);

/// One account as kept.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its name in the database.
    pub id: AccountId,
    /// Local part of the primary address, lower case.
    pub local: String,
    /// Domain of the primary address, lower case.
    pub domain: String,
    /// BIP-340 x-only identity key: what mail is sealed to.
    pub identity: [u8; 32],
    /// The seed's entropy, sealed under the mailbox key.
    pub sealed_seed: Vec<u8>,
    /// The owner's choices.
    pub settings: AccountSettings,
    /// When it was made.
    pub created_at: UnixMs,
    /// When a client last APPENDed to Sent; `None` for never.
    pub sent_append_at: Option<UnixMs>,
}

impl Account {
    /// `local@domain`.
    pub fn address(&self) -> String {
        format!("{}@{}", self.local, self.domain)
    }
}

/// What the owner chose. Encrypted at rest: filters and lists name people.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AccountSettings {
    /// Prices by relation.
    pub prices: Prices,
    /// Which act accepts.
    pub accept_on: AcceptOn,
    /// What happens to strangers nothing verifies.
    pub unverified: UnverifiedPolicy,
    /// What happens to mail that costs something while nothing is paid.
    pub unpaid: UnpaidPolicy,
    /// Prices everything, gates nothing.
    pub observe: bool,
    /// IMAP capabilities that are not offered, for a client that breaks on one.
    pub capabilities_off: Vec<String>,
    /// What becomes of arriving mail; the first that matches decides.
    pub filters: Vec<Filter>,
    /// Domains and lists that are let in free.
    pub allowed: Vec<Allowed>,
    /// Everybody's mail is free until then: a mail is expected.
    pub expecting_until: UnixMs,
    /// Up to this another bridge's price for one mail of the owner's is paid without asking; zero: never.
    pub max_auto_pay: lnmp::Msat,
}

/// What a new account consists of.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// Local part, lower case.
    pub local: String,
    /// Domain, lower case.
    pub domain: String,
    /// See [`Account::identity`].
    pub identity: [u8; 32],
    /// See [`Account::sealed_seed`].
    pub sealed_seed: Vec<u8>,
    /// At least one wrap of the mailbox key, or nobody can ever read the mail.
    pub credentials: Vec<NewCredential>,
    /// The owner's choices.
    pub settings: AccountSettings,
}

/// Names one credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CredentialId(pub i64);

/// What unlocks a wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialKind {
    /// A human password, through Argon2id.
    Password,
    /// A password the bridge made, through HKDF.
    AppPassword,
    /// The recovery phrase.
    Recovery,
    /// The bridge key: `custody = "server"`.
    Server,
}

/// A wrap of the mailbox key.
#[derive(Debug, Clone)]
pub struct Credential {
    /// Its name.
    pub id: CredentialId,
    /// Whose it is.
    pub account: AccountId,
    /// What unlocks it.
    pub kind: CredentialKind,
    /// For an app password its wrap id, by which a login finds it; else empty.
    pub wrap_id: String,
    /// What the owner called it (encrypted at rest).
    pub label: String,
    /// The wrapped key with its parameters, as `lnmp` wrote it.
    pub wrap: Vec<u8>,
    /// When it was made.
    pub created_at: UnixMs,
}

/// A wrap to be added.
#[derive(Debug, Clone)]
pub struct NewCredential {
    /// See [`Credential::kind`].
    pub kind: CredentialKind,
    /// See [`Credential::wrap_id`].
    pub wrap_id: String,
    /// See [`Credential::label`].
    pub label: String,
    /// See [`Credential::wrap`].
    pub wrap: Vec<u8>,
}

/// Names one alias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AliasId(pub i64);

/// A further address of an account; with an end, a temporary one.
#[derive(Debug, Clone)]
pub struct Alias {
    /// Its name.
    pub id: AliasId,
    /// Whose it is.
    pub account: AccountId,
    /// Local part, lower case.
    pub local: String,
    /// Domain, lower case.
    pub domain: String,
    /// When it stops.
    pub expires_at: Option<UnixMs>,
    /// How many mails it takes in all.
    pub max_uses: Option<u32>,
    /// How many it took.
    pub uses: u32,
}

/// An alias to be added.
#[derive(Debug, Clone)]
pub struct NewAlias {
    /// Whose it is.
    pub account: AccountId,
    /// Local part, lower case.
    pub local: String,
    /// Domain, lower case.
    pub domain: String,
    /// When it stops.
    pub expires_at: Option<UnixMs>,
    /// How many mails it takes in all.
    pub max_uses: Option<u32>,
}

/// What a recipient address resolves to.
#[derive(Debug, Clone)]
pub enum Resolution {
    /// An account, by its own address or an alias. Mail to a temporary alias is free.
    Account {
        /// Whose mail it is.
        account: Box<Account>,
        /// By which alias.
        alias: Option<Alias>,
    },
    /// The alias was used up or has expired.
    AliasOver,
    /// Nobody.
    Unknown,
}

/// What the receive path asks about an author.
#[derive(Debug, Clone, Default)]
pub struct StandingQuery {
    /// The author's address in lower case, when one is to be looked up (only an aligned one counts).
    pub author: Option<String>,
    /// Message-IDs from In-Reply-To and References: a reply to a mail the user sent to this author?
    pub reply_to_ids: Vec<String>,
    /// A domain that asks a price for one of them: did the mail go to somebody there?
    pub asking: Option<String>,
    /// From address and evidence of an unaligned mail, joined: was a pass stored for it?
    pub evidence: Option<String>,
    /// An author who may use a voucher, and the hash of the mail's signature.
    pub pays: Option<(String, Option<Vec<u8>>)>,
}

/// The answer.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// The stored relation.
    pub relation: Option<Relation>,
    /// A reply to a mail the user sent to this author.
    pub replies: bool,
    /// A mail the user sent went to the domain that asks for it.
    pub asked: bool,
    /// A pass for this evidence.
    pub pass: bool,
    /// Unread mails in INBOX, for surge.
    pub unread: u64,
    /// A paid voucher of the author's waits for this mail.
    pub voucher: bool,
}

/// One contact, for the owner's eyes.
#[derive(Debug, Clone)]
pub struct Contact {
    /// The author's address.
    pub author: String,
    /// What they are.
    pub relation: Relation,
    /// Since when.
    pub changed_at: UnixMs,
}
