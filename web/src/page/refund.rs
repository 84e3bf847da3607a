//! Where a refund goes: the form an author fills before paying into escrow, and the page a mailed link opens.

use std::fmt::Write;

use crate::html::{Page, Text};
use crate::{PayGate, Price, RefundView, qr};

/// The choices. `action` is where they are sent to, `hidden` the fields that go with them.
fn form(main: &mut String, action: &str, hidden: &str, sandbox: bool, button: &str) {
    let _ = write!(
        main,
        "<form class=\"ask\" method=\"post\" action=\"{action}\" data-busy=\"Asking\u{2026}\">{hidden}\
         <p><label>Your Lightning address<br><input name=\"to\" type=\"text\" inputmode=\"email\" autocomplete=\"off\" \
         autocapitalize=\"none\" spellcheck=\"false\" maxlength=\"253\" placeholder=\"name@wallet.example\" required></label></p>\n\
         <p><button class=\"button primary\">{button}</button></p></form>\n\
         <form method=\"post\" action=\"{action}\" data-busy=\"One moment\u{2026}\">{hidden}\
         <p><button class=\"button\" name=\"to\" value=\"withdraw\">I have none: give me a link to fetch it</button></p></form>\n",
        action = Text(action),
    );
    if sandbox {
        let _ = writeln!(
            main,
            "<form method=\"post\" action=\"{action}\" data-busy=\"One moment\u{2026}\">{hidden}\
             <p><button class=\"button\" name=\"to\" value=\"sandbox\">Refund to the sandbox wallet</button></p></form>",
            action = Text(action),
        );
    }
}

/// On the pay page: escrow, and nobody knows yet where a refund goes.
pub(super) fn ask(main: &mut String, token: &str, gate: &PayGate, price: Price, sandbox: bool) {
    main.push_str(
        "<p class=\"notice\"><b>Escrow.</b> So many payments are waiting here that no Lightning channel can lock yours: the \
         operator of this server would receive it and keep it for you. If the mail is accepted, it is its reader\u{2019}s; \
         declined or not answered in time, all of it is paid back to you.</p>\n\
         <p>Before you pay, say where a refund goes. That cannot be changed here afterwards.</p>\n",
    );
    let mut hidden = format!("<input type=\"hidden\" name=\"gate\" value=\"{}\">", gate.gate);
    if price == Price::Priority {
        hidden.push_str("<input type=\"hidden\" name=\"priority\" value=\"1\">");
    }
    form(main, &format!("/pay/{token}/refund"), &hidden, sandbox, "Refund to this address");
}

/// On the pay page: money goes back, or waits to be fetched.
pub(super) fn due(main: &mut String, token: &str, gate: &PayGate, refund: &RefundView) {
    let RefundView { amount, to, lnurl, stuck } = refund;
    if let Some(lnurl) = lnurl {
        let _ = write!(
            main,
            "<p><b>Your refund of {amount} is ready.</b> Scan this with a Lightning wallet that knows LNURL, or open it there: \
             it takes all of it, once.</p>\n<div class=\"pay\">\n"
        );
        if let Some(picture) = qr::svg(lnurl, "QR code that fetches the refund") {
            let _ = writeln!(main, "<div class=\"code\">{picture}</div>");
        }
        let _ = write!(
            main,
            "<div class=\"ways\"><a class=\"button primary\" href=\"lightning:{link}\">Fetch it with a Lightning wallet</a></div>\n\
             <div class=\"invoice\"><code tabindex=\"0\">{link}</code></div></div>\n",
            link = Text(lnurl),
        );
    } else if *stuck {
        let _ = writeln!(
            main,
            "<p class=\"notice bad\"><b>Your refund of {amount} does not get through</b> to {}. It is kept for you.</p>",
            Text(to)
        );
    } else {
        let _ = writeln!(main, "<p><b>{amount} is being paid back</b> to {}.</p>", Text(to));
    }
    change(main, token, gate);
}

/// A lost target is changed by the author alone, whose address is where the mail came from.
pub(super) fn change(main: &mut String, token: &str, gate: &PayGate) {
    let _ = writeln!(
        main,
        "<form method=\"post\" action=\"/pay/{}/link\" data-busy=\"Sending\u{2026}\">\
         <input type=\"hidden\" name=\"gate\" value=\"{}\"><p class=\"small\">No longer yours? \
         <button class=\"button\">Mail me a link to change where a refund goes</button> It goes to the address the mail was \
         sent from, at most once a day.</p></form>",
        Text(token),
        gate.gate,
    );
}

/// What a mailed link opens. `said` is how the last choice ended.
pub(crate) fn render(token: &str, refund: &RefundView, sandbox: bool, said: Option<&str>) -> String {
    let mut main = String::new();
    let _ = write!(
        main,
        "<section class=\"hero\"><h1>Where your refund goes</h1>\n<p class=\"lead\">{} is kept for you. If it goes back, it \
         goes to {}.</p></section>\n<article class=\"card\">\n",
        refund.amount,
        Text(&refund.to),
    );
    if let Some(said) = said {
        let _ = writeln!(main, "<p class=\"notice bad\" role=\"alert\">{}</p>", Text(said));
    }
    main.push_str("<p>Say where else it should go. This link works once.</p>\n");
    form(&mut main, &format!("/refund/{token}"), "", sandbox, "Refund to this address instead");
    main.push_str("</article>\n");
    Page { title: "Where your refund goes", head: "", main: &main, sandbox }.to_string()
}

/// After the change.
pub(crate) fn changed(sandbox: bool) -> String {
    let main = "<section class=\"card quiet\"><h1>Changed</h1><p class=\"lead\">A refund of this payment goes where you said \
                now. There is nothing more to do.</p></section>\n";
    Page { title: "Changed", head: "", main, sandbox }.to_string()
}
