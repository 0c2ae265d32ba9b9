//! Words, and what is a word or a number.

use toml::Value;

use super::super::nearest::nearest;
use super::super::{
    Arrivals, AuthMode, BalancerMode, BridgeOrder, ClientStart, Family, How, RoomType, Sessions, Sticky,
    StopCondition, Strange, TenantShares, TrafficMode, TrafficStart,
};
use super::number::decimal;
use super::{Quantity, QuantityError, Share, Written};

/// One word for each variant.
macro_rules! words {
    ($($type:ident: $wanted:literal { $($variant:ident = $word:literal),+ $(,)? })+) => {$(
        impl Written for $type {
            const WANTED: &'static str = $wanted;

            fn parse(text: &str) -> Result<Self, QuantityError> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    other => Err(unknown(other, &[$($word),+])),
                }
            }

            fn show(&self) -> String {
                match self {
                    $(Self::$variant => $word.to_owned(),)+
                }
            }

            fn with_unit(_: &str) -> Option<String> {
                None
            }
        }
    )+};
}

words! {
    BalancerMode: "\"proxy\" or \"direct\"" { Proxy = "proxy", Direct = "direct" }
    Sticky: "\"none\", \"cookie\" or \"token\"" { None = "none", Cookie = "cookie", Token = "token" }
    Sessions: "\"none\" or \"sync\"" { None = "none", Sync = "sync" }
    Family: "\"any\", \"ipv4\" or \"ipv6\"" { Any = "any", Ipv4 = "ipv4", Ipv6 = "ipv6" }
    AuthMode: "\"dev-jwt\", \"password\", \"tokens\" or \"mock\"" {
        DevJwt = "dev-jwt", Password = "password", Tokens = "tokens", Mock = "mock",
    }
    TrafficMode: "\"publish\" or \"observe\"" { Publish = "publish", Observe = "observe" }
    TrafficStart: "\"phase\" or \"all-live\"" { Phase = "phase", AllLive = "all-live" }
    Arrivals: "\"even\" or \"poisson\"" { Even = "even", Poisson = "poisson" }
    ClientStart: "\"marker\" or \"zero\"" { Marker = "marker", Zero = "zero" }
    How: "\"silent\", \"reset\" or \"fin\"" { Silent = "silent", Reset = "reset", Fin = "fin" }
    Strange: "\"malformed\", \"oversized\", \"unknown\" or \"binary\"" {
        Malformed = "malformed", Oversized = "oversized", Unknown = "unknown", Binary = "binary",
    }
    RoomType: "\"public\" or \"incognito\"" { Public = "public", Incognito = "incognito" }
    BridgeOrder: "\"sync-first\" or \"stream-first\"" { SyncFirst = "sync-first", StreamFirst = "stream-first" }
}

/// An error that lists the words there are.
pub(in super::super) fn unknown(word: &str, known: &[&str]) -> QuantityError {
    let list = known.iter().map(|known| format!("`{known}`")).collect::<Vec<_>>().join(", ");
    QuantityError::UnknownWord {
        known: list,
        suggestion: nearest(word, known.iter().copied()).map(str::to_owned),
    }
}

/// Clients of a phase: a share of `population.clients`, or a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Crowd {
    /// Of `population.clients`.
    Share(Share),
    /// As it is.
    Number(u32),
}

impl Crowd {
    /// The number, given `population.clients`; a share is rounded to the nearest whole client.
    pub fn of(self, clients: u32) -> u32 {
        match self {
            Self::Share(share) => (share.0 * f64::from(clients)).round() as u32,
            Self::Number(number) => number,
        }
    }

    const WANTED: &'static str =
        "a share of population.clients, as in \"100%\", or a whole number, as in 300";

    /// Its text, as the profile writes it (a number stands without quotes).
    pub fn show(&self) -> String {
        match self {
            Self::Share(share) => share.show(),
            Self::Number(number) => number.to_string(),
        }
    }

    /// Reads that text.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let wrong = QuantityError::Unreadable { wanted: Self::WANTED };
        match text.parse() {
            Ok(number) => Ok(Self::Number(number)),
            Err(_) if text.ends_with('%') => Share::parse(text).map(Self::Share),
            Err(_) => Err(wrong),
        }
    }
}

impl Quantity for Crowd {
    fn from_value(value: &Value) -> Result<Self, QuantityError> {
        match value {
            Value::Integer(_) => u32::from_value(value).map(Self::Number),
            Value::String(text) if text.ends_with('%') => Share::parse(text).map(Self::Share),
            _ => Err(QuantityError::Unreadable { wanted: Self::WANTED }),
        }
    }

    fn to_value(&self) -> Value {
        match self {
            Self::Share(share) => share.to_value(),
            Self::Number(number) => number.to_value(),
        }
    }
}

impl Written for TenantShares {
    const WANTED: &'static str = "\"even\" or \"zipf(s)\", as in \"zipf(1.1)\"";

    fn parse(text: &str) -> Result<Self, QuantityError> {
        let exponent = text.strip_prefix("zipf(").and_then(|rest| rest.strip_suffix(')')).map(str::trim);
        match (text, exponent.and_then(decimal)) {
            ("even", _) => Ok(Self::Even),
            (_, Some(exponent)) => Ok(Self::Zipf(exponent)),
            _ => Err(QuantityError::Unreadable { wanted: Self::WANTED }),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Even => "even".to_owned(),
            Self::Zipf(exponent) => format!("zipf({exponent})"),
        }
    }

    fn with_unit(_: &str) -> Option<String> {
        None
    }
}

impl Written for StopCondition {
    const WANTED: &'static str = "\"health\" or \"connect-failures > 50%\"";

    fn parse(text: &str) -> Result<Self, QuantityError> {
        if text == "health" {
            return Ok(Self::HealthFailing);
        }
        let share =
            text.strip_prefix("connect-failures").and_then(|rest| rest.trim_start().strip_prefix('>'));
        let share = share.ok_or(QuantityError::Unreadable { wanted: Self::WANTED })?;
        Share::parse(share.trim_start()).map(Self::ConnectFailures)
    }

    fn show(&self) -> String {
        match self {
            Self::HealthFailing => "health".to_owned(),
            Self::ConnectFailures(share) => format!("connect-failures > {}", share.show()),
        }
    }

    fn with_unit(_: &str) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_unknown_word_is_answered_with_the_words_there_are_and_the_nearest() {
        assert_eq!(
            BridgeOrder::parse("steam-first").unwrap_err().to_string(),
            "is not one of `sync-first`, `stream-first`; did you mean `stream-first`?"
        );
        assert_eq!(
            Sticky::parse("maybe").unwrap_err().to_string(),
            "is not one of `none`, `cookie`, `token`"
        );
    }

    #[test]
    fn a_number_where_a_word_is_wanted_is_answered_with_the_words() {
        assert_eq!(
            Arrivals::from_value(&Value::Integer(1)).unwrap_err().to_string(),
            "is a number: write \"even\" or \"poisson\""
        );
    }

    #[test]
    fn clients_of_a_phase_are_a_share_or_a_number() {
        assert_eq!(Crowd::from_value(&Value::String("50%".into())), Ok(Crowd::Share(Share(0.5))));
        assert_eq!(Crowd::from_value(&Value::Integer(7)), Ok(Crowd::Number(7)));
        assert_eq!(Crowd::Share(Share(0.5)).of(301), 151);
        assert_eq!(
            Crowd::from_value(&Value::String("all".into())).unwrap_err().to_string(),
            "is not a share of population.clients, as in \"100%\", or a whole number, as in 300"
        );
        assert_eq!(
            Crowd::from_value(&Value::String("120%".into())).unwrap_err().to_string(),
            "is above the largest share, 100%"
        );
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_as_the_same(share in 0.0..=1.0_f64, exponent in 0.0..20.0_f64, number: u32) {
            let (stop, shares) = (StopCondition::ConnectFailures(Share(share)), TenantShares::Zipf(exponent));
            prop_assert_eq!(StopCondition::parse(&stop.show()), Ok(stop));
            prop_assert_eq!(TenantShares::parse(&shares.show()), Ok(shares));
            for crowd in [Crowd::Share(Share(share)), Crowd::Number(number)] {
                prop_assert_eq!(Crowd::parse(&crowd.show()), Ok(crowd));
                prop_assert_eq!(Crowd::from_value(&crowd.to_value()), Ok(crowd));
            }
        }
    }
}
