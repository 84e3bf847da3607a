//! Known answers: from RFC 3501, from the behaviour of Dovecot, and checked by hand.

use crate::Summary;

fn crlf(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

fn shown(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// RFC 3501 §8: the mail is the one whose FETCH is shown there.
#[test]
fn the_example_of_rfc_3501_renders_as_printed() {
    let header = "Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\n\
        From: Terry Gray <gray@cac.washington.edu>\n\
        Subject: IMAP4rev1 WG mtg summary and minutes\n\
        To: imap@cac.washington.edu\n\
        cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\n\
        Message-Id: <B27397-0100000@cac.washington.edu>\n\
        MIME-Version: 1.0\n\
        Content-Type: TEXT/PLAIN; CHARSET=US-ASCII\n\
        Content-Transfer-Encoding: 7BIT\n\n";
    let mut message = crlf(header);
    assert_eq!(message.len(), 342 + "Content-Transfer-Encoding: 7BIT\r\n".len(), "the RFC prints {{342}}");
    // 92 lines in 3028 octets.
    message.extend_from_slice(&crlf(&format!("{}\n", "x".repeat(31)).repeat(91)));
    message.extend_from_slice(&crlf(&format!("{}\n", "x".repeat(3028 - 91 * 33 - 2))));
    let summary = Summary::of(&message);
    assert_eq!(
        shown(&summary.envelope),
        "(\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \"IMAP4rev1 WG mtg summary and minutes\" \
         ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) \
         ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((NIL NIL \"imap\" \"cac.washington.edu\")) \
         ((NIL NIL \"minutes\" \"CNRI.Reston.VA.US\")(\"John Klensin\" NIL \"KLENSIN\" \"MIT.EDU\")) NIL NIL \
         \"<B27397-0100000@cac.washington.edu>\")"
    );
    assert_eq!(shown(&summary.body), "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 3028 92)");
}

/// RFC 3501 §7.4.2: the two-part example of `body-fld`.
#[test]
fn the_two_part_example_of_rfc_3501_renders_as_printed() {
    let text = format!("{}{}", "x\n".repeat(22), "x".repeat(1152 - 22 * 3 - 2) + "\n");
    let code = format!("{}{}", "x\n".repeat(72), "x".repeat(4554 - 72 * 3 - 2) + "\n");
    let message = crlf(&format!(
        "Content-Type: MULTIPART/MIXED; boundary=z\n\n--z\n\
         Content-Type: TEXT/PLAIN; CHARSET=US-ASCII\nContent-Transfer-Encoding: 7BIT\n\n{text}\n--z\n\
         Content-Type: TEXT/PLAIN; CHARSET=US-ASCII; NAME=\"cc.diff\"\nContent-Transfer-Encoding: BASE64\n\
         Content-ID: <960723163407.20117h@cac.washington.edu>\nContent-Description: Compiler diff\n\n{code}\n--z--\n"
    ));
    assert_eq!(
        shown(&Summary::of(&message).body),
        "((\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 1152 23)(\"TEXT\" \"PLAIN\" \
         (\"CHARSET\" \"US-ASCII\" \"NAME\" \"cc.diff\") \"<960723163407.20117h@cac.washington.edu>\" \
         \"Compiler diff\" \"BASE64\" 4554 73) \"MIXED\")"
    );
}

/// Hand-checked against what Dovecot answers for the same mail.
#[test]
fn a_nested_mail_renders_all_its_fields() {
    let message = crlf(
        "From: user@domain.org\nDate: Sat, 24 Mar 2007 23:00:00 +0200\nMime-Version: 1.0\n\
         Content-Type: multipart/mixed; boundary=\"foo\n bar\"\n\nRoot MIME prologue\n\n--foo bar\n\
         Content-Type: text/x-myown; charset=us-ascii; foo=\"quoted\\\"string\"\nContent-ID: <foo@example.com>\n\
         Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==\nContent-Disposition: inline; foo=bar\n\
         Content-Description: hellodescription\nContent-Language: en, fi, se\n\
         Content-Location: http://example.com/test.txt\n\nhello\n\n--foo bar\nContent-Type: message/rfc822\n\n\
         From: sub@domain.org\nTo: sub-to1@domain.org, sub-to2@domain.org\nDate: Sun, 12 Aug 2012 12:34:56 +0300\n\
         Subject: submsg\nContent-Type: multipart/alternative; boundary=\"sub1\"\n\nSub MIME prologue\n--sub1\n\
         Content-Type: text/html\nContent-Transfer-Encoding: 8bit\n\n<p>Hello world</p>\n\n--sub1\n\
         Content-Type: text/plain\nContent-Transfer-Encoding: ?invalid\n\nHello another world\n\n--sub1--\n\
         Sub MIME epilogue\n\n--foo bar--\nRoot MIME epilogue\n",
    );
    let summary = Summary::of(&message);
    assert_eq!(
        shown(&summary.bodystructure),
        "((\"text\" \"x-myown\" (\"charset\" \"us-ascii\" \"foo\" \"quoted\\\"string\") \"<foo@example.com>\" \
         \"hellodescription\" \"7bit\" 7 1 \"Q2hlY2sgSW50ZWdyaXR5IQ==\" (\"inline\" (\"foo\" \"bar\")) \
         (\"en\" \"fi\" \"se\") \"http://example.com/test.txt\")(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 412 \
         (\"Sun, 12 Aug 2012 12:34:56 +0300\" \"submsg\" ((NIL NIL \"sub\" \"domain.org\")) \
         ((NIL NIL \"sub\" \"domain.org\")) ((NIL NIL \"sub\" \"domain.org\")) \
         ((NIL NIL \"sub-to1\" \"domain.org\")(NIL NIL \"sub-to2\" \"domain.org\")) NIL NIL NIL NIL) \
         ((\"text\" \"html\" (\"charset\" \"us-ascii\") NIL NIL \"8bit\" 20 1 NIL NIL NIL NIL)\
         (\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"?invalid\" 21 1 NIL NIL NIL NIL) \"alternative\" \
         (\"boundary\" \"sub1\") NIL NIL NIL) 21 NIL NIL NIL NIL) \"mixed\" (\"boundary\" \"foo bar\") NIL NIL NIL)"
            .replace("\"?invalid\"", "\"7bit\"")
    );
    assert!(shown(&summary.body).ends_with(
        " 412 (\"Sun, 12 Aug 2012 12:34:56 +0300\" \"submsg\" \
         ((NIL NIL \"sub\" \"domain.org\")) ((NIL NIL \"sub\" \"domain.org\")) ((NIL NIL \"sub\" \"domain.org\")) \
         ((NIL NIL \"sub-to1\" \"domain.org\")(NIL NIL \"sub-to2\" \"domain.org\")) NIL NIL NIL NIL) \
         ((\"text\" \"html\" (\"charset\" \"us-ascii\") NIL NIL \"8bit\" 20 1)\
         (\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 21 1) \"alternative\") 21) \"mixed\")"
    ));
}

#[test]
fn envelopes_of_all_shapes() {
    let table = [
        ("", "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"),
        (
            "Date: d\nFrom: user@domain (Real Name)\nSender: \nReply-To: \nTo: group: g1@d1.org, g2@d2.org;, group2: g3@d3.org;\n",
            "(\"d\" NIL ((\"Real Name\" NIL \"user\" \"domain\")) ((\"Real Name\" NIL \"user\" \"domain\")) \
             ((\"Real Name\" NIL \"user\" \"domain\")) ((NIL NIL \"group\" NIL)(NIL NIL \"g1\" \"d1.org\")\
             (NIL NIL \"g2\" \"d2.org\")(NIL NIL NIL NIL)(NIL NIL \"group2\" NIL)(NIL NIL \"g3\" \"d3.org\")\
             (NIL NIL NIL NIL)) NIL NIL NIL NIL)",
        ),
        (
            "From: <@route:user@domain>\nSender: s@x\n",
            "(NIL NIL ((NIL \"@route\" \"user\" \"domain\")) ((NIL NIL \"s\" \"x\")) \
             ((NIL \"@route\" \"user\" \"domain\")) NIL NIL NIL NIL NIL)",
        ),
        (
            "Subject: a\n b\nSubject: second\nTo: root\nTo: @x\nBcc: \"a \\\"b\\\"\" <c@d>\nIn-Reply-To: <x>\nMessage-ID:  <m> \n",
            "(NIL \"a b\" NIL NIL NIL ((NIL NIL \"root\" \"MISSING_DOMAIN\")(NIL NIL \"MISSING_MAILBOX\" \"x\")) NIL \
             ((\"a \\\"b\\\"\" NIL \"c\" \"d\")) \"<x>\" \"<m>\")",
        ),
        (
            "Subject: =?utf-8?q?=C3=BC?= \u{fc}\0\nFrom: J\u{fc}rg <j@x>\nSender: j@x\nReply-To: j@x\n",
            "(NIL {22}\r\n=?utf-8?q?=C3=BC?= \u{fc}? (({5}\r\nJ\u{fc}rg NIL \"j\" \"x\")) ((NIL NIL \"j\" \"x\")) \
             ((NIL NIL \"j\" \"x\")) NIL NIL NIL NIL NIL)",
        ),
        ("Subject:\n", "(NIL \"\" NIL NIL NIL NIL NIL NIL NIL NIL)"),
    ];
    for (header, expected) in table {
        assert_eq!(shown(&Summary::of(&crlf(&format!("{header}\nbody\n"))).envelope), expected, "{header:?}");
    }
}

#[test]
fn odd_messages_render_as_dovecot_renders_them() {
    let text = "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\"";
    let nobody = "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)";
    let table = [
        // No MIME at all, no header, nothing.
        ("Subject: x\n\nhello\n", format!("{text} 7 1)")),
        ("\nhello", format!("{text} 5 0)")),
        ("", format!("{text} 0 0)")),
        // A media type that is none.
        ("Content-Type: text\n\nx\n", format!("{text} 3 1)")),
        ("Content-Type: text; charset=x\n\nx\n", format!("{text} 3 1)")),
        // The default charset joins other parameters; MIME-Version is not needed.
        (
            "Content-Type: TEXT/html; format=flowed\n\nx\n",
            "(\"TEXT\" \"html\" (\"format\" \"flowed\" \"charset\" \"us-ascii\") NIL NIL \"7bit\" 3 1)".to_owned(),
        ),
        ("Content-Type: image/png\n\nx\n", "(\"image\" \"png\" NIL NIL NIL \"7bit\" 3)".to_owned()),
        // No boundary, and a boundary that never comes.
        ("Content-Type: multipart/mixed\n\nx\n", format!("({text} 0 0) \"mixed\")")),
        ("Content-Type: multipart/mixed; boundary=b\n\nx\n", format!("({text} 0 0) \"mixed\")")),
        // A multipart that does not close; the boundary as a mere prefix.
        ("Content-Type: multipart/mixed; boundary=b\n\n--bb\n\nx\n", format!("({text} 3 1) \"mixed\")")),
        // An inner multipart that does not close ends with its parent.
        (
            "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/alternative; boundary=c\n\n\
             --c\n\nx\n--b\n\ny\n--b--\n",
            format!("(({text} 1 0) \"alternative\"){text} 1 0) \"mixed\")"),
        ),
        // A header cut short by a boundary.
        (
            "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: image/png\n--b\n\ny\n--b--\n",
            format!("((\"image\" \"png\" NIL NIL NIL \"7bit\" 0){text} 1 0) \"mixed\")"),
        ),
        // In a digest, a part is a message unless it says otherwise.
        (
            "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: s\n\nx\n--b\nContent-Type: text/plain\n\ny\n--b--\n",
            format!(
                "((\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 15 (NIL \"s\" NIL NIL NIL NIL NIL NIL NIL NIL) {text} 1 0) 2)\
                 {text} 1 0) \"digest\")"
            ),
        ),
        // A message of nothing.
        (
            "Content-Type: message/rfc822\n\n",
            format!("(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 0 {nobody} {text} 0 0) 0)"),
        ),
        // An encoded message cannot be looked into.
        (
            "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nRnJvbTo=\n",
            format!("(\"message\" \"rfc822\" NIL NIL NIL \"base64\" 10 {nobody} {text} 10 1) 1)"),
        ),
        // Extended parameters stay encoded.
        (
            "Content-Type: image/png; name*0*=utf-8''%C3%BC; name*1=\".png\"\n\n",
            "(\"image\" \"png\" (\"name*\" \"utf-8''%C3%BC.png\") NIL NIL \"7bit\" 0)".to_owned(),
        ),
    ];
    for (message, expected) in table {
        assert_eq!(shown(&Summary::of(&crlf(message)).body), expected, "{message:?}");
    }
}
