//! Sessions on tokio: sockets, clocks, tokens. It carries out what pure rooms ask for and has no opinions.

pub mod api;
pub mod clock;
pub mod cookies;
pub mod endpoint;
pub mod fleet;
pub mod frames;
pub mod http;
pub mod identities;
pub mod line;
pub mod minter;
pub mod preflight;
pub mod provision;
pub mod publisher;
pub mod route;
pub mod source;
pub mod store;
pub mod strain;
pub mod stream;
pub mod tokens;
pub mod transport;

mod anyone;
mod distrust;
mod private_lines;
mod table;
mod upgrade;

pub use private_lines::{PrivateFileError, Purpose};
