//! What authentication found, in the words of RFC 8601.

use mail_auth::dmarc::Policy;
use mail_auth::{DkimOutput, DkimResult, DmarcOutput, DmarcResult, Error, SpfResult};
use ring::digest::{SHA256, digest};

/// A result word of RFC 8601 §2.7.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthResult {
    /// Nothing was there to check.
    None,
    /// It holds.
    Pass,
    /// It does not hold.
    Fail,
    /// SPF only: it probably does not hold.
    SoftFail,
    /// Nothing is claimed; for DKIM, the signature does not fit the message or has expired.
    Neutral,
    /// The DNS did not answer.
    TempError,
    /// What was published or signed cannot be understood.
    PermError,
}

/// Everything that is known about where a mail comes from.
#[derive(Debug, Clone)]
pub struct Authentication {
    /// Of the reverse-path's domain, or of the HELO name when that is null.
    pub spf: SpfOutcome,
    /// One per signature, top to bottom; fields that cannot be parsed come first, without domain.
    pub dkim: Vec<DkimOutcome>,
    /// Of the author's domain.
    pub dmarc: DmarcOutcome,
    /// Whether the chain of those who passed it on holds: none, pass or fail; temperror when a key was not to be had.
    /// It vouches for nobody by itself: who may vouch is a matter of trust (RFC 8617 §5.2.1). RFC 8617 §4.4.
    pub arc: AuthResult,
    /// The connecting host's name, when forward and reverse DNS agree (iprev).
    pub host: Option<String>,
    /// Every address of every From field, in lower case.
    pub from: Vec<String>,
    /// A passing signature aligns with the author's domain: no `l=`, no testing key, From signed. As DMARC computes it,
    /// also without a record.
    pub aligned_dkim: bool,
    /// SPF passes and aligns with the author's domain, likewise. See [`SpfOutcome::is_plus_all`].
    pub aligned_spf: bool,
    /// The value of an Authentication-Results field, folded, beginning with our authserv-id.
    pub header_value: String,
    /// How many Received fields the message has: 100 and more is a loop (RFC 5321 §6.3).
    pub received_count: usize,
}

impl Authentication {
    /// Whether the author's domain stands behind this mail.
    pub fn is_aligned(&self) -> bool {
        self.aligned_dkim || self.aligned_spf
    }

    /// Whether a passing signature covers the header field `name`, the `from_bottom`-th of its name counted from the
    /// bottom, the lowest being 0. RFC 6376 §5.4.2: signatures take fields from the bottom up.
    pub fn covered(&self, name: &str, from_bottom: usize) -> bool {
        self.dkim.iter().any(|signature| {
            let listed = signature.signed_headers.iter().filter(|header| header.eq_ignore_ascii_case(name)).count();
            signature.result == AuthResult::Pass && listed > from_bottom
        })
    }
}

/// What SPF says. RFC 7208.
#[derive(Debug, Clone)]
pub struct SpfOutcome {
    /// The result.
    pub result: AuthResult,
    /// The domain it is about.
    pub domain: String,
    /// The record lets everybody in; a pass is worth nothing.
    pub is_plus_all: bool,
}

/// What one DKIM signature says. RFC 6376.
#[derive(Debug, Clone)]
pub struct DkimOutcome {
    /// The result.
    pub result: AuthResult,
    /// `d=`, who signs.
    pub domain: String,
    /// `s=`.
    pub selector: String,
    /// `h=`, as often as it was listed.
    pub signed_headers: Vec<String>,
    /// `l=`: only part of the body is signed.
    pub has_l: bool,
    /// The key record says `t=y`.
    pub testing: bool,
    /// `x=` has passed; the result is neutral then.
    pub expired: bool,
    /// Signed with RSA-SHA1, which proves nothing any more. RFC 8301.
    pub sha1: bool,
    /// SHA-256 of `b=`: names this signature, for one payment request per signature.
    pub signature_hash: [u8; 32],
}

impl DkimOutcome {
    pub(super) fn new(output: &DkimOutput<'_>, testing: bool) -> Self {
        let expired =
            matches!(output.result(), DkimResult::Neutral(Error::Dkim(mail_auth::dkim::DkimError::SignatureExpired)));
        let signature = output.signature();
        let signed = signature.map_or(&[][..], |signature| &signature.b);
        Self {
            result: output.result().into(),
            domain: signature.map_or_else(String::new, |signature| signature.d.clone()),
            selector: signature.map_or_else(String::new, |signature| signature.s.clone()),
            signed_headers: signature.map_or_else(Vec::new, |signature| signature.h.clone()),
            has_l: signature.is_some_and(|signature| signature.l > 0),
            sha1: signature.is_some_and(|signature| signature.a == mail_auth::common::crypto::Algorithm::RsaSha1),
            testing,
            expired,
            signature_hash: digest(&SHA256, signed).as_ref().try_into().expect("SHA-256 has 32 octets"),
        }
    }

    /// Whether it may speak for an author at all.
    pub fn may_align(&self) -> bool {
        self.result == AuthResult::Pass
            && !(self.has_l || self.testing || self.expired || self.sha1)
            && self.signed_headers.iter().any(|name| name.eq_ignore_ascii_case("from"))
    }
}

/// What DMARC says. RFC 9989.
#[derive(Debug, Clone)]
pub struct DmarcOutcome {
    /// Pass when SPF or DKIM passes aligned; none without a record.
    pub result: AuthResult,
    /// What the domain asks for.
    pub policy: DmarcPolicy,
    /// The author's domain; empty when there is not exactly one.
    pub domain: String,
}

/// What a domain asks to be done with mail that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DmarcPolicy {
    /// Nothing.
    None,
    /// Look twice.
    Quarantine,
    /// Do not take it.
    Reject,
}

impl DmarcOutcome {
    pub(super) fn new(output: &DmarcOutput) -> Self {
        let results = [output.spf_result(), output.dkim_result()].map(AuthResult::from);
        let result = match output.dmarc_record() {
            Some(_) if results.contains(&AuthResult::Pass) => AuthResult::Pass,
            Some(_) => AuthResult::Fail,
            None if results.contains(&AuthResult::TempError) => AuthResult::TempError,
            None if results.contains(&AuthResult::PermError) => AuthResult::PermError,
            None => AuthResult::None,
        };
        let policy = match output.policy() {
            Policy::Quarantine => DmarcPolicy::Quarantine,
            Policy::Reject => DmarcPolicy::Reject,
            Policy::None | Policy::Unspecified => DmarcPolicy::None,
        };
        Self { result, policy, domain: output.domain().to_owned() }
    }
}

impl From<AuthResult> for SpfResult {
    fn from(result: AuthResult) -> Self {
        match result {
            AuthResult::Pass => Self::Pass,
            AuthResult::Fail => Self::Fail,
            AuthResult::SoftFail => Self::SoftFail,
            AuthResult::Neutral => Self::Neutral,
            AuthResult::TempError => Self::TempError,
            AuthResult::PermError => Self::PermError,
            AuthResult::None => Self::None,
        }
    }
}

impl From<&DkimResult> for AuthResult {
    fn from(result: &DkimResult) -> Self {
        match result {
            DkimResult::Pass => Self::Pass,
            DkimResult::Neutral(_) => Self::Neutral,
            DkimResult::Fail(_) => Self::Fail,
            DkimResult::PermError(_) => Self::PermError,
            DkimResult::TempError(_) => Self::TempError,
            DkimResult::None => Self::None,
        }
    }
}

impl From<&DmarcResult> for AuthResult {
    fn from(result: &DmarcResult) -> Self {
        match result {
            DmarcResult::Pass => Self::Pass,
            DmarcResult::Fail(_) => Self::Fail,
            DmarcResult::TempError(_) => Self::TempError,
            DmarcResult::PermError(_) => Self::PermError,
            DmarcResult::None => Self::None,
        }
    }
}
