//! Accounts and their keys: making them, unlocking them, changing what unlocks them (design section 5).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use lnmp::{AppPassword, Identity, MailboxKey, Opener, PasswordParams, RecoveryPhrase, Secret, WrapError};
use rand::rngs::OsRng;
use store::{
    Account, AccountId, AccountSettings, Credential, CredentialId, CredentialKind, NewAccount, NewCredential, UnixMs,
};
use tokio::sync::{Semaphore, watch};

use crate::house::{House, now_ms};

/// Argon2 runs at once. Each takes 19 MiB and a core for some 20 ms: more would let guessers fill the machine.
const KDF_AT_ONCE: usize = 2;
/// Wrong human passwords from one network for one account before waiting begins.
const FREE_GUESSES: u32 = 5;
/// The first wait after that; it doubles with each further wrong one.
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// The longest wait: a user who mistyped is back within a coffee.
const LONGEST_WAIT: Duration = Duration::from_secs(900);
/// (account, network) pairs remembered; the oldest is forgotten, which frees a guesser one pair at a time only.
const GUESSERS_MAX: usize = 10_000;
/// Characters of a human password at least: the KDF slows guessing, it does not make a short one long.
const PASSWORD_CHARS_MIN: usize = 8;

/// Who is logged in: at most one unlocked key per account, gone with the last session that holds it.
#[derive(Default)]
pub struct Sessions {
    open: Mutex<HashMap<AccountId, Weak<Opener>>>,
    guesses: Mutex<HashMap<(AccountId, [u8; 8]), Guesses>>,
    kdf: KdfSlots,
    /// Who is to be told when a credential is revoked: one channel for each that has sessions.
    live: Mutex<HashMap<(AccountId, CredentialId), watch::Sender<bool>>>,
    /// How often something was revoked.
    revocations: AtomicU64,
    /// The day an account last logged in, so that most logins need not ask the store about digests.
    days: Mutex<HashMap<AccountId, i64>>,
}

struct KdfSlots(Semaphore);

impl Default for KdfSlots {
    fn default() -> Self {
        Self(Semaphore::new(KDF_AT_ONCE))
    }
}

#[derive(Debug, Clone, Copy)]
struct Guesses {
    wrong: u32,
    not_before: Instant,
}

/// A successful login.
pub struct Login {
    /// Who.
    pub account: Account,
    /// Opens their mail; shared by all their sessions.
    pub opener: Arc<Opener>,
    /// Turns `true` when what they logged in with is revoked, or the account removed.
    pub revoked: watch::Receiver<bool>,
}

/// Why a login failed.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Wrong user or password.
    #[error("wrong user or password")]
    Wrong,
    /// Too many wrong ones; the password was not looked at.
    #[error("too many wrong passwords, wait a little")]
    Throttled,
    /// Our fault.
    #[error("{0}")]
    Fault(String),
}

/// Logs in by an app password (microseconds, never throttled) or the human password (throttled before the KDF).
pub async fn login(house: &House, from: IpAddr, user: &str, password: &str) -> Result<Login, LoginError> {
    let fault = |error: &dyn std::fmt::Display| LoginError::Fault(error.to_string());
    let Some(account) = find(house, user).await.map_err(|error| fault(&error))? else { return Err(LoginError::Wrong) };
    let before = house.sessions.revocations();
    let credentials = house.store.credentials(account.id).await.map_err(|error| fault(&error))?;
    let (credential, key) = if AppPassword::looks_like(password) {
        by_app_password(&account, &credentials, password).ok_or(LoginError::Wrong)?
    } else {
        by_password(house, from, &account, credentials, password).await?
    };
    let revoked = house.sessions.follow(account.id, credential);
    // Something was revoked while the password was looked at: perhaps this, before anybody listened.
    if house.sessions.revocations() != before {
        let still = house.store.credentials(account.id).await.map_err(|error| fault(&error))?;
        if !still.iter().any(|one| one.id == credential) {
            return Err(LoginError::Wrong);
        }
    }
    let opener = house.sessions.opener(&account, &key).map_err(|error| fault(&error))?;
    Ok(Login { account, opener, revoked })
}

/// Logs in by a bearer token (RFC 7628), which is an app password: a token has to carry what unwraps the key, be one
/// client's own and be revocable alone, and that is what an app password is. Shared by every door that takes tokens.
pub async fn bear(house: &House, from: IpAddr, user: &str, token: &str) -> Result<Login, LoginError> {
    // A human password is no token: it would pass through clients that hand tokens around.
    if !AppPassword::looks_like(token) {
        return Err(LoginError::Wrong);
    }
    login(house, from, user, token).await
}

fn by_app_password(
    account: &Account,
    credentials: &[Credential],
    password: &str,
) -> Option<(CredentialId, MailboxKey)> {
    let password = AppPassword::parse(password).ok()?;
    let id = password.wrap_id().to_string();
    let wrap = credentials.iter().find(|c| c.kind == CredentialKind::AppPassword && c.wrap_id == id)?;
    let key = MailboxKey::unwrap_with_app_password(&account.address(), &password, &wrap.wrap).ok()?;
    Some((wrap.id, key))
}

async fn by_password(
    house: &House,
    from: IpAddr,
    account: &Account,
    credentials: Vec<Credential>,
    password: &str,
) -> Result<(CredentialId, MailboxKey), LoginError> {
    let sessions = &house.sessions;
    let guesser = (account.id, network(from));
    sessions.may_guess(guesser)?;
    let Some(wrap) = credentials.into_iter().find(|c| c.kind == CredentialKind::Password) else {
        return Err(LoginError::Wrong);
    };
    let _slot = sessions.kdf.0.acquire().await.map_err(|_| LoginError::Throttled)?;
    // Others may have guessed while this one waited for a slot.
    sessions.may_guess(guesser)?;
    let (id, address, password) = (wrap.id, account.address(), Secret::new(password.to_owned()));
    let unwrapped =
        tokio::task::spawn_blocking(move || MailboxKey::unwrap_with_password(&address, password.reveal(), &wrap.wrap))
            .await
            .map_err(|error| LoginError::Fault(error.to_string()))?;
    match unwrapped {
        Ok(key) => {
            sessions.forget_guesses(guesser);
            Ok((id, key))
        }
        Err(WrapError::Refused | WrapError::PasswordTooLong) => {
            sessions.wrong_guess(guesser);
            Err(LoginError::Wrong)
        }
        Err(error) => Err(LoginError::Fault(error.to_string())),
    }
}

/// The /24 or /48 a guesser sits in.
fn network(ip: IpAddr) -> [u8; 8] {
    let mut out = [0; 8];
    match ip.to_canonical() {
        IpAddr::V4(ip) => out[..3].copy_from_slice(&ip.octets()[..3]),
        IpAddr::V6(ip) => {
            out[..6].copy_from_slice(&ip.octets()[..6]);
            out[7] = 6;
        }
    }
    out
}

impl Sessions {
    fn opener(&self, account: &Account, key: &MailboxKey) -> Result<Arc<Opener>, WrapError> {
        let mut open = self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(opener) = open.get(&account.id).and_then(Weak::upgrade) {
            return Ok(opener);
        }
        open.retain(|_, opener| opener.strong_count() > 0);
        let opener = Arc::new(Opener::new(&key.open_identity(&account.address(), &account.sealed_seed)?));
        open.insert(account.id, Arc::downgrade(&opener));
        Ok(opener)
    }

    fn revocations(&self) -> u64 {
        self.revocations.load(Ordering::Acquire)
    }

    /// What a session that logged in with this credential listens to.
    fn follow(&self, account: AccountId, credential: CredentialId) -> watch::Receiver<bool> {
        let mut live = self.live.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(sender) = live.get(&(account, credential)) {
            return sender.subscribe();
        }
        live.retain(|_, sender| sender.receiver_count() > 0);
        let (sender, receiver) = watch::channel(false);
        live.insert((account, credential), sender);
        receiver
    }

    /// Ends the sessions of credentials that are gone from the store already.
    fn revoke(&self, account: AccountId, gone: impl Fn(CredentialId) -> bool) {
        // Counted first: who logs in now looks again, who has begun to listen is told below.
        self.revocations.fetch_add(1, Ordering::AcqRel);
        let mut live = self.live.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        live.retain(|&(owner, credential), sender| {
            let ends = owner == account && gone(credential);
            if ends {
                sender.send_replace(true);
            }
            !ends
        });
    }

    /// Whether an account has not logged in today, as far as this process knows.
    pub fn is_first_of_day(&self, account: AccountId, now: UnixMs) -> bool {
        let day = now / 86_400_000;
        let mut days = self.days.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        days.insert(account, day) != Some(day)
    }

    fn may_guess(&self, guesser: (AccountId, [u8; 8])) -> Result<(), LoginError> {
        let guesses = self.guesses.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match guesses.get(&guesser) {
            Some(guess) if guess.wrong >= FREE_GUESSES && Instant::now() < guess.not_before => {
                Err(LoginError::Throttled)
            }
            _ => Ok(()),
        }
    }

    fn wrong_guess(&self, guesser: (AccountId, [u8; 8])) {
        let mut guesses = self.guesses.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if guesses.len() >= GUESSERS_MAX
            && !guesses.contains_key(&guesser)
            && let Some(oldest) = guesses.iter().min_by_key(|(_, guess)| guess.not_before).map(|(key, _)| *key)
        {
            guesses.remove(&oldest);
        }
        let guess = guesses.entry(guesser).or_insert_with(|| Guesses { wrong: 0, not_before: Instant::now() });
        guess.wrong = guess.wrong.saturating_add(1);
        let doublings = guess.wrong.saturating_sub(FREE_GUESSES).min(16);
        guess.not_before = Instant::now() + (FIRST_WAIT * 2_u32.pow(doublings)).min(LONGEST_WAIT);
    }

    fn forget_guesses(&self, guesser: (AccountId, [u8; 8])) {
        self.guesses.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&guesser);
    }
}

/// Finds an account by what people type: `alice`, `alice@example.org`, `alice#a3f2b9@example.org`.
pub async fn find(house: &House, user: &str) -> store::Result<Option<Account>> {
    let user = user.to_lowercase();
    let (local, domain) = match user.rsplit_once('@') {
        Some((local, domain)) => (local, domain),
        None => (user.as_str(), house.config.first_domain()),
    };
    let name = local.split('#').next().unwrap_or(local);
    house.store.account_by_address(name, domain).await
}

/// What a new account's owner must keep.
pub struct Created {
    /// The account.
    pub id: AccountId,
    /// Opens the mail when the password is lost. Shown once.
    pub recovery_phrase: Secret<String>,
    /// `alice#a3f2b9@example.org`
    pub lnmp_address: String,
}

/// Makes an account. `password` may be left out for the sandbox's first one, which gets a server wrap.
pub async fn create(
    house: &House,
    address: &str,
    password: Option<&str>,
    server_custody: bool,
) -> anyhow::Result<Created> {
    let parsed = lnmp::Address::parse(&address.to_lowercase())?;
    let (local, domain) = (parsed.local().to_owned(), parsed.domain().to_owned());
    if !house.config.is_local_domain(&domain) {
        bail!(
            "{domain} is not served here; the config's server.domains has: {}",
            house.config.server.domains.join(", ")
        );
    }
    let address = format!("{local}@{domain}");
    let identity = Identity::generate(&mut OsRng);
    let key = MailboxKey::generate(&mut OsRng);
    let phrase = RecoveryPhrase::generate(&mut OsRng);
    let mut credentials = vec![wrap(CredentialKind::Recovery, key.wrap_with_phrase(&mut OsRng, &address, &phrase))];
    if let Some(password) = password {
        credentials.push(wrap(CredentialKind::Password, wrap_password(&key, &address, password)?));
    }
    if server_custody {
        let bridge = house.keys.bridge();
        credentials.push(wrap(CredentialKind::Server, key.wrap_with_key(&mut OsRng, &address, bridge)));
    }
    let new = NewAccount {
        local: local.clone(),
        domain: domain.clone(),
        identity: *identity.public_key().as_bytes(),
        sealed_seed: key.seal_identity(&mut OsRng, &address, &identity),
        credentials,
        settings: AccountSettings::default(),
    };
    let id = house.store.create_account(new, now_ms()).await?;
    let lnmp_address = parsed.canonical(&identity.public_key()).to_string();
    Ok(Created { id, recovery_phrase: phrase.show(), lnmp_address })
}

/// Makes an app password; `secret` is the password or the recovery phrase, needed unless the server has a wrap.
pub async fn app_password(
    house: &House,
    account: &Account,
    secret: &str,
    label: &str,
) -> anyhow::Result<Secret<String>> {
    let key = unlock(house, account, secret).await?;
    let password = AppPassword::generate(&mut OsRng);
    let credential = NewCredential {
        kind: CredentialKind::AppPassword,
        wrap_id: password.wrap_id().to_string(),
        label: label.to_owned(),
        wrap: key.wrap_with_app_password(&mut OsRng, &account.address(), &password),
    };
    house.store.add_credential(account.id, credential, now_ms()).await?;
    Ok(password.show())
}

/// Changes the human password; the mail is not touched, only a wrap.
pub async fn change_password(house: &House, account: &Account, old: &str, new: &str) -> anyhow::Result<()> {
    let key = unlock(house, account, old).await?;
    let wrap = wrap(CredentialKind::Password, wrap_password(&key, &account.address(), new)?);
    let new = house.store.replace_credential(account.id, wrap, now_ms()).await?;
    let still = house.store.credentials(account.id).await?;
    house.sessions.revoke(account.id, |id| id != new && !still.iter().any(|credential| credential.id == id));
    Ok(())
}

/// Which credential `account revoke` means.
#[derive(Debug, Clone, Copy)]
pub enum Which<'a> {
    /// The app password of this label.
    Label(&'a str),
    /// By its number in `account list --json`.
    Id(i64),
}

/// Deletes a wrap of the mailbox key and ends the sessions that were opened with it. The recovery phrase stays.
pub async fn revoke(house: &House, account: &Account, which: Which<'_>) -> anyhow::Result<Credential> {
    let credentials = house.store.credentials(account.id).await?;
    let meant = |credential: &Credential| match which {
        Which::Label(label) => credential.kind == CredentialKind::AppPassword && credential.label == label,
        Which::Id(id) => credential.id.0 == id,
    };
    let mut found = credentials.into_iter().filter(meant);
    let Some(credential) = found.next() else {
        bail!("{} has no such credential; `satchel account list --json` shows them", account.address());
    };
    if found.next().is_some() {
        bail!(
            "several app passwords have this label; choose one with --id, as `satchel account list --json` shows them"
        );
    }
    if credential.kind == CredentialKind::Recovery {
        bail!("the recovery phrase opens the mail when everything else is lost: it cannot be revoked");
    }
    house.store.remove_credential(account.id, credential.id).await?;
    house.sessions.revoke(account.id, |id| id == credential.id);
    Ok(credential)
}

/// Removes an account with its mail, and ends its sessions; returns the CIDs nobody references any more.
pub async fn remove(house: &House, account: &Account) -> anyhow::Result<Vec<String>> {
    let cids = house.store.remove_account(account.id, now_ms()).await?;
    house.sessions.revoke(account.id, |_| true);
    Ok(cids)
}

/// Whether a command on this account's keys must be given a secret.
pub async fn needs_secret(house: &House, account: &Account) -> anyhow::Result<bool> {
    Ok(!house.store.credentials(account.id).await?.iter().any(|c| c.kind == CredentialKind::Server))
}

/// What opens an account's mail, for a command that gives somebody its key; `secret` as in [`app_password`].
pub async fn opener(house: &House, account: &Account, secret: &str) -> anyhow::Result<Opener> {
    let key = unlock(house, account, secret).await?;
    Ok(Opener::new(&key.open_identity(&account.address(), &account.sealed_seed)?))
}

/// Unlocks the mailbox key for a command: by the server's wrap, the recovery phrase or the password.
async fn unlock(house: &House, account: &Account, secret: &str) -> anyhow::Result<MailboxKey> {
    let address = account.address();
    let credentials = house.store.credentials(account.id).await?;
    let wrap_of = |kind| credentials.iter().find(move |c: &&Credential| c.kind == kind).map(|c| c.wrap.as_slice());
    if let Some(wrap) = wrap_of(CredentialKind::Server) {
        return Ok(MailboxKey::unwrap_with_key(&address, house.keys.bridge(), wrap)?);
    }
    if let (Ok(phrase), Some(wrap)) = (RecoveryPhrase::parse(secret), wrap_of(CredentialKind::Recovery)) {
        return MailboxKey::unwrap_with_phrase(&address, &phrase, wrap)
            .map_err(|_| anyhow!("this is not the recovery phrase of {address}"));
    }
    let Some(wrap) = wrap_of(CredentialKind::Password) else {
        bail!("{address} has no password; give its recovery phrase");
    };
    MailboxKey::unwrap_with_password(&address, secret, wrap)
        .map_err(|_| anyhow!("neither the password nor the recovery phrase of {address}"))
}

fn wrap(kind: CredentialKind, wrap: Vec<u8>) -> NewCredential {
    NewCredential { kind, wrap_id: String::new(), label: String::new(), wrap }
}

fn wrap_password(key: &MailboxKey, address: &str, password: &str) -> anyhow::Result<Vec<u8>> {
    if password.chars().count() < PASSWORD_CHARS_MIN {
        bail!("a password has at least {PASSWORD_CHARS_MIN} characters; nothing was changed");
    }
    Ok(key.wrap_with_password(&mut OsRng, address, password, PasswordParams::default())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revoked_credential_ends_its_own_sessions_and_no_others() {
        let sessions = Sessions::default();
        let (alice, bob) = (AccountId(1), AccountId(2));
        let (laptop, phone) = (CredentialId(1), CredentialId(2));
        let (one, two) = (sessions.follow(alice, laptop), sessions.follow(alice, laptop));
        let (other, foreign) = (sessions.follow(alice, phone), sessions.follow(bob, CredentialId(3)));
        let before = sessions.revocations();
        sessions.revoke(alice, |id| id == laptop);
        assert!(*one.borrow() && *two.borrow() && !*other.borrow() && !*foreign.borrow());
        assert_ne!(sessions.revocations(), before);
        sessions.revoke(alice, |_| true);
        assert!(*other.borrow() && !*foreign.borrow());
        // Channels without listeners are not kept.
        drop((one, two, other, foreign));
        let _again = sessions.follow(alice, phone);
        assert_eq!(sessions.live.lock().unwrap().len(), 1);
    }
}
