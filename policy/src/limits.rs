//! Every number of the rules, with its reason.

/// Blocks between a payment's arrival and its expiry that our invoices ask for: the 24-hour promise. Of the
/// 244, LDK takes 39 back ([`FAIL_BACK_BLOCKS`]) and we 6 ([`MARGIN_BLOCKS`]); the 199 that remain outlast
/// 24 hours 999 times in 1000 even when blocks come a tenth faster than every 10 minutes.
pub const FINAL_CLTV_DEFAULT: u16 = 244;
/// The least we ask for: below it a hold is over in less than six hours on an unlucky day.
pub const FINAL_CLTV_MIN: u16 = 105;
/// The most: above it some wallets and most mints refuse the route.
pub const FINAL_CLTV_MAX: u16 = 418;
/// Blocks before its expiry at which LDK 0.2 fails a held HTLC back by itself (HTLC_FAIL_BACK_BUFFER).
pub const FAIL_BACK_BLOCKS: u32 = 39;
/// Blocks before that deadline at which we end a hold ourselves: an accept in the last moment must still
/// get through.
pub const MARGIN_BLOCKS: u32 = 6;
/// The same for a voucher: its mail may come a day after the payment, and its reader has a day then. 418 hold two days;
/// wallets that refuse such a route leave the money where it is.
pub const VOUCHER_FINAL_CLTV: u16 = FINAL_CLTV_MAX;
/// How long a voucher can be paid, and how long a paid one waits for its mail, in milliseconds.
pub const VOUCHER_MS_DEFAULT: i64 = 24 * 60 * 60 * 1000;
/// The longest: a reader must have as long again within [`VOUCHER_FINAL_CLTV`].
pub const VOUCHER_MS_MAX: i64 = 24 * 60 * 60 * 1000;
/// How long a recipient has to answer, in milliseconds.
pub const HOLD_MS_DEFAULT: i64 = 24 * 60 * 60 * 1000;
/// How long an invoice can be paid, in milliseconds.
pub const QUOTE_MS_DEFAULT: i64 = 60 * 60 * 1000;

/// Payment requests to one author for one account within a day.
pub const ASKS_PER_AUTHOR_AND_ACCOUNT_DAY: u32 = 1;
/// Payment requests to one author over the whole bridge within a day.
pub const ASKS_PER_AUTHOR_DAY: u32 = 3;
/// Payment requests to all authors of one domain within an hour.
pub const ASKS_PER_DOMAIN_HOUR: u32 = 20;
/// Payment requests for one DKIM signature, ever: a replayed mail asks nobody twice.
pub const ASKS_PER_SIGNATURE: u32 = 1;

const _: () = assert!(FINAL_CLTV_MIN <= FINAL_CLTV_DEFAULT && FINAL_CLTV_DEFAULT <= FINAL_CLTV_MAX);
const _: () = assert!(FINAL_CLTV_MIN as u32 > FAIL_BACK_BLOCKS + MARGIN_BLOCKS, "every hold has blocks to last");

/// Live invoices and undecided payments of one author: more than a bridge with one channel reserves at all, so that the
/// quota bites only where one author could crowd out others on a larger one.
pub const QUOTES_PER_AUTHOR: u32 = 50;
/// The same of one domain: four authors at their quota, or a mailbox provider's users at a mail or two each.
pub const QUOTES_PER_DOMAIN: u32 = 200;
/// Per cent of what could be paid out that escrow leaves alone: routing costs up to 1 %, and a channel's own reserve and
/// fees come on top.
pub const ESCROW_RESERVE_PERCENT: u64 = 5;
