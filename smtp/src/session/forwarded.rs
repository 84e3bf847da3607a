//! XFORWARD, Postfix's word to the server behind it: from whom the mail came. On LMTP listeners only, whose peers are
//! trusted; without it nothing can be said of SPF.

use super::{Action, Session};
use crate::decode_xtext;
use crate::path::is_helo_name;
use crate::reply::reply;
use std::net::IpAddr;

/// What stands for something that the MX in front does not know.
const UNAVAILABLE: &str = "[UNAVAILABLE]";

impl Session {
    /// `XFORWARD attribute=value ...`, values in xtext, between mails. It holds for the next one.
    pub(super) fn xforward(&mut self, text: &str, out: &mut Vec<u8>) -> Option<Action> {
        if self.mail.is_some() {
            return self.error(out, 503, (5, 5, 1), "XFORWARD comes before MAIL");
        }
        let mut forwarded = self.peer.forwarded.clone().unwrap_or_default();
        for attribute in text.split_ascii_whitespace() {
            let read = attribute.split_once('=').and_then(|(name, value)| Some((name, decode_xtext(value)?)));
            let Some((name, value)) = read else {
                return self.error(out, 501, (5, 5, 4), "the syntax is: XFORWARD attribute=value ...");
            };
            match name.to_ascii_uppercase().as_str() {
                "ADDR" if value.eq_ignore_ascii_case(UNAVAILABLE) => forwarded.address = None,
                "ADDR" => match address(&value) {
                    Some(address) => forwarded.address = Some(address),
                    None => {
                        return self.error(out, 501, (5, 5, 4), "ADDR is an IP address, IPV6: before the long ones");
                    }
                },
                "HELO" if value.eq_ignore_ascii_case(UNAVAILABLE) => forwarded.helo = None,
                "HELO" => forwarded.helo = is_helo_name(&value).then_some(value),
                _ => return self.error(out, 501, (5, 5, 4), "the attributes here are ADDR and HELO"),
            }
        }
        self.peer.forwarded = Some(forwarded);
        reply(out, 250, (2, 0, 0), "noted");
        None
    }
}

fn address(value: &str) -> Option<IpAddr> {
    let is_marked = value.get(..5).is_some_and(|mark| mark.eq_ignore_ascii_case("IPV6:"));
    if is_marked { &value[5..] } else { value }.parse().ok()
}
