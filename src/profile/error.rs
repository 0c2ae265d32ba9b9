//! What can be wrong with a profile. Every message completes "failed to …".

use std::fmt;
use std::io;

use thiserror::Error;

use super::overrides::OverrideError;
use super::quantity::QuantityError;

/// Why there is no profile.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "the fields are the words that the messages are made of")]
pub enum ProfileError {
    /// Neither a file nor a built-in.
    #[error(
        "find the profile `{name}`: there is no such file, and the built-in profiles are {builtins}{advice}"
    )]
    NotFound { name: String, builtins: String, advice: String },
    /// The file cannot be read.
    #[error("read the profile {path}: {source}")]
    Read { path: String, source: io::Error },
    /// The file is no profile, by its size alone.
    #[error("read the profile {path}: it is larger than {limit} bytes, which no profile is")]
    TooLarge { path: String, limit: usize },
    /// Not TOML.
    #[error("parse the profile {origin}: line {line}, column {column}: {message}")]
    Syntax { origin: String, line: usize, column: usize, message: String },
    /// `--set` and its shorthands.
    #[error("change the profile {origin}: {source}")]
    Override { origin: String, source: OverrideError },
    /// Everything that is wrong with it, in the order of the file.
    #[error("accept the profile {origin}: {}", listed(problems))]
    Invalid { origin: String, problems: Vec<Problem> },
}

impl ProfileError {
    /// The problems of an [`ProfileError::Invalid`]; none otherwise.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Invalid { problems, .. } => problems,
            _ => &[],
        }
    }
}

/// One thing that is wrong: where, what stands there, and what to write instead.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// The full path of the key.
    pub key: String,
    /// What stands there, or what it comes to; `None` where nothing does.
    pub value: Option<String>,
    /// It came from `--set` or a shorthand, not from the file.
    pub overridden: bool,
    /// What is wrong with it.
    pub why: Why,
}

impl Problem {
    pub(super) fn new(key: impl Into<String>, value: impl fmt::Display, why: impl Into<Why>) -> Self {
        Self { key: key.into(), value: Some(short(&value.to_string())), overridden: false, why: why.into() }
    }

    pub(super) fn absent(key: impl Into<String>, why: Why) -> Self {
        Self { key: key.into(), value: None, overridden: false, why }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "`{}`", short(&self.key))?;
        if let Some(value) = &self.value {
            write!(out, " = {value}")?;
        }
        if self.overridden {
            write!(out, " (not from the file, but from the command line)")?;
        }
        write!(out, ": {}", self.why)
    }
}

/// The rules, each with what to do about it.
#[derive(Clone, Debug, PartialEq, Error)]
#[expect(missing_docs, reason = "the fields are the words that the messages are made of")]
pub enum Why {
    // Keys and values.
    #[error("there is no such key{advice}")]
    UnknownKey { advice: String },
    #[error("is a table: write [{key}]")]
    Table { key: String },
    #[error("is a list of tables: write [[{key}]]")]
    ListOfTables { key: String },
    #[error(transparent)]
    Quantity(#[from] QuantityError),
    #[error("{0}")]
    Shape(String),
    #[error("is missing: write {write}")]
    Missing { write: &'static str },
    #[error("another {what} has this name: names are unique")]
    DuplicateName { what: &'static str },
    #[error("must be above zero: write at least {least}")]
    NotAboveZero { least: &'static str },
    #[error("must be {least} or more")]
    TooLittle { least: String },
    #[error("must be {most} or less")]
    TooMuch { most: String },
    #[error(
        "names the run directory: write letters, digits, `-`, `_` and `.`, at most 64, the first a letter or digit"
    )]
    BadName,
    #[error("must be one line of at most 200 characters")]
    BadText,
    #[error("names no key of a profile: write its full path, as in `target.embedded.ping_interval`")]
    ShortensNothing,

    // Target.
    #[error("is not the address of a target: write https://HOST or http://HOST:PORT, without a path's query")]
    BadUrl,
    #[error("holds a user name or a password, and secrets stay out of profiles: write the address alone")]
    SecretInUrl,
    #[error("is not a host: write its name alone, as in \"chat.example.com\"")]
    BadHost,
    #[error("is for a deployment: name it in target.url, or write \"dev-jwt\"")]
    OnlyOnDeployment,
    #[error("is missing: it names the CSV file of the identities that this auth.mode signs in")]
    NoCredentials,
    #[error("is not read when auth.mode is \"{mode}\": leave it out")]
    NotRead { mode: String },
    #[error("must be 1: to a server in mock mode every token is the same user")]
    OneUser,
    #[error("must be host:port:address, as in \"chat.example.com:443:192.0.2.7\"")]
    BadResolve,
    #[error("is not an address of this machine: write it in numbers, as in \"192.0.2.10\"")]
    BadAddress,
    #[error("is not an HTTP proxy: write http://HOST:PORT")]
    BadProxy,
    #[error("is not the name of a header or a cookie: letters, digits and any of !#$%&'*+-.^_`|~")]
    NoToken,
    #[error("is no command: write program and arguments, as in [\"kubectl\", \"get\", \"pods\"]")]
    NoCommand,
    #[error(
        "has no place for the number of pods: write {{pods}} where it goes, as in \"--replicas={{pods}}\""
    )]
    NoPlaceForPods,
    #[error("takes back what nothing does: write sizing.scale beside it, or leave it out")]
    NothingScales,
    #[error("is for the shell, which takes one line: write one text in the list, or leave out shell = true")]
    OneLine,
    #[error("is not a header: write \"Name: value\" in ASCII")]
    BadHeader,
    #[error("is a header that the harness sets itself, or one that carries secrets: leave it out")]
    OwnHeader,

    // Population.
    #[error(
        "are fewer than the {tenants} tenants, and no tenant may be empty: raise clients or lower population.tenants"
    )]
    FewerClientsThanTenants { tenants: u32 },
    #[error("is more than the {rooms} rooms of a tenant: lower it or raise population.rooms_per_tenant")]
    MoreRoomsThanThereAre { rooms: u32 },
    #[error("leaves rooms without members, in which nobody could publish: write {instead}")]
    EmptyRooms { instead: &'static str },
    #[error("times {clients} clients is more than {most} memberships: lower one of them")]
    TooManyMemberships { clients: u32, most: u32 },

    #[error("is for a deployment: name it in target.url, or leave it out")]
    NoDeployment,
    #[error("is for rooms that are made, and population.rooms names existing ones: leave it out")]
    NothingIsMade,

    // Phases.
    #[error("is missing: a run needs at least one [[phase]], as in duration = \"30s\", clients = \"100%\"")]
    NoPhases,
    #[error("is no time in which to go from {from} to {to} clients: write a duration above \"0s\"")]
    ChangeInNoTime { from: u32, to: u32 },
    #[error("is no time: write a duration above \"0s\", or leave the phase out")]
    NoTime,
    #[error("are more than the {clients} of population.clients: lower it or raise population.clients")]
    MoreThanPopulation { clients: u32 },
    #[error("no phase has a client: write clients = \"100%\" in the first one")]
    NobodyEver,
    #[error("all phases together last longer than {longest}: shorten them")]
    TooLong { longest: String },
    #[error(
        "cannot be reached: the phases that change the number of clients take {ramps} of it, which is not stretched{no_hold}"
    )]
    DurationDoesNotFit { ramps: String, no_hold: &'static str },

    // Traffic.
    #[error(
        "is {bytes} bytes, smaller than the stamp that every message carries: write at least \"{least}B\""
    )]
    PayloadTooSmall { bytes: u32, least: u32 },
    #[error("is {bytes} bytes, more than ScaiWave accepts: write at most \"{}KiB\"", most / 1024)]
    PayloadTooLarge { bytes: u32, most: u32 },
    #[error("ends below its beginning: write the smaller size first")]
    PayloadReversed,
    #[error(
        "over all phases publishes about {events} events, more than {most}: lower the rate or shorten the phases"
    )]
    TooManyEvents { events: u64, most: u32 },

    #[error("publishes something, and traffic.mode is \"observe\": leave it out")]
    NothingIsPublished,
    #[error("needs rooms in which others publish: name them in population.rooms")]
    NothingToObserve,
    #[error("is done to what is published, and traffic.mode is \"observe\": leave it out")]
    FaultNotObservable,
    #[error("cannot be known when traffic.mode is \"observe\", because {why}: leave it out")]
    NotObservable { why: &'static str },

    // Clients.
    #[error("is more than ScaiWave accepts: write at most {most}")]
    SyncLimit { most: u32 },
    #[error("is not between 0.0 and 1.0: write 0.0 for the documented schedule")]
    Jitter,

    // Faults.
    #[error("begins after the end of the phases, at {end}: begin earlier or make a phase longer")]
    FaultAfterEnd { end: String },
    #[error("is not used by the kind `{kind}`, which takes {takes}: leave it out")]
    FaultKey { kind: &'static str, takes: String },
    #[error("is missing: the kind `{kind}` needs it, as in {example}")]
    FaultNeeds { kind: &'static str, example: &'static str },
    #[error("says whom it hits, as `{by}` does: write one of them")]
    SaidTwice { by: &'static str },
    #[error("names nobody: write at least one number")]
    NamesNobody,
    #[error("is a member of that room, to whom nothing can leak: write another one's number")]
    MemberAlready,
    #[error(
        "is no code that a server may close with: write one of 1000 to 4999, but not 1004 to 1006 or 1015"
    )]
    CloseCode,
    #[error("is longer than the {most} bytes that a close frame holds: shorten it")]
    CloseReason { most: usize },
    #[error("is no status of a failure: write one of 400 to 599")]
    FailureStatus,
    #[error("there are {count} {what}, counted from 0: write at most {}", count.saturating_sub(1))]
    OutOfRange { count: u32, what: &'static str },
    #[error("and count go beyond the largest sequence number, {}: lower one of them", u32::MAX)]
    BeyondLastEvent,
    #[error(
        "sets the balancer's idle timeout, and there is no balancer: write mode = \"proxy\" in target.embedded.balancer"
    )]
    NoBalancer,

    // Drain and objectives.
    #[error(
        "is shorter than twice client.lateness_bound, which every drain waits: write at least \"{least}\""
    )]
    DrainTooShort { least: String },
    #[error("names nothing that is judged{advice}")]
    UnknownObjective { advice: String },
    #[error("judges the same as `{other}`: leave one of them out")]
    SameObjective { other: String },
    #[error("is a latency, and a latency's limit has a unit of time: write a duration, as in \"<= 500ms\"")]
    LatencyWithoutUnit,
    #[error("is a count: write a whole number, as in \"= 0\"")]
    NotACount,
    #[error("is a share of what was planned: write a percentage, as in \">= 99%\"")]
    NotAShare,
    #[error("is always known: leave out `if exposed`")]
    AlwaysExposed,
}

/// One problem on the same line, several on a line each.
fn listed(problems: &[Problem]) -> String {
    match problems {
        [one] => one.to_string(),
        many => {
            let shown = many.iter().take(LISTED).map(|problem| format!("\n  {problem}"));
            let more = many.len().saturating_sub(LISTED);
            shown.chain((more > 0).then(|| format!("\n  and {more} more"))).collect()
        }
    }
}

/// Problems of one error that are listed; nobody reads more at a time.
const LISTED: usize = 50;

pub(super) fn short(text: &str) -> String {
    const LONGEST: usize = 120;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
