//! Whether an allow-list lets a mail in free. Nothing forgeable does: a From line and a List-Id are anybody's to write.

use lnmp::Allowed;

/// What vouches for a mail.
#[derive(Debug, Clone, Copy, Default)]
pub struct Vouched<'a> {
    /// The From address in lower case, when an identifier aligns with its domain; else `None`.
    pub aligned_author: Option<&'a str>,
    /// The List-Id in lower case, without brackets.
    pub list_id: Option<&'a str>,
    /// Domains with a passing DKIM signature or SPF, in lower case.
    pub passing: &'a [String],
}

/// Whether some entry lets it in.
pub fn allows(list: &[Allowed], mail: &Vouched<'_>) -> bool {
    list.iter().any(|entry| match entry {
        Allowed::Domain(domain) => {
            let author = mail.aligned_author.and_then(|author| author.rsplit_once('@'));
            author.is_some_and(|(_, of)| is_within(of, domain))
        }
        Allowed::List { id, by } => {
            let vouches = |domain: &String| match by {
                Some(by) => is_within(domain, by),
                // RFC 2919 §2: a List-Id lies in a domain of the list's owner. A single label is nobody's.
                None => domain.contains('.') && is_within(id, domain),
            };
            mail.list_id == Some(id.as_str()) && mail.passing.iter().any(vouches)
        }
    })
}

/// Whether `name` is `domain` or below it.
pub(crate) fn is_within(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_something_vouches_for_is_let_in() {
        let domain = [Allowed::domain("shop.example").unwrap()];
        let list = [Allowed::list("users.lists.example.org", None).unwrap()];
        let by = [Allowed::list("news.brand.example", Some("esp.example")).unwrap()];
        let passing = |domains: &[&str]| domains.iter().map(|&domain| domain.to_owned()).collect::<Vec<_>>();
        type Row<'a> = (&'a [Allowed], Option<&'a str>, Option<&'a str>, &'a [&'a str], bool);
        let table: &[Row<'_>] = &[
            (&domain, Some("bob@shop.example"), None, &[], true),
            (&domain, Some("bob@mail.shop.example"), None, &[], true),
            (&domain, Some("bob@workshop.example"), None, &[], false),
            (&domain, Some("bob@example"), None, &[], false),
            (&domain, Some("shop.example@evil.test"), None, &[], false),
            // A From line nothing aligns with is `None`, whoever else passes.
            (&domain, None, None, &["shop.example"], false),
            (&list, None, Some("users.lists.example.org"), &["lists.example.org"], true),
            (&list, None, Some("users.lists.example.org"), &["x.test", "example.org"], true),
            (&list, None, Some("users.lists.example.org"), &["evil.test"], false),
            (&list, None, Some("users.lists.example.org"), &["org"], false),
            (&list, None, Some("users.lists.example.org"), &[], false),
            (&list, None, Some("others.lists.example.org"), &["example.org"], false),
            (&list, None, None, &["lists.example.org"], false),
            (&by, None, Some("news.brand.example"), &["mta7.esp.example"], true),
            (&by, None, Some("news.brand.example"), &["brand.example"], false),
            (&[], Some("bob@shop.example"), Some("users.lists.example.org"), &["shop.example"], false),
        ];
        for (list, aligned_author, list_id, domains, expected) in table {
            let passing = passing(domains);
            let mail = Vouched { aligned_author: *aligned_author, list_id: *list_id, passing: &passing };
            assert_eq!(allows(list, &mail), *expected, "{list:?} {mail:?}");
        }
    }
}
