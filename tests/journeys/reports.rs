//! Other servers report of our domains; `satchel reports` shows the sum.

use base64::Engine as _;

use crate::support::eventually;
use crate::support::satchel::Satchel;
use crate::support::smtp::send;

const POSTMASTER: &str = "postmaster@satchel.test";

/// A mail of `reporter` with one attachment.
fn report(reporter: &str, kind: &str, name: &str, content: &str) -> Vec<u8> {
    let encoded = base64::engine::general_purpose::STANDARD.encode(content);
    let lines: Vec<&str> = encoded.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!(
        "From: <{reporter}>\r\nTo: <{POSTMASTER}>\r\nSubject: Report\r\nMessage-ID: <{name}@far.test>\r\n\
         MIME-Version: 1.0\r\nContent-Type: {kind}\r\nContent-Disposition: attachment; filename=\"{name}\"\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{}\r\n",
        lines.join("\r\n")
    )
    .into_bytes()
}

fn dmarc(id: &str, begin: i64, count: u32) -> String {
    format!(
        "<?xml version=\"1.0\"?><feedback><report_metadata><org_name>far.test</org_name><email>r@far.test</email>\
         <report_id>{id}</report_id><date_range><begin>{begin}</begin><end>{}</end></date_range></report_metadata>\
         <policy_published><domain>satchel.test</domain><p>reject</p></policy_published>\
         <record><row><source_ip>203.0.113.9</source_ip><count>{count}</count><policy_evaluated>\
         <disposition>reject</disposition><dkim>fail</dkim><spf>fail</spf></policy_evaluated></row>\
         <identifiers><header_from>satchel.test</header_from></identifiers></record></feedback>",
        begin + 86_399
    )
}

#[test]
fn reports_of_other_servers_are_summed_up_and_kept() {
    let mut satchel = Satchel::start("");
    let begin = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() - 3600;
    let begin = i64::try_from(begin).unwrap();
    let port = satchel.ports.smtp;
    let xml = |name: &str, id: &str, count| report("r@far.test", "text/xml", name, &dmarc(id, begin, count));
    send(port, "r@far.test", POSTMASTER, &xml("1.xml", "one", 4));
    // The same again; and what somebody else says in that server's name.
    send(port, "r@far.test", POSTMASTER, &xml("2.xml", "one", 4));
    send(port, "x@forger.test", POSTMASTER, &xml("3.xml", "three", 1000));
    let json = format!(
        "{{\"organization-name\":\"far.test\",\"date-range\":{{\"start-datetime\":\"{}\",\"end-datetime\":\"{}\"}},\
         \"report-id\":\"tls\",\"policies\":[{{\"policy\":{{\"policy-type\":\"sts\",\"policy-domain\":\"satchel.test\"}},\
         \"summary\":{{\"total-successful-session-count\":7,\"total-failure-session-count\":2}},\
         \"failure-details\":[{{\"result-type\":\"certificate-expired\",\"failed-session-count\":2}}]}}]}}",
        date(begin),
        date(begin + 86_399)
    );
    send(port, "r@far.test", POSTMASTER, &report("r@far.test", "application/tlsrpt+json", "tls.json", &json));
    let shown = eventually("both reports are counted", || {
        let shown = satchel.ask(&["reports"]);
        let rows = shown.as_array().unwrap().clone();
        let sum = |key: &str| rows.iter().map(|row| row[key].as_u64().unwrap()).sum::<u64>();
        (sum("tls") == 7 && sum("fail") > 0).then_some(rows)
    });
    let row = shown.iter().find(|row| row["fail"] != 0).unwrap();
    assert_eq!((&row["domain"], &row["fail"], &row["pass"]), (&"satchel.test".into(), &4.into(), &0.into()), "{row}");
    assert_eq!(row["sources"][0]["ip"], "203.0.113.9");
    let row = shown.iter().find(|row| row["tls"] != 0).unwrap();
    assert_eq!(row["tls_failures"]["certificate-expired"], 2);
    // The mails themselves are there, and the sums outlive a restart.
    let mut imap = satchel.imap();
    assert_eq!(imap.find("INBOX", "Report").len(), 4);
    satchel.kill();
    satchel.resume();
    assert_eq!(satchel.ask(&["reports"]).as_array().unwrap().clone(), shown);
    assert_eq!(satchel.ask(&["reports", "--send"])["sent"], 0, "nobody was written to");
}

/// RFC 3339, in UTC.
fn date(unix: i64) -> String {
    chrono::DateTime::<chrono::Utc>::from_timestamp(unix, 0).unwrap().format("%Y-%m-%dT%H:%M:%SZ").to_string()
}
