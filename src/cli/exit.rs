//! Exit codes, as the contract has them.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use crate::report::run::RunError;
use crate::verdict::Outcome;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// Objectives met; for a command without objectives: done.
    Passed,
    /// Our own error.
    Internal,
    /// Usage, profile or preflight: no client started.
    Usage,
    /// The target missed an objective.
    Failed,
    /// Nobody can tell.
    Inconclusive,
    /// By SIGINT or SIGTERM.
    Interrupted,
}

impl Exit {
    fn code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Internal => 1,
            Self::Usage => 2,
            Self::Failed => 3,
            Self::Inconclusive => 4,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl From<Outcome> for Exit {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Passed => Self::Passed,
            Outcome::Failed => Self::Failed,
            Outcome::Inconclusive => Self::Inconclusive,
        }
    }
}

/// A command that could not do what it was asked for. The error is a fragment that completes "failed to …".
#[derive(Debug)]
pub(super) struct Failure {
    exit: Exit,
    error: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// No client started.
    pub(super) fn usage(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit: Exit::Usage, error: Some(error.into()) }
    }

    /// Our own error.
    pub(super) fn internal(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit: Exit::Internal, error: Some(error.into()) }
    }

    /// A person ended it; there is nothing to explain.
    pub(super) fn interrupted() -> Self {
        Self { exit: Exit::Interrupted, error: None }
    }

    /// The code to end with.
    pub(super) fn exit(&self) -> Exit {
        self.exit
    }
}

/// What a person can put right is no error of ours.
impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Preflight(source) => Self::usage(source),
            RunError::Internal(source) => Self::internal(source),
            RunError::Interrupted => Self::interrupted(),
        }
    }
}

/// The error and what caused it, one on a line. A cause that the line before already says is not repeated.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(error) = &self.error else { return f.write_str("interrupted") };
        let mut said = error.to_string();
        write!(f, "failed to {said}")?;
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !said.contains(&text) {
                write!(f, "\n  because: {text}")?;
                said = text;
            }
            cause = error.source();
        }
        if self.exit == Exit::Internal {
            f.write_str("\n  This is an error of wavesoak, not of the target.")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use thiserror::Error;

    use super::*;

    #[derive(Debug, Error)]
    #[error("open `{name}`")]
    struct Open {
        name: &'static str,
        source: io::Error,
    }

    #[derive(Debug, Error)]
    #[error("read it: {source}")]
    struct Repeating {
        source: io::Error,
    }

    #[test]
    fn an_error_is_told_with_its_causes_each_once() {
        let failure = Failure::usage(Open { name: "x", source: io::Error::other("no such thing") });
        assert_eq!(failure.to_string(), "failed to open `x`\n  because: no such thing");
        let failure = Failure::usage(Repeating { source: io::Error::other("no such thing") });
        assert_eq!(failure.to_string(), "failed to read it: no such thing");
    }

    #[test]
    fn codes_are_the_contracts() {
        let all =
            [Exit::Passed, Exit::Internal, Exit::Usage, Exit::Failed, Exit::Inconclusive, Exit::Interrupted];
        assert_eq!(all.map(Exit::code), [0, 1, 2, 3, 4, 130]);
    }
}
