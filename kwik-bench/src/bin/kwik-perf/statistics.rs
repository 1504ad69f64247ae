//! What several runs say together.

use serde::Serialize;

/// Median and spread of some samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// First and third quartile.
    pub(crate) quartiles: [f64; 2],
    pub(crate) samples: usize,
}

impl Summary {
    /// Of at least one sample; without any it is all zeros.
    pub(crate) fn of(samples: &[f64]) -> Self {
        let sorted = sorted(samples);
        Self {
            median: quantile(&sorted, 0.5),
            min: quantile(&sorted, 0.0),
            max: quantile(&sorted, 1.0),
            quartiles: [quantile(&sorted, 0.25), quantile(&sorted, 0.75)],
            samples: samples.len(),
        }
    }
}

/// The median.
pub(crate) fn median(samples: &[f64]) -> f64 {
    quantile(&sorted(samples), 0.5)
}

/// The value that the part `q` of the sorted samples does not exceed, between the two nearest.
pub(crate) fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let at = q * last as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    below + (above - below) * at.fract()
}

/// In ascending order.
pub(crate) fn sorted(samples: &[f64]) -> Vec<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_lies_between_the_two_in_the_middle() {
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
    }

    #[test]
    fn quartiles_and_extremes() {
        let summary = Summary::of(&[5.0, 1.0, 3.0, 2.0, 4.0]);
        assert_eq!((summary.min, summary.max), (1.0, 5.0));
        assert_eq!(summary.quartiles, [2.0, 4.0]);
    }

    #[test]
    fn nothing_is_zero() {
        assert_eq!(Summary::of(&[]).median, 0.0);
    }
}
