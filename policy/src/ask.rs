//! Who is asked for money. A payment request is a mail, so it must never go to somebody who wrote nothing.

use crate::limits::{ASKS_PER_AUTHOR_AND_ACCOUNT_DAY, ASKS_PER_AUTHOR_DAY, ASKS_PER_DOMAIN_HOUR, ASKS_PER_SIGNATURE};

/// What is known of the DKIM signature that passes and aligns best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DkimEvidence {
    /// `l=`: anything may have been appended (RFC 6376 §8.2).
    pub limited_length: bool,
    /// `t=y` in the key: the domain says not to rely on it (RFC 6376 §3.6.1).
    pub testing: bool,
    /// `x=` is past.
    pub expired: bool,
    /// The recipient stands in a To or Cc that the signature covers: else a signed mail could have been taken
    /// from elsewhere and sent to us again.
    pub signs_recipient: bool,
}

impl DkimEvidence {
    fn holds(self) -> bool {
        !self.limited_length && !self.testing && !self.expired
    }
}

/// What the checks found of one mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AskEvidence<'a> {
    /// The From address; `None` when there is none or more than one.
    pub from: Option<&'a str>,
    /// MAIL FROM; empty for the null sender.
    pub reverse_path: &'a str,
    /// The best DKIM signature that passes and aligns with From; `None` when none does.
    pub dkim: Option<DkimEvidence>,
    /// SPF passes and its domain aligns with From.
    pub spf_aligned: bool,
    /// The SPF record that passed ends in `+all`: it says nothing.
    pub spf_plus_all: bool,
    /// It came over a mailing list (List-* fields, Precedence: list).
    pub is_list: bool,
    /// It was sent by a program (Auto-Submitted, Precedence: bulk or junk; RFC 3834 §2).
    pub is_automatic: bool,
}

/// Whether the author is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// A payment request may go to this address.
    Yes {
        /// The From address.
        to: String,
    },
    /// Nobody is asked; the mail waits in Unpaid.
    No(Refusal),
}

/// Why nobody is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// No From address, or several.
    NotOneFrom,
    /// MAIL FROM is empty: a bounce or its like.
    NullSender,
    /// A mailing list.
    List,
    /// A program, or an address that belongs to one.
    Automatic,
    /// Nothing that was checked aligns with From.
    NotAligned,
    /// Only DKIM aligns, and the signature has `l=`, a key in testing, or a past `x=`.
    WeakSignature,
    /// Only SPF aligns, by a record that lets everybody send.
    SpfAllowsAll,
    /// Only DKIM aligns, and it does not cover that the mail was meant for this recipient.
    RecipientNotSigned,
    /// Only SPF aligns, and From is another address of the domain than the one SPF spoke for.
    NotReversePath,
}

/// Decides. The order of the reasons is the order of the checks.
pub fn ask(evidence: &AskEvidence<'_>) -> Ask {
    let no = Ask::No;
    let Some(from) = evidence.from else { return no(Refusal::NotOneFrom) };
    if evidence.reverse_path.is_empty() {
        return no(Refusal::NullSender);
    }
    if evidence.is_list {
        return no(Refusal::List);
    }
    if evidence.is_automatic || belongs_to_a_program(from) || belongs_to_a_program(evidence.reverse_path) {
        return no(Refusal::Automatic);
    }
    let dkim = evidence.dkim.filter(|signature| signature.holds());
    let spf = evidence.spf_aligned && !evidence.spf_plus_all;
    match (dkim, spf) {
        (Some(_), true) => {}
        (Some(signature), false) if signature.signs_recipient => {}
        (Some(_), false) => return no(Refusal::RecipientNotSigned),
        (None, true) if same_mailbox(from, evidence.reverse_path) => {}
        (None, true) => return no(Refusal::NotReversePath),
        (None, false) if evidence.dkim.is_some() => return no(Refusal::WeakSignature),
        (None, false) if evidence.spf_aligned => return no(Refusal::SpfAllowsAll),
        (None, false) => return no(Refusal::NotAligned),
    }
    Ask::Yes { to: from.to_owned() }
}

/// RFC 3834 §2: addresses that only programs send from.
fn belongs_to_a_program(address: &str) -> bool {
    let local = address.rsplit_once('@').map_or(address, |(local, _)| local).to_ascii_lowercase();
    local == "mailer-daemon" || local.starts_with("owner-") || local.ends_with("-request")
}

/// Domains compare without case; local parts too, because no domain that matters tells them apart, and DKIM
/// or SPF has vouched for the domain.
fn same_mailbox(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// Payment requests already sent that count against this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AskCounts {
    /// To this author for this account within a day.
    pub author_account_day: u32,
    /// To this author over the whole bridge within a day.
    pub author_day: u32,
    /// To this author's domain within an hour.
    pub domain_hour: u32,
    /// For this DKIM signature, ever; 0 when there is none.
    pub dkim_signature: u32,
}

/// Whether one more request may be sent. Requests are limited, paying is not.
pub fn within_limits(counts: &AskCounts) -> bool {
    counts.author_account_day < ASKS_PER_AUTHOR_AND_ACCOUNT_DAY
        && counts.author_day < ASKS_PER_AUTHOR_DAY
        && counts.domain_hour < ASKS_PER_DOMAIN_HOUR
        && counts.dkim_signature < ASKS_PER_SIGNATURE
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOB: &str = "bob@shop.test";
    const GOOD: DkimEvidence =
        DkimEvidence { limited_length: false, testing: false, expired: false, signs_recipient: true };
    const BOTH: AskEvidence<'_> = AskEvidence {
        from: Some(BOB),
        reverse_path: BOB,
        dkim: Some(GOOD),
        spf_aligned: true,
        spf_plus_all: false,
        is_list: false,
        is_automatic: false,
    };
    const DKIM_ONLY: AskEvidence<'_> = AskEvidence { spf_aligned: false, reverse_path: "bounce@esp.test", ..BOTH };
    const SPF_ONLY: AskEvidence<'_> = AskEvidence { dkim: None, ..BOTH };

    fn with(dkim: DkimEvidence, base: AskEvidence<'static>) -> AskEvidence<'static> {
        AskEvidence { dkim: Some(dkim), ..base }
    }

    #[test]
    fn who_wrote_it_is_asked_and_nobody_else() {
        let l = DkimEvidence { limited_length: true, ..GOOD };
        let t = DkimEvidence { testing: true, ..GOOD };
        let x = DkimEvidence { expired: true, ..GOOD };
        let unsigned = DkimEvidence { signs_recipient: false, ..GOOD };
        let none = AskEvidence { dkim: None, spf_aligned: false, ..BOTH };
        let table: &[(&str, AskEvidence<'_>, Option<Refusal>)] = &[
            ("DKIM and SPF align", BOTH, None),
            ("DKIM alone, recipient signed", DKIM_ONLY, None),
            ("SPF alone, From is the reverse-path", SPF_ONLY, None),
            ("case of the reverse-path", AskEvidence { reverse_path: "Bob@SHOP.test", ..SPF_ONLY }, None),
            ("both, recipient not signed", with(unsigned, BOTH), None),
            ("both, another reverse-path of the domain", AskEvidence { reverse_path: "b@shop.test", ..BOTH }, None),
            ("weak DKIM, SPF carries it", with(l, BOTH), None),
            ("nothing aligns", none, Some(Refusal::NotAligned)),
            ("no From, or several", AskEvidence { from: None, ..BOTH }, Some(Refusal::NotOneFrom)),
            ("null sender", AskEvidence { reverse_path: "", ..BOTH }, Some(Refusal::NullSender)),
            ("list", AskEvidence { is_list: true, ..BOTH }, Some(Refusal::List)),
            ("automatic", AskEvidence { is_automatic: true, ..BOTH }, Some(Refusal::Automatic)),
            ("daemon", AskEvidence { from: Some("MAILER-DAEMON@shop.test"), ..BOTH }, Some(Refusal::Automatic)),
            ("list owner", AskEvidence { reverse_path: "owner-news@shop.test", ..BOTH }, Some(Refusal::Automatic)),
            ("list request", AskEvidence { from: Some("news-request@shop.test"), ..BOTH }, Some(Refusal::Automatic)),
            ("l=", with(l, DKIM_ONLY), Some(Refusal::WeakSignature)),
            ("t=y", with(t, DKIM_ONLY), Some(Refusal::WeakSignature)),
            ("x= past", with(x, DKIM_ONLY), Some(Refusal::WeakSignature)),
            ("recipient not signed", with(unsigned, DKIM_ONLY), Some(Refusal::RecipientNotSigned)),
            ("+all", AskEvidence { spf_plus_all: true, ..SPF_ONLY }, Some(Refusal::SpfAllowsAll)),
            (
                "+all beside DKIM counts as DKIM alone",
                AskEvidence { spf_plus_all: true, ..with(unsigned, BOTH) },
                Some(Refusal::RecipientNotSigned),
            ),
            (
                "SPF for another address",
                AskEvidence { reverse_path: "b@shop.test", ..SPF_ONLY },
                Some(Refusal::NotReversePath),
            ),
            (
                "weak DKIM and SPF for another address",
                AskEvidence { reverse_path: "b@shop.test", ..with(t, BOTH) },
                Some(Refusal::NotReversePath),
            ),
        ];
        for (name, evidence, refusal) in table {
            let expected = refusal.map_or_else(|| Ask::Yes { to: BOB.into() }, Ask::No);
            assert_eq!(ask(evidence), expected, "{name}");
        }
    }

    #[test]
    fn each_limit_holds_at_its_number() {
        let table = [
            (AskCounts::default(), true),
            (AskCounts { author_account_day: 1, ..AskCounts::default() }, false),
            (AskCounts { author_day: 2, ..AskCounts::default() }, true),
            (AskCounts { author_day: 3, ..AskCounts::default() }, false),
            (AskCounts { domain_hour: 19, ..AskCounts::default() }, true),
            (AskCounts { domain_hour: 20, ..AskCounts::default() }, false),
            (AskCounts { dkim_signature: 1, ..AskCounts::default() }, false),
            (AskCounts { domain_hour: u32::MAX, ..AskCounts::default() }, false),
        ];
        for (counts, allowed) in table {
            assert_eq!(within_limits(&counts), allowed, "{counts:?}");
        }
    }
}
