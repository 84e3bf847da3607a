//! Identifier alignment as DMARC computes it, also where no DMARC record is. RFC 9989 §4.10, RFC 7489 §3.1.
//!
//! With a record, `mail-auth` has walked the tree and its verdict stands. Without one, organizational domains come
//! from the Public Suffix List and alignment is relaxed, the default of a record that says nothing.

use mail_auth::DmarcResult;

/// The domain all From addresses share; none when they differ or there are none.
pub(super) fn author_domain(from: &[String]) -> Option<String> {
    let mut domains = from.iter().map(|address| address.rsplit_once('@').map(|(_, domain)| ascii(domain)));
    let first = domains.next()??;
    domains.all(|domain| domain.as_ref() == Some(&first)).then_some(first)
}

/// Whether the SPF identity aligns; `verdict` is that of a DMARC record, if there is one.
pub(super) fn is_aligned(author: &str, domain: &str, verdict: Option<&DmarcResult>) -> bool {
    match verdict {
        Some(DmarcResult::TempError(_)) | None => same_organization(author, &ascii(domain)),
        Some(verdict) => *verdict == DmarcResult::Pass,
    }
}

/// Whether a signing domain aligns: by name when strict, else by organization.
pub(super) fn dkim_aligned(author: &str, domain: &str, strict: bool) -> bool {
    let domain = ascii(domain);
    author == domain || !strict && same_organization(author, &domain)
}

fn same_organization(a: &str, b: &str) -> bool {
    a == b || organization(a).is_some_and(|ours| organization(b) == Some(ours))
}

fn organization(domain: &str) -> Option<&str> {
    psl::domain_str(domain)
}

pub(super) fn ascii(domain: &str) -> String {
    let domain = domain.trim_end_matches('.');
    idna::domain_to_ascii(domain).unwrap_or_else(|_| domain.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn organizations_follow_the_public_suffix_list() {
        for (a, b, same) in [
            ("example.org", "example.org", true),
            ("news.example.org", "bounce.example.org", true),
            ("example.co.uk", "other.co.uk", false),
            ("a.github.io", "b.github.io", false),
            ("shop.test", "mail.shop.test", true),
            ("shop.test", "evil.test", false),
            ("com", "com", true),
            ("example.com", "com", false),
        ] {
            assert_eq!(same_organization(a, b), same, "{a} {b}");
        }
        assert!(dkim_aligned("xn--kln-sna.example", "KÖLN.example", true));
        assert!(!dkim_aligned("a.example.org", "example.org", true));
    }

    #[test]
    fn an_author_has_one_domain() {
        let of = |from: &[&str]| author_domain(&from.iter().map(|f| (*f).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["a@x.org", "b@X.org"]).as_deref(), Some("x.org"));
        assert_eq!(of(&["a@x.org", "b@y.org"]), None);
        assert_eq!(of(&["nobody"]), None);
        assert_eq!(of(&[]), None);
    }
}
