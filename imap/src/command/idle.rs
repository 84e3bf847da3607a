//! IDLE (RFC 2177).

use std::sync::Arc;

use tokio::time::{Instant, sleep_until};

use crate::command::{Step, tell_others};
use crate::limits::{AUTOLOGOUT, IDLE_KEEPALIVE};
use crate::reply::{End, Run, Stop, Tagged};
use crate::selected::By;
use crate::session::{Session, Waited};
use crate::wire::Frame;

/// What ended a wait.
enum Woken {
    Input(std::io::Result<()>),
    News,
    Time,
}

pub(super) async fn run(session: &mut Session) -> Run {
    session.kept = None;
    session.io.out.extend_from_slice(b"+ idling\r\n");
    let began = Instant::now();
    let mut keepalive = began + IDLE_KEEPALIVE;
    // RFC 5465 §4: what NOTIFY asked for, and nothing else.
    let silent = session.interests.as_ref().is_some_and(|interests| !interests.selected.messages);
    let room = session.selected.as_ref().filter(|_| !silent).map(|selected| Arc::clone(&selected.room));
    let mut seen = room.as_ref().map(|room| room.signal()).unwrap_or_default();
    let watcher = session.interests.as_ref().and_then(|interests| interests.watcher().cloned());
    // What changed before we listened is told first.
    let mut step = Step::Asked;
    loop {
        match Box::pin(session.bring_in_step(step, By::Number)).await {
            // A store that cannot answer now is asked again with the next change.
            Ok(()) | Err(Stop::Tagged(_) | Stop::Answered) => {}
            Err(Stop::End(end)) => return Err(end.into()),
        }
        Box::pin(tell_others(session)).await?;
        step = Step::Told;
        match session.io.framer.poll() {
            Frame::More => {}
            // Apple Mail sends further commands in the packet of DONE (mail.md quirk 15): they stay in the framer.
            Frame::Command => {
                let done = session.io.framer.command().eq_ignore_ascii_case(b"DONE");
                session.io.framer.next();
                return Ok(if done { Tagged::ok("IDLE completed") } else { Tagged::bad("Expected DONE") });
            }
            Frame::Literal(_) | Frame::Refused | Frame::Lost => return Err(End::Bye("Expected DONE").into()),
        }
        session.io.flush().await?;
        session.io.shrink();
        session.io.rest();
        let (io, stopping, revoked) = session.waits();
        let news = async {
            match &room {
                Some(room) => room.changed(&mut seen).await,
                None => std::future::pending().await,
            }
        };
        let noted = async {
            match &watcher {
                Some(watcher) => watcher.woken().await,
                None => std::future::pending().await,
            }
        };
        let woken = async {
            tokio::select! {
                filled = io.fill() => Woken::Input(filled),
                () = news => Woken::News,
                () = noted => Woken::News,
                () = sleep_until(keepalive) => Woken::Time,
            }
        };
        match Session::wait(stopping, revoked, woken).await {
            Waited::Done(Woken::Input(filled)) => filled?,
            Waited::Done(Woken::News) => {}
            // RFC 2177: an idle client must be back within 29 minutes.
            Waited::Done(Woken::Time) if began.elapsed() >= AUTOLOGOUT => {
                return Err(End::Bye("Connection was idle for too long").into());
            }
            Waited::Done(Woken::Time) => {
                keepalive += IDLE_KEEPALIVE;
                session.io.out.extend_from_slice(b"* OK Still here\r\n");
            }
            Waited::End(end) => return Err(end.into()),
        }
    }
}
