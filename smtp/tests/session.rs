//! The SMTP dialogue as text. `C:` is sent with CRLF, `S:` is what must come back, in order and nothing else.

use crate::support::dialogue::{Dialogue, conversation, submission};
use smtp::{BareNewlines, Body, Kind, limits};
use std::time::{Duration, Instant};

#[test]
fn a_mail_goes_through() {
    let talk = conversation(
        "
        S: 220 mx.satchel.test ESMTP Satchel
        C: EHLO client.test
        S: 250-mx.satchel.test greets client.test
        S: 250-PIPELINING
        S: 250-SIZE 52428800
        S: 250-8BITMIME
        S: 250-SMTPUTF8
        S: 250-ENHANCEDSTATUSCODES
        S: 250-CHUNKING
        S: 250-LIMITS MAILMAX=10000 RCPTMAX=1000
        S: 250-BINARYMIME
        S: 250 STARTTLS
        C: MAIL FROM:<bob@shop.test> SIZE=100 BODY=8BITMIME
        S: 250 2.1.0 sender ok
        C: RCPT TO:<alice@satchel.test>
        S: 250 2.1.5 recipient ok
        C: DATA
        S: 354 send the message, end it with a dot on a line of its own
        C: Subject: hello
        C:
        C: ..dot
        C: .
        S: 250 2.0.0 message accepted as q1
        C: QUIT
        S: 221 2.0.0 mx.satchel.test goodbye
        ",
    );
    let (envelope, content) = &talk.delivered[0];
    assert_eq!(content, "Subject: hello\r\n\r\n.dot\r\n");
    assert_eq!(envelope.reverse_path.as_str(), "bob@shop.test");
    assert_eq!(envelope.reverse_path.domain(), Some("shop.test"));
    assert_eq!(envelope.recipients[0].mailbox, "alice@satchel.test");
    assert_eq!((envelope.parameters.body, envelope.parameters.smtputf8), (Body::EightBitMime, false));
    assert_eq!((envelope.peer.helo.as_str(), envelope.peer.protocol()), ("client.test", "ESMTP"));
    assert!(talk.closed);
}

#[test]
fn helo_is_answered_in_one_line() {
    let talk = conversation(
        "
        S: 220 mx.satchel.test ESMTP Satchel
        C: HELO client.test
        S: 250 mx.satchel.test greets client.test
        C: HELO bad<name
        S: 501 5.5.2 that is not a host name
        C: EHLO
        S: 501 5.5.2 the syntax is: EHLO domain
        ",
    );
    assert_eq!(talk.session.peer().protocol(), "SMTP");
}

#[test]
fn commands_out_of_order_are_told_what_is_missing() {
    conversation(
        "
        S: 220 mx.satchel.test ESMTP Satchel
        C: MAIL FROM:<bob@shop.test>
        S: 503 5.5.1 say EHLO first
        C: HELO client.test
        S: 250 mx.satchel.test greets client.test
        C: RCPT TO:<alice@satchel.test>
        S: 503 5.5.1 say MAIL first
        C: DATA
        S: 503 5.5.1 say MAIL and RCPT first
        C: MAIL FROM:<bob@shop.test>
        S: 250 2.1.0 sender ok
        C: MAIL FROM:<bob@shop.test>
        S: 503 5.5.1 a mail is under way already; RSET gives it up
        C: DATA
        S: 554 5.5.1 no valid recipients
        C: RSET
        S: 250 2.0.0 forgotten
        C: RCPT TO:<alice@satchel.test>
        S: 503 5.5.1 say MAIL first
        C: AUTH PLAIN AGFsaWNlAHNlY3JldA==
        S: 502 5.5.1 mail of your own goes to the submission port
        ",
    );
}

#[test]
fn the_small_commands_answer() {
    conversation(
        "
        S: 220 mx.satchel.test ESMTP Satchel
        C: NOOP
        S: 250 2.0.0 nothing done
        C: noop whatever
        S: 250 2.0.0 nothing done
        C: VRFY alice
        S: 252 2.5.2 cannot tell without a mail; send it, and RCPT will say
        C: EXPN list
        S: 502 5.7.0 lists are not expanded here
        C: HELP
        S: 214 2.0.0 see RFC 5321; write to postmaster for a person
        C: ETRN x
        S: 500 5.5.1 no such command here
        C: XYZZY
        S: 500 5.5.1 no such command here
        C: BDAT x
        S: 501 5.5.4 the syntax is: BDAT chunk-size [LAST]
        S: 421 4.7.0 mx.satchel.test where the chunk ends cannot be told, closing the connection
        ",
    );
}

#[test]
fn paths_are_parsed_tolerantly_but_not_wrongly() {
    let talk = conversation(
        "
        S: 220 mx.satchel.test ESMTP Satchel
        C: HELO client.test
        S: 250 mx.satchel.test greets client.test
        C: MAIL FROM:bob@shop.test
        S: 501 5.5.2 the syntax is: MAIL FROM:<reverse-path> [parameters]
        C: MAIL FROM:<bob>
        S: 501 5.1.7 that is not a reverse-path
        C: MAIL FROM:<bob@shop.test> FOO=BAR
        S: 555 5.5.4 a parameter is not known here
        C: MAIL FROM:<bob@shop.test> REQUIRETLS
        S: 530 5.7.10 REQUIRETLS needs TLS; say STARTTLS first
        C: MAIL FROM:<bob@shop.test> SIZE=x
        S: 501 5.5.4 the value of SIZE makes no sense; allowed is a number of octets
        C: MAIL FROM:<bob@shop.test> SIZE=52428801
        S: 552 5.3.4 a message may have 52428800 octets at most
        C: MAIL FROM:<jörg@shop.test>
        S: 550 5.6.7 an address beyond ASCII needs SMTPUTF8
        C: MAIL FROM: <bob@shop.test> SIZE=52428800 AUTH=<>
        S: 250 2.1.0 sender ok
        C: RCPT TO: <alice@satchel.test>
        S: 250 2.1.5 recipient ok
        C: RCPT TO:<alice#a3f2b9@satchel.test>
        S: 250 2.1.5 recipient ok
        C: RCPT TO:<@a.test:alice+b@satchel.test>
        S: 250 2.1.5 recipient ok
        C: RCPT TO:<Postmaster>
        S: 250 2.1.5 recipient ok
        C: RCPT TO:<>
        S: 501 5.1.3 that is not a forward-path
        C: RCPT TO:<nobody@satchel.test>
        S: 550 5.1.1 there is no such mailbox here
        C: RCPT TO:<later@satchel.test>
        S: 452 4.5.3 please send to this recipient in a mail of its own
        ",
    );
    let taken: Vec<_> = talk.session.recipients().iter().map(|r| r.mailbox.as_str()).collect();
    assert_eq!(taken, ["alice@satchel.test", "alice#a3f2b9@satchel.test", "alice+b@satchel.test", "postmaster"]);
}

#[test]
fn smtputf8_works_without_8bitmime_said() {
    let talk = conversation(
        "
        S: 220 mx.satchel.test ESMTP Satchel
        C: HELO client.test
        S: 250 mx.satchel.test greets client.test
        C: MAIL FROM:<jörg@köln.test> SMTPUTF8
        S: 250 2.1.0 sender ok
        C: RCPT TO:<alice@satchel.test>
        S: 250 2.1.5 recipient ok
        C: DATA
        S: 354 send the message, end it with a dot on a line of its own
        C: .
        S: 250 2.0.0 message accepted as q1
        ",
    );
    let parameters = &talk.delivered[0].0.parameters;
    assert_eq!((parameters.body, parameters.smtputf8), (Body::EightBitMime, true));
}

#[test]
fn the_host_refuses_in_its_own_words() {
    conversation(
        "
        S: 220 mx.satchel.test ESMTP Satchel
        C: HELO client.test
        S: 250 mx.satchel.test greets client.test
        C: MAIL FROM:<bob@full.test>
        S: 452 4.3.1 not enough room to take the message now, please try again later
        C: MAIL FROM:<bob@shop.test>
        S: 250 2.1.0 sender ok
        C: RCPT TO:<alice@satchel.test>
        S: 250 2.1.5 recipient ok
        C: DATA
        S: 354 send the message, end it with a dot on a line of its own
        C: Subject: refuse me
        C: .
        S: 550-5.7.1 this mailbox asks strangers for postage;
        S: 550 5.7.1 see https://satchel.test/p
        C: MAIL FROM:<>
        S: 250 2.1.0 sender ok
        ",
    );
}

#[test]
fn chunks_make_a_message() {
    let mut talk = Dialogue::mx();
    talk.begin_mail();
    let replies = talk.send(b"BDAT 5\r\n.abc\rBDAT 5\r\n\nx.\r\nBDAT 0 LAST\r\nMAIL FROM:<a@b.test>\r\n");
    assert_eq!(
        replies,
        "250 2.0.0 5 octets taken\r\n250 2.0.0 5 octets taken\r\n250 2.0.0 message accepted as q1\r\n250 2.1.0 sender ok\r\n"
    );
    assert_eq!(talk.delivered[0].1, ".abc\r\nx.\r\n");
}

#[test]
fn a_chunk_nobody_asked_for_is_swallowed() {
    let mut talk = Dialogue::mx();
    talk.send(b"EHLO c\r\n");
    assert_eq!(
        talk.send(b"BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"),
        "503 5.5.1 say MAIL and RCPT first\r\n250 2.0.0 nothing done\r\n"
    );
    assert_eq!(
        talk.send(b"BDAT 0 LAST\r\nNOOP\r\n"),
        "503 5.5.1 say MAIL and RCPT first\r\n250 2.0.0 nothing done\r\n"
    );
    assert!(!talk.closed);
}

#[test]
fn what_began_with_bdat_cannot_go_on_with_data_and_rset_gives_it_up() {
    let mut talk = Dialogue::mx();
    talk.begin_mail();
    talk.send(b"BDAT 2\r\nab");
    assert!(talk.session.is_collecting());
    assert_eq!(talk.send(b"DATA\r\n"), "503 5.5.1 what began with BDAT ends with BDAT\r\n");
    assert_eq!(talk.send(b"RSET\r\n"), "250 2.0.0 forgotten\r\n");
    assert!(!talk.session.is_collecting());
}

#[test]
fn a_chunk_refused_ends_the_mail_but_not_the_session() {
    let mut talk = Dialogue::with(Kind::Mx, |config| config.message_bytes_max = 10);
    talk.begin_mail();
    assert_eq!(talk.send(b"BDAT 8\r\n12345678"), "250 2.0.0 8 octets taken\r\n");
    assert_eq!(talk.send(b"BDAT 3\r\nabc"), "552 5.3.4 a message may have 10 octets at most\r\n");
    assert_eq!(talk.send(b"BDAT 1 LAST\r\na"), "503 5.5.1 say MAIL and RCPT first\r\n");
    assert!(talk.delivered.is_empty());
}

#[test]
fn a_message_of_the_largest_size_passes_and_one_octet_more_does_not() {
    for (body, reply) in [
        ("12345678\r\n", "250 2.0.0 message accepted as q1\r\n"),
        ("123456789\r\n", "552 5.3.4 a message may have 10 octets at most\r\n"),
    ] {
        let mut talk = Dialogue::with(Kind::Mx, |config| config.message_bytes_max = 10);
        talk.begin_mail();
        talk.send(b"DATA\r\n");
        assert_eq!(talk.send(format!("{body}.\r\n").as_bytes()), reply);
        assert!(!talk.closed);
    }
}

#[test]
fn a_message_that_never_ends_is_cut_off() {
    let mut talk = Dialogue::with(Kind::Mx, |config| config.message_bytes_max = 1000);
    talk.begin_mail();
    talk.send(b"DATA\r\n");
    for _ in 0..3 {
        talk.send(&[b'x'; 1000]);
    }
    assert!(talk.closed);
    let mut talk = Dialogue::mx();
    talk.begin_mail();
    assert!(talk.send(b"BDAT 18446744073709551615 LAST\r\n").starts_with('5'));
}

#[test]
fn the_last_recipient_allowed_passes_and_the_next_is_put_off() {
    let mut talk = Dialogue::with(Kind::Mx, |config| config.recipients_max = 3);
    talk.send(b"EHLO c\r\nMAIL FROM:<bob@shop.test>\r\n");
    for _ in 0..3 {
        assert_eq!(talk.send(b"RCPT TO:<alice@satchel.test>\r\n"), "250 2.1.5 recipient ok\r\n");
    }
    assert_eq!(talk.send(b"RCPT TO:<alice@satchel.test>\r\n"), "452 4.5.3 no more than 3 recipients in one mail\r\n");
    assert!(talk.send(b"DATA\r\n").starts_with("354"));
}

#[test]
fn the_longest_command_line_passes_and_one_octet_more_does_not() {
    let line = |bytes: usize| format!("NOOP {}\r\n", "x".repeat(bytes - 7));
    let mut talk = Dialogue::mx();
    assert_eq!(talk.send(line(limits::COMMAND_LINE_BYTES_MAX).as_bytes()), "250 2.0.0 nothing done\r\n");
    assert_eq!(talk.send(line(limits::COMMAND_LINE_BYTES_MAX + 1).as_bytes()), "500 5.5.2 that line is too long\r\n");
    assert_eq!(talk.send(&vec![b'x'; 100_000]), "");
    assert_eq!(talk.send(b"MAIL\r\nNOOP\r\n"), "500 5.5.2 that line is too long\r\n250 2.0.0 nothing done\r\n");
}

#[test]
fn control_octets_in_commands_are_refused() {
    let mut talk = Dialogue::mx();
    for line in [&b"EHLO a\rb\r\n"[..], b"EHLO \0\r\n", b"EHLO \xff\r\n"] {
        assert_eq!(talk.send(line), "500 5.5.2 a command is UTF-8 text without control octets\r\n");
    }
}

#[test]
fn the_last_error_allowed_is_answered_and_then_we_hang_up() {
    let mut talk = Dialogue::mx();
    for _ in 1..limits::ERRORS_MAX {
        assert_eq!(talk.send(b"XYZZY\r\n"), "500 5.5.1 no such command here\r\n");
    }
    assert_eq!(
        talk.send(b"XYZZY\r\nNOOP\r\n"),
        "500 5.5.1 no such command here\r\n421 4.7.0 mx.satchel.test too many errors\r\n"
    );
    assert!(talk.closed);
}

#[test]
fn commands_that_move_nothing_come_to_an_end() {
    let mut talk = Dialogue::mx();
    for _ in 0..limits::IDLE_COMMANDS_MAX {
        assert_eq!(talk.send(b"NOOP\r\n"), "250 2.0.0 nothing done\r\n");
    }
    assert_eq!(talk.send(b"RSET\r\n"), "421 4.7.0 mx.satchel.test too many commands and no mail\r\n");
}

#[test]
fn who_guesses_recipients_is_hung_up_on() {
    let mut talk = Dialogue::mx();
    talk.send(b"EHLO c\r\nMAIL FROM:<bob@shop.test>\r\n");
    let mut replies = String::new();
    for _ in 0..limits::RECIPIENTS_REFUSED_MAX {
        assert!(!talk.closed);
        replies = talk.send(b"RCPT TO:<nobody@satchel.test>\r\n");
    }
    assert!(replies.ends_with("421 4.7.0 mx.satchel.test too many recipients that are not here\r\n"));
}

#[test]
fn pipelined_commands_are_all_answered_from_one_packet() {
    let mut talk = Dialogue::mx();
    let replies = talk.send(
        b"EHLO c\r\nMAIL FROM:<bob@shop.test>\r\nRCPT TO:<alice@satchel.test>\r\nRCPT TO:<no@satchel.test>\r\nDATA\r\nhi\r\n.\r\nQUIT\r\n",
    );
    let codes: Vec<&str> = replies.lines().filter(|line| line.as_bytes()[3] == b' ').map(|line| &line[..3]).collect();
    assert_eq!(codes, ["250", "250", "250", "550", "354", "250", "221"]);
    assert_eq!(talk.delivered[0].1, "hi\r\n");
}

#[test]
fn smuggled_commands_stay_content_and_the_mail_is_refused() {
    for end in ["\n.\n", "\n.\r\n", "\r.\r\n", "\r\n.\n", "\r\n.\r", "\r.\r", "\r.\n"] {
        for policy in [BareNewlines::Refuse, BareNewlines::Normalise] {
            let mut talk = Dialogue::with(Kind::Mx, |config| config.bare_newlines = policy);
            talk.begin_mail();
            talk.send(b"DATA\r\n");
            let wire =
                format!("hi{end}MAIL FROM:<evil@shop.test>\r\nRCPT TO:<alice@satchel.test>\r\nDATA\r\nx\r\n.\r\n");
            let replies = talk.send(wire.as_bytes());
            assert!(
                replies.starts_with("550 5.6.11 ") && replies.lines().count() == 1,
                "{end:?} {policy:?}: {replies}"
            );
            assert!(talk.delivered.is_empty());
        }
    }
}

#[test]
fn bare_newlines_are_refused_or_mended_as_configured() {
    let mut talk = Dialogue::mx();
    talk.begin_mail();
    talk.send(b"DATA\r\n");
    assert!(talk.send(b"a\nb\r\n.\r\n").starts_with("550 5.6.11 a CR or LF stands alone"));
    let mut talk = Dialogue::with(Kind::Mx, |config| config.bare_newlines = BareNewlines::Normalise);
    talk.begin_mail();
    talk.send(b"DATA\r\n");
    assert!(talk.send(b"a\nb\r\n.\r\n").starts_with("250"));
    assert_eq!(talk.delivered[0].1, "a\r\nb\r\n");
}

#[test]
fn nothing_behind_starttls_is_obeyed() {
    let mut talk = Dialogue::mx();
    talk.send(b"EHLO c\r\n");
    let replies = talk.send(b"STARTTLS\r\nRSET\r\nMAIL FROM:<evil@shop.test>\r\n");
    assert!(replies.starts_with("501 5.5.1 nothing may follow STARTTLS"), "{replies}");
    assert!(talk.closed && !talk.tls);
}

#[test]
fn tls_forgets_all_that_was_said_before() {
    let mut talk = Dialogue::mx();
    talk.begin_mail();
    assert_eq!(talk.send(b"STARTTLS\r\n"), "220 2.0.0 go ahead with TLS\r\n");
    assert!(talk.tls);
    assert_eq!(talk.send(b"RCPT TO:<alice@satchel.test>\r\n"), "503 5.5.1 say MAIL first\r\n");
    assert_eq!(talk.send(b"MAIL FROM:<bob@shop.test>\r\n"), "503 5.5.1 say EHLO first\r\n");
    assert!(!talk.send(b"EHLO c\r\n").contains("STARTTLS"));
    assert_eq!(talk.send(b"STARTTLS\r\n"), "503 5.5.1 TLS is on already\r\n");
    assert_eq!(talk.session.peer().protocol(), "ESMTPS");
}

#[test]
fn submission_needs_a_login() {
    let talk = submission(
        "
        S: 220 mx.satchel.test ESMTP Satchel
        C: EHLO [127.0.0.1]
        S: 250-mx.satchel.test greets [127.0.0.1]
        S: 250-PIPELINING
        S: 250-SIZE 52428800
        S: 250-8BITMIME
        S: 250-SMTPUTF8
        S: 250-ENHANCEDSTATUSCODES
        S: 250-CHUNKING
        S: 250-LIMITS MAILMAX=10000 RCPTMAX=1000
        S: 250-STARTTLS
        S: 250-DSN
        S: 250-DELIVERBY
        S: 250-MT-PRIORITY
        S: 250 AUTH PLAIN LOGIN OAUTHBEARER
        C: MAIL FROM:<alice@satchel.test>
        S: 530 5.7.0 log in first
        C: AUTH PLAIN AGFsaWNlAHNlY3JldA==
        S: 235 2.7.0 welcome
        C: AUTH PLAIN AGFsaWNlAHNlY3JldA==
        S: 503 5.5.1 log in once, before the first mail
        C: MAIL FROM:<alice@satchel.test>
        S: 250 2.1.0 sender ok
        ",
    );
    assert_eq!(talk.session.peer().authenticated.as_ref().map(|s| s.id), Some(7));
    assert_eq!(talk.session.peer().protocol(), "ESMTPA");
}

#[test]
fn every_form_of_auth_is_understood() {
    submission(
        "
        S: 220 mx.satchel.test ESMTP Satchel
        C: AUTH PLAIN
        S: 503 5.5.1 say EHLO first
        C: HELO x
        S: 250 mx.satchel.test greets x
        C: EHLO x
        S: 250-mx.satchel.test greets x
        S: 250-PIPELINING
        S: 250-SIZE 52428800
        S: 250-8BITMIME
        S: 250-SMTPUTF8
        S: 250-ENHANCEDSTATUSCODES
        S: 250-CHUNKING
        S: 250-LIMITS MAILMAX=10000 RCPTMAX=1000
        S: 250-STARTTLS
        S: 250-DSN
        S: 250-DELIVERBY
        S: 250-MT-PRIORITY
        S: 250 AUTH PLAIN LOGIN OAUTHBEARER
        C: AUTH CRAM-MD5
        S: 504 5.5.4 PLAIN, LOGIN and OAUTHBEARER are offered here
        C: AUTH PLAIN
        S: 334 
        C: *
        S: 501 5.7.0 login given up
        C: AUTH PLAIN !!!
        S: 501 5.5.2 that is not base64 of UTF-8 text
        C: AUTH PLAIN Ym9iAGFsaWNlAHNlY3JldA==
        S: 535 5.7.8 nobody may act as another here
        C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C: YWxpY2U=
        S: 334 UGFzc3dvcmQ6
        C: d3Jvbmc=
        S: 535 5.7.8 user or password is wrong
        C: AUTH LOGIN YWxpY2U=
        S: 334 UGFzc3dvcmQ6
        C: c2VjcmV0
        S: 235 2.7.0 welcome
        ",
    );
    let mut talk = Dialogue::with(Kind::Submission, |_| ());
    talk.send(b"EHLO x\r\n");
    assert_eq!(talk.send(b"AUTH PLAIN\r\nAGFsaWNlAHNlY3JldA==\r\n"), "334 \r\n235 2.7.0 welcome\r\n");
}

#[test]
fn a_bearer_token_logs_in_and_a_wrong_one_is_told_why() {
    // n,a=alice,^Aauth=Bearer token^A^A and the same with "wrong".
    let (right, wrong) = ("bixhPWFsaWNlLAFhdXRoPUJlYXJlciB0b2tlbgEB", "bixhPWFsaWNlLAFhdXRoPUJlYXJlciB3cm9uZwEB");
    let mut talk = Dialogue::with(Kind::Submission, |_| ());
    talk.send(b"EHLO x\r\n");
    let refusal = talk.send(format!("AUTH OAUTHBEARER {wrong}\r\n").as_bytes());
    assert_eq!(refusal, "334 eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIn0=\r\n");
    assert_eq!(talk.send(b"AQ==\r\n"), "535 5.7.8 this token is not taken\r\n");
    assert_eq!(
        talk.send(b"AUTH OAUTHBEARER bixhPWFsaWNlLAE=\r\n"),
        "501 5.5.2 that is not an OAUTHBEARER message with a user and a token\r\n"
    );
    assert_eq!(talk.send(b"AUTH OAUTHBEARER\r\n"), "334 \r\n");
    assert_eq!(talk.send(format!("{right}\r\n").as_bytes()), "235 2.7.0 welcome\r\n");
    assert!(talk.send(b"MAIL FROM:<alice@satchel.test>\r\n").starts_with("250"));
}

#[test]
fn three_wrong_passwords_end_the_session() {
    let mut talk = Dialogue::with(Kind::Submission, |_| ());
    talk.send(b"EHLO x\r\n");
    for _ in 0..2 {
        assert_eq!(talk.send(b"AUTH PLAIN AGFsaWNlAHdyb25n\r\n"), "535 5.7.8 user or password is wrong\r\n");
    }
    assert!(
        talk.send(b"AUTH PLAIN AGFsaWNlAHdyb25n\r\n").ends_with("421 4.7.0 mx.satchel.test too many failed logins\r\n")
    );
    assert!(talk.closed);
}

#[test]
fn passwords_are_not_taken_in_the_clear_from_elsewhere() {
    let mut talk = Dialogue::from("192.0.2.7:4000", Kind::Submission, |_| ());
    assert!(!talk.send(b"EHLO x\r\n").contains("AUTH"));
    assert_eq!(
        talk.send(b"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n"),
        "538 5.7.11 log in over TLS only; say STARTTLS first\r\n"
    );
    assert_eq!(talk.send(b"MAIL FROM:<alice@satchel.test>\r\n"), "530 5.7.0 say STARTTLS and log in first\r\n");
    talk.send(b"STARTTLS\r\n");
    assert!(talk.send(b"EHLO x\r\n").contains("AUTH PLAIN LOGIN"));
    assert_eq!(talk.send(b"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n"), "235 2.7.0 welcome\r\n");
}

#[test]
fn quiet_and_trickling_peers_are_timed_out() {
    let mut talk = Dialogue::mx();
    let start = talk.now;
    assert_eq!(talk.session.next_timeout(), start + limits::COMMAND_TIMEOUT);
    talk.begin_mail();
    talk.send(b"DATA\r\n");
    assert_eq!(talk.session.next_timeout(), start + limits::DATA_TIMEOUT);
    // One octet every nine minutes keeps it alive, but not beyond the hour.
    for _ in 0..7 {
        talk.now += Duration::from_secs(9 * 60);
        talk.send(b"x");
    }
    assert_eq!(talk.session.next_timeout(), start + limits::MESSAGE_TIMEOUT);
    assert!(talk.time_out().starts_with("421 4.4.2 mx.satchel.test nothing came"));
}

#[test]
fn content_that_cannot_be_kept_is_drained_and_refused() {
    let mut talk = Dialogue::mx();
    talk.begin_mail();
    talk.send(b"DATA\r\nfirst\r\n");
    talk.session.refuse_content(smtp::Refusal::storage_full());
    assert_eq!(talk.send(b"more\r\n"), "");
    assert!(talk.send(b".\r\n").starts_with("452 4.3.1"));
    assert!(!talk.closed && talk.delivered.is_empty());
}

#[test]
fn any_octets_in_any_cuts_never_panic() {
    // A poor man's fuzzer: fixed seed, words of the protocol and noise between them.
    let words: [&[u8]; 14] = [
        b"EHLO a\r\n",
        b"MAIL FROM:<a@b>\r\n",
        b"RCPT TO:<alice@b>\r\n",
        b"DATA\r\n",
        b".\r\n",
        b"BDAT 7 LAST\r\n",
        b"BDAT 3\r\n",
        b"AUTH LOGIN\r\n",
        b"YQ==\r\n",
        b"\r",
        b"\n",
        b"RSET\r\n",
        b"STARTTLS\r\n",
        b"\0\xff<>:",
    ];
    let mut seed = 1u64;
    let mut next = move || {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) as usize
    };
    let begun = Instant::now();
    for kind in [Kind::Mx, Kind::Submission] {
        for _ in 0..300 {
            let mut talk = Dialogue::with(kind, |_| ());
            while !talk.closed && talk.rounds < 60 {
                let wire: Vec<u8> = (0..next() % 4 + 1).flat_map(|_| words[next() % words.len()].to_vec()).collect();
                talk.send(&wire);
            }
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(10));
}
