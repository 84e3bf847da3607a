//! Every limit of this crate, and why it has the value it has.

use std::time::Duration;

/// Final CLTV of a hold invoice, in blocks: 24 hours at 99.9 % even with 10 % more hash rate (199 blocks), the
/// 39 that LDK keeps for itself, and slack for a payer who is a few blocks behind.
pub const FINAL_CLTV_DEFAULT: u16 = 244;
/// Less holds for no human: six hours and LDK's 39 blocks.
pub const FINAL_CLTV_MIN: u16 = 105;
/// More is refused by wallets that cap the whole route near 490 blocks.
pub const FINAL_CLTV_MAX: u16 = 418;
/// Blocks a payer may be behind us and still be let in: BOLT 11 wallets pad by three.
pub const CLTV_SLACK_BLOCKS: u16 = 3;
/// LDK fails a held HTLC back this many blocks before its CLTV (`HTLC_FAIL_BACK_BUFFER`).
pub const FAIL_BACK_BLOCKS: u32 = 39;
/// Shortest time an invoice may be open: a wallet needs to scan and route.
pub const EXPIRY_MIN: Duration = Duration::from_secs(60);
/// Longest time an invoice may be open; a quote lives an hour.
pub const EXPIRY_MAX: Duration = Duration::from_secs(24 * 3600);
/// Octets of an invoice's description; BOLT 11 allows 639.
pub const DESCRIPTION_MAX: usize = 128;
/// Octets of a BOLT 11 string that is looked at at all.
pub const BOLT11_MAX: usize = 4096;

/// A chain that answered the last poll this recently is fresh: the slowest source is polled every 30 s, so 60 s is a miss
/// forgiven.
pub const FRESH_WITHIN: Duration = Duration::from_secs(60);
/// How often a bitcoind is asked how high its chain is: as often as LDK asks it for blocks.
pub const BITCOIND_POLL: Duration = Duration::from_secs(2);
/// How often an Esplora server is. Public ones let an address ask some 700 times an hour: this takes 240, LDK's look at the
/// tip 120 more, its wallet's addresses a dozen each, and the rest is for channels and blocks.
pub const ESPLORA_POLL: Duration = Duration::from_secs(15);
/// How often an Electrum server is, over a connection that stays open.
pub const ELECTRUM_POLL: Duration = Duration::from_secs(10);
/// How often LDK looks at an Esplora server's tip. A new block that [`ESPLORA_POLL`] finds is looked at at once.
pub const ESPLORA_LIGHTNING_SYNC: Duration = Duration::from_secs(30);
/// How often the on-chain wallet asks an Esplora server about its addresses, one request each.
pub const ESPLORA_ONCHAIN_SYNC: Duration = Duration::from_secs(300);
/// How often LDK looks at an Electrum server's tip.
pub const ELECTRUM_LIGHTNING_SYNC: Duration = Duration::from_secs(20);
/// How often the on-chain wallet asks an Electrum server about its addresses, in batches.
pub const ELECTRUM_ONCHAIN_SYNC: Duration = Duration::from_secs(60);
/// How often fee rates are asked for (ldk-node's default).
pub const FEE_RATES_EVERY: Duration = Duration::from_secs(600);
/// How often the source's height is compared with the node's.
pub const FOLLOW_LOOK_EVERY: Duration = Duration::from_millis(500);
/// Wait after a sync that failed: LDK's own come meanwhile.
pub const FOLLOW_AGAIN: Duration = Duration::from_secs(5);
/// Longest wait for a connection to a chain source.
pub const CHAIN_CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Longest wait for its answer.
pub const CHAIN_ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Longest wait for what is asked of a bitcoind through the relay: a block from a slow disk, or a look through all unspent
/// outputs.
pub const BLOCK_WITHIN: Duration = CHAIN_SCAN_WITHIN;
/// Octets of it: the largest block in hex, and what is around it.
pub const BLOCK_ANSWER_MAX: usize = 9 << 20;
/// Octets of an answer about heights and hashes.
pub const CHAIN_ANSWER_MAX: usize = 64 << 10;
/// HTLCs a peer may have towards us per channel (LDK's `our_max_accepted_htlcs`; ldk-node cannot change it).
pub const HTLCS_PER_CHANNEL: u32 = 50;
/// Share of slots, value and dust that quotes may reserve; the rest stays for ordinary payments.
pub const RESERVABLE_PERCENT: u64 = 60;
/// Outputs below this are dust on an anchor channel: a P2WSH output at LDK's fixed dust limit.
pub const ANCHOR_DUST_SAT: u64 = 354;
/// Fee rate behind LDK's dust budget when the source says 1 sat/vB: 250 sat/kw x 1.1 + 2500.
pub const DUST_FEE_RATE_SAT_PER_KW: u64 = 2_775;
/// On-chain satoshis kept per anchor channel, so that a force-close can be paid for (ldk-node's default).
pub const ANCHOR_RESERVE_SAT: u64 = 25_000;

/// Both anchor outputs of a commitment (BOLT 3): 330 each.
pub const ANCHORS_SAT: u64 = 660;
/// Digits of a channel id that name it, where no other begins with them.
pub const CHANNEL_ID_PREFIX_MIN: usize = 8;
/// What a channel's opening or closing may cost on the chain: two transactions and some sweeps at several hundred sat/vB.
pub const CHANNEL_COST_MAX_SAT: u64 = 500_000;
/// How often the peers of our channels are looked for.
pub const PEER_AGAIN: Duration = Duration::from_secs(10);
/// Added to a channel that is opened for a client, per million of its first payment: room for more.
pub const SERVICE_OVER_PPM: u32 = 1_000_000;
/// Blocks that a client's channel is kept open: a month.
pub const SERVICE_LIFETIME_BLOCKS: u32 = 4_320;
/// Longest delay a client may ask of us: LDK's own limit, two weeks.
pub const SERVICE_SELF_DELAY_MAX: u32 = 2_016;
/// Octets of a channel backup: a thousand channels are 400 KB.
pub const BACKUP_BYTES_MAX: usize = 4 << 20;
/// Longest look through a bitcoind's unspent outputs: three minutes on a slow disk.
pub const CHAIN_SCAN_WITHIN: Duration = Duration::from_secs(600);
/// Blocks within which a recovery should be confirmed: nobody contests it.
pub const RECOVERY_FEE_BLOCKS: u32 = 12;

/// First wait before a wallet that was away is opened again; it doubles.
pub const OPEN_AGAIN_MIN: Duration = Duration::from_secs(1);
/// Longest such wait: somebody who repaired it wants to see that it works.
pub const OPEN_AGAIN_MAX: Duration = Duration::from_secs(30);
/// How long a start waits for a wallet before it goes on without.
pub const OPEN_WITHIN: Duration = Duration::from_secs(10);

/// How long [`pay`](crate::Wallet::pay) waits for an end before it answers "pending".
pub const PAY_WITHIN: Duration = Duration::from_secs(30);
/// Longest call into the node before the caller is told to come back: LDK's own time-outs are 5 and 10 s.
pub const NODE_CALL_WITHIN: Duration = Duration::from_secs(20);
/// Longest stop of a node: LDK waits 5 s for tasks and 30 s for its event handler.
pub const STOP_WITHIN: Duration = Duration::from_secs(40);
/// Longest wait until a node that was stopped lets go of its state.
pub const STATE_FREE_WITHIN: Duration = Duration::from_secs(5);
/// Connections a gate passes on at a time: far more channels than one bridge needs.
pub const PEERS_MAX: usize = 64;
/// Octets a gate passes on at a time: a Lightning message and its frame.
pub const GATE_CHUNK: usize = 66_000;
/// Longest wait for the node's state to be on the disk before its peer is disconnected: two writes to SQLite.
pub const CLEAN_WITHIN: Duration = Duration::from_secs(10);
/// How often the channels are looked over for payments no hold knows.
pub const STRAY_LOOK_EVERY: Duration = Duration::from_secs(3);
/// So many looks in a row must find the same: nine seconds, far more than a payment's way to its event.
pub const STRAY_LOOKS: u32 = 3;
/// For what came within so many looks after the node's start: half a minute, in which it hears of what it had.
pub const STRAY_START_LOOKS: u32 = 10;
/// So many looks for what came later: BOLT 4 asks to wait 60 seconds for the other parts of a payment.
pub const STRAY_PARTS_LOOKS: u32 = 22;
/// Longest wait for a peer to accept a connection.
pub const DIAL_WITHIN: Duration = Duration::from_secs(10);
/// Threads that run the nodes' tasks: LDK writes to SQLite on them, so the mail doors have their own.
pub const NODE_THREADS: usize = 4;
/// Ended holds that a node remembers until its next start; an older one is looked up in the node's payments.
pub const ENDED_HOLDS_MAX: usize = 4096;

/// One record of a durable log: a thousand empty blocks are 300 KB, the largest block 4 MB.
pub const RECORD_BYTES_MAX: usize = 64 << 20;
/// Blocks that one call may mine; five minutes of work for two nodes in a debug build.
pub const MINE_BLOCKS_MAX: u32 = 10_000;
/// Blocks written as one record, so that a record stays far below its limit.
pub const BLOCKS_PER_RECORD: u32 = 500;
/// Blocks that a reorganisation may undo: as many as a coinbase needs to mature.
pub const REORG_BLOCKS_MAX: u32 = 100;
/// Wait after a transaction entered the mempool until its block is mined: a person watching sees it happen.
pub const BLOCK_AFTER_TX: Duration = Duration::from_millis(200);
/// Blocks without transactions come this far apart, as on every bitcoin chain.
pub const BLOCK_INTERVAL: Duration = Duration::from_secs(600);
/// Octets of transactions that wait for a block.
pub const MEMPOOL_BYTES_MAX: usize = 16 << 20;
/// Weight of a transaction that is relayed (Bitcoin Core's standardness rule).
pub const TX_WEIGHT_MAX: u64 = 400_000;
/// Weight that one block takes, leaving room for the coinbase below the 4,000,000 of consensus.
pub const BLOCK_WEIGHT_MAX: u64 = 3_900_000;
/// Signature operations (BIP 141 cost) of one relayed transaction: a fifth of a block's 80,000.
pub const TX_SIGOPS_MAX: usize = 16_000;
/// Fee per 1000 weight units below which nothing is relayed: 1 sat/vB.
pub const MIN_RELAY_SAT_PER_KW: u64 = 250;
/// Confirmations before a coinbase may be spent (consensus).
pub const COINBASE_MATURITY: u32 = 100;

/// Octets of an HTTP request head.
pub const HTTP_HEAD_MAX: usize = 8 << 10;
/// Octets of an HTTP request body: a 400,000-weight transaction in hex, doubled.
pub const HTTP_BODY_MAX: usize = 2 << 20;
/// Connections at a time: each node keeps one, and opens one more while the first is busy.
pub const HTTP_CONNECTIONS_MAX: usize = 32;
/// An idle connection is closed after this; the nodes poll every 2 s and reconnect by themselves.
pub const HTTP_IDLE: Duration = Duration::from_secs(120);
/// A request that has begun must be there within this.
pub const HTTP_REQUEST_WITHIN: Duration = Duration::from_secs(10);

/// Satoshis the sandbox's channel holds.
pub const SANDBOX_CHANNEL_SAT: u64 = 10_000_000;
/// Least a further channel of the sandbox holds: the reserve of both sides and a few mails.
pub const SANDBOX_CHANNEL_MIN_SAT: u64 = 100_000;
/// Most a further channel of the sandbox holds: three of the customer's coins.
pub const SANDBOX_CHANNEL_MAX_SAT: u64 = 40_000_000;
/// Satoshis of it that begin on the bridge's side, so that it can pay out from the first minute.
pub const SANDBOX_PUSH_SAT: u64 = 2_000_000;
/// On-chain satoshis the bridge starts with: the reserve of many channels, should the bootstrap be interrupted.
pub const SANDBOX_BRIDGE_SAT: u64 = 10_000_000;
/// On-chain satoshis each of the customer's coins starts with: one channel, its reserve and fees.
pub const SANDBOX_COIN_SAT: u64 = 15_000_000;
/// Coins the customer starts with: an interrupted channel opening may strand one.
pub const SANDBOX_COINS: usize = 8;
/// On-chain satoshis the sandbox's second customer gets from the first: one channel, its reserve and fees.
pub const SANDBOX_SECOND_SAT: u64 = SANDBOX_CHANNEL_SAT + 100_000;
/// Blocks mined before anything else: one coinbase is mature then.
pub const PREMINE_BLOCKS: u32 = COINBASE_MATURITY + 1;
/// Longest wait until the sandbox's channel is usable on both sides.
pub const READY_WITHIN: Duration = Duration::from_secs(60);
/// How often a state that no event announces is looked at.
pub const POLL_EVERY: Duration = Duration::from_millis(10);
/// How long a payment made by the sandbox's customer may take to be locked, arrive or fail.
pub const CUSTOMER_PAY_WITHIN: Duration = Duration::from_secs(10);
/// Failed payments whose reason the customer remembers.
pub const FAILURES_MAX: usize = 1024;

/// A hold on somebody's node ends this many blocks before its HTLC could go on the chain: LND's own margin since 0.21,
/// and more than the plugins of Core Lightning keep.
pub const REMOTE_FAIL_BACK_BLOCKS: u32 = 18;
/// How often the live payments on somebody's node are looked at, where it does not ring.
pub const REMOTE_POLL: Duration = Duration::from_secs(2);
/// Payments looked at between two pauses: a node on a small machine answers a hundred of them in a second.
pub const REMOTE_LOOKS: usize = 64;
/// Such looks under way at a time: over a relay each takes a quarter of a second.
pub const REMOTE_LOOKS_AT_ONCE: usize = 8;
/// How long a node's height and state of sync are believed; the house asks twice a second.
pub const REMOTE_INFO_FOR: Duration = Duration::from_secs(3);
/// Longest call to somebody's node; whatever takes longer is asked again.
pub const REMOTE_CALL_WITHIN: Duration = Duration::from_secs(20);
/// Longest wait for a connection to somebody's node.
pub const REMOTE_CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// LND tells the state of a payment at once; an answer that takes longer is none.
pub const REMOTE_TRACK_WITHIN: Duration = Duration::from_secs(5);
/// Octets of an answer: a node with a thousand channels lists them in two megabytes.
pub const REMOTE_RESPONSE_MAX: usize = 8 << 20;
/// Octets of one line of an answer that goes on: a payment in a hundred parts is 200 KB.
pub const REMOTE_LINE_MAX: usize = 1 << 20;
/// An invoice is not looked at any more, and a hold's invoice closed, so long after its expiry: clocks differ.
pub const REMOTE_LATE: Duration = Duration::from_secs(120);
/// Ended payments that are remembered; an older one is looked up at the node.
pub const REMOTE_ENDED_MAX: usize = 4096;
/// Events that may wait: far more than quotes can be live.
pub const REMOTE_EVENTS_MAX: usize = 100_000;

/// Relays one connection string may name.
pub const NWC_RELAYS_MAX: usize = 4;
/// Octets of a message from a relay: the longest payload of NIP-44 is 88 KB.
pub const NWC_MESSAGE_MAX: usize = 256 << 10;
/// Messages that wait to be said or heard.
pub const NWC_QUEUE: usize = 256;
/// Requests that wait for an answer at a time.
pub const NWC_PENDING_MAX: usize = 256;
/// Events a relay has not answered for, kept in case it wants proof of who sent them.
pub const NWC_UNANSWERED_MAX: usize = 16;
/// Holds whose deadline a notification told; look-ups tell it as well.
pub const NWC_DEADLINES_MAX: usize = 1024;
/// Longest wait for a relay to accept a connection, and for it to take a message.
pub const NWC_CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Longest wait for a wallet's answer: less than a call may take, so that the wallet is told when nobody waits any more.
pub const NWC_REQUEST_WITHIN: Duration = Duration::from_secs(15);
/// How much the clocks of a wallet and this machine may differ: what is older is taken for stale.
pub const NWC_CLOCKS: Duration = Duration::from_secs(300);
/// Longest wait for a wallet's info event, which the relay has stored.
pub const NWC_INFO_WITHIN: Duration = Duration::from_secs(10);
/// First wait before a relay is connected to again; it doubles.
pub const NWC_BACKOFF_MIN: Duration = Duration::from_millis(500);
/// Longest such wait.
pub const NWC_BACKOFF_MAX: Duration = Duration::from_secs(60);
/// How often a relay is pinged: proxies between close what is silent for a minute.
pub const NWC_PING_EVERY: Duration = Duration::from_secs(25);
/// A relay that said nothing for so long, not even to pings, is gone.
pub const NWC_IDLE: Duration = Duration::from_secs(80);
/// HTLC slots of a wallet that tells none: Core Lightning's 30 a channel is the least of the usual.
pub const NWC_SLOTS: u32 = 30;
/// Value a wallet that tells no channels is taken to be able to receive: the wallet fails what it cannot.
pub const NWC_VALUE: lnmp::Msat = lnmp::Msat(10_000_000_000);

/// Longest wait for a Lightning address to give an invoice, both questions together.
pub const LNURL_WITHIN: Duration = Duration::from_secs(8);
/// Octets of an answer of its server: LUD-06 allows a picture of 136,536 in it.
pub const LNURL_BYTES_MAX: usize = 256 << 10;
/// Octets of the name and of the domain of a Lightning address.
pub const LNURL_NAME_MAX: usize = 253;
