//! `wavesoak size lb-timeout`

#![expect(clippy::disallowed_methods, reason = "the answer is written into files")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use url::Url;

use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::cli::own::{self, OwnError};
use crate::cli::run::Format;
use crate::cli::way::{Way, failure};
use crate::probe::Outcome;
use crate::profile::quantity::{Rate, Written as _};
use crate::report::lb_timeout::Report;
use crate::sizing::lb_timeout::advice::Factor;
use crate::sizing::lb_timeout::measure::{Setup, measure};

/// How long balancers on the way must wait, for the stream and for long polls of sync.
///
/// Measures a live path as it is: how regularly the server pings (in a quiet room, and in one where somebody publishes all
/// the time), which silences streams survive in each direction, after which time something on the way cuts a stream or a
/// long poll, and who it is; apart from an age at which streams end whatever passes, and from the server's own limits. Then
/// says what to set, with the arithmetic, what each setting costs, and the lines for nginx, HAProxy, AWS ALB, Envoy, Gateway
/// API and the nginx ingress. Streams and polls run side by side; it takes about as long as --listen, or one to two times
/// --up-to, whichever is longer, and says so before it begins.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(in crate::cli) struct LbTimeoutArgs {
    /// The URL that clients use: `https://chat.example.com`
    #[arg(long, value_name = "URL")]
    target: String,
    #[command(flatten)]
    way: Way,
    /// How long streams are held: three of the server's pings of 30 s and a little
    #[arg(long, value_name = "TIME", default_value = "95s", value_parser = listen)]
    listen: Duration,
    /// How long polls are held at most
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = up_to)]
    up_to: Duration,
    /// What the worst ping gap is multiplied by: one number, or least and most
    #[arg(long, value_name = "X..Y", default_value = "2.5..3", value_parser = factor)]
    factor: Factor,
    /// Publishes in the room of the streams that are talked to, up to 10/s
    #[arg(long, value_name = "RATE", default_value = "5/s", value_parser = load)]
    load: Rate,
    /// Directory that the answer's own directory is made in
    #[arg(long, value_name = "DIR", default_value = "reports")]
    out: PathBuf,
    /// What is printed on stdout
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

const AFTER_HELP: &str = "\
Examples:
  wavesoak size lb-timeout --target https://chat.example.com --confirm-target chat.example.com \\
      --credentials people.csv
      What the path does, and what to set.
  wavesoak size lb-timeout --target http://127.0.0.1:41234 --key-file /tmp/wavesoak-…/key --up-to 60s
      A target of one's own, polls held for a minute at most.
  wavesoak size lb-timeout --target https://chat.example.com --profile staging.toml --format json
      For a script: lb-timeout.json on stdout, progress on stderr.

Exit codes:
    0  nothing on the path is below what is needed
    1  wavesoak itself broke; believe nothing
    2  wrong usage or profile, or nothing could be measured
    3  something is: the findings say what, by which evidence, and what to set
    4  no findings, and something that was asked could not be told
  130  interrupted; the rooms are put away";

/// Measures, writes, prints, and says how it went.
pub(super) fn run(args: &LbTimeoutArgs) -> Result<Exit, Failure> {
    let profile = args.way.clear(&args.target, |profile| profile.traffic.rate = args.load)?;
    let client = profile.client.clone();
    // Before the first byte leaves: an answer that cannot be written is not worth asking for.
    let place = Place::create(&args.out, &args.target).map_err(Failure::usage)?;
    let setup = Setup { listen: args.listen, up_to: args.up_to, load: args.load };
    let measured = match measure(profile, &setup, Box::new(|line| output::talk(line))) {
        Ok(measured) => measured,
        Err(error) => {
            place.take_back();
            return Err(failure(error));
        }
    };
    let report = Report::new(&measured, &setup, &client, args.factor);
    let json = own::json(&report)?;
    place.write("lb-timeout.json", &json).map_err(Failure::internal)?;
    place.write("lb-timeout.md", &report.markdown()).map_err(Failure::internal)?;
    match args.format {
        Format::Json => output::data(&json)?,
        Format::Text => {
            output::data(&format!("{}{}\n", report.text(output::columns()), place.path.display()))?;
        }
    }
    Ok(match report.outcome {
        Outcome::Healthy | Outcome::NotAsked => Exit::Passed,
        Outcome::Finding => Exit::Failed,
        Outcome::Inconclusive => Exit::Inconclusive,
    })
}

/// The directory of one answer.
struct Place {
    path: PathBuf,
}

impl Place {
    /// `size-lb-timeout-<host>-<UTC>`; a second one in the same second gets `-2` behind it.
    fn create(out: &Path, target: &str) -> Result<Self, OwnError> {
        own::make(out)?;
        let host = Url::parse(target).ok().and_then(|url| url.host_str().map(str::to_owned));
        let host = host
            .unwrap_or_default()
            .trim_matches(['[', ']'])
            .replace(|letter: char| !letter.is_ascii_alphanumeric() && letter != '.', "-");
        let name = format!("size-lb-timeout-{host}-{}", jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ"));
        let mut path = out.join(&name);
        for count in 2.. {
            match fs::create_dir(&path) {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    path = out.join(format!("{name}-{count}"));
                }
                Err(source) => return Err(OwnError::Create { path, source }),
            }
        }
        let place = Self { path };
        place.write("lb-timeout.json", "")?;
        place.write("lb-timeout.md", "")?;
        Ok(place)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), OwnError> {
        own::write(&self.path.join(name), text)
    }

    /// There is no answer: nothing is left of it. What cannot be removed is empty.
    fn take_back(&self) {
        let _ = fs::remove_file(self.path.join("lb-timeout.json"));
        let _ = fs::remove_file(self.path.join("lb-timeout.md"));
        let _ = fs::remove_dir(&self.path);
    }
}

fn between(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let time = Duration::parse(text).map_err(|error| error.to_string())?;
    if (least..=most).contains(&time) {
        Ok(time)
    } else {
        Err(format!("write {} to {}", least.show(), most.show()))
    }
}

fn listen(text: &str) -> Result<Duration, String> {
    between(text, Duration::from_secs(1), Duration::from_secs(3600))
}

fn up_to(text: &str) -> Result<Duration, String> {
    between(text, Duration::from_secs(3), Duration::from_secs(3600))
}

fn factor(text: &str) -> Result<Factor, String> {
    text.parse().map_err(|error: crate::sizing::lb_timeout::advice::FactorError| error.to_string())
}

fn load(text: &str) -> Result<Rate, String> {
    let rate = Rate::parse(text).map_err(|error| error.to_string())?;
    if (0.1..=10.0).contains(&rate.0) { Ok(rate) } else { Err("write 0.1/s to 10/s".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_is_named_after_the_host_and_two_of_one_second_are_two() {
        let out = tempfile::tempdir().expect("a place");
        let names: Vec<String> = (0..2)
            .map(|_| {
                let place = Place::create(out.path(), "https://[::1]:8443/x").expect("made");
                place.path.file_name().expect("a name").to_string_lossy().into_owned()
            })
            .collect();
        assert!(names[0].starts_with("size-lb-timeout---1-20"), "{names:?}");
        assert_ne!(names[0], names[1]);
    }

    #[test]
    fn nothing_is_left_of_an_answer_that_never_came() {
        let out = tempfile::tempdir().expect("a place");
        Place::create(out.path(), "https://chat.example.com").expect("made").take_back();
        assert_eq!(fs::read_dir(out.path()).expect("there").count(), 0);
    }
}
