//! Thunderbird's `config-v1.1.xml`, which K-9, Evolution, KMail and others read too.

use std::fmt::Write;

use super::{Protocol, services};
use crate::SiteInfo;
use crate::html::Text;

/// The file for a domain of ours. The client puts the address where `%EMAILADDRESS%` stands, so nothing of the request
/// is repeated.
pub(crate) fn render(domain: &str, info: &SiteInfo) -> String {
    let mut servers = String::new();
    for service in services(info) {
        let (element, kind) = match service.protocol {
            Protocol::Imap => ("incomingServer", "imap"),
            Protocol::Smtp => ("outgoingServer", "smtp"),
        };
        let socket = if service.implicit { "SSL" } else { "STARTTLS" };
        let _ = write!(
            servers,
            "    <{element} type=\"{kind}\">\n      <hostname>{host}</hostname>\n      <port>{port}</port>\n      \
             <socketType>{socket}</socketType>\n      <authentication>password-cleartext</authentication>\n      \
             <username>%EMAILADDRESS%</username>\n    </{element}>\n",
            host = Text(&info.connect_to),
            port = service.port,
        );
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<clientConfig version=\"1.1\">\n  <emailProvider id=\"{domain}\">\n    \
         <domain>{domain}</domain>\n    <displayName>Mail at {domain}</displayName>\n    \
         <displayShortName>{domain}</displayShortName>\n{servers}    <documentation url=\"{url}/setup\">\n      \
         <descr lang=\"en\">How to set up a mail program</descr>\n    </documentation>\n  </emailProvider>\n</clientConfig>\n",
        domain = Text(domain),
        url = Text(&info.public_url),
    )
}
