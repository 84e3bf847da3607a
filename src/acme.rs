//! Certificates from a CA by ACME (RFC 8555), with the challenge HTTP-01 answered by the web door.
//!
//! Orders, signatures and renewals (after two thirds of a certificate's life) are `rustls-acme`'s. Account key and
//! certificates lie in DIR/keys/acme, one file for each CA and set of names.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, bail};
use async_trait::async_trait;
use futures::StreamExt;
use rand::RngCore;
use rand::rngs::OsRng;
use rustls::{ClientConfig, RootCertStore};
use rustls_acme::{AccountCache, AcmeConfig, AcmeState, CertCache, EventError, ResolvesServerCertAcme, UseChallenge};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::sync::watch;

use crate::command::rfc3339;
use crate::config::Config;
use crate::dir::{Dir, write_durably};
use crate::house::stopped;
use crate::tls::Certificates;

/// What `tls.acme = "letsencrypt"` means.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// And `"letsencrypt-staging"`: certificates that nobody trusts, for trying.
const LETS_ENCRYPT_STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";
/// How long to wait after an order that failed. Let's Encrypt gives back one of five failures every twelve minutes.
const AFTER_FAILURE: Duration = Duration::from_secs(15 * 60);
/// How often everything begins anew with what is on disk: an order that a CA does not finish ends there, and a machine that
/// slept sees what day it is.
const BEGIN_AGAIN: Duration = Duration::from_secs(3600);

/// One CA, and what is ordered of it.
pub struct Acme {
    directory: String,
    names: Vec<String>,
    contact: Option<String>,
    client: Option<Arc<ClientConfig>>,
    folder: PathBuf,
    certificates: Arc<Certificates>,
    /// What was got last: the disk may be full when it is to be kept.
    got: Mutex<Option<Vec<u8>>>,
    /// Knows the open challenge.
    challenge: RwLock<Option<Arc<ResolvesServerCertAcme>>>,
    /// A challenge of our own, which tells whether port 80 leads here.
    probe: String,
}

impl Acme {
    /// As the config says; `None` without a CA.
    pub fn new(config: &Config, dir: &Dir, certificates: &Arc<Certificates>) -> anyhow::Result<Option<Arc<Self>>> {
        let tls = &config.tls;
        let directory = match tls.acme.as_str() {
            "" => return Ok(None),
            "letsencrypt" => LETS_ENCRYPT,
            "letsencrypt-staging" => LETS_ENCRYPT_STAGING,
            url => url,
        };
        let client = match tls.acme_ca.as_os_str().is_empty() {
            true => None,
            false => Some(trusting(&tls.acme_ca)?),
        };
        let folder = dir.keys().join("acme");
        crate::dir::private_folder(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let mut probe = [0; 16];
        OsRng.fill_bytes(&mut probe);
        Ok(Some(Arc::new(Self {
            directory: directory.to_owned(),
            names: config.acme_names(),
            contact: (!tls.acme_contact.is_empty()).then(|| format!("mailto:{}", tls.acme_contact)),
            client,
            folder,
            certificates: Arc::clone(certificates),
            got: Mutex::default(),
            challenge: RwLock::default(),
            probe: hex::encode(probe),
        })))
    }

    /// What the certificate is for.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// A token that is always answered, with itself: who finds it has found this server.
    pub fn probe(&self) -> &str {
        &self.probe
    }

    /// What a CA that asks for this token is to find (RFC 8555 §8.3).
    pub fn key_authorization(&self, token: &str) -> Option<String> {
        if token == self.probe {
            return Some(self.probe.clone());
        }
        let challenge = self.challenge.read().unwrap_or_else(PoisonError::into_inner);
        challenge.as_ref()?.get_http_01_key_auth(token)
    }

    /// Orders and renews until the server stops.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        loop {
            let mut state = Arc::clone(&self).state();
            *self.challenge.write().unwrap_or_else(PoisonError::into_inner) = Some(state.resolver());
            tokio::select! {
                () = stopped(&mut stop) => return,
                () = order(&mut state) => {}
                () = tokio::time::sleep(BEGIN_AGAIN) => {}
            }
        }
    }

    fn state(self: Arc<Self>) -> AcmeState<anyhow::Error, anyhow::Error> {
        let order = match &self.client {
            Some(client) => AcmeConfig::new_with_client_config(&self.names, Arc::clone(client)),
            None => AcmeConfig::new(&self.names),
        };
        let order = order.directory(&self.directory).contact(&self.contact).challenge_type(UseChallenge::Http01);
        order.cache(Shelf(self)).state()
    }

    fn path(&self, what: &str, whose: &[String]) -> PathBuf {
        let named = format!("{}\n{}", self.directory, whose.join("\n"));
        let digest = ring::digest::digest(&ring::digest::SHA256, named.as_bytes());
        self.folder.join(format!("{what}-{}", hex::encode(&digest.as_ref()[..8])))
    }

    /// What was got, or lay on disk, is served from now on. Whether it can be.
    fn use_certificate(&self, pem: &[u8]) -> bool {
        let mut got = self.got.lock().unwrap_or_else(PoisonError::into_inner);
        if got.as_deref() == Some(pem) {
            return true;
        }
        match self.certificates.set_ordered(pem) {
            Ok(loaded) => {
                let until = rfc3339(loaded.facts.not_after * 1000);
                tracing::info!(%until, "serving the certificate that the CA gave");
                *got = Some(pem.to_vec());
                true
            }
            Err(error) => {
                tracing::warn!("the CA's certificate cannot be used: {error:#}");
                false
            }
        }
    }
}

/// Ends when an order failed and was waited for.
async fn order(state: &mut AcmeState<anyhow::Error, anyhow::Error>) {
    while let Some(event) = state.next().await {
        match event {
            Ok(event) => tracing::debug!(?event, "certificate by ACME"),
            // Without what was kept, or without keeping, it goes on all the same.
            Err(error) if !matches!(error, EventError::Order(_)) => tracing::warn!(%error, "certificate by ACME"),
            Err(error) => {
                tracing::warn!(
                    %error,
                    "no certificate by ACME yet: does port 80 of every name lead here? The next try is in 15 minutes"
                );
                tokio::time::sleep(AFTER_FAILURE).await;
                return;
            }
        }
    }
}

/// Where account key and certificates are kept: for the owner's eyes only, written whole or not at all.
struct Shelf(Arc<Acme>);

impl Shelf {
    fn read(path: PathBuf) -> anyhow::Result<Option<Vec<u8>>> {
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| path.display().to_string()),
        }
    }
}

#[async_trait]
impl CertCache for Shelf {
    type EC = anyhow::Error;

    async fn load_cert(&self, domains: &[String], _: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let kept = Self::read(self.0.path("certificate", domains)).unwrap_or_else(|error| {
            tracing::warn!("the CA's certificate cannot be read: {error:#}");
            None
        });
        match kept.filter(|pem| self.0.use_certificate(pem)) {
            Some(pem) => Ok(Some(pem)),
            None => Ok(self.0.got.lock().unwrap_or_else(PoisonError::into_inner).clone()),
        }
    }

    async fn store_cert(&self, domains: &[String], _: &str, pem: &[u8]) -> anyhow::Result<()> {
        self.0.use_certificate(pem);
        Ok(write_durably(&self.0.path("certificate", domains), pem)?)
    }
}

#[async_trait]
impl AccountCache for Shelf {
    type EA = anyhow::Error;

    async fn load_account(&self, contact: &[String], _: &str) -> anyhow::Result<Option<Vec<u8>>> {
        Self::read(self.0.path("account", contact))
    }

    async fn store_account(&self, contact: &[String], _: &str, key: &[u8]) -> anyhow::Result<()> {
        Ok(write_durably(&self.0.path("account", contact), key)?)
    }
}

/// A client that trusts the CA whose own HTTPS certificate is signed by one of these, and no other.
fn trusting(file: &std::path::Path) -> anyhow::Result<Arc<ClientConfig>> {
    let roots = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| anyhow::anyhow!("tls.acme_ca, {}: no PEM certificates: {error}", file.display()))?;
    let mut store = RootCertStore::empty();
    let (taken, _) = store.add_parsable_certificates(roots);
    if taken == 0 {
        bail!("tls.acme_ca, {}: holds no certificate that can be trusted", file.display());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(Arc::new(client))
}
