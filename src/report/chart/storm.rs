//! How clients came back from a storm, over time: every run a line, every variant a colour.

use plotters::chart::SeriesLabelPosition;

use super::{Axes, Chart, ChartError, Line, MARKS, Style, chart, draw_line, frame, legend, up_to};
use crate::report::storms::Storm;
use crate::sizing::storm::Variant;

/// A line, from point to point.
type Points = Vec<(f64, f64)>;

/// The runs of one variant.
pub struct Runs<'a> {
    /// Which: its place among all gives its colour.
    pub variant: Variant,
    /// In the legend.
    pub label: &'a str,
    /// The storms of its runs.
    pub storms: Vec<&'a Storm>,
}

/// Both plots; none, where no run had a storm.
///
/// # Errors
/// What cannot be drawn.
pub fn charts(all: &[Runs<'_>]) -> Result<Vec<Chart>, ChartError> {
    if all.iter().all(|runs| runs.storms.is_empty()) {
        return Ok(Vec::new());
    }
    Ok(vec![live_again(all)?, attempts(all)?])
}

fn live_again(all: &[Runs<'_>]) -> Result<Chart, ChartError> {
    let axes = Axes {
        title: "Clients live again",
        x: "time since the storm began (s)",
        y: "share of the clients that lost their stream (%)",
        x_marks: MARKS,
    };
    plot("storm-recovery.svg", &axes, all, Some(102.0), SeriesLabelPosition::LowerRight, share_back)
}

fn attempts(all: &[Runs<'_>]) -> Result<Chart, ChartError> {
    let axes = Axes {
        title: "Reconnect attempts",
        x: "time since the storm began (s)",
        y: "attempts in the second before (1/s)",
        x_marks: MARKS,
    };
    plot("storm-reconnects.svg", &axes, all, None, SeriesLabelPosition::UpperRight, attempts_per_s)
}

fn plot(
    file: &str,
    axes: &Axes<'_>,
    all: &[Runs<'_>],
    top: Option<f64>,
    place: SeriesLabelPosition,
    points: fn(&Storm) -> Points,
) -> Result<Chart, ChartError> {
    let lines: Vec<(&Runs<'_>, Vec<Points>)> =
        all.iter().map(|runs| (runs, runs.storms.iter().map(|storm| points(storm)).collect())).collect();
    let every = || lines.iter().flat_map(|(_, lines)| lines.iter().flatten());
    let right = every().map(|(x, _)| *x).fold(1.0, f64::max);
    let highest = every().map(|(_, y)| *y).fold(0.0, f64::max);
    let top = top.unwrap_or_else(|| up_to(highest));
    chart(file, axes.title, |area| {
        let mut plot = frame(area, axes, 0.0..right, 0.0..top)?;
        for (runs, lines) in lines {
            let index = Variant::ALL.iter().position(|variant| *variant == runs.variant).unwrap_or(0);
            for (line, points) in lines.into_iter().enumerate() {
                let label = (line == 0).then_some(runs.label);
                draw_line(&mut plot, Line { points, label, style: Style::of(index) })?;
            }
        }
        legend(&mut plot, place)
    })
}

/// At the end of each step, from (0, 0) on.
fn share_back(storm: &Storm) -> Points {
    let mut back = 0;
    let ends = ends(storm).zip(&storm.series.recovered).map(|(at, recovered)| {
        back += recovered;
        (at, 100.0 * back as f64 / storm.clients.max(1) as f64)
    });
    std::iter::once((0.0, 0.0)).chain(ends).collect()
}

/// At the end of each step, of the second before it; where steps are longer, of the step.
fn attempts_per_s(storm: &Storm) -> Points {
    let series = &storm.series;
    let window = ((1.0 / series.step_s).round() as usize).max(1);
    let length = window as f64 * series.step_s;
    // Until a second after the last attempt, so that every peak is seen to fall.
    let counts: Vec<u64> = series.attempts.iter().copied().chain(std::iter::repeat_n(0, window)).collect();
    let rates = (1..=counts.len()).map(|end| {
        let sum: u64 = counts[end.saturating_sub(window)..end].iter().sum();
        let at = series.from_s + end as f64 * series.step_s - storm.at_s;
        (at.max(0.0), sum as f64 / length)
    });
    std::iter::once((0.0, 0.0)).chain(rates).collect()
}

fn ends(storm: &Storm) -> impl Iterator<Item = f64> {
    let begins = storm.series.from_s - storm.at_s;
    (1_u32..).map(move |end| (begins + f64::from(end) * storm.series.step_s).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::super::tests::texts;
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_share_ends_where_everybody_is_back_and_the_rate_peaks_where_the_table_says() {
        let storm = Storm::of(&sample::storm());
        let back = share_back(&storm);
        assert_eq!((back.first(), back.last().map(|(_, share)| *share)), (Some(&(0.0, 0.0)), Some(100.0)));
        assert!(back.is_sorted_by(|one, other| one.0 <= other.0 && one.1 <= other.1), "{back:?}");
        let highest = attempts_per_s(&storm).into_iter().map(|(_, rate)| rate).fold(0.0, f64::max);
        assert!((highest - storm.attempts_per_s_max as f64).abs() < 1e-9, "{highest}");
    }

    #[test]
    fn a_plot_says_what_its_axes_and_its_lines_are_and_each_label_once() {
        let storm = Storm::of(&sample::storm());
        let runs = |variant, label| Runs { variant, label, storms: vec![&storm, &storm] };
        let all = [runs(Variant::Documented, "documented"), runs(Variant::Spread, "spread 10s")];
        let charts = charts(&all).expect("two plots");
        assert_eq!(charts.len(), 2);
        for chart in charts {
            let texts = texts(&chart.svg);
            for label in ["documented", "spread 10s", "time since the storm began (s)", chart.title.as_str()]
            {
                assert_eq!(texts.iter().filter(|text| *text == label).count(), 1, "{label}: {texts:?}");
            }
        }
    }

    #[test]
    fn without_a_storm_there_is_nothing_to_draw() {
        let none = [Runs { variant: Variant::Both, label: "both", storms: Vec::new() }];
        assert_eq!(charts(&none).expect("none"), []);
    }
}
