//! The profiles in the binary.

/// A profile in the binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Builtin {
    /// What `wavesoak run` calls it.
    pub name: &'static str,
    /// Its `about`.
    pub about: &'static str,
    /// Its TOML.
    pub text: &'static str,
}

/// All of them, the quickest first; the annotated reference is not among them.
pub fn builtins() -> &'static [Builtin] {
    &BUILTINS
}

/// The one of this name.
pub fn builtin(name: &str) -> Option<&'static Builtin> {
    BUILTINS.iter().find(|builtin| builtin.name == name)
}

/// The profile that explains every key: its unit, its default, why it is so, and whether the documentation says so.
pub fn reference() -> &'static str {
    include_str!("../../profiles/annotated.toml")
}

macro_rules! builtins {
    ($($name:literal: $about:literal),+ $(,)?) => {
        const BUILTINS: [Builtin; [$($name),+].len()] = [
            $(Builtin {
                name: $name,
                about: $about,
                text: include_str!(concat!("../../profiles/", $name, ".toml")),
            }),+
        ];
    };
}

builtins! {
    "smoke": "300 clients lose a pod and come back: the whole harness in under 30 s",
    "ci": "resets, expired tokens and silent connections, with pings and watchdog shortened: under 60 s",
    "lb-timeout": "a balancer that cuts idle streams before the next ping: drops every few seconds",
    "steady": "5,000 clients, nothing planted: what a quiet fleet costs",
    "reconnect-storm": "5,000 clients, one of three pods dies and comes back",
    "soak": "12 hours of steady traffic with a fault of each kind now and then",
}
