//! Starts everything in an order that never answers for something that is not there yet, and stops it.

use futures::future::LocalBoxFuture;
use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use attachments::Shelf;
use lightning::{CustomerPayment, Sandbox, Wallet, WalletError};
use lnmp::Msat;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing_subscriber::EnvFilter;

use crate::acme::Acme;
use crate::config::{Config, ConfigError, Role, TEMPLATE, WalletBackend};
use crate::dir::{Dir, DirLock, write_durably};
use crate::dkim::verbs;
use crate::flow::mailbox::ImapHost;
use crate::flow::smtp_host::SmtpHost;
use crate::flow::web_host::WebHost;
use crate::flow::{auto_payout, channels, expire, greylist, pay, price_by_wallet, reconcile, send, tls_report, work};
use crate::house::{House, NotRunning, Ports, Running, now_ms, stopped};
use crate::letters;
use crate::tls::Certificates;
use crate::{accounts, backup, command, control, dns, tls, wallet};

/// The sandbox's first account.
const FIRST_ACCOUNT: &str = "alice";
/// How long doors get to finish what they are at.
const STOP_DEADLINE: Duration = Duration::from_secs(10);
/// A command on a closed DIR is done by then.
const COMMAND_DEADLINE: Duration = Duration::from_secs(5);
/// Connections that wait to be accepted, at each port: a burst of 200 overflows the usual 128, and whoever is dropped
/// comes again only after one second, three, seven. The system's own limit (`net.core.somaxconn`) is 4096.
const LISTEN_BACKLOG: u32 = 4096;
/// How often a wallet that came later is asked until everything agrees with it.
const TAKE_UP_AGAIN: Duration = Duration::from_secs(2);
/// How often DIR is tried meanwhile.
const LOCK_AGAIN: Duration = Duration::from_millis(20);
/// The name of the start epoch in the database.
const EPOCH: &str = "start-epoch";

/// The config of `satchel up`: DIR's own, written on first use.
pub fn config_of(dir: &Dir) -> anyhow::Result<Config> {
    let path = dir.config();
    if !path.exists() {
        write_durably(&path, TEMPLATE.as_bytes())?;
    }
    Ok(Config::load(&path)?)
}

/// The config a file holds, and the directory it names (or lies in).
pub fn config_and_dir(path: &Path) -> anyhow::Result<(Dir, Config)> {
    let config = Config::load(path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let root = config.dir.as_ref().map_or_else(|| folder.to_owned(), |dir| folder.join(dir));
    let dir = Dir::open(&root).with_context(|| format!("{} cannot be used as data directory", root.display()))?;
    Ok((dir, config))
}

/// Config keys and ports of the doors this process opens, by key.
pub fn named_ports(config: &Config) -> Vec<(&'static str, u16)> {
    let listen = &config.listen;
    let mut ports = Vec::new();
    if config.runs(Role::Gateway) {
        ports.extend([("smtp", listen.smtp), ("submission", listen.submission), ("submissions", listen.submissions)]);
        ports.extend(listen.lmtp.map(|port| ("lmtp", port)));
    }
    if config.runs(Role::Mailbox) {
        ports.extend([("imap", listen.imap), ("imaps", listen.imaps), ("web", listen.web)]);
        ports.extend(listen.https.map(|port| ("https", port)));
    }
    ports
}

/// Bound and not yet answering, by config key.
struct Bound(HashMap<&'static str, TcpListener>);

impl Bound {
    fn port(&self, key: &str) -> Option<u16> {
        self.0.get(key).and_then(|listener| listener.local_addr().ok()).map(|address| address.port())
    }

    fn ports(&self) -> Ports {
        Ports {
            smtp: self.port("smtp"),
            submission: self.port("submission"),
            submissions: self.port("submissions"),
            lmtp: self.port("lmtp"),
            imap: self.port("imap"),
            imaps: self.port("imaps"),
            web: self.port("web"),
            https: self.port("https"),
            relay: None,
        }
    }
}

/// Binds as `TcpListener::bind` does, but with room for a burst.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(LISTEN_BACKLOG)
}

fn bind(config: &Config) -> anyhow::Result<Bound> {
    let mut bound = HashMap::new();
    for (key, port) in named_ports(config) {
        let address = SocketAddr::new(config.listen.address, port);
        let listener = listen(address).map_err(|error| {
            ConfigError(format!(
                "{address} cannot be bound: {error}; change `{key}` under [listen] in the config (0 picks a free port), or stop what uses it"
            ))
        })?;
        bound.insert(key, listener);
    }
    Ok(Bound(bound))
}

/// Runs until SIGINT or SIGTERM.
pub fn run(dir: Dir, config: Config) -> LocalBoxFuture<'static, anyhow::Result<()>> {
    // Boxed, so that it is compiled here, once, and not again in every binary that awaits it.
    Box::pin(async move {
        let Some(_lock) = lock(&dir).await? else {
            bail!("{}: another satchel is running on this directory", dir.root().display());
        };
        log_to_stderr();
        // The process default of rustls: LDK and mail clients of ours share it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let _ = std::fs::remove_file(dir.ready());
        let bound = bind(&config)?;
        let ports = bound.ports();
        let certificates = Certificates::open(&config, &dir)?;
        let acme = Acme::new(&config, &dir, &certificates)?;
        let house = command::closed(config, dir).await?;
        check_epoch(&house).await?;

        let (stop_tx, stop) = watch::channel(false);
        let mut doors = JoinSet::new();
        let mut workers = JoinSet::new();
        let (shelf, (wallet, sandbox), dns) =
            tokio::try_join!(shelf(&house), wallet::open(&house), resolver(&house, ports, &stop, &mut workers))?;
        let public_url = match house.config.server.public_url.trim_end_matches('/') {
            "" => format!(
                "http://{}",
                SocketAddr::new(house.config.listen.address, ports.web.unwrap_or(house.config.listen.web))
            ),
            url => url.to_owned(),
        };
        house.start(Running {
            shelf,
            wallet: Arc::clone(&wallet),
            sandbox: sandbox.clone(),
            authenticator: smtp::Authenticator::new(&house.config.server.name, &dns),
            router: smtp::Router::new(dns.clone()),
            resolver: dns,
            public_url,
            ports,
            certificates: Arc::clone(&certificates),
            acme: acme.clone(),
        });
        let is_fresh = house.store.accounts().await?.is_empty();
        let is_there = wallet.away().is_none() && is_taken_up(&house).await?;
        keep_attachments(&house).await?;
        first_account(&house).await?;

        workers.spawn(take_payments(Arc::clone(&house), wallet, is_there, stop.clone()));
        workers.spawn(work::run(Arc::clone(&house), stop.clone()));
        workers.spawn(send::run(Arc::clone(&house), stop.clone()));
        workers.spawn(tls_report::run(Arc::clone(&house), stop.clone()));
        workers.spawn(greylist::run(Arc::clone(&house), stop.clone()));
        workers.spawn(expire::run(Arc::clone(&house), stop.clone()));
        workers.spawn(auto_payout::run(Arc::clone(&house), stop.clone()));
        workers.spawn(price_by_wallet::run(Arc::clone(&house), stop.clone()));
        workers.spawn(tls::watch(Arc::clone(&certificates), stop.clone()));
        open_doors(&house, bound, certificates.server_config()?, &stop, &mut doors)?;
        doors.spawn(control::serve(control::bind(&house.dir.control())?, Arc::clone(&house), stop.clone()));

        // Once the web door is open: the CA asks there.
        workers.spawn(keep_certificate(acme, stop.clone()));
        workers.spawn(make_rsa_key(Arc::clone(&house), is_fresh, stop.clone()));

        write_durably(&house.dir.ready(), serde_json::to_string(&ports)?.as_bytes())?;
        greet(&house, ports, wallet::seed::is_unseen(&house).await?)?;
        signal().await?;

        tracing::info!("stopping");
        let _ = std::fs::remove_file(house.dir.ready());
        let _ = stop_tx.send(true);
        let _ = tokio::time::timeout(STOP_DEADLINE, async { while doors.join_next().await.is_some() {} }).await;
        let _ = tokio::time::timeout(STOP_DEADLINE, async { while workers.join_next().await.is_some() {} }).await;
        let running = house.running()?;
        let stopped = match sandbox {
            Some(sandbox) => sandbox.stop().await.map_err(anyhow::Error::from),
            None => running.wallet.stop().await.map_err(anyhow::Error::from),
        };
        if let Err(error) = stopped {
            tracing::warn!(%error, "the Lightning nodes did not stop cleanly");
        }
        running.shelf.stop().await;
        house.store.close().await;
        let _ = std::fs::remove_file(house.dir.control());
        Ok(())
    })
}

/// Brings the books, the store and a wallet that is there to agree, before anything is done with it.
async fn take_up(house: &House) -> anyhow::Result<()> {
    open_books(house).await?;
    channels::look(house).await?;
    reconcile::reconcile(house).await?;
    prove_invoice(house).await
}

/// The same; `false` for a wallet that went away meanwhile.
async fn is_taken_up(house: &House) -> anyhow::Result<bool> {
    match take_up(house).await {
        Ok(()) => Ok(true),
        Err(error) if error.downcast_ref::<WalletError>().is_some_and(WalletError::is_temporary) => {
            tracing::warn!(%error, "the wallet went away while the server started; it is asked again");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Handles the node's events, once it is there.
async fn take_payments(house: Arc<House>, wallet: Arc<dyn Wallet>, is_there: bool, mut stop: watch::Receiver<bool>) {
    if !is_there {
        tokio::select! {
            () = stopped(&mut stop) => return,
            () = wallet.there() => {}
        }
        while let Err(error) = take_up(&house).await {
            tracing::warn!(%error, "the wallet is not ready; it is asked again");
            tokio::select! {
                () = stopped(&mut stop) => return,
                () = tokio::time::sleep(TAKE_UP_AGAIN) => {}
            }
        }
        tracing::info!("payments are taken from now on");
        // What waited for the wallet need not wait longer.
        house.work.notify_waiters();
    }
    pay::run(house, wallet, stop).await;
}

async fn keep_certificate(acme: Option<Arc<Acme>>, stop: watch::Receiver<bool>) {
    if let Some(acme) = acme {
        acme.run(stop).await;
    }
}

/// In the background: nobody waits for it, and mail is signed with the other key meanwhile.
async fn make_rsa_key(house: Arc<House>, is_fresh: bool, mut stop: watch::Receiver<bool>) {
    tokio::select! {
        () = stopped(&mut stop) => {}
        () = verbs::complete(house, is_fresh) => {}
    }
}

/// Takes DIR, or `None` when another server has it. A command on a closed DIR has it for a moment only.
async fn lock(dir: &Dir) -> anyhow::Result<Option<DirLock>> {
    let deadline = tokio::time::Instant::now() + COMMAND_DEADLINE;
    loop {
        let lock = dir.lock()?;
        let is_served = || async { tokio::net::UnixStream::connect(dir.control()).await.is_ok() };
        if lock.is_some() || tokio::time::Instant::now() >= deadline || is_served().await {
            return Ok(lock);
        }
        tokio::time::sleep(LOCK_AGAIN).await;
    }
}

/// Crates that write the names they look up into their debug lines; who writes to us is not for the log, however
/// much the operator asks to see.
const TELLTALES: [&str; 3] = ["hickory_net=warn", "hickory_proto=warn", "hickory_resolver=warn"];

/// Logs go to standard error: queue and gate ids, never an address, a subject or an invoice.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("SATCHEL_LOG").unwrap_or_else(|_| EnvFilter::new("warn,satchel=info"));
    let filter = TELLTALES.iter().filter_map(|directive| directive.parse().ok()).fold(filter, EnvFilter::add_directive);
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).try_init();
}

async fn shelf(house: &House) -> anyhow::Result<Arc<dyn Shelf>> {
    let settings = attachments::Settings::new(house.dir.ipfs());
    Ok(Arc::new(attachments::IpfsShelf::start(settings).await.context("the IPFS node does not start")?))
}

/// The configured resolver, or the sandbox's own zone for names under .test.
async fn resolver(
    house: &House,
    ports: Ports,
    stop: &watch::Receiver<bool>,
    workers: &mut JoinSet<()>,
) -> anyhow::Result<smtp::Resolver> {
    if let Some(config) = house.configured_resolver() {
        return Ok(smtp::Resolver::new(config)?);
    }
    let mut zone = smtp::Zone::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.context("the sandbox's DNS zone")?;
    for domain in house.config.server.domains.iter().filter(|domain| dns::is_in_sandbox(domain)) {
        for wanted in dns::wanted(&house.config, &house.keys.dkim, Some(ports), domain, now_ms()) {
            if dns::is_published_by_zone(&wanted.data) {
                zone = zone.with_record(&wanted.name, wanted.data);
            }
        }
    }
    let address = zone.addr();
    let _ = house.zone.set(zone.publisher());
    let stop = stop.clone();
    workers.spawn(async move { zone.run(stop).await });
    Ok(smtp::Resolver::new(smtp::DnsConfig::server(address))?)
}

/// One epoch in our database and beside LDK's: an old copy of either forfeits channels (design section 4).
async fn check_epoch(house: &House) -> anyhow::Result<()> {
    let path = house.dir.lightning().join("epoch");
    let restored = house.dir.lightning().join(backup::RESTORED);
    let ours = house.store.get_meta(EPOCH).await?;
    let theirs = std::fs::read(&path).ok();
    // Written to LDK's side first: a crash between leaves `theirs` one ahead, which is the next start's own doing.
    let epoch = |bytes: &Option<Vec<u8>>| {
        bytes.as_ref().and_then(|b| std::str::from_utf8(b).ok()?.parse::<u64>().ok()).unwrap_or(0)
    };
    let is_restored = restored.exists() && theirs.is_none();
    let (ours, theirs) = (epoch(&ours), epoch(&theirs));
    match theirs {
        _ if is_restored => tracing::warn!("this directory was restored from a backup: it has no channels"),
        0 if ours > 0 => bail!(
            "{} is missing, but the database was started {ours} times: the Lightning state is not here. Is a disk not \
             mounted? Put it back. If it is lost for good, make the empty file {}: the server then begins without \
             channels, and coins on the chain come back from the words",
            path.display(),
            restored.display()
        ),
        theirs if theirs > ours + 1 => bail!(
            "the database (start {ours}) is an old copy, {} is newer (start {theirs}): payments since then are not in it. \
             Put back the newer database. If there is none, write {ours} into that file: the channels are safe, what is \
             locked in them is given back, and `satchel wallet audit` shows what the books miss",
            path.display()
        ),
        theirs if theirs < ours => bail!(
            "the Lightning state ({}: start {theirs}) is an old copy, the database is newer (start {ours}). Starting it \
             would forfeit its channels. Put back the newer state. If there is none, move {} away, never to be started \
             again, and make the empty file {}: coins on the chain come back from the words, the channels do not",
            path.display(),
            house.dir.lightning().display(),
            restored.display()
        ),
        _ => {}
    }
    let next = (ours + 1).to_string();
    write_durably(&path, next.as_bytes())?;
    house.store.set_meta(EPOCH, next.as_bytes()).await?;
    if is_restored {
        wallet::forget_state(house).await?;
        std::fs::remove_file(&restored)?;
    }
    Ok(())
}

/// The first entry of the ledger: what the operator put into the node.
async fn open_books(house: &House) -> anyhow::Result<()> {
    let running = house.running()?;
    let balance = running.wallet.balance().await?;
    let amount = balance.channel + balance.onchain + balance.closing;
    let posting = store::Posting {
        key: "opening".into(),
        gate: None,
        debits: vec![(store::Side::Node, amount)],
        credits: vec![(store::Side::Operator, amount)],
    };
    // Posted once: the key is unique, and no door is open before.
    house.store.post(posting, now_ms()).await?;
    // Mail goes on whatever the books say; money of ours does not leave until they are right (`flow::payout`).
    for finding in house.store.audit().await?.findings {
        tracing::error!(finding, "the books are wrong; `satchel wallet audit` says more");
    }
    Ok(())
}

/// Pins come back from our own database; what crashed deliveries left is removed.
async fn keep_attachments(house: &House) -> anyhow::Result<()> {
    let shelf = &house.running()?.shelf;
    let cids = house.store.cids().await?;
    let missing = shelf.restore_pins(&cids).await?;
    if !missing.is_empty() {
        tracing::error!(
            count = missing.len(),
            "attachments are missing from the IPFS repository; restore it from the backup"
        );
    }
    let keep: HashSet<String> = cids.into_iter().collect();
    // No door is open yet: whatever nobody references now is an orphan.
    let collected = shelf.collect(&keep, SystemTime::now()).await?;
    if collected.removed > 0 {
        tracing::info!(removed = collected.removed, "attachments of crashed deliveries were removed");
    }
    Ok(())
}

/// A fresh sandbox gets `alice`, an app password in run/first-login.txt, and a letter.
async fn first_account(house: &Arc<House>) -> anyhow::Result<()> {
    let address = format!("{FIRST_ACCOUNT}@{}", house.config.first_domain());
    let path = house.dir.first_login();
    if path.exists() {
        return Ok(());
    }
    let account = match accounts::find(house, &address).await? {
        Some(account) => account,
        None if house.store.accounts().await?.is_empty() => {
            accounts::create(house, &address, None, true).await?;
            accounts::find(house, &address).await?.context("the account was created just now")?
        }
        None => return Ok(()),
    };
    if accounts::needs_secret(house, &account).await? {
        return Ok(());
    }
    // A crash before the file is written only costs an unused wrap: the next start makes another.
    let password = accounts::app_password(house, &account, "", "first login").await?;
    welcome(house, &address).await?;
    write_durably(&path, format!("{address}\n{}\n", password.reveal()).as_bytes())?;
    Ok(())
}

async fn welcome(house: &Arc<House>, address: &str) -> anyhow::Result<()> {
    let running = house.running()?;
    let smtp = SocketAddr::new(house.config.listen.address, running.ports.smtp.unwrap_or(house.config.listen.smtp));
    let letter = letters::Welcome {
        cover: letters::Cover {
            from: &house.bridge_address(),
            to: address,
            message_id: &crate::flow::ask::new_message_id(house),
            now: now_ms(),
        },
        addresses: &[address],
        asks: running.wallet.can_hold(),
        sandbox: running.sandbox.is_some().then_some(letters::Try { smtp, public_url: &running.public_url }),
    };
    let deliveries = crate::flow::submit::letter(house, address, &letter.render(), now_ms())
        .await
        .map_err(|refusal| anyhow::anyhow!(refusal.text))?;
    let batch = store::Batch { deliveries, ..store::Batch::default() };
    house.store.commit(batch, now_ms()).await?;
    Ok(())
}

/// Ready means that the wallet can issue an invoice.
async fn prove_invoice(house: &House) -> anyhow::Result<()> {
    let wallet = &house.running()?.wallet;
    wallet
        .invoice(Msat(1000), "ready".into(), Duration::from_secs(60))
        .await
        .context("the wallet issues no invoice")?;
    Ok(())
}

fn open_doors(
    house: &Arc<House>,
    mut bound: Bound,
    tls: Arc<rustls::ServerConfig>,
    stop: &watch::Receiver<bool>,
    doors: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    let spool = smtp::SpoolArea::open(house.dir.spool())?;
    let host: Arc<dyn smtp::Host> = Arc::new(SmtpHost(Arc::clone(house)));
    for (key, kind, start) in [
        ("smtp", smtp::Kind::Mx, smtp::TlsStart::StartTls),
        ("submission", smtp::Kind::Submission, smtp::TlsStart::StartTls),
        ("submissions", smtp::Kind::Submission, smtp::TlsStart::Implicit),
        ("lmtp", smtp::Kind::Lmtp, smtp::TlsStart::StartTls),
    ] {
        let Some(listener) = bound.0.remove(key) else { continue };
        let mut config = smtp::ServerConfig::new(kind, &house.config.server.name).with_tls(Arc::clone(&tls), start);
        config.message_bytes_max = u64::from(house.config.limits.message_mib) * 1024 * 1024;
        config.connections_max = house.config.limits.smtp_connections;
        if kind == smtp::Kind::Lmtp {
            config.networks.clone_from(&house.config.smtp.lmtp_from);
            // The MX in front is one host, and brings everybody's mail.
            config.connections_per_network_max = config.connections_max;
        }
        let server = smtp::Server::from_listener(listener, config, Arc::clone(&host), spool.clone());
        doors.spawn(server.run(stop.clone()));
    }
    let imap = imap::Server::new(imap::Parts {
        store: Arc::clone(&house.store),
        shelf: Arc::clone(&house.running()?.shelf),
        host: Arc::new(ImapHost(Arc::clone(house))),
        tls: {
            let tls = Arc::clone(&tls);
            Arc::new(move || Some(Arc::clone(&tls)))
        },
        now: now_ms,
        message_limit: house.config.limits.imap_messages,
    });
    for (key, security) in [("imap", imap::Security::StartTls), ("imaps", imap::Security::Implicit)] {
        let Some(listener) = bound.0.remove(key) else { continue };
        doors.spawn(Arc::clone(&imap).serve(listener, security, stop.clone()));
    }
    for (key, tls) in [("web", None), ("https", Some(tls))] {
        let Some(listener) = bound.0.remove(key) else { continue };
        let (web_host, stop) = (Arc::new(WebHost(Arc::clone(house))), stop.clone());
        doors.spawn(async move {
            if let Err(error) = web::serve(listener, tls, web_host, stop).await {
                tracing::error!(%error, "the web door closed");
            }
        });
    }
    Ok(())
}

/// What a person sees: where everything is and how to begin.
fn greet(house: &House, ports: Ports, unseen_words: bool) -> anyhow::Result<()> {
    let running = house.running()?;
    let address = house.config.listen.address;
    let mut out = io::stdout().lock();
    writeln!(out, "Satchel {} for {}", env!("CARGO_PKG_VERSION"), house.config.server.domains.join(", "))?;
    writeln!(out, "  data       {}", house.dir.root().display())?;
    let port = |port: Option<u16>| port.map_or_else(|| "-".to_owned(), |port| port.to_string());
    let (smtp, submission, submissions) = (port(ports.smtp), port(ports.submission), port(ports.submissions));
    writeln!(
        out,
        "  SMTP       {address}:{smtp} (mail comes in), {submission} and {submissions} (mail clients send; STARTTLS, TLS)"
    )?;
    writeln!(out, "  IMAP       {address}:{} (STARTTLS), {} (TLS)", port(ports.imap), port(ports.imaps))?;
    let https = ports.https.map(|port| format!(", {address}:{port} (TLS)")).unwrap_or_default();
    writeln!(out, "  web        {}{https}", running.public_url)?;
    match running.sandbox {
        Some(_) => writeln!(out, "  money      sandbox: a regtest chain and two real Lightning nodes on this machine")?,
        None => {
            let place = match house.config.wallet.backend {
                WalletBackend::Embedded => wallet::place(&house.config),
                other => other.name().to_owned(),
            };
            let can = match running.wallet.away() {
                Some(why) => format!("away ({why}); mail goes on, nobody is asked to pay until it is there"),
                None if running.wallet.can_hold() => "holds payments".to_owned(),
                None => "cannot hold: nobody is asked to pay".to_owned(),
            };
            writeln!(out, "  money      {place}: {can}")?;
        }
    }
    if unseen_words {
        writeln!(
            out,
            "  recovery   nobody has looked at the node's 24 words yet: `satchel wallet seed` shows them; write them down"
        )?;
    }
    if let Ok(text) = std::fs::read_to_string(house.dir.first_login())
        && let Some((user, password)) = text.trim_end().split_once('\n')
    {
        writeln!(out, "\nSet up a mail client with")?;
        writeln!(out, "  user       {user}")?;
        writeln!(out, "  password   {password}")?;
        writeln!(
            out,
            "  servers    {address}, IMAP port {}, SMTP port {submission}; STARTTLS or none on this machine",
            port(ports.imap)
        )?;
    }
    writeln!(out, "satchel is ready")?;
    out.flush()?;
    Ok(())
}

async fn signal() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    Ok(())
}

/// The sandbox, where this server runs one.
pub fn sandbox(house: &House) -> Result<&Arc<Sandbox>, NotRunning> {
    house.running()?.sandbox.as_ref().ok_or(NotRunning)
}

/// The customer's side of a payment, in a word.
pub fn payment_state(state: &CustomerPayment) -> &'static str {
    match state {
        CustomerPayment::Unknown => "unknown",
        CustomerPayment::Locked => "locked",
        CustomerPayment::Succeeded { .. } => "succeeded",
        CustomerPayment::Failed { .. } => "failed",
    }
}
