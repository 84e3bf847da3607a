//! Commands over the server's own socket: without the time a process takes to start, and with an answer also where the
//! server dies meanwhile.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use satchel::cli::Request;
use satchel::control::Answer;
use serde_json::Value;

use super::satchel::Satchel;

/// The server answers within this, or not at all.
const ANSWER: Duration = Duration::from_secs(120);

/// Why a command was not done.
#[derive(Debug)]
pub enum Undone {
    /// Nobody answered: the server is down, or died under it.
    Gone(std::io::Error),
    /// The server's reason.
    Refused(String),
}

impl From<std::io::Error> for Undone {
    fn from(error: std::io::Error) -> Self {
        Self::Gone(error)
    }
}

/// Asks the server of a directory.
pub fn tell(dir: &Path, request: &Request) -> Result<Value, Undone> {
    let mut socket = UnixStream::connect(dir.join("run/control.sock"))?;
    socket.set_read_timeout(Some(ANSWER))?;
    socket.write_all(format!("{}\n", serde_json::to_string(request).unwrap()).as_bytes())?;
    let mut line = String::new();
    if BufReader::new(socket).read_line(&mut line)? == 0 {
        return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
    }
    // A line cut off by a kill is no answer.
    match serde_json::from_str(&line).map_err(std::io::Error::from)? {
        Answer::Done(value) => Ok(value),
        Answer::Failed(why) => Err(Undone::Refused(why)),
    }
}

impl Satchel {
    /// Asks the running server.
    pub fn tell(&self, request: &Request) -> Result<Value, Undone> {
        tell(self.path(), request)
    }

    /// The same; it must be done.
    pub fn told(&self, request: &Request) -> Value {
        self.tell(request).unwrap_or_else(|why| panic!("{request:?}: {why:?}; log:\n{}", self.log_text()))
    }
}
