//! The front page: what this server is, and what to type into a mail client.

use std::fmt::Write;

use crate::SiteInfo;
use crate::html::{Page, Text};

pub(crate) fn render(info: &SiteInfo) -> String {
    let mut main = format!(
        "<section class=\"hero\">\n<h1>{name}</h1>\n\
         <p class=\"lead\">A mail server for a quiet inbox. Friends write for free, in any mail program. A stranger\
         \u{2019}s mail waits until its author locks a small Lightning payment, which goes back in full unless the \
         mail is accepted.</p>\n</section>\n",
        name = Text(&info.name)
    );
    main.push_str(
        "<section class=\"card\" aria-labelledby=\"how\"><h2 id=\"how\">How a mail from a stranger travels</h2>\n\
         <ol class=\"steps\">\n\
         <li><b>It arrives</b><span>and is kept, encrypted, in <i>Unpaid</i>. Its author gets one mail with an \
         invoice.</span></li>\n\
         <li><b>The payment is locked</b><span>not taken. The mail moves to <i>Requests</i>, where its recipient \
         sees it.</span></li>\n\
         <li><b>The recipient decides</b><span>Keeping it or replying accepts the payment. Junk, Trash or no answer \
         sends it back.</span></li>\n</ol></section>\n",
    );
    clients(&mut main, info);
    if info.sandbox {
        main.push_str(
            "<section class=\"card\" aria-labelledby=\"sandbox\"><h2 id=\"sandbox\">This is a sandbox</h2>\n\
             <p>The Lightning nodes and the chain are real software on this machine; the coins are worth nothing. Mail to \
             other <code>.test</code> domains is caught here instead of being sent, payment requests included.</p>\n\
             <p><a class=\"button\" href=\"/sandbox\">Open the caught mail</a></p></section>\n",
        );
    }
    let title = format!("{} \u{00b7} Satchel", info.name);
    Page { title: &title, head: "", main: &main, sandbox: info.sandbox }.to_string()
}

fn clients(main: &mut String, info: &SiteInfo) {
    let ports = info.ports;
    let rows = [
        ("Incoming mail", "IMAP", ports.imaps, "SSL/TLS"),
        ("or", "IMAP", ports.imap, "STARTTLS"),
        ("Outgoing mail", "SMTP", ports.submissions, "SSL/TLS"),
        ("or", "SMTP", ports.submission, "STARTTLS"),
        ("From other servers", "SMTP (MX)", ports.smtp, "STARTTLS"),
    ];
    let mut body = String::new();
    for (what, protocol, port, security) in rows {
        let Some(port) = port else { continue };
        let _ = writeln!(
            body,
            "<tr><th scope=\"row\">{what}</th><td data-label=\"Protocol\">{protocol}</td>\
             <td data-label=\"Server\"><code>{host}</code></td><td data-label=\"Port\"><code>{port}</code></td>\
             <td data-label=\"Security\">{security}</td></tr>",
            host = Text(&info.connect_to),
        );
    }
    if body.is_empty() {
        return;
    }
    let _ = write!(
        main,
        "<section class=\"card\" aria-labelledby=\"clients\"><h2 id=\"clients\">Set up a mail client</h2>\n\
         <p>Any program that speaks IMAP will do: Thunderbird, Apple Mail, Outlook, mutt. Your user name is your whole \
         address, your password an app password.{certificate} <a href=\"/setup\">Find the settings for your address</a>.</p>\n\
         <table class=\"ports\"><thead><tr><th scope=\"col\">For</th><th scope=\"col\">Protocol</th>\
         <th scope=\"col\">Server</th><th scope=\"col\">Port</th><th scope=\"col\">Security</th></tr></thead>\n<tbody>\n{body}</tbody></table></section>\n",
        certificate = if info.sandbox {
            " The sandbox\u{2019}s certificate is its own: your program will ask once whether to trust it."
        } else {
            ""
        }
    );
}
