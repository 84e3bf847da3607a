//! Every bound of this door, each with its source and reason.

use std::time::Duration;

/// Records of one name that are looked at: a busy domain's TXT has some twenty.
pub const RECORDS_MAX: usize = 100;
/// Octets of one string of a TXT record. RFC 1035 §3.3.
pub const TXT_STRING_BYTES_MAX: usize = 255;
/// Room for an RSA key of 2048 bits as PKCS #8: it takes some 1220.
pub(crate) const RSA_PKCS8_BYTES_MAX: usize = 2048;

/// Octets in one message. RFC 5321 §4.5.3.1.7 asks for 64 KiB or more; 50 MiB is what the large providers take.
pub const MESSAGE_BYTES_MAX: u64 = 50 * 1024 * 1024;

/// Recipients of one message. RFC 5321 §4.5.3.1.8 asks for 100 or more; Postfix and mox take 1000.
pub const RECIPIENTS_MAX: usize = 1000;

/// MAIL commands of one session, told by LIMITS (RFC 9422): an endless session would never meet new settings or a new
/// certificate. Far more than any sender's run.
pub const MAILS_PER_SESSION_MAX: u32 = 10_000;

/// How long a submitter may have a mail held (FUTURERELEASE, RFC 4865): what is kept for longer is better kept as a draft.
pub const HOLD_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Octets in one command line with its CRLF. RFC 5321 §4.5.3.1.4 asks for 512, extensions add some hundred,
/// and a PLAIN response is the longest that real clients send.
pub const COMMAND_LINE_BYTES_MAX: usize = 4096;

/// Errors of the peer before we hang up; counted anew after every accepted message. Postfix's hard limit.
pub const ERRORS_MAX: u32 = 20;

/// Recipients refused in one session before we hang up: lists carry dead addresses, guessers carry many more.
pub const RECIPIENTS_REFUSED_MAX: u32 = 100;

/// Recipients refused in one session before each further one is answered late: a list's dead addresses are not held up,
/// who tries names is.
pub const RECIPIENTS_REFUSED_FREE: u32 = 5;

/// How late. With [`RECIPIENTS_REFUSED_MAX`], a session learns of a hundred names in a minute and a half.
pub const RECIPIENT_PROBE_DELAY: Duration = Duration::from_secs(1);

/// Commands that move nothing (NOOP, RSET, VRFY, EHLO, ...) between two accepted messages. Postfix's junk limit.
pub const IDLE_COMMANDS_MAX: u32 = 100;

/// Failed logins in one session before we hang up.
pub const LOGIN_FAILURES_MAX: u32 = 3;

/// Wait for the next command. RFC 5321 §4.5.3.2.7.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Wait for the next octets of a message. RFC 5321 §4.5.3.2.5 asks for 3 minutes or more.
pub const DATA_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// A whole message, first octet to last: who trickles must not hold a slot for a day.
pub const MESSAGE_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// Wait for the peer to take our reply.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Wait for a TLS handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(60);

/// After a shutdown was asked for, how long a message that is under way may take.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(20);

/// Open connections of one listener. Each costs its read buffer and, in DATA, at most [`SPOOL_MEMORY_BYTES`]. So many
/// that five thousand peers which send an octet a second leave room for the others.
pub const CONNECTIONS_MAX: usize = 8192;

/// Open connections of one network (IPv4 /24, IPv6 /64); loopback is exempt. Postfix takes 50 of one address.
pub const CONNECTIONS_PER_NETWORK_MAX: usize = 50;

/// What a connection reads at a time: one TLS record.
pub const READ_BUFFER_BYTES: usize = 16 * 1024;
const _: () = assert!(READ_BUFFER_BYTES > COMMAND_LINE_BYTES_MAX, "a whole command line fits the buffer");

/// Replies that are gathered before they are written although the peer has sent more: bounds a pipelining peer.
pub const REPLY_BUFFER_BYTES: usize = 16 * 1024;

/// Content held in memory; the rest of a longer message goes to an encrypted file.
pub const SPOOL_MEMORY_BYTES: usize = 256 * 1024;

/// Plain octets in one encrypted chunk of a spool file.
pub const SPOOL_CHUNK_BYTES: usize = 64 * 1024;

/// Octets that all spool files of one area may take together.
pub const SPOOL_TOTAL_BYTES: u64 = 8 * 1024 * 1024 * 1024;

/// Wait for one DNS answer, before another try.
pub const DNS_TIMEOUT: Duration = Duration::from_secs(3);

/// All look-ups for one message together. What is not answered by then counts as a temporary error.
pub const AUTHENTICATION_TIMEOUT: Duration = Duration::from_secs(20);

/// Entries of each DNS cache (TXT, MX, A, AAAA, PTR): some hundred octets each.
pub const DNS_CACHE_ENTRIES: usize = 10_000;

/// The longest that an answer is kept, whatever its TTL says.
pub const DNS_TTL_MAX: Duration = Duration::from_secs(60 * 60);

/// How long a name whose servers fail is not asked for again.
pub const DNS_FAILURE_TTL: Duration = Duration::from_secs(10);

/// DKIM signatures looked at per message; each costs a DNS answer, a body hash and a signature check.
pub const DKIM_SIGNATURES_MAX: usize = 10;

/// Terms that ask the DNS, in one SPF check. RFC 7208 §4.6.4.
pub const SPF_LOOKUPS_MAX: usize = 10;

/// Empty answers to them. RFC 7208 §4.6.4.
pub const SPF_VOID_LOOKUPS_MAX: usize = 2;

/// Hosts that one `mx`, and names that one `ptr` may come to. RFC 7208 §4.6.4.
pub const SPF_NAMES_MAX: usize = 10;

/// Mail exchangers tried for one domain. RFC 5321 §5.1 asks for two or more.
pub const EXCHANGERS_MAX: usize = 10;

/// Aliases that are followed by hand from one name: as many as the resolver follows.
pub const ALIASES_MAX: usize = 8;

/// TLSA records of one server that are looked at: an old and a new key, by several hashes.
pub const TLSA_RECORDS_MAX: usize = 32;

/// How often it is tried whether DNSSEC signatures reach us, until they do: the answer changes with the resolver only.
pub const DNSSEC_PROBE_EVERY: Duration = Duration::from_secs(10 * 60);

/// Octets of an MTA-STS policy. RFC 8461 §3.3 suggests 64 KiB.
pub const STS_POLICY_BYTES_MAX: usize = 64 * 1024;

/// Wait for an MTA-STS policy. RFC 8461 §3.3 suggests a minute.
pub const STS_TIMEOUT: Duration = Duration::from_secs(60);

/// Domains whose MTA-STS policies are remembered: some hundred octets each.
pub const STS_POLICIES_MAX: usize = 10_000;

/// The longest that a policy is kept. RFC 8461 §3.2.
pub const STS_AGE_MAX: Duration = Duration::from_secs(31_557_600);

/// After a policy could not be fetched, wait this long. RFC 8461 §3.3 asks for five minutes or more.
pub const STS_FAILURE_WAIT: Duration = Duration::from_secs(5 * 60);

/// Servers of one domain tried in one attempt.
pub const HOSTS_MAX: usize = 5;

/// Addresses tried for one message.
pub const ADDRESSES_MAX: usize = 8;

/// Wait for a connection to another server.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Wait for another server's greeting and for its replies. RFC 5321 §4.5.3.2.1 to 4.5.3.2.3.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Wait for the reply to a whole message. RFC 5321 §4.5.3.2.6.
pub const FINAL_REPLY_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// A whole delivery to one server.
pub const DELIVERY_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// Octets of one reply of another server, all its lines together.
pub const REPLY_BYTES_MAX: usize = 16 * 1024;

/// RCPT commands sent before their replies are read: keeps commands and replies within the socket buffers.
pub const RECIPIENTS_PER_FLIGHT: usize = 100;

/// Octets of a report that is read, packed and unpacked: large providers' reports about large domains have some hundred
/// KiB.
pub const REPORT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Addresses that mail of a domain came from, in one report.
pub const REPORT_SOURCES_MAX: usize = 1000;

/// Addresses and URIs that one TLS report goes to.
pub const REPORT_DESTINATIONS_MAX: usize = 2;

/// How long a server may take to accept a TLS report over HTTPS.
pub const REPORT_POST_TIMEOUT: Duration = Duration::from_secs(60);

/// Octets of what it answers, which nobody reads.
pub const REPORT_ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Policies of one TLS report: each domain and server has a few.
pub const REPORT_POLICIES_MAX: usize = 100;

/// Octets of one DNS question over TCP that the zone reads.
pub const ZONE_QUESTION_BYTES_MAX: usize = 4096;

/// DNS connections over TCP that the zone serves at a time.
pub const ZONE_CONNECTIONS_MAX: usize = 64;

/// Wait for a question on a TCP connection to the zone.
pub const ZONE_IDLE_TIMEOUT: Duration = Duration::from_secs(10);
