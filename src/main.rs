//! `satchel`: reads the arguments, the config, and runs.

use std::io::{IsTerminal, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use satchel::cli::{
    AccountVerb, CapabilityChange, Cli, Common, PayoutChange, PriceChange, Request, ShareChange, Verb, WalletVerb,
};
use satchel::config::{ConfigError, DurationText};
use satchel::control::{self, Answer};
use satchel::dir::Dir;
use satchel::sharing::AGENT_RIGHTS;
use satchel::{check, command, print, run};

/// Bad usage or configuration.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("satchel: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(go(cli.verb));
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("satchel: {error:#}");
            if error.downcast_ref::<ConfigError>().is_some() { ExitCode::from(EXIT_USAGE) } else { ExitCode::FAILURE }
        }
    }
}

async fn go(verb: Verb) -> anyhow::Result<ExitCode> {
    let (common, request) = match verb {
        Verb::Up { dir } => {
            let dir = Dir::open(&dir).with_context(|| format!("{} cannot be used as data directory", dir.display()))?;
            let config = run::config_of(&dir)?;
            run::run(dir, config).await?;
            return Ok(ExitCode::SUCCESS);
        }
        Verb::Serve { config: path } => {
            let (dir, config) = run::config_and_dir(&path)?;
            run::run(dir, config).await?;
            return Ok(ExitCode::SUCCESS);
        }
        Verb::Check { config, dnsbl, json } => return check::check(&config, dnsbl, json).await,
        // The server may stand in another folder.
        Verb::Backup { to, common } => (common, Request::Backup { to: std::path::absolute(&to)? }),
        Verb::Account(verb) => account(verb).await?,
        Verb::Alias(verb) => verb.request()?,
        Verb::Group(verb) => verb.request(),
        Verb::Contact(verb) => verb.request(),
        Verb::Price {
            address,
            stranger,
            acquaintance,
            priority,
            surge,
            accept_on,
            unverified,
            unpaid,
            observe,
            max_auto_pay,
            common,
        } => {
            let on = |text: Option<String>| text.map(|text| text == "on");
            let change = PriceChange {
                address,
                stranger_sat: stranger,
                acquaintance_sat: acquaintance,
                priority_sat: priority,
                surge: on(surge),
                accept_on,
                unverified,
                unpaid,
                observe: on(observe),
                max_auto_pay_sat: max_auto_pay,
            };
            (common, Request::Price(change))
        }
        Verb::Filter(verb) => verb.request()?,
        Verb::Allow(verb) => verb.request()?,
        Verb::Gate(verb) => verb.request(),
        Verb::Queue(verb) => verb.request(),
        Verb::Wallet(verb) => wallet(verb)?,
        Verb::Channel(verb) => verb.request()?,
        Verb::Sandbox(verb) => verb.request(),
        Verb::Dkim(verb) => verb.request()?,
        Verb::Reports { send, common } => (common, Request::Reports { send }),
        Verb::Dns { domain, common } => (common, Request::Dns { domain }),
    };
    let mut value = perform(&common.dir, &request).await?;
    if let Request::ChannelClose { id, force, yes: false } = &request
        && let Some(word) = value["confirm"].as_str()
    {
        confirm(value["says"].as_str().unwrap_or_default(), word)?;
        let sure = Request::ChannelClose { id: id.clone(), force: *force, yes: true };
        value = perform(&common.dir, &sure).await?;
    }
    let mut out = std::io::stdout().lock();
    if common.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&value)?)?;
    } else {
        write!(out, "{}", print::text(&request, &value))?;
    }
    Ok(if print::says_failure(&request, &value) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Asks the running server, or does it on the closed DIR where that is possible.
async fn perform(dir: &Path, request: &Request) -> anyhow::Result<serde_json::Value> {
    if !dir.is_dir() {
        return Err(ConfigError(format!(
            "{}: there is no data directory here; start `satchel up` first, or name one with --dir",
            dir.display()
        ))
        .into());
    }
    let dir = Dir::open(dir)?;
    match control::ask(&dir.control(), request).await? {
        Some(Answer::Done(value)) => Ok(value),
        Some(Answer::Failed(why)) => anyhow::bail!(why),
        None => command::offline(dir, request.clone()).await,
    }
}

async fn account(verb: AccountVerb) -> anyhow::Result<(Common, Request)> {
    Ok(match verb {
        AccountVerb::Add { address, password_stdin, custody, common } => {
            let password = if password_stdin { first_line()? } else { prompt_twice("Password")? };
            (common, Request::AccountAdd { address, password, server_custody: custody == "server" })
        }
        AccountVerb::List { common } => (common, Request::AccountList),
        AccountVerb::Passwd { address, common } => {
            let needs = needs_secret(&common, &address).await?;
            let old = if needs { prompt("Old password or recovery phrase")? } else { String::new() };
            let new = prompt_twice("New password")?;
            (common, Request::AccountPasswd { address, old, new })
        }
        AccountVerb::AppPassword { address, label, common } => {
            let needs = needs_secret(&common, &address).await?;
            let secret = if needs { prompt("Password or recovery phrase")? } else { String::new() };
            (common, Request::AccountAppPassword { address, secret, label })
        }
        AccountVerb::Capability { address, off, on, common } => {
            (common, Request::AccountCapability(CapabilityChange { address, off, on }))
        }
        AccountVerb::Revoke { address, label, id, common } => (common, Request::AccountRevoke { address, label, id }),
        AccountVerb::Quota { address, limit, common } => (common, Request::AccountQuota { address, limit }),
        AccountVerb::Queue { address, on, off, common } => {
            (common, Request::AccountQueue { address, on: (on || off).then_some(on) })
        }
        AccountVerb::Share { owner, mailbox: Some(mailbox), with: Some(with), rights, remove, common } => {
            let rights = if remove { String::new() } else { rights.unwrap_or_else(|| AGENT_RIGHTS.to_owned()) };
            let change = ShareChange { owner, mailbox, with, rights };
            let asks = Request::AccountShareNeedsSecret { change: change.clone() };
            let needs = perform(&common.dir, &asks).await?.as_bool().unwrap_or(true);
            let secret = if needs { prompt("Owner's password or recovery phrase")? } else { String::new() };
            (common, Request::AccountShare { change, secret })
        }
        AccountVerb::Share { owner, mailbox, common, .. } => (common, Request::AccountShares { owner, mailbox }),
        AccountVerb::Expect { address, length, common } => {
            let length: DurationText = length.parse().map_err(|why| ConfigError(format!("--for: {why}")))?;
            let ms = u64::try_from(length.0.as_millis()).unwrap_or(u64::MAX);
            (common, Request::AccountExpect { address, ms })
        }
        AccountVerb::Payout { address, to, nwc_file, above, off, common } => {
            let nwc = nwc_file.map(|file| connection_string(&file)).transpose()?;
            (common, Request::AccountPayout(PayoutChange { address, to, nwc, above_sat: above, off }))
        }
        AccountVerb::Wallet { address, nwc_file, off, common } => {
            let nwc = nwc_file.map(|file| connection_string(&file)).transpose()?;
            (common, Request::AccountWallet { address, nwc, off })
        }
        AccountVerb::Remove { address, common } => (common, Request::AccountRemove { address }),
    })
}

/// What must be read before: the operator's word, or a phrase.
fn wallet(verb: WalletVerb) -> anyhow::Result<(Common, Request)> {
    let (common, mut request) = verb.request();
    match &mut request {
        Request::WalletSeed => {
            let wanted = "show";
            eprintln!("Whoever sees the 24 words can take what the node has on the chain. Is nobody looking?");
            if prompt(&format!("Type {wanted} to see them"))? != wanted {
                anyhow::bail!("nothing was shown: the answer was not \"{wanted}\"");
            }
        }
        Request::WalletRestore { words, .. } => *words = prompt("The 24 words, on one line")?,
        _ => {}
    }
    Ok((common, request))
}

/// Whether a command on this account's keys must read a secret first.
async fn needs_secret(common: &Common, address: &str) -> anyhow::Result<bool> {
    let value = perform(&common.dir, &Request::AccountNeedsSecret { address: address.to_owned() }).await?;
    Ok(value.as_bool().unwrap_or(true))
}

/// Asks on the terminal without echo, or reads one line of standard input.
fn prompt(what: &str) -> anyhow::Result<String> {
    if std::io::stdin().is_terminal() { Ok(rpassword::prompt_password(format!("{what}: "))?) } else { first_line() }
}

/// What cannot be taken back is done when somebody types a word of it.
fn confirm(says: &str, word: &str) -> anyhow::Result<()> {
    eprintln!("{says}");
    if !std::io::stdin().is_terminal() {
        anyhow::bail!("nothing was done: repeat it with --yes");
    }
    eprint!("Type {word} to go on: ");
    if first_line()?.trim() == word { Ok(()) } else { anyhow::bail!("that is something else: nothing was done") }
}

fn prompt_twice(what: &str) -> anyhow::Result<String> {
    let first = prompt(what)?;
    if std::io::stdin().is_terminal() && prompt("Once more")? != first {
        anyhow::bail!("the two differ: nothing was changed");
    }
    Ok(first)
}

/// A wallet's connection string, from a file or from standard input: never from the command line, which others can see.
fn connection_string(file: &Path) -> anyhow::Result<String> {
    /// Four relays' addresses and two keys are under a thousand.
    const BYTES_MAX: u64 = 4096;
    if file == Path::new("-") {
        return first_line();
    }
    let told = || file.display().to_string();
    let mut text = String::new();
    std::fs::File::open(file).with_context(told)?.take(BYTES_MAX + 1).read_to_string(&mut text).with_context(told)?;
    if text.len() as u64 > BYTES_MAX {
        anyhow::bail!("{} is longer than {BYTES_MAX} octets: is it the right file?", told());
    }
    Ok(text.trim().to_owned())
}

/// One line of standard input, octet by octet so that the next reader finds the next line.
fn first_line() -> anyhow::Result<String> {
    /// A password longer than this is a mistaken pipe.
    const LINE_BYTES_MAX: usize = 1024;
    let mut line = Vec::new();
    let mut byte = [0];
    let mut stdin = std::io::stdin().lock();
    while stdin.read(&mut byte)? == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
        if line.len() > LINE_BYTES_MAX {
            anyhow::bail!("the password on standard input is longer than {LINE_BYTES_MAX} octets");
        }
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    let line = String::from_utf8(line).context("the password on standard input is not UTF-8")?;
    if line.is_empty() {
        anyhow::bail!("no password on standard input");
    }
    Ok(line)
}
