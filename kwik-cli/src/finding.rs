//! What a command that looks for faults has found, and what to do about it.

use std::fmt::Write as _;

use serde::Serialize;

use crate::cause::Cause;

/// How good or bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Grade {
    Good,
    /// It works, and worse than it could.
    Warning,
    /// It does not work.
    Problem,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) what: &'static str,
    pub(crate) grade: Grade,
    pub(crate) found: String,
    /// What to do; null where there is nothing to do.
    pub(crate) advice: Option<String>,
    #[serde(skip)]
    cause: Cause,
}

impl Finding {
    pub(crate) fn good(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, grade: Grade::Good, found: found.into(), advice: None, cause: Cause::Failed }
    }

    pub(crate) fn warning(
        what: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let advice = Some(advice.into());
        Self { grade: Grade::Warning, advice, ..Self::good(what, found) }
    }

    /// A problem, with what the process exits for.
    pub(crate) fn problem(
        what: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
        cause: Cause,
    ) -> Self {
        Self { grade: Grade::Problem, cause, ..Self::warning(what, found, advice) }
    }
}

/// What the process exits for: the first problem's cause; `None` without a problem.
pub(crate) fn cause(findings: &[Finding]) -> Option<Cause> {
    let mut problems = findings.iter().filter(|finding| finding.grade == Grade::Problem);
    problems.next().map(|finding| finding.cause)
}

/// The findings for people: one a line, and below it what to do.
pub(crate) fn to_text(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.what.len()).max().unwrap_or_default();
    let mut text = String::new();
    for Finding { what, grade, found, advice, .. } in findings {
        let word = match grade {
            Grade::Good => "ok",
            Grade::Warning => "warning",
            Grade::Problem => "PROBLEM",
        };
        let _ = writeln!(text, "{word:<7}  {what:<width$}  {found}");
        if let Some(advice) = advice {
            let _ = writeln!(text, "{:<7}  {:<width$}  -> {advice}", "", "");
        }
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_problem_decides_what_the_process_exits_for() {
        let problem = |cause| Finding::problem("a", "b", "c", cause);
        let warning = Finding::warning("a", "b", "c");
        assert_eq!(cause(std::slice::from_ref(&warning)), None);
        let all = [warning, problem(Cause::Disk), problem(Cause::Failed)];
        assert_eq!(cause(&all), Some(Cause::Disk));
    }

    #[test]
    fn advice_stands_below_its_finding() {
        let findings = [Finding::good("clock", "fine"), Finding::warning("port", "taken", "wait")];
        let text = to_text(&findings);
        assert_eq!(text, "ok       clock  fine\nwarning  port   taken\n                -> wait");
    }
}
