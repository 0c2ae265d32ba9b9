//! Scenarios in virtual time: profile text in, counted books out. No socket, no waiting.

#[path = "scenarios/books.rs"]
mod books;
#[path = "scenarios/defects.rs"]
mod defects;
#[path = "scenarios/matrix.rs"]
mod matrix;
#[path = "scenarios/play.rs"]
mod play;
