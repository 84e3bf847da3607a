//! The sandbox's catch-all: the mail that would have gone to other servers.

use std::fmt::{Display, Formatter, Result, Write};

use mail_parser::{Address, HeaderValue, MessageParser};

use crate::html::{Page, Text, Time};
use crate::{CaughtView, limits};

pub(crate) fn render(mut mails: Vec<CaughtView>) -> String {
    mails.sort_by_key(|mail| std::cmp::Reverse(mail.n));
    let mut main = String::from(
        "<section class=\"hero\"><h1>Caught mail</h1>\n<p class=\"lead\">What this sandbox would have sent to other \
         <code>.test</code> domains, newest first. Payment requests land here: follow their link and pay with the \
         sandbox wallet.</p></section>\n",
    );
    if mails.is_empty() {
        main.push_str(
            "<section class=\"card quiet\"><p>Nothing yet. Send a mail from an unknown address to an account of this \
             server, and its payment request appears here.</p>\
             <p><a class=\"button\" href=\"/sandbox\">Look again</a></p></section>\n",
        );
    }
    for (index, mail) in mails.iter().take(limits::CAUGHT_SHOWN_MAX).enumerate() {
        card(&mut main, mail, index == 0);
    }
    if mails.len() > limits::CAUGHT_SHOWN_MAX {
        let _ = writeln!(
            main,
            "<p class=\"small\">The newest {} of {} are shown.</p>",
            limits::CAUGHT_SHOWN_MAX,
            mails.len()
        );
    }
    Page { title: "Caught mail \u{00b7} Satchel", head: "", main: &main, sandbox: true }.to_string()
}

fn card(main: &mut String, mail: &CaughtView, open: bool) {
    let parsed = MessageParser::default().parse(&mail.raw);
    let parsed = parsed.as_ref();
    let subject = parsed.and_then(|message| message.subject()).unwrap_or("(no subject)");
    let _ = write!(
        main,
        "<details class=\"card mail\"{open}><summary><span class=\"subject\">{subject}</span>\
         <span class=\"route\">to {to}</span><span class=\"arrived\">{at}</span></summary>\n<dl>",
        open = if open { " open" } else { "" },
        subject = Text(cut(subject, limits::CAUGHT_FIELD_BYTES_MAX)),
        to = Text(&mail.to),
        at = Time(mail.at),
    );
    let reverse_path = if mail.from.is_empty() { "<> (no bounces wanted)" } else { &mail.from };
    let mut field = |name: &str, value: &str| {
        let value = cut(value, limits::CAUGHT_FIELD_BYTES_MAX);
        let _ = write!(main, "<dt>{name}</dt><dd>{}</dd>", Text(value));
    };
    field("From", &addresses(parsed.and_then(|message| message.from())));
    field("To", &addresses(parsed.and_then(|message| message.to())));
    if let Some(HeaderValue::DateTime(date)) = parsed.and_then(|message| message.header("Date")) {
        field("Date", &date.to_rfc822());
    }
    field("Return path", reverse_path);
    main.push_str("</dl>\n");
    let text = parsed.and_then(|message| message.body_text(0)).unwrap_or_default();
    let shown = cut(text.trim_end(), limits::CAUGHT_TEXT_BYTES_MAX);
    let _ = write!(
        main,
        "<div class=\"text\">{}</div>\n{}<p><a class=\"button\" href=\"/sandbox/{}.eml\">Download the raw mail</a></p></details>\n",
        Linked(shown),
        if shown.len() < text.trim_end().len() {
            "<p class=\"small\">The text goes on in the raw mail.</p>\n"
        } else {
            ""
        },
        mail.n
    );
}

fn addresses(list: Option<&Address<'_>>) -> String {
    let Some(list) = list else { return String::new() };
    let mut out = String::new();
    for mailbox in list.iter() {
        if out.len() > limits::CAUGHT_FIELD_BYTES_MAX {
            break;
        }
        let address = mailbox.address().unwrap_or_default();
        let comma = if out.is_empty() { "" } else { ", " };
        let _ = match mailbox.name() {
            Some(name) => write!(out, "{comma}{name} <{address}>"),
            None => write!(out, "{comma}{address}"),
        };
    }
    out
}

/// At most `max` octets, cut between characters.
fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

/// Text whose web and Lightning addresses can be followed. Nothing else becomes a link: a caught mail may say
/// `javascript:` as it likes.
struct Linked<'a>(&'a str);

impl Display for Linked<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let mut rest = self.0;
        while let Some(at) = SCHEMES.iter().filter_map(|scheme| rest.find(scheme)).min() {
            let (before, from) = rest.split_at(at);
            let end = from.find(|c: char| c.is_whitespace() || "<>\"'`{}|\\^".contains(c)).unwrap_or(from.len());
            // A full stop after an address belongs to the sentence.
            let link = from[..end].trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']']);
            let at_word = !before.ends_with(char::is_alphanumeric);
            let shown = if link.is_empty() { &from[..end] } else { link };
            write!(f, "{}", Text(before))?;
            if at_word && SCHEMES.iter().any(|scheme| link.len() > scheme.len() && link.starts_with(scheme)) {
                write!(f, "<a href=\"{0}\" rel=\"noreferrer noopener\">{0}</a>", Text(link))?;
            } else {
                write!(f, "{}", Text(shown))?;
            }
            rest = &from[shown.len()..];
        }
        write!(f, "{}", Text(rest))
    }
}

const SCHEMES: [&str; 3] = ["https://", "http://", "lightning:"];

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    #[test]
    fn addresses_become_links_and_nothing_else_does() {
        assert_eq!(
            Linked("Pay at http://h.test/pay/ab?x=1&y=2. Or (https://h.test/).").to_string(),
            "Pay at <a href=\"http://h.test/pay/ab?x=1&amp;y=2\" rel=\"noreferrer noopener\">http://h.test/pay/ab?x=1&amp;y=2</a>. \
             Or (<a href=\"https://h.test/\" rel=\"noreferrer noopener\">https://h.test/</a>)."
        );
        for inert in ["javascript:alert(1)", "xhttp://h.test", "http://", "data:text/html,x", "lightning:."] {
            assert!(!Linked(inert).to_string().contains("<a"), "{inert}");
        }
        let hostile = Linked("http://h.test/\"onmouseover=alert(1)<b>").to_string();
        assert!(!hostile.contains("<b>") && hostile.contains("&quot;onmouseover"), "{hostile}");
        assert_eq!(Linked("http://").to_string(), "http://");
    }

    #[test]
    fn any_octets_are_shown_without_harm() {
        for raw in [
            &b""[..],
            b"\xff\xfe\x00",
            b"Subject: <img src=x onerror=alert(1)>\r\nFrom: \"<b>\" <a@b>\r\n\r\n<script>alert(1)</script>",
            b"Content-Type: text/html\r\n\r\n<script>alert(1)</script><p>hi &lt;b&gt;</p>",
            b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x",
        ] {
            let html = render(vec![CaughtView {
                n: 1,
                from: "<i>@x".into(),
                to: "a&b@x".into(),
                at: DateTime::UNIX_EPOCH,
                raw: raw.to_vec(),
            }]);
            for part in ["<img", "<script>", "<b>", "<i>@"] {
                assert!(!html.contains(part), "{part}");
            }
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let raw =
            format!("Content-Type: text/plain; charset=utf-8\r\n\r\n{}", "é".repeat(limits::CAUGHT_TEXT_BYTES_MAX));
        let html = render(vec![CaughtView {
            n: 3,
            from: String::new(),
            to: "a@x".into(),
            at: DateTime::UNIX_EPOCH,
            raw: raw.into_bytes(),
        }]);
        assert!(html.contains("goes on in the raw mail") && html.contains("/sandbox/3.eml"));
        assert!(html.len() < 2 * limits::CAUGHT_TEXT_BYTES_MAX);
    }
}
