//! A Debian package that cannot be installed beside others, unpacked into a root of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::talk::is_root;
use crate::support::{has_tool, run};

/// Who lives in it, with their numbers.
const USERS: [(&str, u32); 4] = [("Debian-exim", 990), ("opensmtpd", 991), ("opensmtpq", 992), ("bob", 993)];

/// The root. What runs in it ends with it.
pub(crate) struct Jail {
    dir: tempfile::TempDir,
    child: Option<Child>,
}

impl Jail {
    /// Unpacks a package and makes a root in which `programs` of it run; `None`, with a word, where that cannot be.
    pub(crate) fn new(package: &str, programs: &[&str]) -> Option<Self> {
        if !is_root() || !["apt-get", "dpkg", "ldd", "chroot", "openssl"].into_iter().all(has_tool) {
            return None;
        }
        let archive = archive(package)?;
        let dir = tempfile::Builder::new().prefix(&format!("satchel-{package}-")).tempdir().unwrap();
        let jail = Self { dir, child: None };
        run(Command::new("chmod").arg("755").arg(jail.dir.path()));
        run(Command::new("dpkg").arg("-x").arg(&archive).arg(jail.dir.path()));
        for folder in ["dev", "tmp", "bin", "run", "var/run", "var/spool", "var/log", "var/mail", "home/bob"] {
            std::fs::create_dir_all(jail.path(folder)).unwrap();
        }
        for program in programs.iter().map(|program| jail.path(program)).chain([PathBuf::from("/bin/sh")]) {
            if !jail.bring_libraries(&program) {
                return None;
            }
        }
        std::fs::copy("/bin/sh", jail.path("bin/sh")).unwrap();
        for (device, minor) in [("dev/null", "3"), ("dev/urandom", "9")] {
            run(Command::new("mknod").args(["-m", "666"]).arg(jail.path(device)).args(["c", "1", minor]));
        }
        let line = |(name, id): &(&str, u32)| format!("{name}:x:{id}:{id}::/home/{name}:/bin/sh\n");
        let passwd: String = USERS.iter().map(line).collect();
        jail.write("etc/passwd", &format!("root:x:0:0::/:/bin/sh\n{passwd}"));
        let groups: String = USERS.iter().map(|(name, id)| format!("{name}:x:{id}:\n")).collect();
        jail.write("etc/group", &format!("root:x:0:\nmail:x:8:\n{groups}"));
        jail.write("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n");
        jail.write("etc/hosts", "127.0.0.1 localhost\n");
        // RSA: OpenSMTPD's key process knows no other keys with this OpenSSL.
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=peer.test"]);
        run(openssl.arg("-keyout").arg(jail.path("etc/key.pem")).arg("-out").arg(jail.path("etc/cert.pem")));
        run(Command::new("chmod").arg("600").arg(jail.path("etc/key.pem")));
        run(Command::new("chown").arg("993:993").arg(jail.path("home/bob")));
        Some(jail)
    }

    /// A path in it, from outside.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.dir.path().join(inside.trim_start_matches('/'))
    }

    /// Writes a file in it.
    pub(crate) fn write(&self, inside: &str, text: &str) {
        let path = self.path(inside);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Makes somebody the owner of a folder in it.
    pub(crate) fn give(&self, folder: &str, owner: &str) {
        std::fs::create_dir_all(self.path(folder)).unwrap();
        let id = USERS.iter().find(|(name, _)| *name == owner).unwrap().1;
        run(Command::new("chown").arg("-R").arg(format!("{id}:{id}")).arg(self.path(folder)));
    }

    /// Starts a program in it that stays in the foreground; its words go to [`Jail::log`].
    pub(crate) fn start(&mut self, command: &[&str]) {
        self.stop();
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let mut chroot = Command::new("chroot");
        chroot.arg(self.dir.path()).args(command).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(chroot.spawn().unwrap());
    }

    /// Ends it.
    pub(crate) fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        let _ = child.wait();
    }

    /// What it said.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Copies what a program is linked with.
    fn bring_libraries(&self, program: &Path) -> bool {
        let linked = run(Command::new("ldd").arg(program));
        if linked.contains("not found") {
            eprintln!("SKIPPED: {} misses libraries:\n{linked}", program.display());
            return false;
        }
        for library in linked.split_whitespace().filter(|word| word.starts_with('/')) {
            let to = self.path(library);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(library, to).unwrap();
        }
        true
    }
}

impl Drop for Jail {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            eprintln!("--- what ran in the jail said ---\n{}", self.log());
        }
    }
}

/// The package's archive, fetched once for all tests.
fn archive(package: &str) -> Option<PathBuf> {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers");
    std::fs::create_dir_all(&kept).unwrap();
    let archive = kept.join(format!("{package}.deb"));
    if archive.exists() {
        return Some(archive);
    }
    // Where several tests fetch it at once, the last one's stays.
    let folder = tempfile::tempdir_in(&kept).unwrap();
    let output = Command::new("apt-get").args(["download", package]).current_dir(folder.path()).output().unwrap();
    let fetched = std::fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.path());
    let Some(fetched) = fetched.filter(|path| path.extension().is_some_and(|end| end == "deb")).last() else {
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{package} cannot be fetched, and CI=true: {why}");
        eprintln!("SKIPPED: {package} cannot be fetched: {why}");
        return None;
    };
    std::fs::rename(fetched, &archive).unwrap();
    Some(archive)
}
