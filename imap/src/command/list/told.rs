//! LIST responses that nobody asked for. IMAP4rev2 has them, so clients of IMAP4rev1 are sent none.

use crate::command::list::tree::Tree;
use crate::command::list::write_line;
use crate::name::{Spelling, write_name};
use crate::reply::Stop;
use crate::session::Session;

/// RFC 9051 §6.3.2: what a mailbox is, when it is selected.
pub(in crate::command) async fn selected(session: &mut Session, name: &str, wire: &[u8]) -> Result<(), Stop> {
    if session.enabled.imap4rev2 { tell(session, name, supplied(wire, name)).await } else { Ok(()) }
}

/// RFC 9051 §6.3.4, §6.3.12: the name a mailbox has here, where the client spelled it in another way.
pub(in crate::command) async fn normalised(session: &mut Session, name: &str, wire: &[u8]) -> Result<(), Stop> {
    match supplied(wire, name) {
        Some(old) if session.enabled.imap4rev2 => tell(session, name, Some(old)).await,
        _ => Ok(()),
    }
}

/// RFC 9051 §6.3.6, §6.3.9.7: a new name, and the one before as the client spelled it.
pub(in crate::command) async fn renamed(session: &mut Session, name: &str, wire: &[u8]) -> Result<(), Stop> {
    if session.enabled.imap4rev2 { tell(session, name, supplied(wire, name)).await } else { Ok(()) }
}

/// RFC 9051 §6.3.5: the name of a mailbox that is gone, where the client spelled it in another way.
pub(in crate::command) fn deleted(session: &mut Session, name: &str, wire: &[u8]) {
    if session.enabled.imap4rev2
        && let Some(old) = supplied(wire, name)
    {
        write_line(&mut session.io.out, "LIST", &["\\NonExistent"], name, &old_name(&old), Spelling::Utf8);
    }
}

async fn tell(session: &mut Session, name: &str, old: Option<String>) -> Result<(), Stop> {
    let tree = Tree::read(session).await?;
    let mut attributes = tree.attributes(name, "\\NonExistent", true);
    attributes.extend(tree.0.get(name).map(|node| node.special_use()).unwrap_or_default());
    let extended = old.map(|old| old_name(&old)).unwrap_or_default();
    write_line(&mut session.io.out, "LIST", &attributes, name, &extended, Spelling::Utf8);
    Ok(())
}

/// What stood on the wire, if it is not the name itself.
fn supplied(wire: &[u8], name: &str) -> Option<String> {
    // RFC 9051 §6.3.4: a separator at the end is no part of a name to be made.
    let wire = wire.strip_suffix(b"/").unwrap_or(wire);
    (wire != name.as_bytes()).then(|| String::from_utf8_lossy(wire).into_owned())
}

/// ` ("OLDNAME" (name))`
fn old_name(old: &str) -> String {
    let mut extended = b" (\"OLDNAME\" (".to_vec();
    write_name(&mut extended, old, Spelling::Utf8);
    extended.extend_from_slice(b"))");
    String::from_utf8_lossy(&extended).into_owned()
}
