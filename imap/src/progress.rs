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
    /// Which of how many mailboxes is at work.
    stage: (u64, u64),
}

impl<'a> Progress<'a> {
    /// For the command with this tag, which begins now.
    pub(crate) fn new(io: &'a mut Connection, tag: &'a str) -> Self {
        Self { io, tag, next: Instant::now() + PROGRESS_INTERVAL, told: 0, stage: (0, 1) }
    }

    /// What comes is a part of the whole: mailbox `stage`, from 0, of `stages`.
    pub(crate) fn stage(&mut self, stage: usize, stages: usize) {
        self.stage = (stage as u64, stages as u64);
    }

    /// Where responses go meanwhile.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.io.out
    }

    /// Says how many of `goal` messages are done, if it is time to.
    pub(crate) async fn at(&mut self, done: usize, goal: usize) -> Result<(), End> {
        let (mut done, mut goal) = (done as u64, goal as u64);
        if self.stage.1 > 1 {
            // Of several mailboxes thousandths are counted: how many messages they have is not known yet.
            (done, goal) = (self.stage.0 * 1000 + done * 1000 / goal.max(1), self.stage.1 * 1000);
        }
        // RFC 9585 §4: counts only grow, and one that reached its goal is the tagged answer's to tell.
        if Instant::now() < self.next || done <= self.told || done >= goal {
            return Ok(());
        }
        self.next = Instant::now() + PROGRESS_INTERVAL;
        self.told = done;
        // RFC 9585 §4: NIL for a tag that would end the response code too early.
        let tag = if self.tag.contains(']') { "NIL".to_owned() } else { format!("\"{}\"", self.tag) };
        let line = format!("* OK [INPROGRESS ({tag} {done} {goal})] Still at it\r\n");
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
