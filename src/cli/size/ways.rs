//! The settings of other ways of coming back than the documented one.

use std::time::Duration;

use clap::Args;

use super::duration;
use crate::sizing::storm::Ways;

#[derive(Clone, Copy, Debug, Args)]
pub(super) struct WaysArgs {
    /// Time over which first retries are spread (client.first_retry_spread)
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    spread: Duration,
    /// Share by which delays are shortened at the most, 0.01 to 1 (client.jitter)
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, value_parser = jitter)]
    jitter: f64,
}

impl WaysArgs {
    /// Each played so often.
    pub(super) fn repeated(self, repeat: u32) -> Ways {
        Ways { spread: self.spread, jitter: self.jitter, repeat }
    }
}

fn jitter(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(jitter) if (0.01..=1.0).contains(&jitter) => Ok(jitter),
        _ => Err("write a share of each delay from 0.01 to 1, such as 0.5".to_owned()),
    }
}
