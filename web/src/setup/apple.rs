//! Apple's `.mobileconfig`: a profile that macOS and iOS install. Unsigned, and without a password: the device asks.

use std::fmt::Write;

use ring::digest;

use super::{Account, Protocol, services};
use crate::SiteInfo;
use crate::html::Text;

/// The profile of one address; `None` where a service is missing, because a profile that sets up half is worse than none.
pub(crate) fn render(account: &Account, info: &SiteInfo) -> Option<String> {
    let all = services(info);
    let first = |protocol| all.iter().find(|service| service.protocol == protocol);
    let (imap, smtp) = (first(Protocol::Imap)?, first(Protocol::Smtp)?);
    let mut mail = String::new();
    let mut text = |key: &str, value: &str| {
        let _ = writeln!(mail, "        <key>{key}</key><string>{}</string>", Text(value));
    };
    text("EmailAccountType", "EmailTypeIMAP");
    text("EmailAccountDescription", &account.address);
    text("EmailAddress", &account.address);
    for way in ["Incoming", "Outgoing"] {
        text(&format!("{way}MailServerHostName"), &info.connect_to);
        text(&format!("{way}MailServerUsername"), &account.address);
        text(&format!("{way}MailServerAuthentication"), "EmailAuthPassword");
    }
    text("PayloadType", "com.apple.mail.managed");
    text("PayloadIdentifier", &format!("{}.mail.{}", reversed(&account.domain), identifier(account, "mail")));
    text("PayloadUUID", &identifier(account, "mail"));
    text("PayloadDisplayName", &format!("Mail of {}", account.address));
    for (way, service) in [("Incoming", imap), ("Outgoing", smtp)] {
        // One switch for both kinds of TLS: the port tells the device which.
        let _ = writeln!(
            mail,
            "        <key>{way}MailServerPortNumber</key><integer>{}</integer>\n        \
             <key>{way}MailServerUseSSL</key><true/>",
            service.port
        );
    }
    let profile = identifier(account, "profile");
    Some(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <plist version=\"1.0\">\n  <dict>\n    <key>PayloadContent</key>\n    <array>\n      <dict>\n{mail}        \
         <key>OutgoingPasswordSameAsIncomingPassword</key><true/>\n        <key>PayloadVersion</key><integer>1</integer>\n      \
         </dict>\n    </array>\n    <key>PayloadDisplayName</key><string>Mail of {address}</string>\n    \
         <key>PayloadDescription</key><string>Sets up mail for {address} on this device. It will ask for an app \
         password.</string>\n    <key>PayloadIdentifier</key><string>{above}.{profile}</string>\n    \
         <key>PayloadOrganization</key><string>{domain}</string>\n    <key>PayloadType</key><string>Configuration</string>\n    \
         <key>PayloadUUID</key><string>{profile}</string>\n    <key>PayloadVersion</key><integer>1</integer>\n  </dict>\n</plist>\n",
        address = Text(&account.address),
        domain = Text(&account.domain),
        above = Text(&reversed(&account.domain)),
    ))
}

/// The same for the same address, so that a profile installed again replaces itself. RFC 9562 §5.8: a UUID of version 8 is
/// made as its maker likes.
fn identifier(account: &Account, of: &str) -> String {
    let hash =
        digest::digest(&digest::SHA256, format!("satchel/{of}/{}", account.address.to_ascii_lowercase()).as_bytes());
    let mut octets: [u8; 16] = hash.as_ref()[..16].try_into().expect("SHA-256 has 32 octets");
    octets[6] = octets[6] & 0x0f | 0x80;
    octets[8] = octets[8] & 0x3f | 0x80;
    let hex = octets.iter().fold(String::new(), |mut out, octet| {
        let _ = write!(out, "{octet:02X}");
        out
    });
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// `example.org` as `org.example`.
fn reversed(domain: &str) -> String {
    domain.split('.').rev().collect::<Vec<_>>().join(".")
}
