//! UNAUTHENTICATE (RFC 8437): the connection is as it was before login, TLS stays.

use crate::reply::{End, Run, Stop};
use crate::session::Session;

pub(super) async fn run(session: &mut Session, tag: &str) -> Run {
    // RFC 8437 §3: the mailbox is left without expunging, everything that was enabled is forgotten, the account's key
    // given back.
    session.forget_user().await;
    session.io.out.extend_from_slice(format!("{tag} OK Logged out of the account, log in again\r\n").as_bytes());
    session.io.flush().await?;
    // RFC 8437 §4.1: compression ends in each direction behind the line of this command.
    session.io.end_compression().await.map_err(|_| End::Bye("UNAUTHENTICATE has to be flushed before more is sent"))?;
    Err(Stop::Answered)
}
