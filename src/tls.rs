//! The certificate: the operator's, or a self-signed one made on first use.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::Config;
use crate::dir::{Dir, write_durably};

/// Reads (or makes) chain and key.
pub fn load(config: &Config, dir: &Dir) -> anyhow::Result<Arc<ServerConfig>> {
    let (certificate, key) = if config.tls.certificate.as_os_str().is_empty() {
        let certificate = dir.keys().join("tls.crt");
        let key = dir.keys().join("tls.key");
        if !certificate.exists() || !key.exists() {
            self_signed(config, &certificate, &key)?;
        }
        (certificate, key)
    } else {
        (config.tls.certificate.clone(), config.tls.key.clone())
    };
    let chain = CertificateDer::pem_file_iter(&certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| anyhow::anyhow!("{}: no PEM certificate chain: {error}", certificate.display()))?;
    let key_der = PrivateKeyDer::from_pem_file(&key)
        .map_err(|error| anyhow::anyhow!("{}: no PEM private key: {error}", key.display()))?;
    let mut server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key_der)
        .with_context(|| format!("{} and {} do not belong together", certificate.display(), key.display()))?;
    // Microsoft's MX aborts STARTTLS when it is sent session tickets.
    server.send_tls13_tickets = 0;
    Ok(Arc::new(server))
}

fn self_signed(config: &Config, certificate: &Path, key: &Path) -> anyhow::Result<()> {
    let mut names = vec![config.server.name.clone(), "localhost".into(), config.listen.address.to_string()];
    names.extend(config.server.domains.iter().filter(|domain| **domain != config.server.name).cloned());
    let (made, signing_key) = sign(names).context("a self-signed certificate cannot be made")?;
    // The key first: a certificate without its key would never be replaced.
    write_durably(key, signing_key.serialize_pem().as_bytes())?;
    write_durably(certificate, made.pem().as_bytes())?;
    Ok(())
}

/// The first name is also the subject's: mail clients show it where they ask whether to trust the certificate.
fn sign(names: Vec<String>) -> Result<(rcgen::Certificate, rcgen::KeyPair), rcgen::Error> {
    let subject = names.first().cloned().unwrap_or_default();
    let mut parameters = rcgen::CertificateParams::new(names)?;
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, subject);
    let key = rcgen::KeyPair::generate()?;
    Ok((parameters.self_signed(&key)?, key))
}
