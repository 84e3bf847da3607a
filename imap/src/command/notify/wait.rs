//! The wait for a client's next command, when it wants to hear of things meanwhile (RFC 5465 §3.1).

use tokio::time::{Instant, sleep_until};

use super::tell_others;
use crate::command::Step;
use crate::reply::{End, Stop};
use crate::selected::{By, Expunges};
use crate::session::{Session, Waited};

/// What ended a wait.
enum Woken {
    Input(std::io::Result<()>),
    News,
    Time,
}

/// Reads some octets of the next command, and tells what happens before they come. Nothing is told once a command has
/// begun to arrive.
pub(crate) async fn wait_and_tell(session: &mut Session, deadline: Instant) -> Result<(), End> {
    let selected = session.interests.as_ref().map(|interests| interests.selected.clone()).unwrap_or_default();
    let expunges = if selected.delayed { Expunges::Held } else { Expunges::Told };
    let room = session.selected.as_ref().filter(|_| selected.messages).map(|selected| selected.room.clone());
    // It listens before it looks: nothing falls between.
    let mut seen = room.as_ref().map(|room| room.signal()).unwrap_or_default();
    loop {
        tell_selected(session, expunges).await?;
        tell_others(session).await?;
        session.io.flush().await?;
        session.io.shrink();
        let watcher = session.interests.as_ref().and_then(|interests| interests.watcher().cloned());
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
                filled = io.fill_in_silence() => Woken::Input(filled),
                () = news => Woken::News,
                () = noted => Woken::News,
                // RFC 3501 §5.4: it is the client's silence that counts.
                () = sleep_until(deadline) => Woken::Time,
            }
        };
        match Session::wait(stopping, revoked, woken).await {
            Waited::Done(Woken::Input(filled)) => return Ok(filled?),
            Waited::Done(Woken::News) => {}
            Waited::Done(Woken::Time) => return Err(End::Bye("Connection was idle for too long")),
            Waited::End(end) => return Err(end),
        }
    }
}

async fn tell_selected(session: &mut Session, expunges: Expunges) -> Result<(), End> {
    if session.selected.as_ref().is_none_or(|selected| selected.is_in_step(expunges)) {
        return Ok(());
    }
    let step = if expunges == Expunges::Held { Step::Held } else { Step::Told };
    Box::pin(session.bring_in_step(step, By::Uid)).await.map_or_else(ended, Ok)
}

/// A store that cannot answer now is asked again with the next change.
fn ended(stop: Stop) -> Result<(), End> {
    match stop {
        Stop::End(end) => Err(end),
        Stop::Tagged(_) | Stop::Answered => Ok(()),
    }
}
