//! Every defect of the table, planted and reported: exactly, and nothing else.

use std::time::Duration;

use wavesoak::selftest::rows;

#[test]
fn every_planted_defect_is_reported_exactly_and_nothing_else_is() {
    let mut wrong = Vec::new();
    for row in rows() {
        let evidence = row.simulate().unwrap_or_else(|error| panic!("{}: {error}", row.name));
        evidence.summary.books().unwrap_or_else(|imbalances| panic!("{}: {imbalances:?}", row.name));
        assert!(evidence.duration() < Duration::from_secs(120), "{}", row.name);
        let cells = row.judge(&evidence);
        for cell in &cells {
            println!(
                "{:24} {:34} planted {:5} reported {:5}",
                row.name, cell.key, cell.planted, cell.reported
            );
        }
        let inexact: Vec<_> = cells.into_iter().filter(|cell| !cell.exact).collect();
        if !inexact.is_empty() {
            wrong.push(format!("{}: {inexact:#?}\n{:#?}", row.name, evidence.truth));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
