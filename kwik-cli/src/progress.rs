//! The bar that moves while a file arrives.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Whether a bar is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    /// If standard error is a terminal.
    OnTerminal,
    Never,
}

/// A progress bar on standard error, or nothing.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// A bar for `total` bytes.
    pub(crate) fn new(total: u64, show: Show) -> Self {
        if show == Show::Never || !io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        const FORM: &str =
            "{bar:30} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}";
        let bar = ProgressBar::new(total);
        bar.set_style(ProgressStyle::with_template(FORM).expect("the template is well-formed"));
        bar.enable_steady_tick(Duration::from_millis(250));
        Self(bar)
    }

    /// `bytes` more have arrived.
    pub(crate) fn advance(&self, bytes: u64) {
        self.0.inc(bytes);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_hidden_when_it_is_not_wanted() {
        let progress = Progress::new(10, Show::Never);
        progress.advance(3);
        assert!(progress.0.is_hidden());
    }

    #[test]
    fn the_bar_can_be_drawn() {
        let bar = Progress::new(10, Show::OnTerminal);
        bar.advance(10);
    }
}
