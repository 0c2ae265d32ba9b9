//! What the one who starts the tests asks for: how many, from where.

/// A number from the environment.
#[expect(clippy::disallowed_methods, reason = "tests are told by the environment how long to go on")]
pub(crate) fn asked(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} = {text:?} is not a number")))
}
