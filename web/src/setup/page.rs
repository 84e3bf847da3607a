//! `/setup`: one field for the address, then everything a mail client needs, for that address.

use std::fmt::Write;

use super::{Account, Protocol, apple, services};
use crate::html::{Page, Text};
use crate::{SiteInfo, qr};

/// What was asked.
pub(crate) enum Asked<'a> {
    /// Nothing yet.
    Nothing,
    /// An address of ours.
    Account(&'a Account),
    /// Something else.
    Other(&'a str),
}

/// The page.
pub(crate) fn render(asked: &Asked<'_>, info: &SiteInfo) -> String {
    let typed = match asked {
        Asked::Nothing => "",
        Asked::Account(account) => &account.address,
        Asked::Other(text) => text,
    };
    let mut main = format!(
        "<section class=\"hero\">\n<h1>Set up a mail program</h1>\n<p class=\"lead\">Type your address. Thunderbird, K-9 and \
         Outlook then find the rest by themselves; iPhone, iPad and Mac take a profile.</p>\n</section>\n\
         <section class=\"card\">{wrong}<form action=\"/setup\" method=\"get\" class=\"ask\">\
         <label for=\"email\">Your address</label><input id=\"email\" name=\"email\" type=\"email\" required \
         autocomplete=\"email\" autocapitalize=\"off\" spellcheck=\"false\" maxlength=\"254\" placeholder=\"you@{domain}\" \
         value=\"{typed}\"><button class=\"button primary\">Show the settings</button></form></section>\n",
        domain = Text(info.domains.first().map_or("", String::as_str)),
        typed = Text(typed),
        wrong = match asked {
            Asked::Other(_) => format!(
                "<p class=\"notice bad\" role=\"alert\">That is no address of this server. It serves {}.</p>",
                Text(&info.domains.join(", "))
            ),
            Asked::Nothing | Asked::Account(_) => String::new(),
        }
    );
    if let Asked::Account(account) = asked {
        settings(&mut main, account, info);
        profile(&mut main, account, info);
    }
    let title = format!("Set up a mail program \u{b7} {}", info.name);
    Page { title: &title, head: "", main: &main, sandbox: info.sandbox }.to_string()
}

fn settings(main: &mut String, account: &Account, info: &SiteInfo) {
    let mut rows = String::new();
    for service in services(info) {
        let (what, protocol) = match service.protocol {
            Protocol::Imap => ("Incoming mail", "IMAP"),
            Protocol::Smtp => ("Outgoing mail", "SMTP"),
        };
        let (what, security) = if service.implicit { (what, "SSL/TLS") } else { ("or", "STARTTLS") };
        let _ = writeln!(
            rows,
            "<tr><th scope=\"row\">{what}</th><td data-label=\"Protocol\">{protocol}</td><td data-label=\"Server\"><code>{host}\
             </code></td><td data-label=\"Port\"><code>{port}</code></td><td data-label=\"Security\">{security}</td></tr>",
            host = Text(&info.connect_to),
            port = service.port,
        );
    }
    let _ = write!(
        main,
        "<section class=\"card\" aria-labelledby=\"by-hand\"><h2 id=\"by-hand\">Settings for {address}</h2>\n\
         <p>User name: <code class=\"address\">{address}</code>, for incoming and outgoing mail alike. Password: an app \
         password, a different one for each program; whoever runs this server makes them.</p>\n\
         <table class=\"ports\"><thead><tr><th scope=\"col\">For</th><th scope=\"col\">Protocol</th><th scope=\"col\">Server</th>\
         <th scope=\"col\">Port</th><th scope=\"col\">Security</th></tr></thead>\n<tbody>\n{rows}</tbody></table></section>\n",
        address = Text(&account.address),
    );
}

fn profile(main: &mut String, account: &Account, info: &SiteInfo) {
    if apple::render(account, info).is_none() {
        return;
    }
    let path = format!("/setup/mail.mobileconfig?email={}", percent(&account.address));
    let picture = qr::svg_exact(&format!("{}{path}", info.public_url), "QR code of the profile\u{2019}s address");
    let picture = picture.map_or_else(String::new, |svg| format!("<div class=\"code\">{svg}</div>"));
    let _ = write!(
        main,
        "<section class=\"card\" aria-labelledby=\"apple\"><h2 id=\"apple\">iPhone, iPad, Mac</h2>\n<div class=\"pay\">{picture}\
         <div class=\"ways\"><a class=\"button primary\" href=\"{path}\">Get the profile</a>\
         <p class=\"small\">On an iPhone or iPad point the camera at the picture, or open this page there. Then allow the \
         profile under Settings \u{2192} General \u{2192} VPN &amp; Device Management. It holds no password: the device \
         asks for an app password. It is not signed, and the device says so.</p></div></div></section>\n",
        path = Text(&path),
    );
}

/// RFC 3986 §2.1: whatever is not unreserved travels as percent and two digits.
fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, octet| {
        if octet.is_ascii_alphanumeric() || b"-._~@".contains(&octet) {
            out.push(char::from(octet));
        } else {
            let _ = write!(out, "%{octet:02X}");
        }
        out
    })
}
