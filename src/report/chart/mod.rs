//! Plots as SVG: text that any browser shows, with no fonts inside. 800 by 480, in colours that are told apart by everybody
//! (Okabe and Ito), and lines that are told apart without them.

pub mod pods;
pub mod storm;

use plotters::backend::SVGBackend;
use plotters::chart::{ChartBuilder, ChartContext, SeriesLabelPosition};
use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea as _};
use plotters::element::PathElement;
use plotters::series::{DashedLineSeries, LineSeries};
use plotters::style::{BLACK, Color as _, RGBColor, ShapeStyle, WHITE};
use thiserror::Error;

/// One plot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chart {
    /// Name of its file.
    pub file: String,
    /// What it shows, for who cannot see it.
    pub title: String,
    /// The file.
    pub svg: String,
}

/// Completes "failed to …".
#[derive(Debug, Error)]
#[error("draw {file}: {why}")]
pub struct ChartError {
    file: String,
    why: String,
}

impl Chart {
    /// As Markdown beside it shows it.
    pub fn markdown(&self) -> String {
        format!("\n![{}]({})\n", self.title, self.file)
    }
}

const SIZE: (u32, u32) = (800, 480);
const FONT: &str = "sans-serif";

/// One after the other; whoever needs more begins again, with other lines.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Plot<'a, 'b, Y> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, Y>>;

/// What its axes say.
struct Axes<'a> {
    title: &'a str,
    x: &'a str,
    y: &'a str,
    /// Marks on the x axis, at the most.
    x_marks: usize,
}

/// As many marks as have room.
const MARKS: usize = 9;

/// A line with its place in the legend; `None`: it has one already.
struct Line<'a> {
    points: Vec<(f64, f64)>,
    label: Option<&'a str>,
    style: Style,
}

#[derive(Clone, Copy)]
struct Style {
    colour: RGBColor,
    dashed: bool,
}

impl Style {
    fn of(index: usize) -> Self {
        Self { colour: COLOURS[index % COLOURS.len()], dashed: !index.is_multiple_of(2) }
    }

    fn stroke(self) -> ShapeStyle {
        self.colour.stroke_width(2)
    }
}

fn chart(file: &str, title: &str, draw: impl FnOnce(&Area<'_>) -> Drawn) -> Result<Chart, ChartError> {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    let drawn = area.fill(&WHITE).and_then(|()| draw(&area)).and_then(|()| area.present());
    drop(area);
    drawn.map_err(|error| ChartError { file: file.to_owned(), why: error.to_string() })?;
    Ok(Chart { file: file.to_owned(), title: title.to_owned(), svg })
}

/// An empty plot with axes that say what they are of.
fn frame<'a, 'b, Y>(
    area: &'a Area<'b>,
    axes: &Axes<'_>,
    x: std::ops::Range<f64>,
    y: Y,
) -> Result<Plot<'a, 'b, Y::CoordDescType>, DrawingAreaErrorKind<std::io::Error>>
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let mut plot = ChartBuilder::on(area)
        .caption(axes.title, (FONT, 18))
        .margin(14)
        .margin_right(28)
        .x_label_area_size(48)
        .y_label_area_size(72)
        .build_cartesian_2d(x, y)?;
    plot.configure_mesh()
        .x_desc(axes.x)
        .y_desc(axes.y)
        .x_labels(axes.x_marks)
        .y_labels(MARKS)
        .x_label_formatter(&|value| short(*value))
        .y_label_formatter(&|value| short(*value))
        .label_style((FONT, 13))
        .axis_desc_style((FONT, 14))
        .light_line_style(WHITE)
        .bold_line_style(BLACK.mix(0.12))
        .draw()?;
    Ok(plot)
}

fn draw_line<'a, 'b: 'a, Y: Ranged<ValueType = f64>>(plot: &mut Plot<'a, 'b, Y>, line: Line<'_>) -> Drawn {
    let Line { points, label, style } = line;
    let drawn = if style.dashed {
        plot.draw_series(DashedLineSeries::new(points, 7, 4, style.stroke()))?
    } else {
        plot.draw_series(LineSeries::new(points, style.stroke()))?
    };
    if let Some(label) = label {
        drawn.label(label).legend(move |(x, y)| {
            // Two strokes where the line is dashed.
            let ends = if style.dashed { [(0, 8), (12, 20)] } else { [(0, 10), (10, 20)] };
            let strokes = ends.map(|(from, to)| vec![(x + from, y), (x + to, y)]);
            let [one, two] = strokes.map(|points| PathElement::new(points, style.stroke()));
            plotters::element::EmptyElement::at((0, 0)) + one + two
        });
    }
    Ok(())
}

fn legend<'a, 'b: 'a, Y: Ranged<ValueType = f64>>(
    plot: &mut Plot<'a, 'b, Y>,
    place: SeriesLabelPosition,
) -> Drawn {
    plot.configure_series_labels()
        .position(place)
        .margin(12)
        .legend_area_size(28)
        .background_style(WHITE.mix(0.9))
        .border_style(BLACK.mix(0.3))
        .label_font((FONT, 13))
        .draw()
}

/// As short as it can be told from its neighbours: 0.25, 3, 1,500, 20k.
fn short(value: f64) -> String {
    let whole = (value - value.round()).abs() < 1e-9;
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 1e6 => format!("{}M", trimmed(value / 1e6)),
        size if size >= 1e4 => format!("{}k", trimmed(value / 1e3)),
        size if size >= 1.0 && whole => super::sheet::grouped(value as u64),
        _ => trimmed(value),
    }
}

fn trimmed(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The end of an axis that has room for `most` and a little more.
fn up_to(most: f64) -> f64 {
    if most > 0.0 { most * 1.06 } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_on_an_axis_are_short() {
        let told = [0.0, 0.25, 0.1, 3.0, 1_500.0, 20_000.0, 2_500_000.0].map(short);
        assert_eq!(told, ["0", "0.25", "0.1", "3", "1,500", "20k", "2.5M"]);
    }

    /// Every text of a plot, in order.
    pub(super) fn texts(svg: &str) -> Vec<String> {
        let all = svg.split("<text").skip(1).filter_map(|rest| {
            let inner = rest.split_once('>')?.1;
            Some(inner.split_once("</text>")?.0.trim().to_owned())
        });
        all.collect()
    }
}
