//! Quantities with units, as a profile writes them, and back: what [`Written::show`] gives, [`Written::parse`]
//! reads as the very same value.

mod duration;
mod limit;
mod number;
mod rate;
mod size;
mod words;

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use toml::Value;

pub use duration::DURATION_MAX;
pub use rate::{RATE_MAX, Rate, Share};
pub use size::Size;
pub use words::Crowd;
pub(super) use words::unknown as unknown_word;

/// Something that a profile writes as one TOML value.
pub trait Quantity: Sized {
    /// Reads it. The error completes "`key` = value …".
    fn from_value(value: &Value) -> Result<Self, QuantityError>;

    /// Writes it so that [`Quantity::from_value`] reads the same again.
    fn to_value(&self) -> Value;
}

/// A quantity that is text: a number with its unit, or a word.
pub trait Written: Sized {
    /// What is wanted, with an example: completes "is not …".
    const WANTED: &'static str;

    /// Reads the text.
    fn parse(text: &str) -> Result<Self, QuantityError>;

    /// Writes the text.
    fn show(&self) -> String;

    /// What to write instead of this bare number, where a number lacks nothing but its unit.
    fn with_unit(number: &str) -> Option<String>;
}

impl<T: Written> Quantity for T {
    fn from_value(value: &Value) -> Result<Self, QuantityError> {
        match value {
            Value::String(text) => Self::parse(text.trim()),
            Value::Integer(number) => Err(bare::<T>(&number.to_string())),
            Value::Float(number) => Err(bare::<T>(&number.to_string())),
            other => Err(QuantityError::WrongType { is: type_of(other), wanted: T::WANTED }),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.show())
    }
}

/// Why a value is not the quantity that its key wants. Completes "`key` = value: …".
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the fields are the words that the messages are made of")]
pub enum QuantityError {
    /// A number without its unit.
    #[error("a bare number has no unit: write {write}")]
    BareNumber { write: String },
    /// Text that cannot be read.
    #[error("is not {wanted}")]
    Unreadable { wanted: &'static str },
    /// None of the words that the key knows.
    #[error("is not one of {known}{}", did_you_mean(suggestion.as_deref()))]
    UnknownWord { known: String, suggestion: Option<String> },
    /// Readable, and too large.
    #[error("is above the largest {what}, {largest}")]
    TooLarge { what: &'static str, largest: String },
    /// A number, a list, … where something else is wanted.
    #[error("is {is}: write {wanted}")]
    WrongType { is: &'static str, wanted: &'static str },
}

/// "; did you mean `…`?", or nothing.
pub(super) fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map(|word| format!("; did you mean `{word}`?")).unwrap_or_default()
}

fn bare<T: Written>(number: &str) -> QuantityError {
    match T::with_unit(number) {
        Some(write) => QuantityError::BareNumber { write: format!("\"{write}\"") },
        None => QuantityError::WrongType { is: "a number", wanted: T::WANTED },
    }
}

fn unreadable<T: Written>(text: &str) -> QuantityError {
    match number::decimal(text) {
        Some(_) => bare::<T>(text),
        None => QuantityError::Unreadable { wanted: T::WANTED },
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "text",
        Value::Integer(_) | Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

/// `Display` and `FromStr` by way of [`Written`].
macro_rules! displayed {
    ($($type:ty),+ $(,)?) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.pad(&self.show())
            }
        }

        impl FromStr for $type {
            type Err = QuantityError;

            fn from_str(text: &str) -> Result<Self, QuantityError> {
                Self::parse(text)
            }
        }
    )+};
}

displayed!(
    Rate,
    Share,
    Size,
    Crowd,
    super::Payload,
    super::TenantShares,
    super::Limit,
    super::StopCondition,
    super::BalancerMode,
    super::Sticky,
    super::AuthMode,
    super::TrafficStart,
    super::Arrivals,
    super::ClientStart,
    super::BridgeOrder,
    super::How,
    super::Strange,
);
