//! GETQUOTA, GETQUOTAROOT, SETQUOTA (RFC 9208, RES-STORAGE). An account has one quota root, whose name is empty.

use store::Quota;

use crate::name::write_name;
use crate::reply::{Run, Tagged};
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
        if !self.root.is_empty() {
            return Ok(Tagged::no("[NONEXISTENT] No such quota root; the only one has an empty name"));
        }
        let quota = session.shared.store.quota(session.account()?).await?;
        write_quota(&mut session.io.out, quota);
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
        let quota = session.shared.store.quota(session.account()?).await?;
        let spelling = session.spelling();
        let out = &mut session.io.out;
        out.extend_from_slice(b"* QUOTAROOT ");
        write_name(out, name.as_str(), spelling);
        out.extend_from_slice(b" \"\"\r\n");
        write_quota(out, quota);
        Ok(Tagged::ok("GETQUOTAROOT completed"))
    }
}

/// RFC 9208 §4.2.1: in units of 1024 octets; an empty list where there is no limit.
fn write_quota(out: &mut Vec<u8>, quota: Quota) {
    out.extend_from_slice(b"* QUOTA \"\" (");
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
            write_quota(&mut out, Quota { used, limit });
            String::from_utf8(out).unwrap()
        };
        assert_eq!(told(1025, Some(4096)), "* QUOTA \"\" (STORAGE 2 4)\r\n");
        assert_eq!(told(0, Some(1)), "* QUOTA \"\" (STORAGE 0 0)\r\n");
        assert_eq!(told(99, None), "* QUOTA \"\" ()\r\n");
    }
}
