//! The cookies that one client keeps between its requests, for balancers that are sticky by cookie.
//!
//! Only what stickiness needs: `name=value` is kept and sent back to the same target; path, domain and lifetime are
//! not looked at, but for the two ways to take a cookie back (`Max-Age=0` and an empty value).

/// A small jar; empty it takes the room of one pointer and a length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cookies(Option<Box<str>>);

/// Together they are never longer than this; a cookie that would not fit is not kept.
const LONGEST: usize = 2048;

impl Cookies {
    /// The value of the `Cookie` header, if there is anything to send.
    pub fn header(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// The value of the cookie of this name.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.pairs()
            .filter_map(|pair| pair.split_once('='))
            .find(|(own, _)| *own == name)
            .map(|(_, value)| value)
    }

    /// Takes in the value of a `Set-Cookie` header.
    pub fn store(&mut self, set_cookie: &str) {
        let mut parts = set_cookie.split(';').map(str::trim);
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { return };
        let (name, value) = (name.trim(), value.trim());
        let printable = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if name.is_empty() || !printable(name) || !printable(value) {
            return;
        }
        let taken_back =
            value.is_empty() || parts.any(|attribute| attribute.eq_ignore_ascii_case("max-age=0"));
        let current = format!("{name}={value}");
        if !taken_back && self.pairs().any(|pair| pair == current) {
            return;
        }
        let others = self.pairs().filter(|pair| pair.split_once('=').is_none_or(|(other, _)| other != name));
        let kept: Vec<&str> = others.chain((!taken_back).then_some(&*current)).collect();
        let jar = kept.join("; ");
        if jar.len() <= LONGEST {
            self.0 = (!jar.is_empty()).then(|| jar.into());
        }
    }

    fn pairs(&self) -> impl Iterator<Item = &str> {
        self.0.as_deref().unwrap_or("").split("; ").filter(|pair| !pair.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_value_of_a_name_is_sent_back() {
        let mut jar = Cookies::default();
        assert_eq!(jar.header(), None);
        jar.store("pod=1; Path=/; HttpOnly");
        jar.store("other=x");
        jar.store("pod=2; Path=/");
        assert_eq!(jar.header(), Some("other=x; pod=2"));
    }

    #[test]
    fn a_cookie_can_be_taken_back() {
        let mut jar = Cookies::default();
        jar.store("pod=1");
        jar.store("pod=1; Max-Age=0");
        assert_eq!(jar.header(), None);
    }

    #[test]
    fn what_is_no_cookie_or_too_long_is_not_kept() {
        let mut jar = Cookies::default();
        jar.store("nonsense");
        jar.store("=x");
        jar.store("bad=a\r\nInjected: b");
        jar.store(&format!("long={}", "x".repeat(LONGEST)));
        assert_eq!(jar.header(), None);
    }
}
