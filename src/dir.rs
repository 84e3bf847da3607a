//! The data directory: what lies where, with which rights, and who may use it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// DIR, opened.
#[derive(Debug, Clone)]
pub struct Dir {
    root: PathBuf,
}

/// Held while a process uses DIR; the lock goes with it.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

impl Dir {
    /// Opens DIR, creating it and its folders (0700) where they are missing.
    pub fn open(root: &Path) -> io::Result<Self> {
        let dir = Self { root: std::path::absolute(root)? };
        for folder in [dir.root.clone(), dir.keys(), dir.run(), dir.lightning(), dir.ipfs(), dir.spool()] {
            private_folder(&folder)?;
        }
        Ok(dir)
    }

    /// DIR itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The config of `satchel up`.
    pub fn config(&self) -> PathBuf {
        self.root.join("satchel.toml")
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.root.join("satchel.db")
    }

    /// Bridge key, bridge identity, certificate.
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// What only lives while the server runs.
    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// Chain and nodes.
    pub fn lightning(&self) -> PathBuf {
        self.root.join("lightning")
    }

    /// What a node restored from its seed needs to get its channels' money back; sealed.
    pub fn channels_backup(&self) -> PathBuf {
        self.root.join("channels.backup")
    }

    /// The embedded node's state on a network that is not the sandbox.
    pub fn node(&self, network: &str) -> PathBuf {
        self.lightning().join(network)
    }

    /// The embedded node's recovery phrase on that network, sealed.
    pub fn wallet_seed(&self, network: &str) -> PathBuf {
        self.keys().join(format!("wallet-{network}"))
    }

    /// Attachments.
    pub fn ipfs(&self) -> PathBuf {
        self.root.join("ipfs")
    }

    /// Large mails while they come in, encrypted under a key in RAM.
    pub fn spool(&self) -> PathBuf {
        self.root.join("spool")
    }

    /// The socket commands talk to.
    pub fn control(&self) -> PathBuf {
        self.run().join("control.sock")
    }

    /// The bound ports.
    pub fn ready(&self) -> PathBuf {
        self.run().join("ready.json")
    }

    /// The sandbox's first account.
    pub fn first_login(&self) -> PathBuf {
        self.run().join("first-login.txt")
    }

    /// Takes DIR for this process, or `None` when another one has it.
    pub fn lock(&self) -> io::Result<Option<DirLock>> {
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(self.run().join("lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(DirLock { _file: file })),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    /// Free octets on DIR's disk.
    pub fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.root)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Makes a folder that nobody else can look into, where it is missing.
pub fn private_folder(folder: &Path) -> io::Result<()> {
    if !folder.is_dir() {
        fs::create_dir_all(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Writes a file of ours whole or not at all: temporary name, fsync, rename, fsync of the folder.
pub fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(folder)?.sync_all()
}
