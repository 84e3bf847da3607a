//! To an author: the mail has arrived and is not shown; this is how to put a payment behind it.

use std::time::Duration;

use lnmp::Msat;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::raw::Raw;
use mail_builder::mime::MimePart;
use store::UnixMs;

use super::compose::{Automatic, Cover, finish, html, message_id, moment, multipart, spoken, text_part, wrap};
use super::qr;
use crate::flow::outbound_price;

/// What fits a line beside the field's name (RFC 5322 §2.1.1: 998); an invoice of ours has some 400.
const FIELD_BYTES_MAX: usize = 950;

/// Asks the author of one mail for a locked payment.
#[derive(Debug, Clone, Copy)]
pub struct PaymentRequest<'a> {
    /// From whom, to whom, when.
    pub cover: Cover<'a>,
    /// The server's name.
    pub server_name: &'a str,
    /// The mail's Message-ID, with or without brackets; left out of the letter when it is none.
    pub in_reply_to: Option<&'a str>,
    /// Who receives the money, as the author addressed them.
    pub recipient: &'a str,
    /// What the invoice asks.
    pub amount: Msat,
    /// What puts a mail into INBOX at once.
    pub priority: Msat,
    /// The invoice; `None` for escrow, whose invoice is made on the page once the author said where a refund goes.
    pub bolt11: Option<&'a str>,
    /// The page that lists this author's open mails to this account.
    pub page_url: &'a str,
    /// Until when the invoice can be paid; not said where there is none.
    pub expires_at: UnixMs,
    /// How long a locked payment waits for the recipient's answer.
    pub hold: Duration,
}

impl PaymentRequest<'_> {
    /// The letter: `multipart/alternative` of text and HTML, the latter with its QR picture beside it.
    pub fn render(&self) -> Vec<u8> {
        // Never the original's subject: this mail is not encrypted.
        let subject = format!("Your mail to {} is waiting: {}", self.recipient, self.amount);
        let mut message = self.cover.begin(subject, Automatic::Replied);
        // RFC 5322 §3.6.4: the answer names what it answers, so that it threads under the sent mail.
        if let Some(id) = self.in_reply_to.and_then(message_id) {
            message = message.in_reply_to(id.clone()).references(id);
        }
        // Another bridge reads it here, and may pay for its user.
        if let Some(bolt11) = self.bolt11.filter(|bolt11| bolt11.len() <= FIELD_BYTES_MAX) {
            message = message.header(outbound_price::FIELD, Raw::new(bolt11));
        }
        let cid = format!("qr.{}", self.cover.message_id);
        let picture = self.bolt11.and_then(qr::png);
        let page = text_part("text/html", &self.html(picture.as_ref().map(|_| cid.as_str())));
        let rich = match picture {
            Some(picture) => {
                let image = MimePart::new(ContentType::new("image/png").attribute("name", "invoice.png"), picture)
                    .inline()
                    .cid(cid);
                let kind = ContentType::new("multipart/related").attribute("type", "text/html");
                multipart(kind, self.cover.message_id, 2, vec![page, image])
            }
            None => page,
        };
        let kind = ContentType::new("multipart/alternative");
        finish(message, multipart(kind, self.cover.message_id, 1, vec![text_part("text/plain", &self.text()), rich]))
    }

    fn text(&self) -> String {
        let Self { recipient, amount, page_url, server_name, .. } = self;
        let Some(bolt11) = self.bolt11 else { return self.escrow_text() };
        let said = wrap(&format!(
            "Your mail to {recipient} has arrived. It is kept, but not shown yet.\n\n\
             To have it read, lock {amount} for {recipient}.{priority}\n\n\
             Locked, refunded unless accepted: nothing is taken when you pay. Your wallet locks the money, and your mail is \
             shown to {recipient}. Only if they accept the mail is the payment taken. If they decline, or do not answer \
             within {hold}, all of it goes back to you.",
            priority = self.priority_text(),
            hold = spoken(self.hold),
        ));
        let pending = wrap(
            "As long as it is locked, wallets show the payment as pending, some as a spinner that keeps turning. Nothing is \
             wrong then: close the wallet if you like, and do not pay twice.",
        );
        let free = wrap(&format!(
            "You need not pay: your mail stays where it is, and {recipient} may still let it in free. If you wrote no such \
             mail, please ignore this one.",
        ));
        let until = moment(self.expires_at);
        format!(
            "{said}\n\n\
             Pay on this page, which also shows how the payment stands:\n\n{page_url}\n\n\
             Or pay this Lightning invoice (BOLT 11) until {until};\nafter that the page makes a new one:\n\n{bolt11}\n\n\
             As a link for a phone:\n\nlightning:{bolt11}\n\n{pending}\n\n{free}\n\n-- \nSatchel at {server_name}\n"
        )
    }

    /// What escrow means, in one paragraph for both forms.
    fn escrow_said(&self) -> String {
        let Self { recipient, server_name, .. } = self;
        format!(
            "This payment is held in escrow: so many payments are waiting here that no Lightning channel can lock yours. The \
             operator of {server_name} receives it and keeps it for you. If {recipient} accepts the mail, it is theirs. If they \
             decline, or do not answer within {hold}, all of it is paid back to you, where you say before you pay.",
            hold = spoken(self.hold),
        )
    }

    fn escrow_text(&self) -> String {
        let Self { recipient, amount, page_url, server_name, .. } = self;
        let said = wrap(&format!(
            "Your mail to {recipient} has arrived. It is kept, but not shown yet.\n\n\
             To have it read, put {amount} behind it.{priority}\n\n{escrow}",
            priority = self.priority_text(),
            escrow = self.escrow_said(),
        ));
        let free = wrap(&format!(
            "You need not pay: your mail stays where it is, and {recipient} may still let it in free. If you wrote no such \
             mail, please ignore this one.",
        ));
        format!(
            "{said}\n\nSay where a refund goes, and pay, on this page:\n\n{page_url}\n\n{free}\n\n-- \nSatchel at {server_name}\n"
        )
    }

    fn html(&self, cid: Option<&str>) -> String {
        let Some(bolt11) = self.bolt11 else { return self.escrow_html() };
        let recipient = html(self.recipient);
        let amount = html(&self.amount.to_string());
        let (bolt11, page_url) = (html(bolt11), html(self.page_url));
        let picture = cid.map_or_else(String::new, |cid| {
            format!(
                "<tr><td align=\"center\" style=\"padding:4px 28px 16px\"><img src=\"cid:{}\" width=\"228\" height=\"228\"\n\
                 alt=\"QR code of the Lightning invoice\" style=\"display:block;width:228px;height:228px;background:#ffffff;\
                 border:1px solid #e4dacb;border-radius:12px\"></td></tr>\n",
                html(cid)
            )
        });
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"us-ascii\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light\">\n<title>Your mail is waiting</title>\n</head>\n\
             <body style=\"margin:0;padding:0;background:#f5f1ea\">\n\
             <table role=\"presentation\" width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\" style=\"background:#f5f1ea\">\n\
             <tr><td align=\"center\" style=\"padding:24px 12px\">\n\
             <table role=\"presentation\" width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\" style=\"max-width:540px;\
             background:#fffdf9;border:1px solid #e4dacb;border-radius:16px;{FONT};color:#221a12\">\n\
             <tr><td style=\"padding:28px 28px 0\">\n\
             <p style=\"margin:0 0 6px;color:#6a5d50\">Your mail to <b style=\"color:#221a12;word-break:break-word\">{recipient}</b>\n\
             has arrived. It is kept, but not shown yet.</p>\n\
             <p style=\"margin:18px 0 0;font:bold 40px/1.1 Georgia,'Times New Roman',serif\">{amount}</p>\n\
             <p style=\"margin:6px 0 20px;color:#6a5d50\">to be locked for {recipient}, refunded unless\n\
             your mail is accepted{priority}</p>\n</td></tr>\n{picture}\
             <tr><td style=\"padding:0 28px 12px\"><a href=\"{page_url}\"\nstyle=\"display:block;background:#8a4717;color:#fff8ef;\
             text-align:center;font-weight:bold;text-decoration:none;padding:14px 18px;border-radius:12px\">Pay on the page</a></td></tr>\n\
             <tr><td style=\"padding:0 28px 20px\"><a href=\"lightning:{bolt11}\"\nstyle=\"display:block;background:#f7f1e7;color:#221a12;\
             text-align:center;font-weight:bold;text-decoration:none;padding:13px 18px;border:1px solid #e4dacb;\
             border-radius:12px\">Open in a Lightning wallet</a></td></tr>\n\
             <tr><td style=\"padding:0 28px 8px\">\n\
             <p style=\"margin:0 0 6px;font-size:13px;color:#6a5d50\">The Lightning invoice (BOLT 11), payable until {until}.\n\
             After that the page makes a new one.</p>\n\
             <p style=\"margin:0;padding:12px 14px;background:#f7f1e7;border:1px solid #e4dacb;border-radius:10px;\
             font:12px/1.5 Menlo,Consolas,monospace;word-break:break-all;overflow-wrap:anywhere\">{bolt11}</p>\n</td></tr>\n\
             <tr><td style=\"padding:16px 28px 26px\">\n\
             <p style=\"margin:0 0 12px\"><b>What locked means.</b> Nothing is taken when you pay. Your wallet locks the money,\n\
             and your mail is shown to {recipient}. Only if they accept the mail is the payment taken.\n\
             If they decline, or do not answer within {hold}, all of it goes back to you.</p>\n\
             <p style=\"margin:0 0 12px\">As long as it is locked, wallets show the payment as <i>pending</i>, some as a spinner\n\
             that keeps turning. Nothing is wrong then: close the wallet if you like, and do not pay twice.</p>\n\
             <p style=\"margin:0;color:#6a5d50;font-size:14px\">You need not pay: your mail stays where it is, and\n\
             {recipient} may still let it in free. If you wrote no such mail, please ignore this one.</p>\n</td></tr>\n</table>\n\
             <p style=\"margin:14px 0 0;{FONT};font-size:13px;color:#6a5d50\">Satchel at {server_name}</p>\n\
             </td></tr>\n</table>\n</body>\n</html>\n",
            priority = html(&self.priority_html()),
            until = moment(self.expires_at),
            hold = spoken(self.hold),
            server_name = html(self.server_name),
        )
    }

    fn escrow_html(&self) -> String {
        let (recipient, amount) = (html(self.recipient), html(&self.amount.to_string()));
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"us-ascii\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>Your mail is waiting</title>\n</head>\n\
             <body style=\"margin:0;padding:24px 12px;background:#f5f1ea;{FONT};color:#221a12\">\n\
             <div style=\"max-width:540px;margin:0 auto;background:#fffdf9;border:1px solid #e4dacb;border-radius:16px;\
             padding:28px\">\n\
             <p style=\"margin:0 0 6px;color:#6a5d50\">Your mail to <b style=\"color:#221a12;word-break:break-word\">{recipient}</b>\n\
             has arrived. It is kept, but not shown yet.</p>\n\
             <p style=\"margin:18px 0 6px;font:bold 40px/1.1 Georgia,'Times New Roman',serif\">{amount}</p>\n\
             <p style=\"margin:0 0 20px;color:#6a5d50\">refunded unless your mail is accepted{priority}</p>\n\
             <p style=\"margin:0 0 20px\"><b>Escrow.</b> {escrow}</p>\n\
             <p style=\"margin:0 0 20px\"><a href=\"{page_url}\"\nstyle=\"display:block;background:#8a4717;color:#fff8ef;\
             text-align:center;font-weight:bold;text-decoration:none;padding:14px 18px;border-radius:12px\">Choose where a refund\n\
             goes, and pay</a></p>\n\
             <p style=\"margin:0;color:#6a5d50;font-size:14px\">You need not pay: your mail stays where it is, and\n\
             {recipient} may still let it in free. If you wrote no such mail, please ignore this one.</p>\n</div>\n\
             <p style=\"text-align:center;font-size:13px;color:#6a5d50\">Satchel at {server_name}</p>\n</body>\n</html>\n",
            priority = html(&self.priority_html()),
            escrow = html(&wrap(&self.escrow_said())),
            page_url = html(self.page_url),
            server_name = html(self.server_name),
        )
    }

    /// A payment of the priority price is told what it buys; others are not sold it here, because this
    /// invoice cannot pay it.
    fn priority_text(&self) -> &'static str {
        if self.is_priority() { " That is the priority price: your mail goes straight to the inbox." } else { "" }
    }

    fn priority_html(&self) -> String {
        if self.is_priority() { "; it goes straight to the inbox".into() } else { String::new() }
    }

    fn is_priority(&self) -> bool {
        self.amount >= self.priority
    }
}

const FONT: &str = "font:16px/1.55 -apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif";

#[cfg(test)]
mod tests {
    use super::*;
    use mail_parser::{MessageParser, MimeHeaders, PartType};

    const INVOICE: &str = "lnbcrt1u1p5jq0hwpp5ta9jd9vy0a4l0ycq2yzt8uvfrxpnyg6rgvwd9l9qjg3m0qy6x2eshp58yjmdan79s6qqdhdzgynm4zwqd5d7xmw5fk98klysy043l2ahrqscqzysxqrrsssp5n9hps7m3ye0jxw2crsj6q6wl2rm3n5d7lqdw5rlp0q5u6vx5w6ys9qyyssqz0m4xmc9q8xk9d2h8vxq6p7p5v0s3m7k2jh0";

    fn request() -> PaymentRequest<'static> {
        PaymentRequest {
            cover: Cover {
                from: "postmaster@satchel.test",
                to: "bob@shop.test",
                message_id: "4f2a@satchel.test",
                now: 1_795_234_200_000,
            },
            server_name: "satchel.test",
            in_reply_to: Some("<orig.1@shop.test>"),
            recipient: "alice@satchel.test",
            amount: Msat(100_000),
            priority: Msat(1_000_000),
            bolt11: Some(INVOICE),
            page_url: "http://127.0.0.1:8080/pay/0123456789abcdef0123456789abcdef",
            expires_at: 1_795_237_800_000,
            hold: Duration::from_secs(86_400),
        }
    }

    #[test]
    fn the_header_says_who_what_and_that_it_is_automatic() {
        let octets = request().render();
        let message = MessageParser::default().parse(&octets).unwrap();
        assert_eq!(message.subject(), Some("Your mail to alice@satchel.test is waiting: 100 sat"));
        let from = message.from().unwrap().first().unwrap();
        assert_eq!((from.name(), from.address()), (Some("Satchel at satchel.test"), Some("postmaster@satchel.test")));
        assert_eq!(message.to().unwrap().first().unwrap().address(), Some("bob@shop.test"));
        assert_eq!(message.message_id(), Some("4f2a@satchel.test"));
        assert_eq!(message.in_reply_to().as_text(), Some("orig.1@shop.test"));
        assert_eq!(message.references().as_text(), Some("orig.1@shop.test"));
        assert_eq!(message.header_raw("Auto-Submitted").map(str::trim), Some("auto-replied"));
        assert_eq!(message.date().unwrap().to_timestamp(), 1_795_234_200);
        assert_eq!(message.header_raw("MIME-Version").map(str::trim), Some("1.0"));
    }

    #[test]
    fn it_is_text_beside_html_with_its_picture() {
        let octets = request().render();
        let message = MessageParser::default().parse(&octets).unwrap();
        let kinds: Vec<String> = message
            .parts
            .iter()
            .map(|part| part.content_type().map(|c| format!("{}/{}", c.ctype(), c.subtype().unwrap_or(""))).unwrap())
            .collect();
        assert_eq!(kinds, ["multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png"]);
        let text = message.body_text(0).unwrap();
        for part in [
            INVOICE,
            "alice@satchel.test",
            "100 sat",
            "refunded unless accepted",
            "spinner",
            "24 hours",
            "/pay/0123456789",
        ] {
            assert!(text.contains(part), "{part}");
        }
        assert!(text.lines().any(|line| line == INVOICE), "the invoice stands alone on a line");
        assert!(text.lines().any(|line| line == format!("lightning:{INVOICE}")));
        let html = message.body_html(0).unwrap();
        for part in
            [&format!("href=\"lightning:{INVOICE}\""), "cid:qr.4f2a@satchel.test", ">Pay on the page<", "spinner"]
        {
            assert!(html.contains(part), "{part}");
        }
        assert!(!html.contains("src=\"http"), "nothing is loaded from outside");
    }

    #[test]
    fn the_picture_is_the_invoice() {
        let octets = request().render();
        let message = MessageParser::default().parse(&octets).unwrap();
        let image = &message.parts[4];
        assert_eq!(image.content_id(), Some("qr.4f2a@satchel.test"));
        let PartType::Binary(picture) = &image.body else {
            let PartType::InlineBinary(picture) = &image.body else { panic!("a picture") };
            return check(picture);
        };
        check(picture);
    }

    fn check(picture: &[u8]) {
        let code = qrcode::QrCode::with_error_correction_level(INVOICE.to_uppercase(), qrcode::EcLevel::L).unwrap();
        let dark: Vec<bool> = code.to_colors().iter().map(|color| *color == qrcode::Color::Dark).collect();
        assert_eq!(qr::modules(picture), dark);
    }

    #[test]
    fn every_line_is_short_ascii_and_ends_in_crlf_and_the_same_letter_is_the_same_octets() {
        let octets = request().render();
        assert!(octets.is_ascii());
        let text = String::from_utf8(octets.clone()).unwrap();
        assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
        assert_eq!(text.matches('\r').count(), text.matches("\r\n").count());
        assert!(text.split("\r\n").all(|line| line.len() <= super::super::compose::LINE_MAX));
        assert_eq!(request().render(), octets);
        assert!(octets.len() < 24 * 1024, "{} octets", octets.len());
    }

    #[test]
    fn a_request_for_escrow_says_so_and_carries_the_page_but_no_invoice() {
        let octets = PaymentRequest { bolt11: None, ..request() }.render();
        assert!(octets.is_ascii() && octets.split(|b| *b == b'\n').all(|line| line.len() <= 999));
        let message = MessageParser::default().parse(&octets).unwrap();
        assert_eq!(message.parts.len(), 3, "no picture");
        let (text, html) = (message.body_text(0).unwrap(), message.body_html(0).unwrap());
        for body in [&text, &html] {
            for part in ["escrow", "100 sat", "24 hours", "/pay/0123456789abcdef0123456789abcdef", "alice@satchel.test"]
            {
                assert!(body.contains(part), "{part} in {body}");
            }
            assert!(!body.contains("lnbc") && !body.contains("lightning:"), "{body}");
        }
    }

    #[test]
    fn strange_names_neither_break_the_header_nor_the_html() {
        let mut hostile = request();
        hostile.in_reply_to = Some("x>\r\nBcc: eve@evil.test");
        hostile.recipient = "\"<script>\"@satchel.test";
        hostile.cover.to = "bob@shop.test>\r\nBcc: eve@evil.test";
        let octets = hostile.render();
        let message = MessageParser::default().parse(&octets).unwrap();
        assert!(message.header_raw("Bcc").is_none() && message.header_raw("In-Reply-To").is_none());
        assert!(!message.body_html(0).unwrap().contains("<script>"));
    }

    #[test]
    fn an_invoice_too_long_for_a_picture_still_makes_a_letter() {
        let mut long = request();
        let invoice = "lnbc1".to_owned() + &"q".repeat(4500);
        long.bolt11 = Some(&invoice);
        let octets = long.render();
        assert!(octets.is_ascii() && octets.split(|b| *b == b'\n').all(|line| line.len() <= 999));
        let message = MessageParser::default().parse(&octets).unwrap();
        assert!(message.body_text(0).unwrap().contains(&invoice));
        assert_eq!(message.parts.len(), 3);
    }
}
