//! Reading single values out of JSON of any shape: what is not of the shape hoped for is skipped, never an error.
//!
//! A type says with [`Take`] what it makes of each kind of JSON value; everything it does not speak of becomes
//! its `Default`. Only broken syntax is an error (and, in the few fields that are really read, a text with half a
//! surrogate pair or a number beyond all floats, which `serde_json` cannot step over).

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// What is made of a JSON value of any kind.
pub(super) trait Take<'de>: Default {
    /// Of a text; borrowed when it has no escapes.
    fn text(_: Cow<'de, str>) -> Self {
        Self::default()
    }

    /// Of a whole number from 0 to `u64::MAX`.
    fn unsigned(_: u64) -> Self {
        Self::default()
    }

    /// Of `true` or `false`.
    fn flag(_: bool) -> Self {
        Self::default()
    }

    /// Of `null`.
    fn null() -> Self {
        Self::default()
    }

    /// Of an object; must read it to its end.
    fn map<A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        drain_map(map).map(|()| Self::default())
    }

    /// Of a list; must read it to its end.
    fn seq<A: SeqAccess<'de>>(seq: A) -> Result<Self, A::Error> {
        drain_seq(seq).map(|()| Self::default())
    }
}

/// A value read by [`Take`].
pub(super) struct Taken<T>(pub T);

impl<'de, T: Take<'de>> Deserialize<'de> for Taken<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any(PhantomData)).map(Self)
    }
}

/// A key of an object, as bytes, so that no key can be an error.
pub(super) struct Key<'de>(pub Cow<'de, [u8]>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(AnyKey)
    }
}

/// Takes the next value of an object.
pub(super) fn value<'de, T: Take<'de>, A: MapAccess<'de>>(map: &mut A) -> Result<T, A::Error> {
    map.next_value::<Taken<T>>().map(|taken| taken.0)
}

/// Skips the next value of an object.
pub(super) fn skip<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>().map(drop)
}

/// A text, or nothing.
#[derive(Default)]
pub(super) struct Text<'de>(pub Option<Cow<'de, str>>);

impl<'de> Take<'de> for Text<'de> {
    fn text(text: Cow<'de, str>) -> Self {
        Self(Some(text))
    }
}

/// A whole number from 0 to `u64::MAX`, or nothing.
#[derive(Default)]
pub(super) struct Whole(pub Option<u64>);

impl Take<'_> for Whole {
    fn unsigned(number: u64) -> Self {
        Self(Some(number))
    }
}

/// `true`, `false`, or nothing.
#[derive(Default)]
pub(super) struct Flag(pub Option<bool>);

impl Take<'_> for Flag {
    fn flag(flag: bool) -> Self {
        Self(Some(flag))
    }
}

fn drain_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

fn drain_seq<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<(), A::Error> {
    while seq.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

struct Any<T>(PhantomData<T>);

impl<'de, T: Take<'de>> Visitor<'de> for Any<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<T, E> {
        Ok(T::flag(flag))
    }

    fn visit_i64<E>(self, _: i64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_u64<E>(self, number: u64) -> Result<T, E> {
        Ok(T::unsigned(number))
    }

    fn visit_f64<E>(self, _: f64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        Ok(T::text(Cow::Owned(text.to_owned())))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<T, E> {
        Ok(T::text(Cow::Borrowed(text)))
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::null())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::map(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<T, A::Error> {
        T::seq(seq)
    }
}

struct AnyKey;

impl<'de> Visitor<'de> for AnyKey {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_bytes<E>(self, key: &[u8]) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Owned(key.to_vec())))
    }

    fn visit_borrowed_bytes<E>(self, key: &'de [u8]) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Borrowed(key)))
    }
}
