//! Requests of the file service that ask for what is not served, or that are none.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::ensure;
use kwik_tests::bare::{Message, Verdict, public_frame, public_header};

use super::{Program, answer, failure, request};
use crate::attack::Outcome::{Fails, Ignored, Throttled};
use crate::attack::{Outcome, attacks, scaled};

/// Codes of `kwik.files.v1.FailureCode`.
const NOT_FOUND: u64 = 1;
const BAD_PATH: u64 = 2;
const NOT_A_FILE: u64 = 4;
const BAD_RANGE: u64 = 5;
const TAG_MISMATCH: u64 = 6;
const BAD_REQUEST: u64 = 7;

/// All these requests fail with one of these codes.
async fn fail(arena: &Program, paths: &[&[u8]], codes: &[u64]) -> anyhow::Result<Outcome> {
    for path in paths {
        let code = arena.fails(request(path)).await?;
        ensure!(codes.contains(&code), "{:?}: {code}", String::from_utf8_lossy(path));
    }
    Ok(Fails)
}

attacks! { ATTACKS on Program;
    paths_out_of_the_root => Fails, |arena| {
        std::fs::write(arena.dir.path().join("secret"), b"secret")?;
        let paths: [&[u8]; 8] = [
            b"../secret", b"a/../../secret", b"/etc/passwd", b"./../secret", b"..", b"", b"f/../../secret",
            b"//etc/passwd",
        ];
        fail(arena, &paths, &[BAD_PATH, NOT_FOUND]).await?
    }

    paths_with_control_characters => Fails, |arena| {
        fail(arena, &[b"f\0", b"\x1b]0;owned\x07", b"a\nb", b"f\r"], &[BAD_PATH, NOT_FOUND]).await?
    }

    a_path_of_eight_kilobytes => Fails, |arena| {
        let long = "d/".repeat(3900);
        fail(arena, &[long.as_bytes()], &[BAD_PATH, NOT_FOUND, 0, 3]).await?
    }

    links_out_of_the_root => Fails, |arena| {
        std::fs::write(arena.dir.path().join("secret"), b"secret")?;
        std::os::unix::fs::symlink("../secret", arena.root().join("relative"))?;
        std::os::unix::fs::symlink(arena.dir.path().join("secret"), arena.root().join("absolute"))?;
        std::os::unix::fs::symlink("loop", arena.root().join("loop"))?;
        fail(arena, &[b"relative", b"absolute", b"loop"], &[NOT_FOUND, BAD_PATH, NOT_A_FILE, 3]).await?
    }

    a_pipe_in_the_root => Fails, |arena| {
        let made = std::process::Command::new("mkfifo").arg(arena.root().join("pipe")).status()?;
        ensure!(made.success());
        std::fs::create_dir(arena.root().join("folder"))?;
        fail(arena, &[b"pipe", b"folder"], &[NOT_A_FILE]).await?
    }

    offsets_beyond_the_file => Fails, |arena| {
        for (offset, length) in [(u64::MAX, 1), (1 << 62, u64::MAX), (0, u64::MAX), (49_153, 0), (1, 49_152)] {
            let code = arena.fails(request(b"f").varint(2, offset).varint(3, length)).await?;
            ensure!(code == BAD_RANGE, "{offset}, {length}: {code}");
        }
        Fails
    }

    tags_that_are_wrong => Fails, |arena| {
        let other = arena.fails(request(b"f").bytes(4, &[1; 32])).await?;
        let short = arena.fails(request(b"f").bytes(4, &[1; 31])).await?;
        ensure!((other, short) == (TAG_MISMATCH, BAD_REQUEST), "{other}, {short}");
        Fails
    }

    requests_of_noise => Fails, |arena| {
        for noise in [&[0xff; 9][..], &[0xb; 300], b"GET /f HTTP/1.1\r\n\r\n"] {
            let (_client, mut session) = arena.client().await?;
            let answer = answer(&mut session, Message::new().raw(noise).delimited()).await?;
            ensure!(failure(answer) == Some(BAD_REQUEST), "{noise:?}");
        }
        Fails
    }

    requests_that_are_too_long => Fails, |arena| {
        for length in [9 << 10, 1 << 34, u64::MAX >> 1] {
            let (_client, mut session) = arena.client().await?;
            let answer = answer(&mut session, kwik_tests::bare::length_prefix(length)).await?;
            ensure!(failure(answer) == Some(BAD_REQUEST), "{length}");
        }
        Fails
    }

    /// Requests that are never whole: as many as there may be.
    requests_that_never_end => Ignored, |arena| {
        let mut peer = arena.peer().await;
        let mut held = Vec::new();
        for number in 0..100 {
            let stream = 4 * number;
            let half = [public_header(stream), public_frame(stream, 0, &[200], false)];
            held.extend(peer.request(half.concat()).await);
        }
        peer.verdict().await
    }

    requests_one_after_the_other => Ignored, |arena| {
        let (_client, mut session) = arena.client().await?;
        for _ in 0..scaled(300) {
            answer(&mut session, request(b"f").delimited()).await?;
        }
        Ignored
    }

    requests_that_are_given_up => Throttled, |arena| {
        let mut peer = arena.peer().await;
        for number in 0..scaled(500) {
            let stream = 4 * number;
            let get = request(b"f").delimited();
            let frames = [public_header(stream), public_frame(stream, 0, &get, true)].concat();
            let Some(stream_pair) = peer.request(frames).await else { break };
            let (mut answer, mut ask) = stream_pair.split();
            peer.send(crate::wire::stop(stream)).await;
            let _ = (ask.reset(1u8.into()), answer.stop_sending(1u8.into()));
        }
        crate::attack::kept_up(peer.verdict().await)?
    }

    uploads_to_a_server_of_files within 24 MiB => Ignored, |arena| {
        let mut peer = arena.peer().await;
        let mut held = Vec::new();
        for number in 0..100 {
            let stream = 2 + 4 * number;
            let frames = [public_header(stream), public_frame(stream, 0, &[1; 60_000], false)];
            held.extend(peer.carrier(frames.concat()).await);
        }
        peer.verdict().await
    }

    /// Connections to the metrics that say nothing, or nonsense.
    metrics_connections_that_say_nothing => Throttled, |arena| {
        let before = arena.process().descriptors();
        let mut held = Vec::new();
        for number in 0..scaled(50) {
            let mut stream = TcpStream::connect(arena.metrics)?;
            if number % 2 == 0 {
                stream.write_all(&[0xff; 5000])?;
            }
            held.push(stream);
        }
        let after = arena.process().descriptors();
        ensure!(after <= before + held.len() + 8, "{before} descriptors, then {after}");
        let mut peer = arena.peer().await;
        assert_eq!(peer.verdict().await, Verdict::Alive);
        Throttled
    }

    metrics_requests_without_end => Throttled, |arena| {
        let address = arena.metrics;
        tokio::task::spawn_blocking(move || {
            let Ok(mut stream) = TcpStream::connect(address) else { return };
            let _ = stream.set_write_timeout(Some(Duration::from_millis(300)));
            let _ = stream.set_read_timeout(Some(Duration::from_millis(300)));
            let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\n");
            let header = format!("X: {}\r\n", "y".repeat(8000));
            for _ in 0..scaled(500) {
                if stream.write_all(header.as_bytes()).is_err() {
                    return;
                }
            }
            let _ = stream.read(&mut [0; 100]);
        })
        .await?;
        Throttled
    }
}
