//! Tells a client that its long command goes on (RFC 9585).

use tokio::time::Instant;

use crate::io::Connection;
use crate::limits::PROGRESS_INTERVAL;
use crate::reply::End;

/// The progress of one command.
pub(crate) struct Progress<'a> {
    io: &'a mut Connection,
    tag: &'a str,
    next: Instant,
    told: u64,
}

impl<'a> Progress<'a> {
    /// For the command with this tag, which begins now.
    pub(crate) fn new(io: &'a mut Connection, tag: &'a str) -> Self {
        Self { io, tag, next: Instant::now() + PROGRESS_INTERVAL, told: 0 }
    }

    /// Where responses go meanwhile.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.io.out
    }

    /// Says how many of `goal` messages are done, if it is time to.
    pub(crate) async fn at(&mut self, done: usize, goal: usize) -> Result<(), End> {
        let (done, goal) = (done as u64, goal as u64);
        // RFC 9585 §4: counts only grow, and one that reached its goal is the tagged answer's to tell.
        if Instant::now() < self.next || done <= self.told || done >= goal {
            return Ok(());
        }
        self.next = Instant::now() + PROGRESS_INTERVAL;
        self.told = done;
        let line = format!("* OK [INPROGRESS (\"{}\" {done} {goal})] Still at it\r\n", self.tag);
        self.io.out.extend_from_slice(line.as_bytes());
        Ok(self.io.flush().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    #[tokio::test]
    async fn a_long_command_says_so_from_time_to_time() {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let mut io = Connection::new(Box::new(ours));
        let mut progress = Progress::new(&mut io, "a1");
        progress.at(1, 10).await.unwrap();
        progress.next = Instant::now();
        progress.at(4, 10).await.unwrap();
        progress.at(5, 10).await.unwrap();
        progress.next = Instant::now();
        progress.at(4, 10).await.unwrap();
        progress.at(10, 10).await.unwrap();
        drop(io);
        let mut told = String::new();
        theirs.read_to_string(&mut told).await.unwrap();
        assert_eq!(told, "* OK [INPROGRESS (\"a1\" 4 10)] Still at it\r\n");
    }
}
