use std::io;
use std::sync::Arc;

use super::*;

/// What was logged.
#[derive(Clone, Debug, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines that `act` logs.
fn logged(act: impl FnOnce()) -> Vec<String> {
    let written = Written::default();
    let writer = written.clone();
    let subscriber = subscriber(EnvFilter::new("debug"), move || writer.clone());
    tracing::subscriber::with_default(subscriber, act);
    let bytes = written.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
}

#[test]
fn a_client_that_repeats_itself_is_logged_a_few_times() {
    let complain = |client: &str, times: u32| {
        let client: Option<SocketAddr> = client.parse().ok();
        let span = tracing::info_span!("session", id = 1, client = ?client);
        let _entered = span.entered();
        for _ in 0..times {
            complaint();
        }
    };
    fn complaint() {
        tracing::warn!("the client lost a secondary");
    }
    let lines = logged(|| {
        complain("192.0.2.1:1", 100_000);
        // Another port of it.
        complain("192.0.2.1:2", 100_000);
        complain("192.0.2.2:1", 1);
    });
    assert_eq!(lines.len(), 8 + 1, "{lines:?}");
    assert!(lines[8].contains("192.0.2.2") && !lines[8].contains("more like it"), "{lines:?}");
}

#[test]
fn what_was_asked_for_by_name_is_all_written() {
    let lines = logged(|| (0..100).for_each(|_| tracing::debug!("a detail")));
    assert_eq!(lines.len(), 100);
}

#[test]
fn what_a_peer_says_forges_no_line_and_moves_no_cursor() {
    let detail = "x\n2026-01-01T00:00:00.000000Z  WARN forged\x1b[2K\u{202e}\u{2028}\u{9b}1A";
    let lines = logged(|| {
        let span = tracing::info_span!("session", detail = %detail);
        let _entered = span.entered();
        tracing::warn!(detail, path = %detail, "{detail}");
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(!lines[0].chars().any(|c| c.is_control() || matches!(c, '\u{202e}' | '\u{2028}')));
}
