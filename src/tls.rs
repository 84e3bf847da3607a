//! Certificates: the operator's files, read again when they change; what a CA gave (see `acme`); a self-signed one that is
//! renewed.
//!
//! One rustls configuration serves every door for the whole life of the process; what changes is behind its resolver.

mod x509;

pub use x509::Facts;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Datelike, Utc};
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::watch;

use crate::config::Config;
use crate::dir::{Dir, write_durably};
use crate::house::{now_ms, stopped};

/// How long a self-signed certificate is good for. Apple's systems refuse more than 825 days; each renewal makes mail
/// clients ask once more.
const SELF_SIGNED_DAYS: i64 = 820;
/// Days before its end that a self-signed one is replaced.
const RENEW_DAYS: i64 = 30;
/// How often the files are looked at: two of a few KiB each.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const DAY_SECONDS: i64 = 86_400;

/// All certificates of this server, chosen by the name a client asks for.
#[derive(Debug)]
pub struct Certificates {
    sources: Vec<Source>,
    /// One for each source.
    loaded: RwLock<Vec<Arc<Loaded>>>,
    /// What a CA gave, once it did.
    ordered: RwLock<Option<Arc<Loaded>>>,
}

/// Where one comes from.
#[derive(Debug, Clone)]
struct Source {
    certificate: PathBuf,
    key: PathBuf,
    /// Made here: the names it should have.
    self_signed: Option<Vec<String>>,
}

/// One certificate, ready to use.
#[derive(Debug)]
pub struct Loaded {
    /// What it says.
    pub facts: Facts,
    key: Arc<CertifiedKey>,
}

/// What a look at the files found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Certificates that are new.
    pub changed: usize,
    /// Why others could not be read.
    pub failed: Vec<String>,
}

impl Certificates {
    /// Reads (or makes) them all; an error names the file.
    pub fn open(config: &Config, dir: &Dir) -> anyhow::Result<Arc<Self>> {
        let sources = if config.tls.certificate.as_os_str().is_empty() {
            vec![Source {
                certificate: dir.keys().join("tls.crt"),
                key: dir.keys().join("tls.key"),
                self_signed: Some(own_names(config)),
            }]
        } else {
            let first = (&config.tls.certificate, &config.tls.key);
            let further = config.tls.further.iter().map(|pair| (&pair.certificate, &pair.key));
            let pairs = std::iter::once(first).chain(further);
            pairs.map(|(certificate, key)| Source::of_files(certificate, key)).collect()
        };
        Ok(Arc::new(Self::load(sources)?))
    }

    fn load(sources: Vec<Source>) -> anyhow::Result<Self> {
        let loaded = sources.iter().map(|source| source.load().map(Arc::new)).collect::<anyhow::Result<_>>()?;
        Ok(Self { sources, loaded: RwLock::new(loaded), ordered: RwLock::default() })
    }

    /// What every door answers TLS with: versions 1.2 and 1.3.
    pub fn server_config(self: &Arc<Self>) -> anyhow::Result<Arc<ServerConfig>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as _);
        // Microsoft's MX aborts STARTTLS when it is sent session tickets.
        server.send_tls13_tickets = 0;
        Ok(Arc::new(server))
    }

    /// Puts what a CA gave into use: the key first, then the chain, as PEM.
    pub fn set_ordered(&self, pem: &[u8]) -> anyhow::Result<Arc<Loaded>> {
        let loaded = Arc::new(Loaded::of_pem(pem, pem, "the CA's answer", "the CA's answer")?);
        *self.ordered.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&loaded));
        Ok(loaded)
    }

    /// The certificate that a client asking for this name gets, where it is for that name.
    pub fn facts_for(&self, name: &str) -> Option<Facts> {
        self.choose(Some(name)).filter(|one| one.facts.covers(name)).map(|one| one.facts.clone())
    }

    /// Reads again what changed. A pair that cannot be used leaves the one before in use: half of it may be written yet.
    pub fn reload(&self) -> Reloaded {
        let mut found = Reloaded::default();
        for (at, source) in self.sources.iter().enumerate() {
            match source.load() {
                Ok(now) => {
                    let mut loaded = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
                    if loaded[at].key.cert != now.key.cert {
                        loaded[at] = Arc::new(now);
                        found.changed += 1;
                    }
                }
                Err(error) => found.failed.push(format!("{error:#}")),
            }
        }
        found
    }

    /// The operator's pairs come first, then what a CA gave, then the self-signed one; the first that is for the name, or
    /// the first of all. Port 25 is often asked for no name, or for one of an old MX record: any is better than none.
    fn choose(&self, asked: Option<&str>) -> Option<Arc<Loaded>> {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        let ordered = self.ordered.read().unwrap_or_else(PoisonError::into_inner);
        let is_own = |source: &Source| source.self_signed.is_none();
        let files = || loaded.iter().zip(&self.sources);
        let in_order = || {
            let given = files().filter(|(_, source)| is_own(source)).map(|(one, _)| one);
            given.chain(ordered.iter()).chain(files().filter(|(_, source)| !is_own(source)).map(|(one, _)| one))
        };
        let named = asked.and_then(|asked| in_order().find(|one| one.facts.covers(asked)));
        named.or_else(|| in_order().next()).cloned()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name()).map(|one| Arc::clone(&one.key))
    }
}

/// Reads changed files again until the server stops.
pub async fn watch(certificates: Arc<Certificates>, mut stop: watch::Receiver<bool>) {
    let mut told = Vec::new();
    loop {
        tokio::select! {
            () = stopped(&mut stop) => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let again = Arc::clone(&certificates);
        let Ok(found) = tokio::task::spawn_blocking(move || again.reload()).await else { continue };
        if found.changed > 0 {
            tracing::info!(changed = found.changed, "certificates were read again");
        }
        for why in found.failed.iter().filter(|why| !told.contains(*why)) {
            tracing::warn!(%why, "a certificate cannot be read again; the one before stays in use");
        }
        told = found.failed;
    }
}

impl Source {
    fn of_files(certificate: &Path, key: &Path) -> Self {
        Self { certificate: certificate.to_owned(), key: key.to_owned(), self_signed: None }
    }

    fn load(&self) -> anyhow::Result<Loaded> {
        if let Some(names) = &self.self_signed
            && !matches!(self.read(), Ok(loaded) if loaded.facts.will_do(names, now_ms() / 1000))
        {
            self_signed(names, &self.certificate, &self.key)?;
        }
        self.read()
    }

    fn read(&self) -> anyhow::Result<Loaded> {
        let (certificate, key) = (self.certificate.display().to_string(), self.key.display().to_string());
        let read = |path: &Path, name: &str| std::fs::read(path).with_context(|| format!("{name} cannot be read"));
        let (chain_pem, key_pem) = (read(&self.certificate, &certificate)?, read(&self.key, &key)?);
        Loaded::of_pem(&chain_pem, &key_pem, &certificate, &key)
    }
}

impl Loaded {
    /// The names are those of the files, for errors.
    fn of_pem(chain_pem: &[u8], key_pem: &[u8], certificate: &str, key: &str) -> anyhow::Result<Self> {
        let chain = CertificateDer::pem_slice_iter(chain_pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| anyhow::anyhow!("{certificate}: no PEM certificate chain: {error}"))?;
        let key_der = PrivateKeyDer::from_pem_slice(key_pem)
            .map_err(|error| anyhow::anyhow!("{key}: no PEM private key: {error}"))?;
        let first = chain.first().with_context(|| format!("{certificate}: holds no certificate"))?;
        let facts = Facts::read(first).with_context(|| format!("{certificate}: cannot be understood"))?;
        let certified = CertifiedKey::from_der(chain, key_der, &rustls::crypto::ring::default_provider())
            .with_context(|| format!("{certificate} and {key} do not belong together"))?;
        Ok(Self { facts, key: Arc::new(certified) })
    }
}

impl Facts {
    /// Whether a self-signed one may stay: for these names, with time left, and not so long that Apple refuses it.
    fn will_do(&self, names: &[String], now: i64) -> bool {
        self.self_signed
            && names.iter().all(|name| self.covers(name))
            && self.not_after - self.not_before <= SELF_SIGNED_DAYS * DAY_SECONDS
            && (self.not_before..self.not_after - RENEW_DAYS * DAY_SECONDS).contains(&now)
    }
}

/// The server's name first: mail clients show it where they ask whether to trust the certificate.
fn own_names(config: &Config) -> Vec<String> {
    let mut names = vec![config.server.name.clone(), "localhost".into(), config.listen.address.to_string()];
    names.extend(config.server.domains.iter().filter(|domain| **domain != config.server.name).cloned());
    names
}

fn self_signed(names: &[String], certificate: &Path, key: &Path) -> anyhow::Result<()> {
    let (made, signing_key) =
        sign(names.to_vec(), now_ms() / 1000).context("a self-signed certificate cannot be made")?;
    // The key first. A crash between leaves a pair that does not belong together: the next look makes another.
    write_durably(key, signing_key.serialize_pem().as_bytes())?;
    write_durably(certificate, made.pem().as_bytes())?;
    Ok(())
}

fn sign(names: Vec<String>, now: i64) -> anyhow::Result<(rcgen::Certificate, rcgen::KeyPair)> {
    let subject = names.first().cloned().unwrap_or_default();
    let mut parameters = rcgen::CertificateParams::new(names)?;
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, subject);
    // Apple's systems ask for this use, and for an end in sight.
    parameters.extended_key_usages.push(rcgen::ExtendedKeyUsagePurpose::ServerAuth);
    let day = |days: i64| -> anyhow::Result<(i32, u8, u8)> {
        let date = DateTime::<Utc>::from_timestamp(now + days * DAY_SECONDS, 0).context("no such date")?;
        Ok((date.year(), u8::try_from(date.month())?, u8::try_from(date.day())?))
    };
    // Yesterday: a client's clock may be slow.
    let ((year, month, day_of_month), until) = (day(-1)?, day(SELF_SIGNED_DAYS - 1)?);
    parameters.not_before = rcgen::date_time_ymd(year, month, day_of_month);
    parameters.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
    let key = rcgen::KeyPair::generate()?;
    Ok((parameters.self_signed(&key)?, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_000_000;

    fn write(folder: &Path, name: &str, names: &[&str]) -> Source {
        let (made, key) = sign(names.iter().map(|&name| name.to_owned()).collect(), NOW).unwrap();
        let source = Source::of_files(&folder.join(format!("{name}.crt")), &folder.join(format!("{name}.key")));
        std::fs::write(&source.key, key.serialize_pem()).unwrap();
        std::fs::write(&source.certificate, made.pem()).unwrap();
        source
    }

    fn serving(certificates: &Certificates, name: Option<&str>) -> Vec<u8> {
        certificates.choose(name).unwrap().key.cert[0].to_vec()
    }

    #[test]
    fn a_name_gets_its_certificate_and_a_stranger_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let one = write(folder.path(), "one", &["mx.one.test", "one.test"]);
        let two = write(folder.path(), "two", &["*.two.test", "two.test"]);
        let certificates = Certificates::load(vec![one, two]).unwrap();
        let (one, two) = (serving(&certificates, Some("mx.one.test")), serving(&certificates, Some("two.test")));
        assert_ne!(one, two);
        for (name, expected) in [
            (Some("MX.one.test"), &one),
            (Some("autoconfig.two.test"), &two),
            (Some("a.b.two.test"), &one),
            (Some("three.test"), &one),
            (None, &one),
        ] {
            assert_eq!(&serving(&certificates, name), expected, "{name:?}");
        }
        assert!(certificates.facts_for("three.test").is_none());
    }

    #[test]
    fn what_a_ca_gave_goes_before_the_self_signed_one_and_behind_the_operators_own() {
        let folder = tempfile::tempdir().unwrap();
        let (made, key) = sign(vec!["mx.test".to_owned()], NOW).unwrap();
        let pem = format!("{}\n{}", key.serialize_pem(), made.pem());
        let own = Source { self_signed: None, ..write(folder.path(), "own", &["own.test"]) };
        let files = Certificates::load(vec![own]).unwrap();
        let before = serving(&files, None);
        files.set_ordered(pem.as_bytes()).unwrap();
        assert_eq!(serving(&files, None), before);
        assert_eq!(serving(&files, Some("mx.test")), made.der().to_vec());

        let names = vec!["mx.test".to_owned(), "localhost".to_owned()];
        let (crt, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
        let own = Source { self_signed: Some(names), ..Source::of_files(&crt, &key) };
        let certificates = Certificates::load(vec![own]).unwrap();
        let before = serving(&certificates, Some("mx.test"));
        certificates.set_ordered(pem.as_bytes()).unwrap();
        assert_eq!(serving(&certificates, Some("mx.test")), made.der().to_vec());
        assert_eq!(serving(&certificates, None), made.der().to_vec());
        assert_eq!(serving(&certificates, Some("localhost")), before);
        assert!(certificates.set_ordered(b"no PEM").is_err());
    }

    #[test]
    fn a_changed_file_is_read_again_and_half_a_pair_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let certificates = Certificates::load(vec![write(folder.path(), "one", &["one.test"])]).unwrap();
        let before = serving(&certificates, None);
        assert_eq!(certificates.reload(), Reloaded::default());
        write(folder.path(), "other", &["one.test"]);
        std::fs::copy(folder.path().join("other.crt"), folder.path().join("one.crt")).unwrap();
        let found = certificates.reload();
        assert_eq!((found.changed, found.failed.len()), (0, 1), "its key is not there yet");
        assert!(found.failed[0].contains("do not belong together"), "{found:?}");
        assert_eq!(serving(&certificates, None), before);
        std::fs::copy(folder.path().join("other.key"), folder.path().join("one.key")).unwrap();
        assert_eq!(certificates.reload(), Reloaded { changed: 1, failed: Vec::new() });
        assert_ne!(serving(&certificates, None), before);
        std::fs::remove_file(folder.path().join("one.key")).unwrap();
        assert!(certificates.reload().failed[0].contains("one.key cannot be read"));
    }

    #[test]
    fn a_self_signed_certificate_is_one_that_apple_accepts_and_is_renewed() {
        let folder = tempfile::tempdir().unwrap();
        let names = vec!["mx.test".to_owned(), "127.0.0.1".to_owned(), "one.test".to_owned()];
        let facts = write(folder.path(), "own", &["mx.test", "127.0.0.1", "one.test"]).read().unwrap().facts;
        assert_eq!((facts.not_after - facts.not_before) / DAY_SECONDS, 820);
        assert!(facts.will_do(&names, NOW));
        assert!(!facts.will_do(&names, NOW - 3 * DAY_SECONDS));
        assert!(!facts.will_do(&names, NOW + (SELF_SIGNED_DAYS - RENEW_DAYS) * DAY_SECONDS));
        assert!(!facts.will_do(&["new.test".to_owned()], NOW));

        // One of an older version, good for ever, is replaced as soon as it is looked at.
        let own = write(folder.path(), "old", &["mx.test"]);
        let key = rcgen::KeyPair::generate().unwrap();
        let old = rcgen::CertificateParams::new(["mx.test".to_owned()]).unwrap().self_signed(&key).unwrap();
        std::fs::write(&own.certificate, old.pem()).unwrap();
        std::fs::write(&own.key, key.serialize_pem()).unwrap();
        let own = Source { self_signed: Some(vec!["mx.test".to_owned()]), ..own };
        assert_ne!(own.load().unwrap().key.cert[0], *old.der());
        assert!(own.load().unwrap().facts.will_do(&["mx.test".to_owned()], now_ms() / 1000));
    }
}
