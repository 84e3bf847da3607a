//! Every limit of this crate, each with its reason.

use std::time::Duration;

/// Octets of plaintext in a chunk. Divisible by 3, so base64 quanta never straddle chunks, and with its
/// tag exactly [`SEALED_CHUNK_BYTES`].
pub const CHUNK_BYTES: usize = 65_520;

/// Octets of the AES-256-GCM tag behind every chunk (NIST SP 800-38D §5.2.1.2: the full 128 bits).
pub const TAG_BYTES: usize = 16;

/// Octets of a sealed chunk: the unit of reading and authenticating.
pub const SEALED_CHUNK_BYTES: usize = CHUNK_BYTES + TAG_BYTES;

/// Octets of an IPFS leaf: IPIP-499 `unixfs-v1-2025`. Also what every bitswap peer accepts (2 MiB frames).
pub const LEAF_BYTES: usize = 1 << 20;

/// Links in a dag-pb node: IPIP-499 `unixfs-v1-2025`.
pub const LEAVES_MAX: usize = 1024;

/// Octets of plaintext in one attachment: what fits under a single root of [`LEAVES_MAX`] leaves, 1 GiB less
/// the tags. Mails end at a tenth of it; one level of links keeps every range read at two file opens.
pub const ATTACHMENT_BYTES_MAX: u64 = (LEAVES_MAX * (LEAF_BYTES / SEALED_CHUNK_BYTES) * CHUNK_BYTES) as u64;

/// Octets of a root node that we are willing to read: 1024 links take 55 KiB, so a bigger one is not ours.
pub const ROOT_BYTES_MAX: u64 = 128 * 1024;

/// Plaintext that a put seals and writes at a time: a chunk.
pub const PUT_BATCH_BYTES: usize = CHUNK_BYTES;

/// Leaves of one put that may be syncing at once: enough to keep a disk's queue busy while the next leaf is written.
/// Each is an open file.
pub const WRITES_PER_PUT: usize = 4;

/// Puts at once; others wait their turn. Bounds the blocking threads and files of a burst of mails; in memory each
/// holds some [`PUT_BATCH_BYTES`].
pub const PUTS_AT_ONCE: usize = 16;

/// Local reads at once; others wait their turn. Bounds the blocking threads and files a burst of FETCHes takes.
pub const READS_AT_ONCE: usize = 64;

/// How long a put waits for the next piece of its plaintext, or for its turn, before it gives up. Pieces come
/// from memory or a spool file; a minute means that whoever feeds them is stuck.
pub const PUT_STALL_MAX: Duration = Duration::from_secs(60);

/// How long a read may wait for blocks that are not here and that a connected peer might have.
pub const FETCH_DEADLINE: Duration = Duration::from_secs(10);

/// How long stopping waits for the node to let go of the repository.
pub const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// Margin between our clock and a file's timestamp (the kernel stamps files with a clock that ticks coarsely):
/// blocks of a running put are never old enough to be collected.
pub const STAMP_SLACK: Duration = Duration::from_secs(2);

const _: () = assert!(SEALED_CHUNK_BYTES == 65_536, "the wire format says so");
const _: () = assert!(CHUNK_BYTES.is_multiple_of(3), "base64 quanta never straddle chunks");
const _: () = assert!(LEAF_BYTES.is_multiple_of(SEALED_CHUNK_BYTES), "no chunk straddles two leaves");
