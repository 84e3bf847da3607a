//! Outlook's autodiscover: the XML that is POSTed for, and the JSON that tells where that is.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{Account, Protocol, services};
use crate::SiteInfo;
use crate::html::Text;

/// What asks for IMAP and SMTP is this schema; Exchange's own (`mobilesync`) is another program.
const RESPONSE_SCHEMA: &str = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a";

/// The address a request names. Looked for as text: a parser of XML would bring entities and their dangers for one word.
pub(crate) fn requested(body: &str) -> Option<String> {
    let begin = body.find("<EMailAddress>")? + "<EMailAddress>".len();
    let text = body[begin..].split('<').next()?.trim();
    Some(text.replace("&apos;", "'").replace("&#39;", "'").replace("&amp;", "&"))
}

/// The answer to a request.
pub(crate) fn render(account: &Account, info: &SiteInfo) -> String {
    let mut protocols = String::new();
    // Outlook takes the first of a type and never looks at a second.
    let mut seen = Vec::new();
    for service in services(info) {
        if seen.contains(&service.protocol) {
            continue;
        }
        seen.push(service.protocol);
        let (kind, more) = match service.protocol {
            Protocol::Imap => ("IMAP", ""),
            Protocol::Smtp => ("SMTP", "<UsePOPAuth>off</UsePOPAuth><SMTPLast>off</SMTPLast>"),
        };
        let encryption = if service.implicit { "SSL" } else { "TLS" };
        let _ = writeln!(
            protocols,
            "      <Protocol><Type>{kind}</Type><Server>{host}</Server><Port>{port}</Port>\
             <DomainRequired>off</DomainRequired><LoginName>{user}</LoginName><SPA>off</SPA><SSL>on</SSL>\
             <Encryption>{encryption}</Encryption><AuthRequired>on</AuthRequired>{more}</Protocol>",
            host = Text(&info.connect_to),
            port = service.port,
            user = Text(&account.address),
        );
    }
    whole(&format!(
        "    <User><DisplayName>{address}</DisplayName></User>\n    <Account><AccountType>email</AccountType>\
         <Action>settings</Action>\n{protocols}    </Account>\n",
        address = Text(&account.address)
    ))
}

/// The answer to what cannot be answered, as the protocol has it: error 500 is "the e-mail address cannot be found".
pub(crate) fn refuse() -> String {
    whole(
        "    <Error Id=\"1\"><ErrorCode>500</ErrorCode><Message>This server does not serve that address</Message></Error>\n",
    )
}

fn whole(inner: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
         <Autodiscover xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006\">\n  \
         <Response xmlns=\"{RESPONSE_SCHEMA}\">\n{inner}  </Response>\n</Autodiscover>\n"
    )
}

/// Version 2: where the XML of a protocol is; the error object for protocols that are Exchange's.
pub(crate) fn version_2(protocol: &str, info: &SiteInfo) -> Result<Value, Value> {
    if protocol.eq_ignore_ascii_case("AutodiscoverV1") {
        let url = format!("{}/autodiscover/autodiscover.xml", info.public_url);
        return Ok(json!({ "Protocol": "AutodiscoverV1", "Url": url }));
    }
    Err(json!({
        "ErrorCode": "InvalidProtocol",
        "ErrorMessage": "The given protocol value is invalid. Supported values are 'AutodiscoverV1'.",
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_and_nothing_else_is_understood() {
        let request = "<?xml version=\"1.0\"?><Autodiscover xmlns=\"x\"><Request>\n\
            <EMailAddress> o&apos;neil@example.org </EMailAddress>\
            <AcceptableResponseSchema>y</AcceptableResponseSchema></Request></Autodiscover>";
        assert_eq!(requested(request).as_deref(), Some("o'neil@example.org"));
        assert_eq!(requested("<EMailAddress>a@b"), Some("a@b".into()));
        assert_eq!(requested("nothing"), None);
        assert_eq!(requested(""), None);
    }
}
