//! `satchel check`: looks at config, ports, keys and DNS without starting anything; says what to fix.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use crate::config::Config;
use crate::dir::Dir;
use crate::run;

/// One finding.
struct Finding {
    what: &'static str,
    ok: bool,
    text: String,
}

/// Checks and prints; 0 when everything is fine, 1 otherwise.
pub async fn check(path: &Path, as_json: bool) -> anyhow::Result<ExitCode> {
    let (dir, config) = run::config_and_dir(path)?;
    let mut findings = vec![Finding { what: "config", ok: true, text: format!("{} is valid", path.display()) }];
    let running = dir.lock()?.is_none();
    ports(&config, running, &mut findings);
    keys(&dir, &mut findings);
    disk(&dir, &config, &mut findings);
    certificate(&config, &mut findings);
    wallet(&config, &mut findings);
    dust(&mut findings);
    let ok = findings.iter().all(|finding| finding.ok);
    if as_json {
        let rows: Vec<_> = findings.iter().map(|f| json!({ "check": f.what, "ok": f.ok, "text": f.text })).collect();
        println!("{}", serde_json::to_string_pretty(&json!({ "ok": ok, "findings": rows }))?);
    } else {
        for finding in &findings {
            println!("{} {}: {}", if finding.ok { "ok  " } else { "FIX " }, finding.what, finding.text);
        }
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn ports(config: &Config, running: bool, findings: &mut Vec<Finding>) {
    if running {
        findings.push(Finding { what: "ports", ok: true, text: "a server runs on this directory and has them".into() });
        return;
    }
    for (key, port) in run::named_ports(config) {
        if port == 0 {
            continue;
        }
        let address = SocketAddr::new(config.listen.address, port);
        if let Err(error) = TcpListener::bind(address) {
            findings.push(Finding {
                what: "ports",
                ok: false,
                text: format!(
                    "{address} cannot be bound: {error}; change listen.{key} or stop what uses it (0 picks a free port)"
                ),
            });
        }
    }
    if findings.iter().all(|finding| finding.what != "ports") {
        findings.push(Finding { what: "ports", ok: true, text: "all can be bound".into() });
    }
}

fn keys(dir: &Dir, findings: &mut Vec<Finding>) {
    let path = dir.keys().join("bridge.key");
    let finding = match std::fs::metadata(&path) {
        Ok(meta) if meta.permissions().mode() & 0o077 != 0 => {
            Finding { what: "keys", ok: false, text: format!("{} can be read by others; chmod 600 it", path.display()) }
        }
        Ok(_) => Finding { what: "keys", ok: true, text: format!("{} is there and private", path.display()) },
        Err(_) if dir.database().exists() => Finding {
            what: "keys",
            ok: false,
            text: format!("{} is missing, and the database cannot be read without it; put it back", path.display()),
        },
        Err(_) => Finding { what: "keys", ok: true, text: "none yet; made on first start".into() },
    };
    findings.push(finding);
}

fn disk(dir: &Dir, config: &Config, findings: &mut Vec<Finding>) {
    let floor = config.limits.disk_free_mib;
    let finding = match dir.free_bytes() {
        Ok(free) if free / (1024 * 1024) < floor => Finding {
            what: "disk",
            ok: false,
            text: format!(
                "{} MiB are free, below limits.disk_free_mib = {floor}: mail is put off with 452",
                free / (1024 * 1024)
            ),
        },
        Ok(free) => Finding { what: "disk", ok: true, text: format!("{} MiB are free", free / (1024 * 1024)) },
        Err(error) => Finding { what: "disk", ok: false, text: format!("{}: {error}", dir.root().display()) },
    };
    findings.push(finding);
}

fn certificate(config: &Config, findings: &mut Vec<Finding>) {
    let (path, key) = (&config.tls.certificate, &config.tls.key);
    if path.as_os_str().is_empty() {
        let text = "self-signed: mail clients will ask once; set tls.certificate and tls.key for a real one";
        findings.push(Finding { what: "tls", ok: true, text: text.into() });
        return;
    }
    for file in [path, key] {
        if let Err(error) = std::fs::read(file) {
            findings.push(Finding { what: "tls", ok: false, text: format!("{}: {error}", file.display()) });
        }
    }
}

/// Reads the files of `[wallet]`, and asks nobody.
fn wallet(config: &Config, findings: &mut Vec<Finding>) {
    let finding = match crate::wallet::backend(config) {
        Ok(None) => return,
        Ok(Some(_)) => {
            let name = config.wallet.backend.name();
            Finding { what: "wallet", ok: true, text: format!("{name}: its files are there and private") }
        }
        Err(error) => Finding { what: "wallet", ok: false, text: error.0 },
    };
    findings.push(finding);
}

/// Design section 4: small holds are dust; say what that means before anybody prices a mail.
fn dust(findings: &mut Vec<Finding>) {
    let text = "holds below 354 sat are dust on an anchor channel: they lock and refund like any other, but a \
                force-close would lose them; `satchel wallet channels` shows the room left for them";
    findings.push(Finding { what: "holds", ok: true, text: text.into() });
}
