//! `satchel check`: looks at config, ports and keys without starting anything, and at what others see of a running server;
//! says what to fix.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use crate::cli::Request;
use crate::config::{ChainKind, Config};
use crate::control::{self, Answer};
use crate::dir::Dir;
use crate::run;

/// One finding.
struct Finding {
    what: String,
    ok: bool,
    /// Nothing is wrong, but something could be better.
    advice: bool,
    text: String,
}

impl Finding {
    fn fine(what: &str, text: impl Into<String>) -> Self {
        Self { what: what.to_owned(), ok: true, advice: false, text: text.into() }
    }

    fn wrong(what: &str, text: impl Into<String>) -> Self {
        Self { ok: false, ..Self::fine(what, text) }
    }

    /// The word in front of it.
    fn word(&self) -> &'static str {
        match (self.ok, self.advice) {
            (false, _) => "FIX ",
            (true, true) => "note",
            (true, false) => "ok  ",
        }
    }
}

/// Checks and prints; 0 when everything is fine, 1 otherwise.
pub async fn check(path: &Path, dnsbl: Vec<String>, as_json: bool) -> anyhow::Result<ExitCode> {
    let (dir, config) = run::config_and_dir(path)?;
    let mut findings = vec![Finding::fine("config", format!("{} is valid", path.display()))];
    let running = dir.lock()?.is_none();
    ports(&config, running, &mut findings);
    keys(&dir, &mut findings);
    disk(&dir, &config, &mut findings);
    certificate(&config, &mut findings);
    wallet(&config, &mut findings);
    dust(&mut findings);
    outside(&dir, dnsbl, &mut findings).await?;
    let ok = findings.iter().all(|finding| finding.ok);
    if as_json {
        let rows: Vec<_> = findings
            .iter()
            .map(|f| json!({ "check": f.what, "ok": f.ok, "advice": f.advice, "text": f.text }))
            .collect();
        println!("{}", serde_json::to_string_pretty(&json!({ "ok": ok, "findings": rows }))?);
    } else {
        for finding in &findings {
            println!("{} {}: {}", finding.word(), finding.what, finding.text);
        }
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn ports(config: &Config, running: bool, findings: &mut Vec<Finding>) {
    if running {
        findings.push(Finding::fine("ports", "a server runs on this directory and has them"));
        return;
    }
    for (key, port) in run::named_ports(config) {
        if port == 0 {
            continue;
        }
        let address = SocketAddr::new(config.listen.address, port);
        if let Err(error) = TcpListener::bind(address) {
            findings.push(Finding::wrong(
                "ports",
                format!(
                    "{address} cannot be bound: {error}; change listen.{key} or stop what uses it (0 picks a free port)"
                ),
            ));
        }
    }
    if findings.iter().all(|finding| finding.what != "ports") {
        findings.push(Finding::fine("ports", "all can be bound"));
    }
}

fn keys(dir: &Dir, findings: &mut Vec<Finding>) {
    let path = dir.keys().join("bridge.key");
    let finding = match std::fs::metadata(&path) {
        Ok(meta) if meta.permissions().mode() & 0o077 != 0 => {
            Finding::wrong("keys", format!("{} can be read by others; chmod 600 it", path.display()))
        }
        Ok(_) => Finding::fine("keys", format!("{} is there and private", path.display())),
        Err(_) if dir.database().exists() => Finding::wrong(
            "keys",
            format!("{} is missing, and the database cannot be read without it; put it back", path.display()),
        ),
        Err(_) => Finding::fine("keys", "none yet; made on first start"),
    };
    findings.push(finding);
}

fn disk(dir: &Dir, config: &Config, findings: &mut Vec<Finding>) {
    let floor = config.limits.disk_free_mib;
    let finding = match dir.free_bytes() {
        Ok(free) if free / (1024 * 1024) < floor => Finding::wrong(
            "disk",
            format!(
                "{} MiB are free, below limits.disk_free_mib = {floor}: mail is put off with 452",
                free / (1024 * 1024)
            ),
        ),
        Ok(free) => Finding::fine("disk", format!("{} MiB are free", free / (1024 * 1024))),
        Err(error) => Finding::wrong("disk", format!("{}: {error}", dir.root().display())),
    };
    findings.push(finding);
}

fn certificate(config: &Config, findings: &mut Vec<Finding>) {
    let tls = &config.tls;
    if !tls.acme.is_empty() {
        let text = format!("ordered of {} for {}", tls.acme, config.acme_names().join(", "));
        findings.push(Finding::fine("tls", text));
    }
    if tls.certificate.as_os_str().is_empty() {
        if tls.acme.is_empty() {
            let text =
                "self-signed: mail clients ask once; set tls.acme, or tls.certificate and tls.key, for a real one";
            findings.push(Finding::fine("tls", text));
        }
        return;
    }
    let further = tls.further.iter().flat_map(|pair| [&pair.certificate, &pair.key]);
    for file in [&tls.certificate, &tls.key].into_iter().chain(further) {
        if let Err(error) = std::fs::read(file) {
            findings.push(Finding::wrong("tls", format!("{}: {error}", file.display())));
        }
    }
}

/// Reads the files of `[wallet]`, and asks nobody.
fn wallet(config: &Config, findings: &mut Vec<Finding>) {
    let embedded = || match config.chain.source {
        ChainKind::None => Ok(None),
        _ => crate::wallet::chain_source(config).map(|_| Some(crate::wallet::place(config))),
    };
    let finding = match crate::wallet::backend(config) {
        Ok(None) => match embedded() {
            Ok(None) => return,
            Ok(Some(place)) => Finding::fine("chain", format!("{place}: its files are there")),
            Err(error) => Finding::wrong("chain", error.0),
        },
        Ok(Some(_)) => {
            let name = config.wallet.backend.name();
            Finding::fine("wallet", format!("{name}: its files are there and private"))
        }
        Err(error) => Finding::wrong("wallet", error.0),
    };
    findings.push(finding);
}

/// What others see is looked at by the running server: it knows its ports, its certificate and its resolver.
async fn outside(dir: &Dir, dnsbl: Vec<String>, findings: &mut Vec<Finding>) -> anyhow::Result<()> {
    match control::ask(&dir.control(), &Request::Outside { dnsbl }).await? {
        Some(Answer::Done(rows)) => {
            for row in rows.as_array().into_iter().flatten() {
                let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
                let (ok, advice) = (row["ok"] == true, row["advice"] == true);
                findings.push(Finding { what: text("check"), ok, advice, text: text("text") });
            }
        }
        Some(Answer::Failed(why)) => findings.push(Finding::wrong("outside", why)),
        None => {
            let text =
                "names, records and what a sender meets are looked at while the server runs: start it, check again";
            findings.push(Finding { advice: true, ..Finding::fine("outside", text) });
        }
    }
    Ok(())
}

/// Design section 4: small holds are dust; say what that means before anybody prices a mail.
fn dust(findings: &mut Vec<Finding>) {
    let text = "holds below 354 sat are dust on an anchor channel: they lock and refund like any other, but a \
                force-close would lose them; `satchel wallet channels` shows the room left for them";
    findings.push(Finding::fine("holds", text));
}
