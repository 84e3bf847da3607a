//! GETQUOTA, GETQUOTAROOT, SETQUOTA (RFC 9208, RES-STORAGE). An account has one quota root: the user's own has an empty
//! name, those of who shares mailboxes with them are named like the level above these.

use store::{AccountId, Quota, Rights, StoreError};

use crate::access::Found;
use crate::name::{MailboxName, OTHER_USERS, SEPARATOR, Spelling, write_name};
use crate::reply::{Run, Stop, Tagged};
use crate::session::Session;
use crate::wire::{Bad, Cursor, Parsed, write};

/// Resources in one SETQUOTA: all that RFC 9208 §5 names, and some.
const RESOURCES_MAX: usize = 20;

/// GETQUOTA.
#[derive(Debug)]
pub(crate) struct GetQuota {
    root: Vec<u8>,
}

/// GETQUOTAROOT.
#[derive(Debug)]
pub(crate) struct GetQuotaRoot {
    mailbox: Vec<u8>,
}

impl GetQuota {
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        cursor.space()?;
        Ok(Self { root: cursor.astring()?.into_owned() })
    }

    pub(super) async fn run(self, session: &mut Session) -> Run {
        let (account, root) = match self.root.as_slice() {
            b"" => (session.account()?, String::new()),
            wire => {
                let name = session.name(wire)?;
                let found = root_of(session, &name).await?;
                if found.1 == name.as_str() { found } else { return Err(no_root()) }
            }
        };
        let quota = session.shared.store.quota(account).await?;
        let spelling = session.spelling();
        write_quota(&mut session.io.out, &root, spelling, quota);
        Ok(Tagged::ok("GETQUOTA completed"))
    }
}

impl GetQuotaRoot {
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        cursor.space()?;
        Ok(Self { mailbox: cursor.astring()?.into_owned() })
    }

    /// RFC 9208 §4.1.2: the mailbox need not exist.
    pub(super) async fn run(self, session: &mut Session) -> Run {
        let name = session.name(&self.mailbox)?;
        let (account, root) = match name.is_of_other_user() {
            true => root_of(session, &name).await?,
            false => (session.account()?, String::new()),
        };
        let quota = session.shared.store.quota(account).await?;
        let spelling = session.spelling();
        let out = &mut session.io.out;
        out.extend_from_slice(b"* QUOTAROOT ");
        write_name(out, name.as_str(), spelling);
        out.push(b' ');
        write_name(out, &root, spelling);
        out.extend_from_slice(b"\r\n");
        write_quota(out, &root, spelling, quota);
        Ok(Tagged::ok("GETQUOTAROOT completed"))
    }
}

/// The root of a name below `Other Users/`, as far as it is shown: to who may read or add to something in it.
async fn root_of(session: &Session, name: &MailboxName) -> Result<(AccountId, String), Stop> {
    let root: Vec<&str> = name.as_str().split(SEPARATOR).take(2).collect();
    let root = root.join("/");
    let below = format!("{root}{SEPARATOR}");
    let shared = session.shared_mailboxes().await?;
    let theirs: Vec<&Found> = shared.iter().filter(|found| found.mailbox.name.starts_with(&below)).collect();
    if !name.is_of_other_user() || root == OTHER_USERS || theirs.is_empty() {
        return Err(no_root());
    }
    match theirs.iter().find(|found| found.rights.intersects(Rights::READ.with(Rights::INSERT))) {
        Some(found) => Ok((found.owner, root)),
        None => Err(StoreError::Denied('r').into()),
    }
}

fn no_root() -> Stop {
    Tagged::no("[NONEXISTENT] No such quota root; your own has an empty name").into()
}

/// RFC 9208 §4.2.1: in units of 1024 octets; an empty list where there is no limit.
fn write_quota(out: &mut Vec<u8>, root: &str, spelling: Spelling, quota: Quota) {
    out.extend_from_slice(b"* QUOTA ");
    write_name(out, root, spelling);
    out.extend_from_slice(b" (");
    if let Some(limit) = quota.limit {
        out.extend_from_slice(b"STORAGE ");
        write::number(out, quota.used.div_ceil(1024));
        out.push(b' ');
        write::number(out, limit / 1024);
    }
    out.extend_from_slice(b")\r\n");
}

/// SETQUOTA, as far as its grammar goes.
pub(super) fn parse_set(cursor: &mut Cursor<'_>) -> Parsed<()> {
    cursor.space()?;
    cursor.astring()?;
    cursor.space()?;
    cursor
        .list(RESOURCES_MAX, "Too many resources", |cursor| {
            cursor.atom("Expected a resource")?;
            cursor.space()?;
            cursor.number64("Expected a limit")?;
            Ok(())
        })
        .map(drop)
        .map_err(|_| Bad::new("SETQUOTA takes a quota root and a list of resources with their limits"))
}

/// Without QUOTASET nobody sets a quota by IMAP: the operator's command line does.
pub(super) fn set() -> Run {
    Ok(Tagged::no("[NOPERM] The operator sets quotas"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_told_in_kib_and_never_too_small() {
        let told = |used, limit| {
            let mut out = Vec::new();
            write_quota(&mut out, "", Spelling::ModifiedUtf7, Quota { used, limit });
            String::from_utf8(out).unwrap()
        };
        assert_eq!(told(1025, Some(4096)), "* QUOTA \"\" (STORAGE 2 4)\r\n");
        assert_eq!(told(0, Some(1)), "* QUOTA \"\" (STORAGE 0 0)\r\n");
        assert_eq!(told(99, None), "* QUOTA \"\" ()\r\n");
    }
}
