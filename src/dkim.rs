//! The keys our mail is signed with (RFC 6376, RFC 8463): some sign, some wait for DNS to carry them, some are on
//! their way out.
//!
//! ```text
//!   published ──active_from──▶ signing ──retired_at──▶ retired (still published for a week) ──▶ gone
//! ```
//! An Ed25519 and an RSA key sign at a time: a mail carries both signatures, for receivers that know one of them only.
//! The list lies in `keys/dkim.json`, sealed under the bridge key.

pub mod verbs;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lnmp::{open_secret, seal_secret};
use rand::rngs::OsRng;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use smtp::{DkimKey, DkimKind};
use store::UnixMs;
use zeroize::Zeroizing;

use crate::dir::write_durably;

/// What the list is sealed for.
const CONTEXT: &[u8] = b"satchel/dkim-keys";
/// How long a new key is published before it signs, where nothing else is said: resolvers forget a missing record after
/// a day at most, and somebody has to publish it first.
pub const PUBLISHED_BEFORE: Duration = Duration::from_secs(2 * 86_400);
/// How long a retired key stays published: mail that it signed may still be on its way, or be checked again.
const PUBLISHED_AFTER_MS: i64 = 7 * 86_400_000;
/// Keys in the list: two that sign, two that come, and some on their way out.
const KEYS_MAX: usize = 16;

/// One key as it is stored.
#[derive(Clone, Serialize, Deserialize)]
struct Stored {
    selector: String,
    /// PKCS #8, base64.
    key: String,
    created_at: UnixMs,
    active_from: UnixMs,
    retired_at: Option<UnixMs>,
}

/// And as it is used: parsed once, for no domain yet.
#[derive(Clone)]
struct Held {
    stored: Stored,
    key: DkimKey,
}

impl Held {
    fn new(stored: Stored) -> anyhow::Result<Self> {
        let pkcs8 = Zeroizing::new(STANDARD.decode(stored.key.as_bytes()).context("no base64")?);
        let key = DkimKey::from_pkcs8("", &stored.selector, &pkcs8)?;
        Ok(Self { stored, key })
    }
}

/// Where a key is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// In DNS, it is hoped; does not sign yet.
    Published,
    /// Signs.
    Signing,
    /// Signs no more; its record may go a week later.
    Retired,
}

/// A key to show.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// Names it in DNS.
    pub selector: String,
    /// `ed25519` or `rsa`.
    pub algorithm: &'static str,
    /// Where it is.
    pub stage: Stage,
    /// When it was made, or brought.
    pub created_at: UnixMs,
    /// When it begins to sign.
    pub active_from: UnixMs,
    /// When it stops.
    pub retired_at: Option<UnixMs>,
}

/// The keys.
pub struct DkimKeys {
    path: PathBuf,
    sealing: Zeroizing<[u8; 32]>,
    list: RwLock<Vec<Held>>,
}

impl DkimKeys {
    /// Reads the list; makes it of the one key an older version left, or of a fresh one.
    pub fn open(
        path: PathBuf,
        sealing: Zeroizing<[u8; 32]>,
        first: impl FnOnce() -> anyhow::Result<Zeroizing<Vec<u8>>>,
    ) -> anyhow::Result<Self> {
        let list: Vec<Stored> = match std::fs::read(&path) {
            Ok(sealed) => {
                let text = open_secret(&sealing, CONTEXT, &sealed)
                    .with_context(|| format!("{}: not sealed under this bridge key", path.display()))?;
                let text: &[u8] = &text;
                serde_json::from_slice(text).with_context(|| format!("{}: damaged", path.display()))?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => vec![Stored {
                selector: "satchel1".to_owned(),
                key: STANDARD.encode(&*first()?),
                created_at: 0,
                active_from: 0,
                retired_at: None,
            }],
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        let list = list.into_iter().map(Held::new).collect::<anyhow::Result<_>>();
        let list = list.with_context(|| format!("{}: damaged", path.display()))?;
        Ok(Self { path, sealing, list: RwLock::new(list) })
    }

    /// The keys that sign for a domain of ours now.
    pub fn signing(&self, domain: &str, now: UnixMs) -> Vec<DkimKey> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        let signs = list.iter().filter(|held| stage(&held.stored, now) == Stage::Signing);
        signs.map(|held| held.key.of_domain(domain)).collect()
    }

    /// The keys that DNS has to carry for a domain of ours now, and where each is.
    pub fn published(&self, domain: &str, now: UnixMs) -> Vec<(DkimKey, Stage)> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        let carried = list.iter().filter(|held| !is_over(&held.stored, now));
        carried.map(|held| (held.key.of_domain(domain), stage(&held.stored, now))).collect()
    }

    /// Every key, oldest first.
    pub fn list(&self, now: UnixMs) -> Vec<Listed> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        let shown = |held: &Held| Listed {
            selector: held.stored.selector.clone(),
            algorithm: held.key.kind().name(),
            stage: stage(&held.stored, now),
            created_at: held.stored.created_at,
            active_from: held.stored.active_from,
            retired_at: held.stored.retired_at,
        };
        list.iter().filter(|held| !is_over(&held.stored, now)).map(shown).collect()
    }

    /// Whether a key of this kind signs, or will.
    pub fn has(&self, kind: DkimKind, now: UnixMs) -> bool {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        list.iter().any(|held| held.key.kind() == kind && stage(&held.stored, now) != Stage::Retired)
    }

    /// A fresh key takes over from the one of its kind, `after` from now. Its selector. An RSA key takes a moment to make.
    pub fn rotate(&self, kind: DkimKind, after: Duration, now: UnixMs) -> anyhow::Result<String> {
        self.add(&DkimKey::generate(kind)?, after, now)
    }

    /// A key made elsewhere takes over from the one of its kind. Its selector.
    pub fn import(&self, file: &Path, after: Duration, now: UnixMs) -> anyhow::Result<String> {
        let key = PrivatePkcs8KeyDer::from_pem_file(file).map_err(|error| {
            anyhow::anyhow!(
                "{}: no private key in PKCS #8 PEM form: {error}; `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048` makes one",
                file.display()
            )
        })?;
        self.add(&Zeroizing::new(key.secret_pkcs8_der().to_vec()), after, now)
    }

    fn add(&self, pkcs8: &Zeroizing<Vec<u8>>, after: Duration, now: UnixMs) -> anyhow::Result<String> {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        let mut next: Vec<Held> = list.iter().filter(|held| !is_over(&held.stored, now)).cloned().collect();
        if next.len() >= KEYS_MAX {
            bail!("{KEYS_MAX} DKIM keys are kept at a time; wait until a retired one is a week old");
        }
        let number = list.iter().filter_map(|held| held.stored.selector.strip_prefix("satchel")?.parse::<u32>().ok());
        let selector = format!("satchel{}", number.max().unwrap_or(0) + 1);
        let active_from = now + i64::try_from(after.as_millis()).unwrap_or(i64::MAX / 2);
        let new = Held::new(Stored {
            selector: selector.clone(),
            key: STANDARD.encode(&**pkcs8),
            created_at: now,
            active_from,
            retired_at: None,
        })?;
        for held in next.iter_mut().filter(|held| held.key.kind() == new.key.kind()) {
            let key = &mut held.stored;
            if key.retired_at.is_none_or(|at| at > active_from) {
                // One that was still to come never signs.
                key.retired_at = Some(active_from);
            }
        }
        next.push(new);
        let stored: Vec<&Stored> = next.iter().map(|held| &held.stored).collect();
        let text = Zeroizing::new(serde_json::to_vec(&stored)?);
        write_durably(&self.path, &seal_secret(&mut OsRng, &self.sealing, CONTEXT, &text))?;
        *list = next;
        Ok(selector)
    }
}

fn stage(key: &Stored, now: UnixMs) -> Stage {
    match key.retired_at {
        Some(at) if at <= now => Stage::Retired,
        _ if key.active_from <= now => Stage::Signing,
        _ => Stage::Published,
    }
}

fn is_over(key: &Stored, now: UnixMs) -> bool {
    key.retired_at.is_some_and(|at| at + PUBLISHED_AFTER_MS <= now)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = 1_795_230_000_000;
    const DAY: i64 = 86_400_000;

    fn keys(dir: &Path) -> DkimKeys {
        let first = || Ok(DkimKey::generate(DkimKind::Ed25519).unwrap());
        DkimKeys::open(dir.join("dkim.json"), Zeroizing::new([7; 32]), first).unwrap()
    }

    fn selectors(keys: &DkimKeys, now: UnixMs) -> Vec<(String, Stage)> {
        keys.list(now).into_iter().map(|key| (key.selector, key.stage)).collect()
    }

    #[test]
    fn a_key_is_published_then_signs_and_the_one_before_goes_a_week_later() {
        let dir = tempfile::tempdir().unwrap();
        let keys = keys(dir.path());
        let of = |n: u32, stage| (format!("satchel{n}"), stage);
        assert_eq!(selectors(&keys, NOW), [of(1, Stage::Signing)]);
        assert_eq!(keys.rotate(DkimKind::Ed25519, PUBLISHED_BEFORE, NOW).unwrap(), "satchel2");
        assert_eq!(selectors(&keys, NOW), [of(1, Stage::Signing), of(2, Stage::Published)]);
        assert_eq!((keys.signing("a.test", NOW).len(), keys.published("a.test", NOW).len()), (1, 2));
        let later = NOW + 2 * DAY;
        assert_eq!(selectors(&keys, later), [of(1, Stage::Retired), of(2, Stage::Signing)]);
        assert_eq!(selectors(&keys, later + 7 * DAY), [of(2, Stage::Signing)]);
        // The list outlives the process, and lies sealed.
        let text = std::fs::read(dir.path().join("dkim.json")).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains("satchel2"));
        let again =
            DkimKeys::open(dir.path().join("dkim.json"), Zeroizing::new([7; 32]), || bail!("not asked")).unwrap();
        assert_eq!(selectors(&again, later), selectors(&keys, later));
        assert_eq!(again.rotate(DkimKind::Ed25519, Duration::ZERO, later).unwrap(), "satchel3");
        assert_eq!(selectors(&again, later)[1..], [of(2, Stage::Retired), of(3, Stage::Signing)]);
    }

    #[test]
    fn keys_of_both_kinds_sign_side_by_side_and_each_takes_over_from_its_own_kind() {
        let dir = tempfile::tempdir().unwrap();
        let keys = keys(dir.path());
        assert!(keys.has(DkimKind::Ed25519, NOW) && !keys.has(DkimKind::Rsa, NOW));
        assert_eq!(keys.rotate(DkimKind::Rsa, PUBLISHED_BEFORE, NOW).unwrap(), "satchel2");
        assert!(keys.has(DkimKind::Rsa, NOW));
        let kinds = |now| keys.signing("a.test", now).iter().map(|key| key.kind().name()).collect::<Vec<_>>();
        assert_eq!(kinds(NOW), ["ed25519"]);
        assert_eq!(kinds(NOW + 2 * DAY), ["ed25519", "rsa"]);
        keys.rotate(DkimKind::Rsa, Duration::ZERO, NOW + 3 * DAY).unwrap();
        assert_eq!(kinds(NOW + 3 * DAY), ["ed25519", "rsa"]);
        assert_eq!(keys.published("a.test", NOW + 3 * DAY).len(), 3);
    }

    #[test]
    fn what_is_no_key_is_refused_with_a_way_to_make_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key.pem");
        std::fs::write(&file, "no key").unwrap();
        let error = keys(dir.path()).import(&file, Duration::ZERO, NOW).unwrap_err().to_string();
        assert!(error.contains("key.pem") && error.contains("openssl genpkey"), "{error}");
    }
}
