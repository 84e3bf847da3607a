//! The control socket: one JSON line in, one JSON line out, for the owner of DIR only (mode 0600).

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};

use crate::cli::Request;
use crate::command;
use crate::house::{House, stopped};

/// Octets of one request line: the longest is an invoice with a password, far below.
const REQUEST_BYTES_MAX: u64 = 64 * 1024;
/// Commands under way at once; more wait in the listen queue.
const COMMANDS_AT_ONCE: usize = 32;
/// How long a client may take to send its line.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);
/// The slowest command is a payment, which has its own deadline below this one.
const ANSWER_DEADLINE: Duration = Duration::from_secs(120);
/// A backup copies everything: a terabyte at what a slow disk writes.
const BACKUP_DEADLINE: Duration = Duration::from_secs(12 * 3600);

/// What comes back.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Done; the data the command prints.
    Done(Value),
    /// Not done, and why.
    Failed(String),
}

/// Binds the socket of a DIR this process has locked; a leftover of a crash is replaced.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    Ok(listener)
}

/// Serves commands until `stop`.
pub async fn serve(listener: UnixListener, house: Arc<House>, mut stop: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(COMMANDS_AT_ONCE));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let stream = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => return,
        };
        match stream {
            Ok((stream, _)) => {
                let house = Arc::clone(&house);
                tokio::spawn(async move {
                    if let Err(error) = answer(stream, &house).await {
                        tracing::debug!(%error, "control connection");
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "control socket");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(stream: UnixStream, house: &Arc<House>) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(read.take(REQUEST_BYTES_MAX));
    tokio::time::timeout(REQUEST_DEADLINE, reader.read_line(&mut line)).await??;
    let answer = match serde_json::from_str::<Request>(&line) {
        Ok(request) => match command::execute(house, request).await {
            Ok(value) => Answer::Done(value),
            Err(error) => Answer::Failed(format!("{error:#}")),
        },
        Err(error) => Answer::Failed(format!("the server does not know this command: {error}")),
    };
    zeroize::Zeroize::zeroize(&mut line);
    let mut text = serde_json::to_string(&answer)?;
    text.push('\n');
    write.write_all(text.as_bytes()).await?;
    zeroize::Zeroize::zeroize(&mut text);
    Ok(())
}

/// Asks the server running on this DIR; `None` when none is.
pub async fn ask(path: &Path, request: &Request) -> anyhow::Result<Option<Answer>> {
    let stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let (read, mut write) = stream.into_split();
    let mut text = serde_json::to_string(request)?;
    text.push('\n');
    write.write_all(text.as_bytes()).await?;
    zeroize::Zeroize::zeroize(&mut text);
    let mut line = String::new();
    let within = if matches!(request, Request::Backup { .. }) { BACKUP_DEADLINE } else { ANSWER_DEADLINE };
    tokio::time::timeout(within, BufReader::new(read).read_line(&mut line))
        .await
        .map_err(|_| anyhow::anyhow!("the server did not answer within {} s", within.as_secs()))??;
    if line.is_empty() {
        anyhow::bail!("the server stopped before it answered");
    }
    Ok(Some(serde_json::from_str(&line)?))
}
