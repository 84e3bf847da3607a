//! Which of an account's filters a mail meets: the first whose conditions all hold.

use std::fmt;

use lnmp::{Filter, HeaderIs, Relation};

use crate::allow::is_within;

/// What a filter can ask of a mail.
#[derive(Clone, Copy)]
pub struct Arriving<'a> {
    /// The From address in lower case; `None` when there is none or several.
    pub author: Option<&'a str>,
    /// An authenticated identifier aligns with its domain.
    pub aligned: bool,
    /// What the author is to the recipient.
    pub relation: Relation,
    /// Octets.
    pub size: u64,
    /// The address it came to, in lower case, plus-detail and all.
    pub recipient: &'a str,
    /// The values of all header fields of a name, decoded and on one line each. Asked only where a filter does.
    pub header: &'a dyn Fn(&str) -> Vec<String>,
}

impl fmt::Debug for Arriving<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arriving")
            .field("aligned", &self.aligned)
            .field("relation", &self.relation)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// The filter that decides about this mail.
pub fn first_match<'f>(filters: &'f [Filter], mail: &Arriving<'_>) -> Option<&'f Filter> {
    filters.iter().find(|filter| matches(filter, mail))
}

fn matches(filter: &Filter, mail: &Arriving<'_>) -> bool {
    let when = &filter.when;
    // A From line is anybody's to write: where the filter makes a mail cheaper, something must vouch for it. Where it
    // only files, flags or refuses, what is forged is meant too.
    let author = mail.author.filter(|_| mail.aligned || !filter.gives_way());
    let domain = author.and_then(|author| author.rsplit_once('@')).map(|(_, domain)| domain);
    let holds = |condition: Option<bool>| condition.unwrap_or(true);
    holds(when.from.as_ref().map(|from| author == Some(from.as_str())))
        && holds(when.domain.as_ref().map(|above| domain.is_some_and(|domain| is_within(domain, above))))
        && holds(when.relation.map(|relation| relation == mail.relation))
        && holds(when.larger_than.map(|octets| mail.size > octets))
        && holds(when.smaller_than.map(|octets| mail.size < octets))
        && holds(when.to.as_ref().map(|to| is_to(mail.recipient, to)))
        // The dearest last.
        && holds(when.header.as_ref().map(|header| has(mail, header)))
}

/// `to` is a whole address, or `+detail` of any.
fn is_to(recipient: &str, to: &str) -> bool {
    match to.strip_prefix('+') {
        Some(detail) => {
            let local = recipient.rsplit_once('@').map_or(recipient, |(local, _)| local);
            local.split_once('+').is_some_and(|(_, given)| given == detail)
        }
        None => recipient == to,
    }
}

fn has(mail: &Arriving<'_>, header: &HeaderIs) -> bool {
    let wanted = header.contains.to_lowercase();
    (mail.header)(&header.name).iter().any(|value| value.to_lowercase().contains(&wanted))
}

#[cfg(test)]
mod tests {
    use lnmp::{Actions, Conditions, Msat};

    use super::*;

    fn file(name: &str, when: Conditions) -> Filter {
        let then = Actions { file: Some(name.into()), ..Actions::default() };
        Filter { name: name.into(), when, then }
    }

    fn with(then: Actions, filter: Filter) -> Filter {
        Filter { then, ..filter }
    }

    fn fields(name: &str) -> Vec<String> {
        match name.to_ascii_lowercase().as_str() {
            "list-id" => vec!["Rust <rust.lists.example>".into()],
            "x-tag" => vec!["one".into(), "Grüße".into()],
            _ => Vec::new(),
        }
    }

    const MAIL: Arriving<'static> = Arriving {
        author: Some("bob@mail.shop.test"),
        aligned: true,
        relation: Relation::Stranger,
        size: 5000,
        recipient: "alice+shop@satchel.test",
        header: &fields,
    };

    #[test]
    fn each_condition_holds_or_not() {
        let none = Conditions::default;
        let header = |name: &str, contains: &str| Conditions {
            header: Some(HeaderIs { name: name.into(), contains: contains.into() }),
            ..none()
        };
        let from = |text: &str| Conditions { from: Some(text.into()), ..none() };
        let domain = |text: &str| Conditions { domain: Some(text.into()), ..none() };
        let to = |text: &str| Conditions { to: Some(text.into()), ..none() };
        let table = [
            (from("bob@mail.shop.test"), true),
            (from("rob@mail.shop.test"), false),
            (domain("shop.test"), true),
            (domain("mail.shop.test"), true),
            (domain("op.test"), false),
            (domain("x.mail.shop.test"), false),
            (Conditions { relation: Some(Relation::Stranger), ..none() }, true),
            (Conditions { relation: Some(Relation::Friend), ..none() }, false),
            (Conditions { larger_than: Some(4999), ..none() }, true),
            (Conditions { larger_than: Some(5000), ..none() }, false),
            (Conditions { smaller_than: Some(5001), ..none() }, true),
            (Conditions { smaller_than: Some(5000), ..none() }, false),
            (to("+shop"), true),
            (to("+sho"), false),
            (to("alice+shop@satchel.test"), true),
            (to("alice@satchel.test"), false),
            (header("LIST-ID", "RUST.lists"), true),
            (header("List-Id", "golang"), false),
            (header("X-Tag", "GRÜSSE"), false),
            (header("X-Tag", "grüße"), true),
            (header("X-Tag", ""), true),
            (header("X-None", ""), false),
            // All that are given must hold.
            (Conditions { larger_than: Some(4999), ..domain("shop.test") }, true),
            (Conditions { larger_than: Some(5000), ..domain("shop.test") }, false),
        ];
        for (when, expected) in table {
            let filters = [file("F", when.clone())];
            assert_eq!(first_match(&filters, &MAIL).is_some(), expected, "{when:?}");
        }
    }

    #[test]
    fn the_first_that_holds_decides() {
        let shop = Conditions { domain: Some("shop.test".into()), ..Conditions::default() };
        let large = Conditions { larger_than: Some(1), ..Conditions::default() };
        let none = Conditions { relation: Some(Relation::Friend), ..Conditions::default() };
        let filters = [file("none", none), file("shop", shop), file("large", large)];
        assert_eq!(first_match(&filters, &MAIL).map(|filter| filter.name.as_str()), Some("shop"));
        assert!(first_match(&[], &MAIL).is_none());
    }

    #[test]
    fn a_forged_author_is_filed_and_refused_but_never_made_cheaper() {
        let forged = Arriving { aligned: false, relation: Relation::Unverified, ..MAIL };
        let no_author = Arriving { author: None, ..forged };
        let base = file("F", Conditions { domain: Some("shop.test".into()), ..Conditions::default() });
        let free = with(Actions { free: true, ..Actions::default() }, base.clone());
        let price = with(Actions { price: Some(Msat(1)), ..Actions::default() }, base.clone());
        let refuse = with(Actions { refuse: true, ..Actions::default() }, base.clone());
        for (filter, aligned, unaligned) in
            [(&base, true, true), (&refuse, true, true), (&free, true, false), (&price, true, false)]
        {
            let meets = |mail: &Arriving<'_>| first_match(std::slice::from_ref(filter), mail).is_some();
            assert_eq!((meets(&MAIL), meets(&forged), meets(&no_author)), (aligned, unaligned, false), "{filter:?}");
        }
        // An address only those know whom it was given: no claim of the sender's, so it needs nothing to vouch for it.
        let to = Conditions { to: Some("+shop".into()), ..Conditions::default() };
        let by_detail = with(Actions { free: true, ..Actions::default() }, file("F", to));
        assert!(first_match(std::slice::from_ref(&by_detail), &forged).is_some());
    }
}
