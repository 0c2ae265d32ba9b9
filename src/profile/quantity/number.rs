//! Plain values: whole numbers, fractions, text, lists, and what may be left out.

use toml::Value;

use super::{Quantity, QuantityError, type_of};

/// A decimal number without sign and exponent: `12`, `0.5`.
pub(super) fn decimal(text: &str) -> Option<f64> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if text.len() > 40 || !digits(whole) || !digits(fraction) {
        return None;
    }
    text.parse().ok()
}

/// A decimal number of units, in ones: 1.5 units of 1,000 are 1,500; `None` when that is no whole number.
pub(super) fn scaled(text: &str, unit: u128) -> Option<u128> {
    decimal(text)?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = fraction.trim_end_matches('0');
    let ones = whole.parse::<u128>().ok()?.checked_mul(unit)?;
    if fraction.is_empty() {
        return Some(ones);
    }
    let parts = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let scaled = fraction.parse::<u128>().ok()?.checked_mul(unit)?;
    scaled.is_multiple_of(parts).then_some(scaled / parts).and_then(|rest| ones.checked_add(rest))
}

/// Splits `1.5KiB` into its number and its unit.
pub(super) fn split_unit(text: &str) -> (&str, &str) {
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

impl Quantity for u32 {
    fn from_value(value: &Value) -> Result<Self, QuantityError> {
        match value {
            Value::Integer(number) if *number > i64::from(u32::MAX) => {
                Err(QuantityError::TooLarge { what: "number", largest: u32::MAX.to_string() })
            }
            Value::Integer(number) => {
                u32::try_from(*number).map_err(|_| QuantityError::Unreadable { wanted: WHOLE })
            }
            Value::Float(_) => Err(QuantityError::Unreadable { wanted: WHOLE }),
            other => Err(QuantityError::WrongType { is: type_of(other), wanted: WHOLE }),
        }
    }

    fn to_value(&self) -> Value {
        Value::Integer(i64::from(*self))
    }
}

/// A seed. TOML's integers end at 2^63 - 1; what is above is written as text.
impl Quantity for u64 {
    fn from_value(value: &Value) -> Result<Self, QuantityError> {
        match value {
            Value::Integer(number) => {
                u64::try_from(*number).map_err(|_| QuantityError::Unreadable { wanted: WHOLE })
            }
            Value::String(text) => text.parse().map_err(|_| QuantityError::Unreadable { wanted: WHOLE }),
            Value::Float(_) => Err(QuantityError::Unreadable { wanted: WHOLE }),
            other => Err(QuantityError::WrongType { is: type_of(other), wanted: WHOLE }),
        }
    }

    fn to_value(&self) -> Value {
        i64::try_from(*self).map_or_else(|_| Value::String(self.to_string()), Value::Integer)
    }
}

impl Quantity for f64 {
    fn from_value(value: &Value) -> Result<Self, QuantityError> {
        match value {
            Value::Float(number) if number.is_finite() => Ok(*number),
            Value::Float(_) => Err(QuantityError::Unreadable { wanted: FRACTION }),
            Value::Integer(number) => Ok(*number as f64),
            other => Err(QuantityError::WrongType { is: type_of(other), wanted: FRACTION }),
        }
    }

    fn to_value(&self) -> Value {
        Value::Float(*self)
    }
}

impl Quantity for bool {
    fn from_value(value: &Value) -> Result<Self, QuantityError> {
        value.as_bool().ok_or_else(|| QuantityError::WrongType {
            is: type_of(value),
            wanted: "true or false, without quotes",
        })
    }

    fn to_value(&self) -> Value {
        Value::Boolean(*self)
    }
}

impl Quantity for String {
    fn from_value(value: &Value) -> Result<Self, QuantityError> {
        match value {
            Value::String(text) => Ok(text.clone()),
            other => Err(QuantityError::WrongType { is: type_of(other), wanted: "text in quotes" }),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.clone())
    }
}

impl Quantity for Vec<String> {
    fn from_value(value: &Value) -> Result<Self, QuantityError> {
        let wrong = |is| QuantityError::WrongType { is, wanted: "a list of texts, as in [\"one\", \"two\"]" };
        let Value::Array(items) = value else { return Err(wrong(type_of(value))) };
        items
            .iter()
            .map(|item| item.as_str().map(str::to_owned).ok_or_else(|| wrong("a list of something else")))
            .collect()
    }

    fn to_value(&self) -> Value {
        Value::Array(self.iter().cloned().map(Value::String).collect())
    }
}

impl Quantity for Vec<u32> {
    fn from_value(value: &Value) -> Result<Self, QuantityError> {
        let Value::Array(items) = value else {
            return Err(QuantityError::WrongType {
                is: type_of(value),
                wanted: "a list of numbers, as in [1, 2]",
            });
        };
        items.iter().map(u32::from_value).collect()
    }

    fn to_value(&self) -> Value {
        Value::Array(self.iter().map(u32::to_value).collect())
    }
}

/// `"none"` is written out, so that an override can take back what a file sets.
impl<T: Quantity> Quantity for Option<T> {
    fn from_value(value: &Value) -> Result<Self, QuantityError> {
        match value {
            Value::String(text) if text == NONE => Ok(None),
            value => T::from_value(value).map(Some),
        }
    }

    fn to_value(&self) -> Value {
        self.as_ref().map_or_else(|| Value::String(NONE.to_owned()), T::to_value)
    }
}

const NONE: &str = "none";
const WHOLE: &str = "a whole number, as in 100";
const FRACTION: &str = "a number, as in 0.5";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_above_the_largest_toml_integer_is_written_as_text_and_read_again() {
        for seed in [0, 1, i64::MAX as u64, u64::MAX] {
            assert_eq!(u64::from_value(&seed.to_value()), Ok(seed));
        }
    }

    #[test]
    fn a_number_of_units_is_exact_or_refused() {
        assert_eq!(scaled("1.5", 1_000), Some(1_500));
        assert_eq!(scaled("1.5", 1_024), Some(1_536));
        assert_eq!(scaled("0.1", 1_024), None);
        assert_eq!(scaled("0.10", 10), Some(1));
        assert_eq!(scaled("1.", 10), None);
        assert_eq!(scaled("99999999999999999999999999999999999999", 1_000), None);
    }

    #[test]
    fn a_whole_number_is_not_text_negative_broken_or_too_large() {
        for (value, message) in [
            (Value::Integer(-1), "is not a whole number, as in 100"),
            (Value::Float(1.5), "is not a whole number, as in 100"),
            (Value::String("5".into()), "is text: write a whole number, as in 100"),
            (Value::Integer(1 << 32), "is above the largest number, 4294967295"),
        ] {
            assert_eq!(u32::from_value(&value).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn none_takes_back_what_may_be_left_out() {
        assert_eq!(Option::<u32>::from_value(&Value::String("none".into())), Ok(None));
        assert_eq!(Option::<u32>::from_value(&Value::Integer(3)), Ok(Some(3)));
    }
}
