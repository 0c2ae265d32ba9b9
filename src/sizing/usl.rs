//! The Universal Scalability Law: what N pods carry, fitted to what some numbers of them were seen to carry.
//!
//! ```text
//! X(N) = λ N / (1 + σ (N − 1) + κ N (N − 1))
//! ```
//!
//! λ is what one pod carries alone, σ the share of work that is done one at a time (contention), κ what pods cost each
//! other by agreeing (coherency). `N / X` is linear in `1/λ, σ/λ, κ/λ`: an ordinary least-squares problem, weighted so
//! that every point counts by its relative error, with σ and κ kept from below zero.

use rand::RngExt as _;

use crate::seed::Stream;

/// What a number of pods was seen to carry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Pods.
    pub pods: u32,
    /// Units of work per second (or units at once).
    pub carried: f64,
}

/// The law with its three coefficients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usl {
    /// What one pod carries alone.
    pub lambda: f64,
    /// Contention, 0 to 1.
    pub sigma: f64,
    /// Coherency, 0 and more.
    pub kappa: f64,
}

/// Which coefficients the points are many enough to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freedom {
    /// λ, σ and κ: five pod counts or more.
    Full,
    /// λ and σ, with κ = 0: four.
    WithoutCoherency,
}

/// A law and how far it can be believed.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// The best one.
    pub law: Usl,
    /// What was fitted.
    pub freedom: Freedom,
    /// Seen less fitted, as a share of fitted, in the order of the points.
    pub residuals: Vec<f64>,
    /// Laws as good as any, from resampled residuals.
    resampled: Vec<Usl>,
}

impl Usl {
    /// What so many pods carry.
    pub fn carries(&self, pods: u32) -> f64 {
        self.at(f64::from(pods))
    }

    /// The same between whole numbers, to draw it.
    pub fn at(&self, n: f64) -> f64 {
        self.lambda * n / (1.0 + self.sigma * (n - 1.0) + self.kappa * n * (n - 1.0))
    }

    /// The fewest pods that carry `load`; `None`: no number of them up to [`MOST_PODS`] does.
    pub fn pods_for(&self, load: f64) -> Option<u32> {
        (1..=MOST_PODS).find(|&pods| self.carries(pods) >= load)
    }
}

impl Fit {
    /// Fits the law; `None` with fewer than four pod counts, from which nothing is extrapolated, or with points that
    /// are no amounts.
    pub fn to(points: &[Point], stream: &mut Stream) -> Option<Self> {
        let mut counts: Vec<u32> = points.iter().map(|point| point.pods).collect();
        counts.sort_unstable();
        counts.dedup();
        let freedom = match counts.len() {
            0..=3 => return None,
            4 => Freedom::WithoutCoherency,
            _ => Freedom::Full,
        };
        if points.iter().any(|point| point.pods == 0 || !(point.carried > 0.0 && point.carried.is_finite())) {
            return None;
        }
        let law = solve(points, freedom)?;
        let residuals: Vec<f64> =
            points.iter().map(|point| point.carried / law.carries(point.pods) - 1.0).collect();
        let resampled = resample(points, law, &residuals, freedom, stream);
        Some(Self { law, freedom, residuals, resampled })
    }

    /// What so many pods carry: 5 %, best and 95 %.
    pub fn carries(&self, pods: u32) -> [f64; 3] {
        let mut all: Vec<f64> = self.resampled.iter().map(|law| law.carries(pods)).collect();
        all.sort_unstable_by(f64::total_cmp);
        let best = self.law.carries(pods);
        [quantile(&all, 0.05).unwrap_or(best).min(best), best, quantile(&all, 0.95).unwrap_or(best).max(best)]
    }

    /// The fewest pods that carry `load`: by the best law, and so that 95 of 100 laws agree. `None`: no number does.
    pub fn pods_for(&self, load: f64) -> [Option<u32>; 2] {
        let sure = (1..=MOST_PODS).find(|&pods| self.carries(pods)[0] >= load);
        [self.law.pods_for(load), sure]
    }
}

/// Nobody runs more of one service, and the search must end.
pub const MOST_PODS: u32 = 1_000;

/// Resampled fits: enough for the 5th and 95th percentile.
const RESAMPLES: usize = 1_000;

/// Of ascending values.
fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    values.get((share * last as f64).round() as usize).copied()
}

/// Fits to points made of the law and residuals drawn with replacement, widened for the coefficients that the fit has
/// used up.
fn resample(
    points: &[Point],
    law: Usl,
    residuals: &[f64],
    freedom: Freedom,
    stream: &mut Stream,
) -> Vec<Usl> {
    let used = if freedom == Freedom::Full { 3.0 } else { 2.0 };
    let count = residuals.len() as f64;
    let widened = (count / (count - used).max(1.0)).sqrt();
    let mut laws = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        let drawn: Vec<Point> = points
            .iter()
            .map(|point| {
                let residual = residuals[stream.random_range(0..residuals.len())] * widened;
                // A residual of −1 would be a point that carries nothing.
                Point { carried: law.carries(point.pods) * (1.0 + residual).max(0.01), ..*point }
            })
            .collect();
        laws.extend(solve(&drawn, freedom));
    }
    laws
}

/// The least-squares law with σ ≥ 0 and κ ≥ 0: of all ways to leave them out, the best that needs no negative one.
fn solve(points: &[Point], freedom: Freedom) -> Option<Usl> {
    let choices: &[&[usize]] = match freedom {
        Freedom::Full => &[&[0, 1, 2], &[0, 1], &[0, 2], &[0]],
        Freedom::WithoutCoherency => &[&[0, 1], &[0]],
    };
    let laws = choices.iter().filter_map(|columns| {
        let found = least_squares(points, columns)?;
        let [a, b, c] = found;
        (a > 0.0 && b >= 0.0 && c >= 0.0).then_some((error(points, found), found))
    });
    let (_, [a, b, c]) = laws.min_by(|one, other| one.0.total_cmp(&other.0))?;
    Some(Usl { lambda: a.recip(), sigma: b / a, kappa: c / a })
}

/// The terms of `N / X`.
fn terms(pods: u32) -> [f64; 3] {
    let n = f64::from(pods);
    [1.0, n - 1.0, n * (n - 1.0)]
}

/// Sum of squared relative errors of `N / X`.
fn error(points: &[Point], coefficients: [f64; 3]) -> f64 {
    let off = |point: &Point| {
        let seen = f64::from(point.pods) / point.carried;
        let fitted: f64 = terms(point.pods).iter().zip(coefficients).map(|(term, k)| term * k).sum();
        (fitted / seen - 1.0).powi(2)
    };
    points.iter().map(off).sum()
}

/// Solves the normal equations for these columns; the others are 0.
fn least_squares(points: &[Point], columns: &[usize]) -> Option<[f64; 3]> {
    let size = columns.len();
    let mut matrix = [[0.0; 4]; 3];
    for point in points {
        let seen = f64::from(point.pods) / point.carried;
        let row = terms(point.pods).map(|term| term / seen);
        for i in 0..size {
            for j in 0..size {
                matrix[i][j] += row[columns[i]] * row[columns[j]];
            }
            matrix[i][size] += row[columns[i]];
        }
    }
    let solution = eliminate(&mut matrix, size)?;
    let mut coefficients = [0.0; 3];
    for (&column, value) in columns.iter().zip(solution) {
        coefficients[column] = value;
    }
    Some(coefficients)
}

/// Gaussian elimination with pivots; `None`: the points do not tell the coefficients apart.
fn eliminate(matrix: &mut [[f64; 4]; 3], size: usize) -> Option<[f64; 3]> {
    for column in 0..size {
        let pivot =
            (column..size).max_by(|&i, &j| matrix[i][column].abs().total_cmp(&matrix[j][column].abs()))?;
        matrix.swap(column, pivot);
        let leading = matrix[column][column];
        if leading.abs() < f64::MIN_POSITIVE {
            return None;
        }
        let above = matrix[column];
        for row in &mut matrix[column + 1..size] {
            let factor = row[column] / leading;
            for (value, above) in row[column..=size].iter_mut().zip(&above[column..=size]) {
                *value -= factor * above;
            }
        }
    }
    let mut solution = [0.0; 3];
    for row in (0..size).rev() {
        let known: f64 = (row + 1..size).map(|k| matrix[row][k] * solution[k]).sum();
        solution[row] = (matrix[row][size] - known) / matrix[row][row];
    }
    Some(solution)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::seed::Seed;

    fn fit(points: &[Point]) -> Option<Fit> {
        Fit::to(points, &mut Seed(1).stream("usl", [0; 3]))
    }

    fn points(law: Usl, counts: &[u32], error: impl Fn(usize) -> f64) -> Vec<Point> {
        let point = |(index, &pods)| Point { pods, carried: law.carries(pods) * (1.0 + error(index)) };
        counts.iter().enumerate().map(point).collect()
    }

    #[test]
    fn three_pod_counts_tell_no_law_and_four_none_with_coherency() {
        let law = Usl { lambda: 100.0, sigma: 0.1, kappa: 0.0 };
        assert_eq!(fit(&points(law, &[1, 2, 3], |_| 0.0)), None);
        assert_eq!(fit(&points(law, &[1, 2, 3, 3, 2], |_| 0.0)), None, "repeated ones are no more");
        let four = fit(&points(law, &[1, 2, 3, 4], |_| 0.0)).expect("four");
        assert_eq!(four.freedom, Freedom::WithoutCoherency);
        assert!((four.law.sigma - 0.1).abs() < 1e-9, "{four:?}");
    }

    #[test]
    fn what_is_no_amount_is_not_fitted() {
        for carried in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let mut points = points(Usl { lambda: 1.0, sigma: 0.0, kappa: 0.0 }, &[1, 2, 3, 4, 5], |_| 0.0);
            points[2].carried = carried;
            assert_eq!(fit(&points), None, "{carried}");
        }
    }

    #[test]
    fn the_fewest_pods_are_found_and_beyond_the_peak_there_are_none() {
        let linear = Usl { lambda: 100.0, sigma: 0.0, kappa: 0.0 };
        assert_eq!(
            [99.0, 100.0, 101.0, 1000.0].map(|load| linear.pods_for(load)),
            [Some(1), Some(1), Some(2), Some(10)]
        );
        let peaked = Usl { lambda: 100.0, sigma: 0.05, kappa: 0.01 };
        let peak = (1..100).map(|pods| peaked.carries(pods)).fold(0.0, f64::max);
        assert!(peaked.pods_for(peak).is_some() && peaked.pods_for(peak * 1.001).is_none());
    }

    #[test]
    fn a_law_that_is_better_than_linear_is_linear() {
        let better: Vec<Point> =
            (1..6).map(|pods| Point { pods, carried: 100.0 * f64::from(pods).powf(1.1) }).collect();
        let fit = fit(&better).expect("five");
        assert_eq!((fit.law.sigma, fit.law.kappa), (0.0, 0.0));
        assert!(fit.residuals.iter().any(|residual| residual.abs() > 0.05), "and the residuals say so");
    }

    proptest! {
        #[test]
        fn planted_coefficients_are_recovered(
            lambda in 10.0..1e6_f64,
            sigma in 0.0..0.5_f64,
            kappa in 0.0..0.05_f64,
            more in 0_u32..4,
        ) {
            let law = Usl { lambda, sigma, kappa };
            let counts: Vec<u32> = (1..6 + more).collect();
            let fit = fit(&points(law, &counts, |_| 0.0)).expect("five or more");
            prop_assert!((fit.law.lambda / lambda - 1.0).abs() < 1e-6, "{:?}", fit.law);
            prop_assert!((fit.law.sigma - sigma).abs() < 1e-6, "{:?}", fit.law);
            prop_assert!((fit.law.kappa - kappa).abs() < 1e-6, "{:?}", fit.law);
        }

        #[test]
        fn with_two_percent_of_error_a_forecast_within_twice_the_pods_is_within_fifteen(
            sigma in 0.0..0.2_f64,
            kappa in 0.0..0.01_f64,
            signs in proptest::collection::vec(-1.0..1.0_f64, 6),
        ) {
            let law = Usl { lambda: 1000.0, sigma, kappa };
            let fit = fit(&points(law, &[1, 2, 3, 4, 5, 6], |index| signs[index] * 0.02)).expect("six");
            let [low, best, high] = fit.carries(8);
            prop_assert!(low <= best && best <= high);
            prop_assert!((best / law.carries(8) - 1.0).abs() < 0.15, "{best} for {}", law.carries(8));
        }

        #[test]
        fn whatever_the_points_are_the_law_is_one(
            carried in proptest::collection::vec(1e-3..1e9_f64, 5..8),
        ) {
            let points: Vec<Point> = (1..).zip(&carried).map(|(pods, &carried)| Point { pods, carried }).collect();
            if let Some(fit) = fit(&points) {
                prop_assert!(fit.law.lambda > 0.0 && fit.law.sigma >= 0.0 && fit.law.kappa >= 0.0);
                prop_assert!(fit.carries(3).iter().all(|carried| carried.is_finite()));
            }
        }
    }
}
