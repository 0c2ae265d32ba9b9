//! `wavesoak selftest`

#![expect(clippy::disallowed_methods, reason = "it says how long it took")]

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use clap::builder::PossibleValuesParser;
use comfy_table::{Attribute, CellAlignment, Color, ContentArrangement, LineStyle, Table, TableStyle};

use super::exit::{Exit, Failure};
use super::output;
use super::own::{self, OwnError, make, write};
use super::run::Format;
use crate::report::run::RunError;
use crate::selftest::sockets::{Play, Played, play};
use crate::selftest::{Line, Matrix, Row, rows};

/// Plant every defect and print the detection matrix.
///
/// Plays a small run for each defect that the embedded target, its balancer and the network know how to plant, over real
/// sockets, several runs at a time, and holds what each run reports against what the target knows that it did. Defects
/// that are planted by coordinates are played in virtual time as well, and both must agree to the unit. Without ROWs, all
/// are played, and the matrix is written into the output directory as detection-matrix.json and detection-matrix.md.
#[derive(Debug, Args)]
#[command(after_help = EXITS)]
pub(super) struct SelftestArgs {
    /// Rows to play (default: all); nothing is written then
    #[arg(value_name = "ROW", value_parser = names(), hide_possible_values = true)]
    rows: Vec<String>,
    /// Print the names of all rows and what they plant
    #[arg(long)]
    list: bool,
    /// Runs at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
    /// Directory that the matrix is written into
    #[arg(long, value_name = "DIR", default_value = "reports")]
    out: PathBuf,
    /// Keep the run directory of each row in this directory
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// What is printed on stdout
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

const EXITS: &str = "\
Examples:
  wavesoak selftest                           every defect, about two minutes
  wavesoak selftest lose-in-store --keep .    one of them, and its run directory to look into

Exit codes:
    0  every row is exact, and the clean runs report nothing
    1  a row is not exact: believe no number of this build
    2  wrong usage, a machine that is too small, or the matrix cannot be written
    4  rows are not exact, and in each of them the harness itself was the bottleneck of the run
  130  interrupted";

/// Plays the rows and prints what came of them.
pub(super) fn run(args: &SelftestArgs) -> Result<Exit, Failure> {
    if args.list {
        output::data(&list())?;
        return Ok(Exit::Passed);
    }
    let chosen = chosen(&args.rows);
    let exe = own::exe()?;
    let whole = args.rows.is_empty();
    if whole {
        make(&args.out).map_err(Failure::usage)?;
    }
    let scratch = tempfile::tempdir()
        .map_err(|source| Failure::usage(OwnError::Create { path: std::env::temp_dir(), source }))?;
    let out = args.keep.clone().unwrap_or_else(|| scratch.path().to_owned());
    make(&out).map_err(Failure::usage)?;

    let begun = Instant::now();
    let how = Play { exe, out, jobs: args.jobs.into() };
    let lines = played(&chosen, &how)?;
    let matrix = Matrix::new(lines);
    let json = own::json(&matrix)?;
    if whole {
        write(&args.out.join("detection-matrix.json"), &json).map_err(Failure::usage)?;
        write(&args.out.join("detection-matrix.md"), &matrix.markdown()).map_err(Failure::usage)?;
    }
    match args.format {
        Format::Json => output::data(&json)?,
        Format::Text => output::data(&text(&matrix))?,
    }
    output::talk(format_args!("{:.0} s", begun.elapsed().as_secs_f64()));
    Ok(match (matrix.exact, matrix.is_inconclusive()) {
        (true, _) => Exit::Passed,
        (false, true) => Exit::Inconclusive,
        (false, false) => Exit::Internal,
    })
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(rows().iter().map(|row| row.name))
}

/// The rows of these names, in the order of the table; all of them, if there are no names.
fn chosen(names: &[String]) -> Vec<&'static Row> {
    let wanted = |row: &&Row| names.is_empty() || names.iter().any(|name| name == row.name);
    rows().iter().filter(wanted).collect()
}

/// What became of each row, unless something ended them all.
fn played(rows: &[&Row], how: &Play) -> Result<Vec<Line>, RunError> {
    let mut lines: Vec<Option<Line>> = vec![None; rows.len()];
    let mut done = 0;
    play(rows, how, |Played { index, line, directory }| {
        done += 1;
        let state = if line.exact { "exact" } else { "NOT EXACT" };
        let place =
            directory.filter(|_| !line.exact).map_or_else(String::new, |at| format!(" {}", at.display()));
        output::talk(format_args!("[{done}/{}] {}: {state}{place}", rows.len(), line.name));
        lines[index] = Some(line);
    })?;
    Ok(lines.into_iter().flatten().collect())
}

fn list() -> String {
    let width = rows().iter().map(|row| row.name.len()).max().unwrap_or(0);
    rows().iter().map(|row| format!("{:width$}  {}\n", row.name, row.defect)).collect()
}

fn text(matrix: &Matrix) -> String {
    const RULED: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));
    let mut table = Table::new();
    table
        .load_style(RULED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(output::columns())
        .force_no_tty()
        .enforce_styling();
    let head = ["row", "defect", "reported as", "planted", "reported", "virtual", "verdict", ""];
    table.set_header(head.map(|head| comfy_table::Cell::new(head).add_attribute(Attribute::Bold)));
    for line in &matrix.rows {
        for fields in line.fields() {
            let colour = if fields[7] == "exact" { Color::Green } else { Color::Red };
            let cells = fields.into_iter().enumerate().map(|(column, field)| {
                let cell = comfy_table::Cell::new(field.replace('`', ""));
                match column {
                    3..=5 => cell.set_alignment(CellAlignment::Right),
                    7 => cell.fg(colour),
                    _ => cell,
                }
            });
            table.add_row(cells);
        }
    }
    let colour = if matrix.exact { "\x1b[32m" } else { "\x1b[31m" };
    format!("{table}\n\x1b[1m{colour}{}\x1b[0m\n", matrix.headline())
}
