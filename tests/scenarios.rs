//! Scenarios in virtual time: profile text in, counted books out. No socket, no waiting.

#[path = "scenarios/asked.rs"]
mod asked;
#[path = "scenarios/books.rs"]
mod books;
#[path = "scenarios/compare.rs"]
mod compare;
#[path = "scenarios/defects.rs"]
mod defects;
#[path = "scenarios/histories/mod.rs"]
mod histories;
#[path = "scenarios/matrix.rs"]
mod matrix;
#[path = "scenarios/oracle/mod.rs"]
mod oracle;
#[path = "scenarios/play.rs"]
mod play;
#[path = "scenarios/random_faults.rs"]
mod random_faults;
#[path = "scenarios/random_plans.rs"]
mod random_plans;
#[path = "scenarios/random_profile.rs"]
mod random_profile;
#[path = "scenarios/restarts.rs"]
mod restarts;
#[path = "scenarios/rules.rs"]
mod rules;
#[path = "scenarios/shrink.rs"]
mod shrink;
#[path = "scenarios/storms.rs"]
mod storms;
