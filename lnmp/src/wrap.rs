//! The mailbox key, and how each credential holds it wrapped (protocol.md §10; local, never on the wire).

use std::fmt;

use argon2::{Argon2, Params, Version};
use rand::{CryptoRng, RngCore};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::Identity;
use crate::aead;
use crate::bridge_key::{BridgeKey, open_secret, seal_secret};
use crate::credential::{AppPassword, RecoveryPhrase, app_password_key, phrase_key};
use crate::limits::{
    ARGON2_KIB, ARGON2_KIB_MAX, ARGON2_LANES, ARGON2_LANES_MAX, ARGON2_PASSES, ARGON2_PASSES_MAX, PASSWORD_BYTES_MAX,
};

/// Salt of every HKDF here.
pub(crate) const SALT: &[u8] = b"lnmp-wrap/1";
/// Octets of Argon2id's salt (RFC 9106 §3.1 recommends 16).
const PASSWORD_SALT_BYTES: usize = 16;

/// Why a key was not unwrapped, or a credential not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WrapError {
    /// The credential is not the one this wrap was made with (or the octets were changed: indistinguishable).
    #[error("the credential does not open this key")]
    Refused,
    /// Not octets we wrote, or parameters past our limits.
    #[error("the stored key is damaged")]
    Malformed,
    /// Not the shape of an app password.
    #[error(
        "an app password looks like satchel-xxxx-xxxx-xxxx-xxxx-xxxx-xxxx-xxxx-xxxx, with letters a-z and digits 2-7"
    )]
    AppPasswordShape,
    /// Longer than anybody types.
    #[error("a password has at most {PASSWORD_BYTES_MAX} octets")]
    PasswordTooLong,
    /// Not twelve known words that belong together.
    #[error("a recovery phrase is twelve words of the English BIP39 list, exactly as they were shown")]
    Phrase,
}

/// What Argon2id is to spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordParams {
    /// Memory in KiB.
    pub kib: u32,
    /// Passes.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for PasswordParams {
    fn default() -> Self {
        Self { kib: ARGON2_KIB, passes: ARGON2_PASSES, lanes: ARGON2_LANES }
    }
}

/// How a mailbox key is wrapped: the first octet of a wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WrapKind {
    /// By a human password.
    Password,
    /// By an app password.
    AppPassword,
    /// By the recovery phrase.
    Recovery,
    /// By the bridge key: `custody = "server"`.
    Bridge,
}

impl WrapKind {
    const ALL: [Self; 4] = [Self::Password, Self::AppPassword, Self::Recovery, Self::Bridge];

    fn code(self) -> u8 {
        match self {
            Self::Password => 1,
            Self::AppPassword => 2,
            Self::Recovery => 3,
            Self::Bridge => 4,
        }
    }

    /// What made this wrap.
    ///
    /// # Errors
    /// [`WrapError::Malformed`].
    pub fn of(wrap: &[u8]) -> Result<Self, WrapError> {
        let code = wrap.first().ok_or(WrapError::Malformed)?;
        Self::ALL.into_iter().find(|kind| kind.code() == *code).ok_or(WrapError::Malformed)
    }
}

/// The random key that encrypts an account at rest. Every credential holds it wrapped.
///
/// `account` in all that follows names the account; a wrap moved to another account's row does not open.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct MailboxKey([u8; 32]);

impl MailboxKey {
    /// A new one.
    pub fn generate<R: RngCore + CryptoRng>(rng: &mut R) -> Self {
        let mut key = Self([0; 32]);
        rng.fill_bytes(&mut key.0);
        key
    }

    /// Octets as a key.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The octets.
    pub fn reveal(&self) -> &[u8; 32] {
        &self.0
    }

    /// A key for one purpose alone.
    pub fn subkey(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        aead::expand(&self.0, &[SALT, b"/mailbox/", purpose.as_bytes()])
    }

    /// Wraps by a human password: `1 ‖ u32 KiB ‖ u32 passes ‖ u32 lanes ‖ salt ‖ sealed`. Costs what
    /// `params` say: cap how many run at once.
    ///
    /// # Errors
    /// [`WrapError::PasswordTooLong`]; [`WrapError::Malformed`] when `params` are out of bounds.
    pub fn wrap_with_password<R: RngCore + CryptoRng>(
        &self,
        rng: &mut R,
        account: &str,
        password: &str,
        params: PasswordParams,
    ) -> Result<Vec<u8>, WrapError> {
        let mut salt = [0; PASSWORD_SALT_BYTES];
        rng.fill_bytes(&mut salt);
        let key = stretch(password, &salt, params)?;
        let mut wrap = vec![WrapKind::Password.code()];
        for number in [params.kib, params.passes, params.lanes] {
            wrap.extend_from_slice(&number.to_be_bytes());
        }
        wrap.extend_from_slice(&salt);
        let ad = [wrap.as_slice(), account.as_bytes()].concat();
        wrap.extend(seal_secret(rng, &key, &ad, &self.0));
        Ok(wrap)
    }

    /// The inverse of [`MailboxKey::wrap_with_password`]. Costs what the wrap says, within our limits.
    ///
    /// # Errors
    /// [`WrapError::Refused`] on a wrong password; [`WrapError::Malformed`].
    pub fn unwrap_with_password(account: &str, password: &str, wrap: &[u8]) -> Result<Self, WrapError> {
        const HEAD: usize = 1 + 3 * 4 + PASSWORD_SALT_BYTES;
        if WrapKind::of(wrap)? != WrapKind::Password {
            return Err(WrapError::Malformed);
        }
        let (head, sealed) = wrap.split_first_chunk::<HEAD>().ok_or(WrapError::Malformed)?;
        let number = |at: usize| u32::from_be_bytes(std::array::from_fn(|i| head[at + i]));
        let params = PasswordParams { kib: number(1), passes: number(5), lanes: number(9) };
        let key = stretch(password, &head[13..], params)?;
        Self::open(&key, &[head.as_slice(), account.as_bytes()].concat(), sealed)
    }

    /// Wraps by an app password: `2 ‖ wrap id ‖ sealed`. Microseconds.
    pub fn wrap_with_app_password<R: RngCore + CryptoRng>(
        &self,
        rng: &mut R,
        account: &str,
        password: &AppPassword,
    ) -> Vec<u8> {
        let head = [&[WrapKind::AppPassword.code()], password.id.as_slice()].concat();
        self.wrap_under(rng, &app_password_key(password), head, account)
    }

    /// The inverse of [`MailboxKey::wrap_with_app_password`].
    ///
    /// # Errors
    /// As for [`MailboxKey::unwrap_with_password`].
    pub fn unwrap_with_app_password(account: &str, password: &AppPassword, wrap: &[u8]) -> Result<Self, WrapError> {
        Self::unwrap_under::<5>(&app_password_key(password), WrapKind::AppPassword, account, wrap)
    }

    /// Wraps by the recovery phrase: `3 ‖ sealed`.
    pub fn wrap_with_phrase<R: RngCore + CryptoRng>(
        &self,
        rng: &mut R,
        account: &str,
        phrase: &RecoveryPhrase,
    ) -> Vec<u8> {
        self.wrap_under(rng, &phrase_key(phrase), vec![WrapKind::Recovery.code()], account)
    }

    /// The inverse of [`MailboxKey::wrap_with_phrase`].
    ///
    /// # Errors
    /// As for [`MailboxKey::unwrap_with_password`].
    pub fn unwrap_with_phrase(account: &str, phrase: &RecoveryPhrase, wrap: &[u8]) -> Result<Self, WrapError> {
        Self::unwrap_under::<1>(&phrase_key(phrase), WrapKind::Recovery, account, wrap)
    }

    /// Wraps by the bridge key: `4 ‖ sealed`. The server can then read the account at any time.
    pub fn wrap_with_key<R: RngCore + CryptoRng>(&self, rng: &mut R, account: &str, key: &BridgeKey) -> Vec<u8> {
        self.wrap_under(rng, &key.subkey("custody"), vec![WrapKind::Bridge.code()], account)
    }

    /// The inverse of [`MailboxKey::wrap_with_key`].
    ///
    /// # Errors
    /// As for [`MailboxKey::unwrap_with_password`].
    pub fn unwrap_with_key(account: &str, key: &BridgeKey, wrap: &[u8]) -> Result<Self, WrapError> {
        Self::unwrap_under::<1>(&key.subkey("custody"), WrapKind::Bridge, account, wrap)
    }

    /// Seals an identity under this key: its secret key, and behind it the phrase's entropy where there is one,
    /// so that opening it costs no PBKDF2.
    pub fn seal_identity<R: RngCore + CryptoRng>(&self, rng: &mut R, account: &str, identity: &Identity) -> Vec<u8> {
        let mut plain = Zeroizing::new(Vec::with_capacity(64));
        plain.extend_from_slice(identity.secret_bytes().reveal());
        plain.extend_from_slice(identity.seed_entropy().unwrap_or_default());
        seal_secret(rng, &self.subkey("identity"), account.as_bytes(), &plain)
    }

    /// The inverse of [`MailboxKey::seal_identity`].
    ///
    /// # Errors
    /// As for [`open_secret`].
    pub fn open_identity(&self, account: &str, sealed: &[u8]) -> Result<Identity, WrapError> {
        let plain = Zeroizing::new(open_secret(&self.subkey("identity"), account.as_bytes(), sealed)?);
        let (key, entropy) = plain.split_first_chunk::<32>().ok_or(WrapError::Malformed)?;
        Identity::from_stored(key, entropy).map_err(|_| WrapError::Malformed)
    }

    fn wrap_under<R: RngCore + CryptoRng>(
        &self,
        rng: &mut R,
        key: &[u8; 32],
        mut head: Vec<u8>,
        account: &str,
    ) -> Vec<u8> {
        let ad = [head.as_slice(), account.as_bytes()].concat();
        head.extend(seal_secret(rng, key, &ad, &self.0));
        head
    }

    fn unwrap_under<const HEAD: usize>(
        key: &[u8; 32],
        kind: WrapKind,
        account: &str,
        wrap: &[u8],
    ) -> Result<Self, WrapError> {
        if WrapKind::of(wrap)? != kind {
            return Err(WrapError::Malformed);
        }
        let (head, sealed) = wrap.split_first_chunk::<HEAD>().ok_or(WrapError::Malformed)?;
        Self::open(key, &[head.as_slice(), account.as_bytes()].concat(), sealed)
    }

    fn open(key: &[u8; 32], ad: &[u8], sealed: &[u8]) -> Result<Self, WrapError> {
        let plain = Zeroizing::new(open_secret(key, ad, sealed)?);
        plain.as_slice().try_into().map(Self).map_err(|_| WrapError::Malformed)
    }
}

impl fmt::Debug for MailboxKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MailboxKey([secret])")
    }
}

/// Argon2id, version 0x13 (RFC 9106).
fn stretch(password: &str, salt: &[u8], params: PasswordParams) -> Result<Zeroizing<[u8; 32]>, WrapError> {
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(WrapError::PasswordTooLong);
    }
    let PasswordParams { kib, passes, lanes } = params;
    if kib > ARGON2_KIB_MAX || passes > ARGON2_PASSES_MAX || lanes > ARGON2_LANES_MAX {
        return Err(WrapError::Malformed);
    }
    let params = Params::new(kib, passes, lanes, Some(32)).map_err(|_| WrapError::Malformed)?;
    let mut out = Zeroizing::new([0; 32]);
    Argon2::new(argon2::Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.as_bytes(), salt, out.as_mut())
        .map_err(|_| WrapError::Malformed)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    /// Cheap, so that the tests are quick; the defaults are used once.
    const CHEAP: PasswordParams = PasswordParams { kib: 64, passes: 1, lanes: 1 };

    fn rng() -> StdRng {
        StdRng::seed_from_u64(9)
    }

    #[test]
    fn every_credential_opens_its_own_wrap_of_one_key_and_no_other() {
        let rng = &mut rng();
        let key = MailboxKey::generate(rng);
        let (app, other_app) = (AppPassword::generate(rng), AppPassword::generate(rng));
        let (phrase, bridge) = (RecoveryPhrase::generate(rng), BridgeKey::generate(rng));

        let wrap = key.wrap_with_password(rng, "1", "correct horse", CHEAP).unwrap();
        assert_eq!(MailboxKey::unwrap_with_password("1", "correct horse", &wrap).unwrap(), key);
        assert_eq!(MailboxKey::unwrap_with_password("1", "Correct horse", &wrap), Err(WrapError::Refused));
        assert_eq!(MailboxKey::unwrap_with_password("2", "correct horse", &wrap), Err(WrapError::Refused));

        let wrap = key.wrap_with_app_password(rng, "1", &app);
        assert_eq!(MailboxKey::unwrap_with_app_password("1", &app, &wrap).unwrap(), key);
        assert_eq!(MailboxKey::unwrap_with_app_password("1", &other_app, &wrap), Err(WrapError::Refused));
        assert_eq!(MailboxKey::unwrap_with_phrase("1", &phrase, &wrap), Err(WrapError::Malformed));

        let wrap = key.wrap_with_phrase(rng, "1", &phrase);
        assert_eq!(MailboxKey::unwrap_with_phrase("1", &phrase, &wrap).unwrap(), key);
        assert_eq!(MailboxKey::unwrap_with_phrase("12", &phrase, &wrap), Err(WrapError::Refused));

        let wrap = key.wrap_with_key(rng, "1", &bridge);
        assert_eq!(MailboxKey::unwrap_with_key("1", &bridge, &wrap).unwrap(), key);
        assert_eq!(WrapKind::of(&wrap), Ok(WrapKind::Bridge));
        for at in 0..wrap.len() {
            let mut wrap = wrap.clone();
            wrap[at] ^= 1;
            assert!(MailboxKey::unwrap_with_key("1", &bridge, &wrap).is_err(), "octet {at}");
            assert!(MailboxKey::unwrap_with_key("1", &bridge, &wrap[..at]).is_err());
        }
    }

    #[test]
    fn the_default_parameters_work_and_damaged_ones_do_not_take_the_machine_down() {
        let rng = &mut rng();
        let key = MailboxKey::generate(rng);
        let wrap = key.wrap_with_password(rng, "1", "pw", PasswordParams::default()).unwrap();
        assert_eq!(MailboxKey::unwrap_with_password("1", "pw", &wrap).unwrap(), key);
        for at in [1, 5, 9] {
            let mut wrap = wrap.clone();
            wrap[at] = 255;
            assert_eq!(MailboxKey::unwrap_with_password("1", "pw", &wrap), Err(WrapError::Malformed));
        }
        let long = "x".repeat(PASSWORD_BYTES_MAX + 1);
        assert_eq!(MailboxKey::unwrap_with_password("1", &long, &wrap), Err(WrapError::PasswordTooLong));
    }

    #[test]
    fn an_app_password_is_read_back_however_it_was_typed() {
        let password = AppPassword::generate(&mut rng());
        let shown = password.show();
        let shown = shown.reveal();
        assert_eq!((shown.len(), shown.matches('-').count()), (47, 8), "{shown}");
        let typed = [
            shown.clone(),
            shown.to_uppercase(),
            format!("satchel-{}", shown[8..].replace('-', "")),
            format!(" {} ", shown.replacen('-', " - ", 3).replacen(" - ", "-", 1)),
        ];
        for text in typed {
            let again = AppPassword::parse(&text).unwrap();
            assert_eq!(again.wrap_id(), password.wrap_id(), "{text}");
            assert_eq!(again.secret, password.secret);
        }
        for text in ["", "satchel-", "hunter2", "satchel-aaaa", "satchel-0000-1111", &format!("{shown}a"), "satchelä"]
        {
            assert_eq!(AppPassword::parse(text).err(), Some(WrapError::AppPasswordShape), "{text}");
        }
        assert!(!format!("{password:?}").contains(&shown[13..]));
    }

    #[test]
    fn a_recovery_phrase_is_twelve_words() {
        let phrase = RecoveryPhrase::generate(&mut rng());
        let shown = phrase.show();
        assert_eq!(RecoveryPhrase::parse(&shown.reveal().to_uppercase()).unwrap().0, phrase.0);
        let twenty_four = bip39::Mnemonic::from_entropy(&[1; 32]).unwrap().to_string();
        assert_eq!(RecoveryPhrase::parse(&twenty_four).err(), Some(WrapError::Phrase));
    }

    #[test]
    fn secrets_are_tied_to_their_key_purpose_and_place() {
        let rng = &mut rng();
        let bridge = BridgeKey::generate(rng);
        let key = bridge.subkey("outbox");
        assert_ne!(key, bridge.subkey("contacts"));
        let sealed = seal_secret(rng, &key, b"row 1", b"bob@shop.test");
        assert_eq!(open_secret(&key, b"row 1", &sealed).unwrap(), b"bob@shop.test");
        assert_eq!(open_secret(&key, b"row 2", &sealed), Err(WrapError::Refused));
        assert_eq!(open_secret(&bridge.subkey("contacts"), b"row 1", &sealed), Err(WrapError::Refused));
        assert_eq!(open_secret(&key, b"row 1", &[]), Err(WrapError::Malformed));
        assert_eq!(bridge.keyed_hash("contact", b"bob"), bridge.keyed_hash("contact", b"bob"));
        assert_ne!(bridge.keyed_hash("contact", b"bob"), bridge.keyed_hash("alias", b"bob"));
    }

    #[test]
    fn an_identity_survives_being_sealed_with_or_without_its_phrase() {
        let rng = &mut rng();
        let key = MailboxKey::generate(rng);
        let with = Identity::generate(rng);
        let without = Identity::from_secret_bytes(&[3; 32]).unwrap();
        for identity in [with, without] {
            let sealed = key.seal_identity(rng, "1", &identity);
            let again = key.open_identity("1", &sealed).unwrap();
            assert_eq!(again.public_key(), identity.public_key());
            assert_eq!(again.seed_entropy(), identity.seed_entropy());
            assert!(key.open_identity("2", &sealed).is_err());
        }
    }
}
