//! What pods carried: load against latency, and capacity against pods with the law that was fitted.

use std::collections::BTreeSet;

use plotters::chart::SeriesLabelPosition;
use plotters::coord::combinators::IntoLogRange as _;
use plotters::element::{Circle, Cross, PathElement, Polygon, TriangleMarker};
use plotters::style::Color as _;

use super::{Axes, COLOURS, Chart, ChartError, Line, MARKS, Style, chart, draw_line, frame, legend, up_to};
use crate::report::sizing::{LawReport, ResourceReport};
use crate::sizing::goal::Resource;
use crate::sizing::pods::Played;
use crate::sizing::search::Found;
use crate::sizing::usl::Usl;
use crate::verdict::Outcome;

/// Of every resource that was searched: its steps, where their latencies are known, and what was found.
///
/// # Errors
/// What cannot be drawn.
pub fn charts(resources: &[ResourceReport], steps: &[Played]) -> Result<Vec<Chart>, ChartError> {
    let mut charts = Vec::new();
    for resource in resources {
        charts.extend(load_against_latency(resource.resource, steps)?);
        charts.extend(capacity_against_pods(resource)?);
    }
    Ok(charts)
}

/// The latency that a resource's load makes.
fn metric(resource: Resource) -> &'static str {
    match resource {
        Resource::Connections | Resource::Handshakes => "connect",
        Resource::SyncPages => "sync_load",
        Resource::Deliveries => "delivery_intended",
    }
}

/// One step: the load, its latency in milliseconds, what it came to.
struct Point {
    load: f64,
    ms: f64,
    outcome: Outcome,
}

fn points(resource: Resource, pods: u32, steps: &[Played]) -> Vec<Point> {
    let mine = steps.iter().filter(|step| step.resource == resource && step.pods == pods);
    let mut points: Vec<Point> = mine
        .filter_map(|step| {
            let us = *step.latency_us_p99.get(metric(resource))?;
            Some(Point { load: step.load, ms: us.max(1) as f64 / 1e3, outcome: step.outcome })
        })
        .collect();
    points.sort_by(|one, other| one.load.total_cmp(&other.load));
    points
}

fn load_against_latency(resource: Resource, steps: &[Played]) -> Result<Option<Chart>, ChartError> {
    let counts: BTreeSet<u32> = steps.iter().map(|step| step.pods).collect();
    let all: Vec<(u32, Vec<Point>)> =
        counts.into_iter().map(|pods| (pods, points(resource, pods, steps))).collect();
    let every = || all.iter().flat_map(|(_, points)| points);
    if every().next().is_none() {
        return Ok(None);
    }
    let right = up_to(every().map(|point| point.load).fold(0.0, f64::max));
    let low = every().map(|point| point.ms).fold(f64::INFINITY, f64::min);
    let high = every().map(|point| point.ms).fold(0.0, f64::max);
    let (title, x) = (format!("Load against latency: {resource}"), axis(resource));
    let y = format!("{}, p99 (ms)", metric(resource).replace('_', " "));
    let file = format!("latency-{resource}.svg");
    let drawn = chart(&file, &title, |area| {
        let axes = Axes { title: &title, x: &x, y: &y, x_marks: MARKS };
        let mut plot = frame(area, &axes, 0.0..right, (low * 0.7..high * 1.5).log_scale())?;
        for (index, (pods, points)) in all.iter().enumerate() {
            let style = Style::of(index);
            let label = format!("{pods} {}", if *pods == 1 { "pod" } else { "pods" });
            let line = points.iter().map(|point| (point.load, point.ms)).collect();
            draw_line(&mut plot, Line { points: line, label: Some(&label), style })?;
            let (passed, not): (Vec<&Point>, Vec<&Point>) =
                points.iter().partition(|point| point.outcome == Outcome::Passed);
            plot.draw_series(
                passed.iter().map(|point| Circle::new((point.load, point.ms), 4, style.colour.filled())),
            )?;
            plot.draw_series(not.iter().map(|point| Cross::new((point.load, point.ms), 5, style.stroke())))?;
        }
        // What the marks mean, in the colour of none.
        let none = plotters::style::BLACK;
        plot.draw_series(std::iter::empty::<Circle<(f64, f64), i32>>())?
            .label("passed")
            .legend(move |(x, y)| Circle::new((x + 10, y), 4, none.filled()));
        plot.draw_series(std::iter::empty::<Cross<(f64, f64), i32>>())?
            .label("failed or not judged")
            .legend(move |(x, y)| Cross::new((x + 10, y), 5, none.stroke_width(2)));
        legend(&mut plot, SeriesLabelPosition::UpperLeft)
    })?;
    Ok(Some(drawn))
}

fn capacity_against_pods(resource: &ResourceReport) -> Result<Option<Chart>, ChartError> {
    let told = |found: &Found| match *found {
        Found::Between { failed, .. } => Some(failed),
        Found::AtLeast { carried, .. } | Found::Behind { carried } => Some(carried),
        Found::LessThan { failed } => Some(failed),
        Found::Nothing { .. } => None,
    };
    let last = resource.found.iter().map(|found| found.pods).max();
    let Some(last) = last.filter(|_| resource.found.iter().any(|found| told(&found.found).is_some())) else {
        return Ok(None);
    };
    let fitted = resource.found.iter().filter_map(|found| Some(found.fitted?[2]));
    let highest = resource.found.iter().filter_map(|found| told(&found.found)).chain(fitted);
    let top = up_to(highest.fold(resource.demand, f64::max));
    let name = resource.resource;
    let (title, y) = (format!("Capacity against pods: {name}"), axis(name));
    let file = format!("capacity-{name}.svg");
    let drawn = chart(&file, &title, |area| {
        // There is no half a pod: with no more marks than there are whole numbers, none lies between them.
        let x_marks = MARKS.min(last as usize);
        let axes = Axes { title: &title, x: "pods", y: &y, x_marks };
        let right = f64::from(last) + 0.5;
        let mut plot = frame(area, &axes, 0.5..right, 0.0..top)?;
        if let Some(law) = &resource.law {
            draw_law(&mut plot, resource, law, right)?;
        }
        let needed = vec![(0.5, resource.demand), (right, resource.demand)];
        let style = Style { colour: COLOURS[1], dashed: true };
        draw_line(&mut plot, Line { points: needed, label: Some("needed"), style })?;
        draw_found(&mut plot, resource)?;
        legend(&mut plot, SeriesLabelPosition::LowerRight)
    })?;
    Ok(Some(drawn))
}

type Linear<'a, 'b> = super::Plot<'a, 'b, plotters::coord::types::RangedCoordf64>;

/// The best law, and where nine of ten laws fitted to resampled residuals lie.
fn draw_law<'a, 'b: 'a>(
    plot: &mut Linear<'a, 'b>,
    resource: &ResourceReport,
    law: &LawReport,
    right: f64,
) -> super::Drawn {
    let band = resource.found.iter().filter_map(|found| Some((f64::from(found.pods), found.fitted?)));
    let (low, high): (Vec<_>, Vec<_>) =
        band.map(|(pods, [low, _, high])| ((pods, low), (pods, high))).unzip();
    let outline: Vec<(f64, f64)> = low.into_iter().chain(high.into_iter().rev()).collect();
    let colour = COLOURS[0];
    if outline.len() > 2 {
        plot.draw_series(std::iter::once(Polygon::new(outline, colour.mix(0.2))))?
            .label("90 % of resampled laws")
            .legend(move |(x, y)| {
                plotters::element::Rectangle::new([(x, y - 5), (x + 20, y + 5)], colour.mix(0.2).filled())
            });
    }
    let usl = Usl { lambda: law.lambda, sigma: law.sigma, kappa: law.kappa };
    let steps = (right * 20.0) as u32;
    let points = (10..=steps).map(|step| {
        let pods = f64::from(step) / 20.0;
        (pods, usl.at(pods))
    });
    let line = Line {
        points: points.filter(|(pods, _)| *pods >= 1.0).collect(),
        label: Some("by the law"),
        style: Style { colour, dashed: false },
    };
    draw_line(plot, line)
}

/// From what passed to what failed; and where nothing failed, or nothing passed, which way the limit lies.
fn draw_found<'a, 'b: 'a>(plot: &mut Linear<'a, 'b>, resource: &ResourceReport) -> super::Drawn {
    let black = plotters::style::BLACK;
    let all = || resource.found.iter().map(|found| (f64::from(found.pods), found.found));
    let between = all().filter_map(|(pods, found)| match found {
        Found::Between { carried, failed } => Some((pods, carried, failed)),
        _ => None,
    });
    let between: Vec<(f64, f64, f64)> = between.collect();
    if !between.is_empty() {
        let ranges = between.iter().map(|&(pods, carried, failed)| {
            PathElement::new(vec![(pods, carried), (pods, failed)], black.stroke_width(2))
        });
        plot.draw_series(ranges)?;
        let middles = between.iter().map(|&(pods, carried, failed)| {
            Circle::new((pods, f64::midpoint(carried, failed)), 4, black.filled())
        });
        plot.draw_series(middles)?
            .label("measured: passed to failed")
            .legend(move |(x, y)| Circle::new((x + 10, y), 4, black.filled()));
    }
    let at_least: Vec<(f64, f64)> = all()
        .filter_map(|(pods, found)| match found {
            Found::AtLeast { carried, .. } | Found::Behind { carried } => Some((pods, carried)),
            _ => None,
        })
        .collect();
    if !at_least.is_empty() {
        plot.draw_series(at_least.into_iter().map(|at| TriangleMarker::new(at, 6, black.filled())))?
            .label("measured: at least")
            .legend(move |(x, y)| TriangleMarker::new((x + 10, y), 6, black.filled()));
    }
    let less: Vec<(f64, f64)> = all()
        .filter_map(|(pods, found)| match found {
            Found::LessThan { failed } => Some((pods, failed)),
            _ => None,
        })
        .collect();
    if !less.is_empty() {
        plot.draw_series(less.into_iter().map(|at| Cross::new(at, 5, black.stroke_width(2))))?
            .label("measured: less than")
            .legend(move |(x, y)| Cross::new((x + 10, y), 5, black.stroke_width(2)));
    }
    Ok(())
}

fn axis(resource: Resource) -> String {
    match resource {
        Resource::Connections => "open streams".to_owned(),
        Resource::SyncPages => "sync pages (1/s)".to_owned(),
        Resource::Handshakes => "upgrades (1/s)".to_owned(),
        Resource::Deliveries => "deliveries (1/s)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::texts;
    use super::*;
    use crate::report::sizing::FoundReport;

    /// Five pod counts, each a hundred a second more, but for the last, of which only that much is known.
    fn resource() -> ResourceReport {
        let found = |pods: u32| {
            let carried = f64::from(pods) * 100.0;
            let found = match pods {
                5 => Found::AtLeast { carried, unjudged: None },
                _ => Found::Between { carried, failed: carried * 1.05 },
            };
            FoundReport {
                pods,
                found,
                limit: found.limit(),
                fitted: Some([carried * 0.9, carried, carried * 1.1]),
            }
        };
        ResourceReport {
            resource: Resource::Deliveries,
            demand: 450.0,
            pods: Some(5),
            pods_by: "measured",
            per_pod: Some(100.0),
            found: (1..=5).map(found).collect(),
            law: Some(LawReport {
                lambda: 100.0,
                sigma: 0.0,
                kappa: 0.0,
                coherency_fixed: false,
                largest_residual: 0.0,
            }),
        }
    }

    fn step(pods: u32, load: f64, us: Option<u64>) -> Played {
        let latency = us.map_or_else(|| json!({}), |us| json!({ "delivery_intended": us }));
        serde_json::from_value(json!({
            "resource": "deliveries", "pods": pods, "load": load, "again": 0, "because": [], "run": "run",
            "outcome": if load > 150.0 { "failed" } else { "passed" }, "latency_us_p99": latency,
        }))
        .expect("a step")
    }

    #[test]
    fn a_plot_names_each_pod_count_and_what_its_marks_mean() {
        let steps = [step(1, 50.0, Some(900)), step(1, 160.0, Some(2_000_000)), step(2, 100.0, Some(1_500))];
        let charts = charts(&[resource()], &steps).expect("drawn");
        let files: Vec<&str> = charts.iter().map(|chart| chart.file.as_str()).collect();
        assert_eq!(files, ["latency-deliveries.svg", "capacity-deliveries.svg"]);
        let says = |chart: &Chart, words: &[&str]| {
            let texts = texts(&chart.svg);
            for word in words {
                assert_eq!(texts.iter().filter(|text| text == word).count(), 1, "{word}: {texts:?}");
            }
        };
        says(
            &charts[0],
            &["1 pod", "2 pods", "deliveries (1/s)", "delivery intended, p99 (ms)", "failed or not judged"],
        );
        let marks = [
            "by the law",
            "90 % of resampled laws",
            "needed",
            "measured: passed to failed",
            "measured: at least",
        ];
        says(&charts[1], &marks);
    }

    #[test]
    fn there_is_no_half_a_pod_on_the_axis() {
        for last in (1..=20).chain([37, 100]) {
            let mut resource = resource();
            resource.law = None;
            let found = Found::AtLeast { carried: 100.0, unjudged: None };
            resource.found = vec![FoundReport { pods: last, found, limit: None, fitted: None }];
            // Those of the other axis are whole in any case.
            let chart = capacity_against_pods(&resource).expect("drawn").expect("something to draw");
            let numbers = texts(&chart.svg).into_iter().filter_map(|text| text.parse::<f64>().ok());
            let pods: Vec<f64> = numbers.filter(|number| *number <= f64::from(last) + 0.5).collect();
            assert!(pods.iter().all(|pods| pods.fract() == 0.0), "{last}: {pods:?}");
            assert!(pods.iter().any(|pods| *pods > 0.0), "{last}: {pods:?}");
        }
    }

    #[test]
    fn steps_without_a_latency_are_not_drawn_and_neither_is_what_nobody_found() {
        let mut resource = resource();
        resource.law = None;
        resource.found =
            vec![FoundReport { pods: 1, found: Found::Nothing { unjudged: 9.0 }, limit: None, fitted: None }];
        assert_eq!(charts(&[resource], &[step(1, 50.0, None)]).expect("nothing"), []);
    }
}
