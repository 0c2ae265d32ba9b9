//! `latency.hlog`: an HdrHistogram log (V2), one line per interval and metric, values in microseconds.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::time::{Duration, SystemTime};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, IntervalLogWriterError, Tag};

use crate::collector::collected::{Distribution, Metric};
use crate::report::RunInfo;

/// The open log.
#[derive(Debug)]
pub(super) struct HistogramLog {
    file: File,
}

impl HistogramLog {
    /// Writes the header; times of the lines count from the run's start.
    pub(super) fn begin(mut file: File, info: &RunInfo) -> io::Result<Self> {
        let start = SystemTime::from(info.started_at);
        IntervalLogWriterBuilder::new()
            .add_comment("[Latencies of a wavesoak run in microseconds, one tag per metric]")
            .with_start_time(start)
            .with_base_time(start)
            .begin_log_with(&mut file, &mut V2DeflateSerializer::new())?;
        Ok(Self { file })
    }

    /// One line per metric that has samples. A histogram holds neither what was out of its range nor what never
    /// arrived: where there were any, a comment counts them.
    pub(super) fn interval(
        &mut self,
        end: Duration,
        length: Duration,
        latencies: &BTreeMap<Metric, Distribution>,
    ) -> io::Result<()> {
        let start = end.saturating_sub(length);
        let mut lines = Vec::new();
        let mut serializer = V2DeflateSerializer::new();
        let mut writer = IntervalLogWriterBuilder::new().begin_log_with(&mut lines, &mut serializer)?;
        for (metric, distribution) in latencies.iter().filter(|(_, all)| all.count() > 0) {
            let written =
                writer.write_histogram(&distribution.histogram, start, length, Tag::new(metric.name()));
            written.map_err(into_io)?;
            if distribution.out_of_range + distribution.not_delivered > 0 {
                writer.write_comment(&format!(
                    "[{} at {:.3}: {} out of range, {} not delivered]",
                    metric.name(),
                    start.as_secs_f64(),
                    distribution.out_of_range,
                    distribution.not_delivered
                ))?;
            }
        }
        self.file.write_all(&lines)
    }
}

fn into_io<E: std::error::Error + Send + Sync + 'static>(error: IntervalLogWriterError<E>) -> io::Error {
    match error {
        IntervalLogWriterError::IoError(error) => error,
        IntervalLogWriterError::SerializeError(error) => io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use base64::Engine as _;
    use hdrhistogram::Histogram;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;
    use crate::report::sample;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the log is a file")]
    fn a_reader_of_the_format_finds_every_interval_again() {
        let out = tempfile::tempdir().expect("a place");
        let path = out.path().join("latency.hlog");
        let mut log =
            HistogramLog::begin(File::create_new(&path).expect("made"), &sample::info()).expect("written");
        let mut latencies = BTreeMap::from([(Metric::Hello, Distribution::default())]);
        latencies.insert(Metric::Arrival, sample::distribution(1_000..1_100));
        latencies.get_mut(&Metric::Arrival).expect("there").not_delivered = 4;
        for second in 1..=3 {
            log.interval(Duration::from_secs(second), Duration::from_secs(1), &latencies).expect("written");
        }
        let bytes = fs::read(&path).expect("there");
        assert!(String::from_utf8_lossy(&bytes).contains("4 not delivered"));
        let intervals: Vec<_> = IntervalLogIterator::new(&bytes)
            .filter_map(|entry| match entry.expect("a good line") {
                LogEntry::Interval(interval) => Some(interval),
                _ => None,
            })
            .collect();
        assert_eq!(intervals.len(), 3, "a metric without samples has no line");
        assert_eq!(intervals[2].start_timestamp(), Duration::from_secs(2));
        assert_eq!(intervals[2].tag().expect("tagged").as_str(), "arrival");
        let encoded = intervals[2].encoded_histogram();
        let raw = base64::engine::general_purpose::STANDARD.decode(encoded).expect("base64");
        let read: Histogram<u64> = Deserializer::new().deserialize(&mut raw.as_slice()).expect("a histogram");
        assert_eq!((read.len(), read.min()), (100, 1_000));
    }
}
