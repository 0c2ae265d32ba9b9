//! What the fuzzers play: whatever a server sends, or a user writes in a profile, nothing panics, nothing grows beyond
//! a stated multiple of the input, and what comes out is what another reading of the same bytes says.
//!
//! | target | input | held to |
//! |---|---|---|
//! | `frame` | a text frame of the stream | `serde_json::Value` read by the protocol's rules; written and read again |
//! | `stream` | bytes of a socket, and how they are cut | one piece; then a session and the ledger, whose books must balance |
//! | `sync_page` | the answer of sync or history | as `frame`; then a bridge, the audit and the ledger |
//! | `send_reply` | the answer to a publish, a sign-in, a new room | as `frame`; bounds; secrets; then the ledger |
//! | `profile` | TOML, `--set` lines before it | written and read again; errors that name a key and are bounded |
//! | `metrics` | several looks at `/metrics` | a plainer reading of the same lines; counters that never shrink |
//!
//! `cargo test --test fuzz` plays the seeds and many mutations of them, without libFuzzer. For as long as one likes,
//! coverage-guided (`cargo install cargo-fuzz`; stable Rust does):
//!
//! ```text
//! cd tests/fuzz && mkdir -p corpus/frame
//! cargo fuzz run --fuzz-dir . --sanitizer none frame corpus/frame seeds/frame -- \
//!     -dict=dictionaries/json.dict -max_len=65536 -rss_limit_mb=1024 -timeout=10 -max_total_time=900
//! ```
//!
//! New inputs land in `corpus/`, which is not kept; what broke something goes to `seeds/`, with a test that says what
//! it was.

mod client;
mod frame;
mod metrics;
mod oracle;
mod profile;
mod send_reply;
mod stream;
mod sync_page;

use peak_alloc::PeakAlloc;

pub use frame::frame;
pub use metrics::metrics;
pub use profile::profile;
pub use send_reply::send_reply;
pub use stream::stream;
pub use sync_page::sync_page;

/// Plays one input.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Target); 6] = [
    ("frame", frame),
    ("stream", stream),
    ("sync_page", sync_page),
    ("send_reply", send_reply),
    ("profile", profile),
    ("metrics", metrics),
];

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// What is taken from the heap whatever the input is: tables made once, error texts, the test's own threads.
const SLACK: usize = 64 * 1024;

/// Does the work, and holds what it took from the heap at its peak to `factor` bytes for each byte of the input.
fn within<T>(factor: usize, input: usize, work: impl FnOnce() -> T) -> T {
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let done = work();
    let taken = HEAP.peak_usage().saturating_sub(before);
    assert!(taken <= factor * input + SLACK, "{taken} bytes of heap for {input} bytes of input");
    done
}
