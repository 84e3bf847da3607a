//! `satchel backup`: a copy of what a bridge cannot do without, made while it runs.
//!
//! ```text
//!   attachments ─▶ database, as it is at one moment ─▶ attachments that came meanwhile ─▶ keys ─▶ config ─▶ backup.json
//! ```
//! Attachments are copied before *and* after: one that a mail of the copied database names is in the copy, whether it
//! came while copying or was deleted since. The last file says that the copy is whole.
//!
//! Left out: the bridge key, without which nobody reads any of this, and the node's state, of which an old copy would
//! forfeit its channels (`docs/backup.md`).

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::command::rfc3339;
use crate::dir::{Dir, private_folder, write_durably};
use crate::house::{House, now_ms};

/// Says that the copy is whole.
const COMPLETE: &str = "backup.json";
/// Stands where a node's state would: there is none because this was restored, not because it was lost.
pub const RESTORED: &str = "restored";
/// What of `keys/` is copied: everything that is sealed under the bridge key. A certificate is made or ordered again.
const SEALED_KEYS: [&str; 3] = ["identity", "dkim", "dkim.json"];
/// The same for every network: the node's words, and where a restored wallet begins.
const WALLET_PREFIX: &str = "wallet-";

/// Copies to `to`, a folder that is not there yet or is empty.
pub async fn make(house: &House, to: &Path) -> anyhow::Result<Value> {
    if to.is_relative() {
        bail!("{}: no absolute path", to.display());
    }
    let is_empty = |folder: &Path| fs::read_dir(folder).map(|mut entries| entries.next().is_none());
    if to.exists() && !is_empty(to).with_context(|| to.display().to_string())? {
        bail!("{}: there is something already; a backup goes into a new or empty folder", to.display());
    }
    if to.starts_with(house.dir.root()) {
        bail!("{}: lies inside the data directory, and would be lost with it", to.display());
    }
    let began = now_ms();
    let copy = Dir::open(to).with_context(|| to.display().to_string())?;
    for unused in [copy.run(), copy.spool()] {
        fs::remove_dir(unused)?;
    }
    let (blocks, copies) = (blockstore(&house.dir), blockstore(&copy));
    copy_blocks(&blocks, &copies).await?;
    house.store.backup(&copy.database()).await?;
    // Counted after the second look, which finds again what the first had.
    let attachments = copy_blocks(&blocks, &copies).await?;
    copy_keys(&house.dir, &copy)?;
    // What `satchel channel recover` needs of channels that are lost: no state, and sealed.
    for (from, to) in [(house.dir.config(), copy.config()), (house.dir.channels_backup(), copy.channels_backup())] {
        if from.exists() {
            write_durably(&to, &fs::read(from)?)?;
        }
    }
    write_durably(&copy.lightning().join(RESTORED), b"")?;
    let made = json!({
        "satchel": env!("CARGO_PKG_VERSION"),
        "from": house.dir.root(),
        "began_at": rfc3339(began),
        "ended_at": rfc3339(now_ms()),
        "database_bytes": fs::metadata(copy.database())?.len(),
        "attachment_blocks": attachments,
    });
    write_durably(&copy.root().join(COMPLETE), serde_json::to_string_pretty(&made)?.as_bytes())?;
    let mut told = made;
    told["to"] = json!(to);
    told["left_out"] = json!([house.dir.keys().join("bridge.key"), house.dir.lightning()]);
    Ok(told)
}

fn blockstore(dir: &Dir) -> PathBuf {
    dir.ipfs().join("blockstore")
}

/// Copies every block that is not there yet; how many there are. A block never changes: its name is its hash.
async fn copy_blocks(from: &Path, to: &Path) -> anyhow::Result<u64> {
    let (from, to) = (from.to_owned(), to.to_owned());
    tokio::task::spawn_blocking(move || {
        let mut count = 0;
        let shards = match fs::read_dir(&from) {
            Ok(shards) => shards,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        private_folder(&to)?;
        for shard in shards {
            let shard = shard?;
            // One that went away with its last block meanwhile.
            let Ok(files) = fs::read_dir(shard.path()) else { continue };
            let folder = to.join(shard.file_name());
            for file in files {
                let file = file?;
                if file.path().extension().is_none_or(|extension| extension != "data") {
                    continue;
                }
                count += 1;
                let target = folder.join(file.file_name());
                if target.exists() {
                    continue;
                }
                private_folder(&folder)?;
                match copy_durably(&file.path(), &target) {
                    Ok(()) => {}
                    // Its last mail was expunged just now.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => count -= 1,
                    Err(error) => return Err(error).with_context(|| target.display().to_string()),
                }
            }
            if folder.exists() {
                File::open(&folder)?.sync_all()?;
            }
        }
        File::open(&to)?.sync_all()?;
        Ok(count)
    })
    .await?
}

fn copy_durably(from: &Path, to: &Path) -> io::Result<()> {
    let partial = to.with_extension("partial");
    fs::copy(from, &partial)?;
    fs::set_permissions(&partial, fs::Permissions::from_mode(0o600))?;
    File::open(&partial)?.sync_all()?;
    fs::rename(partial, to)
}

fn copy_keys(from: &Dir, to: &Dir) -> anyhow::Result<()> {
    for entry in fs::read_dir(from.keys())? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if SEALED_KEYS.contains(&name) || name.starts_with(WALLET_PREFIX) {
            write_durably(&to.keys().join(name), &fs::read(entry.path())?)?;
        }
    }
    Ok(())
}
