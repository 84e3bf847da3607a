//! What all pages share: escaping, the frame, times and icons.

use std::fmt::{self, Display};

use chrono::{DateTime, Utc};

/// The style sheet that stands in every page; the policy in `headers.rs` names its hash.
pub(crate) const STYLE: &str = include_str!("../assets/style.css");

/// A text from anywhere, safe in element content and in double-quoted attributes.
pub(crate) struct Text<'a>(pub(crate) &'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.find(['&', '<', '>', '"', '\'', '\0']) {
            f.write_str(&rest[..at])?;
            f.write_str(match rest.as_bytes()[at] {
                b'&' => "&amp;",
                b'<' => "&lt;",
                b'>' => "&gt;",
                b'"' => "&quot;",
                b'\'' => "&#39;",
                // HTML has no NUL; a parser would replace it too.
                _ => "\u{fffd}",
            })?;
            rest = &rest[at + 1..];
        }
        f.write_str(rest)
    }
}

/// A moment, in UTC for everybody and rewritten by the script to the reader's own clock.
pub(crate) struct Time(pub(crate) DateTime<Utc>);

impl Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "<time datetime=\"{}\">{}</time>",
            self.0.format("%Y-%m-%dT%H:%M:%SZ"),
            self.0.format("%-d %b %Y, %H:%M UTC")
        )
    }
}

/// A whole page. `head` holds further elements of the head, `main` the content.
pub(crate) struct Page<'a> {
    /// Plain text.
    pub(crate) title: &'a str,
    /// HTML.
    pub(crate) head: &'a str,
    /// HTML.
    pub(crate) main: &'a str,
    /// Whether to warn that the money is not real.
    pub(crate) sandbox: bool,
}

impl Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let note = if self.sandbox {
            "<span class=\"tag\" title=\"A regtest chain on this machine: the coins are worth nothing\">sandbox</span>"
        } else {
            ""
        };
        write!(
            f,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <meta name=\"format-detection\" content=\"telephone=no\">\n\
             <title>{title}</title>\n<link rel=\"icon\" type=\"image/svg+xml\" href=\"/favicon.svg\">\n\
             <style>{STYLE}</style>\n{head}</head>\n<body>\n\
             <header class=\"top\"><a class=\"brand\" href=\"/\">{LOGO}<span>Satchel</span></a>{note}</header>\n\
             <main>\n{main}</main>\n</body>\n</html>\n",
            title = Text(self.title),
            head = self.head,
            main = self.main,
        )
    }
}

const LOGO: &str = "<svg class=\"logo\" viewBox=\"0 0 32 32\" aria-hidden=\"true\">\
    <path class=\"strap\" d=\"M11 10V8a5 5 0 0 1 10 0v2\"/><rect class=\"bag\" x=\"4\" y=\"10\" width=\"24\" height=\"18\" rx=\"4\"/>\
    <path class=\"flap\" d=\"M4 14a4 4 0 0 1 4-4h16a4 4 0 0 1 4 4v1c0 3-5 5.5-12 5.5S4 18 4 15z\"/>\
    <path class=\"bolt\" d=\"m17.3 14.6-4.6 6h3l-1 5.2 4.7-6.3h-3.1z\"/></svg>";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_place() {
        let hostile = "<script>\"it's\" & \0</script>";
        assert_eq!(Text(hostile).to_string(), "&lt;script&gt;&quot;it&#39;s&quot; &amp; \u{fffd}&lt;/script&gt;");
        assert_eq!(Text("plain é 😀").to_string(), "plain é 😀");
    }

    #[test]
    fn the_style_sheet_cannot_end_its_element() {
        assert!(!STYLE.to_ascii_lowercase().contains("</"));
        assert!(!STYLE.contains("url("), "no external resource");
        assert!(!STYLE.contains("@import"));
    }

    #[test]
    fn times_say_their_zone() {
        let time = DateTime::from_timestamp(1_795_234_200, 0).unwrap();
        assert_eq!(Time(time).to_string(), "<time datetime=\"2026-11-21T04:10:00Z\">21 Nov 2026, 04:10 UTC</time>");
    }
}
