//! A Satchel in a directory of its own: started, asked, killed, started again.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::PATIENCE;
use super::imap::Imap;

/// The built binary.
pub const BINARY: &str = env!("CARGO_BIN_EXE_satchel");

/// The binary the tests run: the built one, or the one `SATCHEL_TEST_BINARY` names (a release build, for figures).
fn binary() -> PathBuf {
    std::env::var_os("SATCHEL_TEST_BINARY").map_or_else(|| BINARY.into(), PathBuf::from)
}

/// Where things are bound.
#[derive(Debug, Clone, Copy, serde::Deserialize)]
pub struct Ports {
    pub smtp: u16,
    pub submission: u16,
    pub submissions: u16,
    pub imap: u16,
    pub imaps: u16,
    pub web: u16,
    #[serde(default)]
    pub lmtp: u16,
}

/// DIR and the process on it.
pub struct Satchel {
    dir: tempfile::TempDir,
    child: Option<Child>,
    pub ports: Ports,
    /// `SATCHEL_LOG` of the next start, when not the default.
    pub log_level: Option<&'static str>,
    /// A variable of its environment, and its value.
    pub environment: Option<(&'static str, String)>,
    /// How long the last start took until `satchel is ready`.
    pub ready_after: Duration,
}

impl Satchel {
    /// Starts on a fresh DIR with every port 0 and the lines of `config` (sections of satchel.toml) added.
    pub fn start(config: &str) -> Self {
        let mut satchel = Self::prepared(config);
        satchel.resume();
        satchel
    }

    /// A fresh DIR with its config, nothing running.
    pub fn prepared(config: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("satchel-test-").tempdir().unwrap();
        let listen = "[listen]\nsmtp = 0\nsubmission = 0\nsubmissions = 0\nimap = 0\nimaps = 0\nweb = 0\n";
        std::fs::write(dir.path().join("satchel.toml"), format!("{listen}{config}")).unwrap();
        let none = Ports { smtp: 0, submission: 0, submissions: 0, imap: 0, imaps: 0, web: 0, lmtp: 0 };
        Self { dir, child: None, ports: none, log_level: None, environment: None, ready_after: Duration::ZERO }
    }

    /// Replaces the config; takes effect at the next start.
    pub fn configure(&self, config: &str) {
        let listen = "[listen]\nsmtp = 0\nsubmission = 0\nsubmissions = 0\nimap = 0\nimaps = 0\nweb = 0\n";
        std::fs::write(self.path().join("satchel.toml"), format!("{listen}{config}")).unwrap();
    }

    /// DIR.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Before a start: the file that names the point it dies at (`lightning::failpoint`).
    pub fn die_at(&mut self) -> PathBuf {
        let file = self.path().with_extension("point");
        self.environment = Some(("SATCHEL_FAILPOINT", format!("@{}", file.display())));
        file
    }

    /// It has died there, and starts again to live.
    pub fn rise(&mut self, point: &Path) {
        super::eventually("it dies", || (!self.is_running()).then_some(()));
        std::fs::remove_file(point).unwrap();
        self.kill();
        self.resume();
    }

    /// Starts without waiting.
    pub fn spawn(&mut self) -> mpsc::Receiver<String> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        let mut child = Command::new(binary())
            .args(["up", "--dir"])
            .arg(self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .envs(self.log_level.map(|level| ("SATCHEL_LOG", level)))
            .envs(self.environment.clone())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        self.child = Some(child);
        lines
    }

    /// Starts and waits for `satchel is ready`.
    pub fn resume(&mut self) {
        let begun = Instant::now();
        let lines = self.spawn();
        loop {
            match lines.recv_timeout(PATIENCE.saturating_sub(begun.elapsed())) {
                Ok(line) if line == "satchel is ready" => break,
                Ok(_) => {}
                Err(_) => panic!("satchel was not ready within {PATIENCE:?}; its log:\n{}", self.log_text()),
            }
        }
        self.ready_after = begun.elapsed();
        let ready = std::fs::read(self.path().join("run/ready.json")).unwrap();
        self.ports = serde_json::from_slice(&ready).unwrap();
    }

    /// SIGKILL: no goodbye.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM, and waits.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        super::run(Command::new("kill").args(["-TERM", &child.id().to_string()]));
        let deadline = Instant::now() + PATIENCE;
        while child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "satchel did not stop; its log:\n{}", self.log_text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// How the process ended, when it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().unwrap()
    }

    /// Whether the process is still there.
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    fn log(&self) -> PathBuf {
        // Beside DIR, not in it: tests look through DIR.
        self.path().with_extension("log")
    }

    /// What it wrote to standard error.
    pub fn log_text(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// A command with `--json`; fails the test when the command fails.
    pub fn ask(&self, arguments: &[&str]) -> Value {
        let output = self.command(arguments).output().unwrap();
        assert!(
            output.status.success(),
            "satchel {arguments:?}: {}\n{}\nlog:\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
            self.log_text()
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// A command with `--json`, to be run.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.plain_command(arguments);
        command.arg("--json");
        command
    }

    /// A command as people type it, to be run.
    pub fn plain_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).arg("--dir").arg(self.path()).stdin(Stdio::null());
        command
    }

    /// A command that reads `input` from standard input.
    pub fn ask_with_input(&self, arguments: &[&str], input: &str) -> Value {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "satchel {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// User and app password of the sandbox's first account.
    pub fn first_login(&self) -> (String, String) {
        let text = std::fs::read_to_string(self.path().join("run/first-login.txt")).unwrap();
        let (user, password) = text.trim_end().split_once('\n').unwrap();
        (user.to_owned(), password.to_owned())
    }

    /// An IMAP session of the first account.
    pub fn imap(&self) -> Imap {
        let (user, password) = self.first_login();
        Imap::login(self.ports.imap, &user, &password)
    }

    /// The gates, newest last.
    pub fn gates(&self) -> Vec<Value> {
        self.ask(&["gate", "list"]).as_array().unwrap().clone()
    }

    /// The gate of an author's newest mail.
    pub fn gate_of(&self, author: &str) -> Option<Value> {
        self.gates().into_iter().rev().find(|gate| gate["author"] == author)
    }

    /// Waits until the gate of an author is in a state.
    pub fn wait_for_state(&self, author: &str, state: &str) -> Value {
        super::eventually(&format!("the gate of {author} is {state}; log:\n{}", self.log_text()), || {
            self.gate_of(author).filter(|gate| gate["state"] == state)
        })
    }
}

impl Drop for Satchel {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- satchel's log ---\n{}", self.log_text());
        }
        let _ = std::fs::remove_file(self.log());
    }
}
