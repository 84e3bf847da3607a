//! What is said when there is nothing to show.

use crate::html::{Page, Text};

/// A heading and a sentence.
#[derive(Clone, Copy)]
pub(crate) struct Oops {
    title: &'static str,
    text: &'static str,
}

/// 404.
pub(crate) const NO_PAGE: Oops = Oops {
    title: "There is nothing here",
    text: "The link may be cut short, or what it led to is over: pages are forgotten some time after a mail was \
           answered. If it came from a mail, copy the whole address from there. No money was moved.",
};

/// 405.
pub(crate) const WRONG_METHOD: Oops = Oops {
    title: "That is not how this page works",
    text: "This address exists, but not for this kind of request. Open it as a link, or go back and use the button there.",
};

/// 400.
pub(crate) const BAD_FORM: Oops = Oops {
    title: "That form was not complete",
    text: "Go back and use the button on the page once more. No money was moved.",
};

/// 413.
pub(crate) const TOO_LARGE: Oops =
    Oops { title: "That was too much", text: "This server expected a form with one number in it. No money was moved." };

/// 503.
pub(crate) const TOO_SLOW: Oops = Oops {
    title: "This takes too long",
    text: "The server is busy, or its Lightning node is starting. Please try again in a minute.",
};

pub(crate) fn render(what: Oops, sandbox: bool) -> String {
    let main = format!(
        "<section class=\"card quiet\"><h1>{}</h1><p class=\"lead\">{}</p>\
         <p><a class=\"button\" href=\"/\">To the front page</a></p></section>\n",
        Text(what.title),
        Text(what.text)
    );
    Page { title: what.title, head: "", main: &main, sandbox }.to_string()
}
