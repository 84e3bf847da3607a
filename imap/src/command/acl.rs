//! SETACL, DELETEACL, GETACL, LISTRIGHTS, MYRIGHTS (RFC 4314 §3).
//!
//! An identifier is the address of an account here, and nothing else: no `anyone`, no groups, no negative rights. To let
//! somebody read is to give them a key, and that has to be somebody's.

use lnmp::PublicKey;
use rand::rngs::OsRng;
use store::{Account, AclChange, Rights, RightsMode};

use crate::access::Found;
use crate::name::write_name;
use crate::reply::{Run, Stop, Tagged};
use crate::session::Session;
use crate::wire::{Bad, Cursor, Parsed, write};

/// One of the five.
#[derive(Debug)]
pub(crate) struct Acl {
    mailbox: Vec<u8>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Set { identifier: Vec<u8>, mode: RightsMode, rights: Rights },
    Delete { identifier: Vec<u8> },
    Get,
    List { identifier: Vec<u8> },
    Mine,
}

fn mailbox(cursor: &mut Cursor<'_>) -> Parsed<Vec<u8>> {
    cursor.space()?;
    Ok(cursor.astring()?.into_owned())
}

/// RFC 4314 §3: an identifier that is empty makes the command BAD.
fn identifier(cursor: &mut Cursor<'_>) -> Parsed<Vec<u8>> {
    cursor.space()?;
    let identifier = cursor.astring()?.into_owned();
    if identifier.is_empty() { Err(Bad::new("Identifier is empty")) } else { Ok(identifier) }
}

impl Acl {
    pub(super) fn parse_set(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        let (mailbox, identifier) = (mailbox(cursor)?, identifier(cursor)?);
        cursor.space()?;
        let change = cursor.astring()?;
        let (mode, letters) = match change.split_first() {
            Some((b'+', letters)) => (RightsMode::Add, letters),
            Some((b'-', letters)) => (RightsMode::Remove, letters),
            _ => (RightsMode::Replace, &change[..]),
        };
        // RFC 4314 §3.1: an unrecognised right makes the command BAD.
        let letters = std::str::from_utf8(letters).map_err(|_| Bad::new("Rights are letters of lrswipkxteacd"))?;
        let rights = Rights::parse(letters).map_err(|unknown| {
            Bad(format!("{} is no right; rights are lrswipkxteacd", unknown.escape_default()).into())
        })?;
        Ok(Self { mailbox, kind: Kind::Set { identifier, mode, rights } })
    }

    pub(super) fn parse_delete(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        Ok(Self { mailbox: mailbox(cursor)?, kind: Kind::Delete { identifier: identifier(cursor)? } })
    }

    pub(super) fn parse_get(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        Ok(Self { mailbox: mailbox(cursor)?, kind: Kind::Get })
    }

    pub(super) fn parse_list(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        Ok(Self { mailbox: mailbox(cursor)?, kind: Kind::List { identifier: identifier(cursor)? } })
    }

    pub(super) fn parse_mine(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        Ok(Self { mailbox: mailbox(cursor)?, kind: Kind::Mine })
    }

    pub(super) async fn run(self, session: &mut Session) -> Run {
        let name = session.name(&self.mailbox)?;
        let found = match session.find(&name).await {
            Err(Stop::Tagged(_)) => return Ok(Tagged::no("[NONEXISTENT] No such mailbox")),
            found => found?,
        };
        match self.kind {
            Kind::Set { identifier, mode, rights } => {
                set(session, &found, &identifier, mode, rights).await?;
                Ok(Tagged::ok("SETACL completed"))
            }
            Kind::Delete { identifier } => {
                set(session, &found, &identifier, RightsMode::Replace, Rights::NONE).await?;
                Ok(Tagged::ok("DELETEACL completed"))
            }
            Kind::Get => get(session, &found).await,
            Kind::List { identifier } => list(session, &found, &identifier).await,
            Kind::Mine => Ok(mine(session, &found)),
        }
    }
}

/// Why an identifier that RFC 4314 §2 knows can be given nothing here, if it is one.
fn never_granted(identifier: &str) -> Option<&'static str> {
    match identifier {
        "anyone" | "anonymous" => Some("[CANNOT] Sealed mail is shared with accounts by name, not with anyone"),
        _ if identifier.starts_with(['-', '$']) => Some("[CANNOT] There are no negative rights and no groups here"),
        _ => None,
    }
}

fn text_of(identifier: &[u8]) -> Result<String, Stop> {
    let text = std::str::from_utf8(identifier).map_err(|_| Bad::new("Identifier is not UTF-8"))?;
    Ok(text.to_lowercase())
}

/// Whose identifier this is.
async fn user(session: &Session, identifier: &[u8]) -> Result<Account, Stop> {
    let text = text_of(identifier)?;
    if let Some(why) = never_granted(&text) {
        return Err(Tagged::no(why).into());
    }
    let own = session.shared.store.account(session.account()?).await?;
    let own_domain = own.map(|account| account.domain).unwrap_or_default();
    let (local, domain) = text.rsplit_once('@').unwrap_or((&text, &own_domain));
    let found = session.shared.store.account_by_address(local, domain).await?;
    found.ok_or_else(|| Tagged::no("[NONEXISTENT] No such user here; name one as user@domain").into())
}

async fn set(
    session: &Session,
    found: &Found,
    identifier: &[u8],
    mode: RightsMode,
    rights: Rights,
) -> Result<(), Stop> {
    let by = session.account()?;
    let user = user(session, identifier).await?;
    let grants = mode != RightsMode::Remove && rights.contains(Rights::READ) && user.id != found.owner;
    let wrap = if grants {
        let key = PublicKey::from_bytes(user.identity).map_err(|_| Tagged::no("[SERVERBUG] The user has no key"))?;
        Some(session.reader_of(found.owner).await?.opener.share_with(&mut OsRng, &key))
    } else {
        None
    };
    let change = AclChange { mailbox: found.mailbox.id, user: user.id, mode, rights, wrap };
    session.shared.store.set_acl(by, change).await?;
    Ok(())
}

fn begin(session: &mut Session, word: &str, found: &Found) {
    let spelling = session.spelling();
    let out = &mut session.io.out;
    out.extend_from_slice(format!("* {word} ").as_bytes());
    write_name(out, &found.mailbox.name, spelling);
}

fn put(session: &mut Session, text: &str) {
    session.io.out.push(b' ');
    write::astring(&mut session.io.out, text.as_bytes());
}

async fn get(session: &mut Session, found: &Found) -> Run {
    let store = session.shared.store.clone();
    let acl = store.acl(session.account()?, found.mailbox.id).await?;
    let mut pairs = vec![(found.owner, Rights::ALL)];
    pairs.extend(acl);
    begin(session, "ACL", found);
    for (id, rights) in pairs {
        // Who is gone meanwhile has no rights.
        let Some(account) = store.account(id).await? else { continue };
        put(session, &account.address());
        put(session, &rights.to_string());
    }
    session.io.out.extend_from_slice(b"\r\n");
    Ok(Tagged::ok("GETACL completed"))
}

async fn list(session: &mut Session, found: &Found, identifier: &[u8]) -> Run {
    if !found.rights.contains(Rights::ADMINISTER) {
        return Err(store::StoreError::Denied('a').into());
    }
    let user = match never_granted(&text_of(identifier)?) {
        Some(_) => None,
        None => Some(user(session, identifier).await?),
    };
    begin(session, "LISTRIGHTS", found);
    // RFC 4314 §3.4: the identifier in the client's own spelling.
    session.io.out.push(b' ');
    write::astring(&mut session.io.out, identifier);
    if user.as_ref().is_some_and(|user| user.id == found.owner) {
        // The owner always has all of them.
        put(session, &Rights::ALL.to_string());
    } else {
        put(session, "");
    }
    if user.is_some_and(|user| user.id != found.owner) {
        // None is tied to another; `c` and `d` stand by themselves (RFC 4314 §2.1.1).
        for (letter, _) in Rights::LETTERS {
            put(session, &letter.to_string());
        }
    }
    session.io.out.extend_from_slice(b"\r\n");
    Ok(Tagged::ok("LISTRIGHTS completed"))
}

fn mine(session: &mut Session, found: &Found) -> Tagged {
    begin(session, "MYRIGHTS", found);
    put(session, &found.rights.to_string());
    session.io.out.extend_from_slice(b"\r\n");
    Tagged::ok("MYRIGHTS completed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Parsed<Acl> {
        let mut cursor = Cursor::new(text.as_bytes());
        let acl = Acl::parse_set(&mut cursor)?;
        cursor.end()?;
        Ok(acl)
    }

    #[test]
    fn changes_of_rights_are_read() {
        for (text, expected_mode, letters) in [
            (" INBOX bob lrs", RightsMode::Replace, "lrs"),
            (" INBOX bob +cd", RightsMode::Add, "kxte"),
            (" \"My Box\" \"bob@x\" \"-w\"", RightsMode::Remove, "w"),
            (" INBOX bob \"\"", RightsMode::Replace, ""),
        ] {
            let Ok(Acl { kind: Kind::Set { mode, rights, .. }, .. }) = parse(text) else { panic!("{text}") };
            assert_eq!((mode, rights), (expected_mode, Rights::parse(letters).unwrap()), "{text}");
        }
        for text in [" INBOX bob lrq", " INBOX bob LR", " INBOX \"\" l", " INBOX bob", " INBOX bob l r", " INBOX bob 0"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
