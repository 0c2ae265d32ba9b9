//! ScaiWave's JSON: frames, sync pages, send bodies, close codes, the stamp.
//!
//! Everything a server sends is untrusted: nothing here panics or allocates beyond the text it is given.

pub mod claims;
pub mod frame;
mod lenient;
pub mod publish;
pub mod reply;
pub mod stamp;
pub mod sync;

pub use claims::{Claims, REFRESH_LIFE, TokenType};
pub use frame::{EventFrame, Frame, HelloFrame};
pub use publish::{CONTENT_MIN, PONG, send_body};
pub use reply::{Created, ID_MAX, Registered, ReplyError, TokenReply, error_code, is_wrapped, room_id};
pub use stamp::{RawStamp, Stamp};
pub use sync::{PageError, SyncEvent, SyncPage};

/// A position in a tenant's stream.
pub type Position = u64;

/// Close code of a refused token: `SW_AUTH_INVALID_TOKEN` (seed).
pub const CLOSE_INVALID_TOKEN: u16 = 4001;
/// Close code of a server-side abort: `ping_timeout` or `duplicate_connection` (seed).
pub const CLOSE_ABORTED: u16 = 4003;

/// A short stand-in for an event's id, to compare ids without keeping their text (FNV-1a, 64 bits).
pub fn id_hash(id: &str) -> u64 {
    id.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
