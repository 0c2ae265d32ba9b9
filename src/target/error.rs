//! How ScaiWave says no: HTTP status and `SW_*` code (doc reference/error-codes).

/// A refused call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// `error.code`
    pub code: &'static str,
    /// `error.message`
    pub message: &'static str,
}

impl ApiError {
    /// The token is not one of ours, or its identity is refused.
    pub const INVALID_TOKEN: Self = Self::new(401, "SW_AUTH_INVALID_TOKEN", "the token is not valid");
    /// The token was good once.
    pub const EXPIRED_TOKEN: Self = Self::new(401, "SW_AUTH_EXPIRED_TOKEN", "the token has expired");
    /// A grant that this tenant has not switched on.
    pub const GRANT_OFF: Self =
        Self::new(403, "SW_AUTH_INSUFFICIENT_PERMISSION", "the password grant is off for this tenant");
    /// The caller is not in the room.
    pub const NOT_MEMBER: Self = Self::new(403, "SW_NOT_MEMBER", "not a member of this room");
    /// No such room in the caller's tenant.
    pub const ROOM_NOT_FOUND: Self = Self::new(404, "SW_ROOM_NOT_FOUND", "no such room");
    /// The room is archived.
    pub const ROOM_FROZEN: Self = Self::new(409, "SW_ROOM_FROZEN", "the room is archived");
    /// Content over 64 KB.
    pub const CONTENT_TOO_LARGE: Self =
        Self::new(413, "SW_CONTENT_TOO_LARGE", "content is larger than 64 KB");
    /// The tenant publishes too fast.
    pub const RATE_LIMITED: Self =
        Self::new(429, "SW_RATE_LIMIT_EXCEEDED", "the tenant's publish limit is exceeded");
    /// A planted failure of a sync request (ours).
    pub const UNAVAILABLE: Self = Self::new(503, "SW_UNAVAILABLE", "not now");
    /// A `since` that cannot be replayed any more (ours: no error is documented for it).
    pub const BEYOND_RETENTION: Self = Self::new(410, "SW_SYNC_GONE", "it cannot be replayed from there");
    /// There is no answer: whoever carries this out lets the caller wait for ever.
    pub const NO_ANSWER: Self = Self::new(0, "", "");
    /// The request cannot be read (ours: no such code is documented).
    pub const BAD_REQUEST: Self = Self::new(400, "SW_BAD_REQUEST", "the request cannot be read");
    /// No such path (ours).
    pub const NOT_FOUND: Self = Self::new(404, "SW_NOT_FOUND", "no such path");
    /// The path exists, but not with this method (ours).
    pub const METHOD_NOT_ALLOWED: Self = Self::new(405, "SW_METHOD_NOT_ALLOWED", "not with this method");
    /// The pod carries no further stream (ours, planted).
    pub const POD_FULL: Self = Self::new(503, "SW_POD_FULL", "no further stream");
    /// The pod is dead: a caller that asks it anything has made a mistake (ours).
    pub const POD_DOWN: Self = Self::new(503, "SW_POD_DOWN", "the pod is down");

    /// Another status for it.
    pub(super) fn with_status(status: u16) -> Self {
        match status {
            401 => Self::INVALID_TOKEN,
            410 => Self::BEYOND_RETENTION,
            429 => Self::RATE_LIMITED,
            status => Self { status, ..Self::UNAVAILABLE },
        }
    }

    const fn new(status: u16, code: &'static str, message: &'static str) -> Self {
        Self { status, code, message }
    }
}
