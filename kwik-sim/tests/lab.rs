//! What the laboratory promises, seen from the software in it.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::Duration;

use kwik_client::{Connect, Limits, Session, Trust};
use kwik_sim::link::{Chance, LinkConfig, Rate};
use kwik_sim::{Action, CLIENT, Cause, Disk, DiskState, Event, Host, Lab, SoftwareError};

const SERVER: &str = "server";
const BOUND: Duration = Duration::from_secs(60);

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn delayed(delay: Duration) -> LinkConfig {
    LinkConfig { delay, ..LinkConfig::default() }
}

/// Sends every stream back.
async fn echo(host: Host) -> Result<(), SoftwareError> {
    let mut server = host.server()?.start()?;
    host.note("up");
    while let Some(mut session) = server.accept().await {
        tokio::spawn(async move {
            while let Some(mut stream) = session.accept_bidirectional_stream().await? {
                while let Some(chunk) = stream.receive().await? {
                    stream.send(chunk).await?;
                }
                stream.finish()?;
            }
            Ok::<_, SoftwareError>(())
        });
    }
    Ok(())
}

async fn connect(host: &Host) -> Result<Session, SoftwareError> {
    let client = host.client().with_tls(host.pin_of(SERVER))?.start()?;
    Ok(client.connect(Connect::new(host.address_of(SERVER))).await?)
}

/// How long an echo of so many bytes takes.
async fn ask(host: &Host, session: &mut Session, size: usize) -> Result<Duration, SoftwareError> {
    let start = host.now();
    let mut stream = session.open_bidirectional_stream().await?;
    stream.send(Disk::content(0, size)).await?;
    stream.finish()?;
    let mut at = 0;
    while let Some(chunk) = stream.receive().await? {
        assert!(Disk::is_content(at, &chunk));
        at += chunk.len() as u64;
    }
    assert_eq!(at, size as u64);
    Ok(host.now() - start)
}

fn lab(link: LinkConfig) -> Lab {
    let mut lab = Lab::new(7);
    lab.server(SERVER, link, echo);
    lab
}

#[test]
fn a_round_trip_takes_the_delay_of_both_directions() {
    let (took, _) = lab(delayed(ms(40)))
        .run(BOUND, |host| async move {
            let mut session = connect(&host).await?;
            ask(&host, &mut session, 10).await?;
            ask(&host, &mut session, 10).await
        })
        .unwrap();
    assert!((ms(80)..=ms(84)).contains(&took), "{took:?}");
}

#[test]
fn bulk_goes_at_the_rate_of_the_link() {
    let link = LinkConfig { rate: Some(Rate::mbit(10)), ..delayed(ms(10)) };
    let size = 5_000_000;
    let (took, report) = lab(link)
        .run(BOUND, move |host| async move {
            let mut session = connect(&host).await?;
            ask(&host, &mut session, size).await
        })
        .unwrap();
    // 4 s for the payload alone; the way back overlaps, but for the start.
    assert!((ms(4_000)..ms(6_000)).contains(&took), "{took:?}");
    assert!(report.bytes_from("10.0.0.2:4433".parse().unwrap()) > size as u64);
}

#[test]
fn a_partition_stops_everything_and_heals() {
    let mut lab = lab(delayed(ms(5)));
    lab.at(ms(100), Action::Partition(CLIENT.into()));
    lab.at(ms(1_100), Action::Heal(SERVER.into()));
    let (took, _) = lab
        .run(BOUND, |host| async move {
            let mut session = connect(&host).await?;
            tokio::time::sleep(ms(200)).await;
            ask(&host, &mut session, 10).await
        })
        .unwrap();
    assert!((ms(850)..ms(2_500)).contains(&took), "{took:?}");
}

#[test]
fn a_crashed_server_is_silent_and_a_restarted_one_knows_nobody() {
    let mut lab = lab(delayed(ms(5)));
    lab.at(ms(100), Action::Crash(SERVER.into()));
    lab.at(ms(1_000), Action::Restart(SERVER.into()));
    lab.at(ms(1_000), Action::Restart(SERVER.into()));
    let (errors, report) = lab
        .run(BOUND, |host| async move {
            let mut old = connect(&host).await?;
            tokio::time::sleep(ms(200)).await;
            let lost = ask(&host, &mut old, 10).await;
            let mut new = connect(&host).await?;
            ask(&host, &mut new, 10).await?;
            Ok(lost.is_err())
        })
        .unwrap();
    assert!(errors, "the session of the crashed process still worked");
    let boots = report.events.iter().filter(|(_, event)| matches!(event, Event::Note { .. }));
    assert_eq!(boots.count(), 2, "a server that runs is not started again");
}

#[test]
fn a_frozen_host_does_nothing_and_its_clock_jumps() {
    let mut lab = Lab::new(3);
    lab.server(SERVER, delayed(ms(1)), |host: Host| async move {
        let mut last = host.now();
        loop {
            tokio::time::sleep(ms(10)).await;
            let now = host.now();
            if now - last > ms(20) {
                host.note(format!("{} ms", (now - last).as_millis()));
            }
            last = now;
        }
    });
    lab.at(ms(100), Action::Freeze(SERVER.into()));
    lab.at(ms(600), Action::Thaw(SERVER.into()));
    let (_, report) = lab
        .run(BOUND, |_| async {
            tokio::time::sleep(ms(1_000)).await;
            Ok(())
        })
        .unwrap();
    let notes: Vec<_> = report
        .events
        .iter()
        .filter_map(|(at, event)| match event {
            Event::Note { text, .. } => Some((at.as_millis(), text.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(notes, [(600, "510 ms".to_owned())]);
}

#[test]
fn a_session_survives_a_frozen_server() {
    let mut lab = lab(delayed(ms(5)));
    lab.at(ms(100), Action::Freeze(SERVER.into()));
    lab.at(ms(2_100), Action::Thaw(SERVER.into()));
    let (took, _) = lab
        .run(BOUND, |host| async move {
            let mut session = connect(&host).await?;
            tokio::time::sleep(ms(100)).await;
            ask(&host, &mut session, 100_000).await
        })
        .unwrap();
    assert!(took > ms(1_800), "{took:?}");
}

#[test]
fn corrupted_datagrams_cost_time_and_nothing_else() {
    let link = LinkConfig { corruption: Chance::percent(10), ..delayed(ms(5)) };
    lab(link)
        .run(BOUND, |host| async move {
            let mut session = connect(&host).await?;
            ask(&host, &mut session, 300_000).await
        })
        .unwrap();
}

#[test]
fn where_nobody_is_the_dial_fails_in_its_time() {
    let (error, report) = lab(delayed(ms(5)))
        .run(BOUND, |host| async move {
            let client = host.client().with_tls(host.pin_of(SERVER))?;
            let limits = Limits::new().with_dial_timeout(ms(3_000));
            let client = client.with_limits(limits).start()?;
            let nobody = Connect::new("10.9.9.9:4433".parse()?);
            Ok(client.connect(nobody).await.err().map(|error| error.to_string()))
        })
        .unwrap();
    assert!(error.unwrap().contains("10.9.9.9:4433 does not answer"));
    assert!((ms(3_000)..ms(3_100)).contains(&report.elapsed), "{:?}", report.elapsed);
    assert!(report.events.iter().any(|(_, event)| matches!(event, Event::NoRoute { .. })));
}

#[test]
fn a_disk_hangs_lies_and_goes_stale() {
    let mut lab = Lab::new(1);
    lab.server(SERVER, LinkConfig::default(), |host: Host| async move {
        let disk = host.disk();
        loop {
            let (data, version) = (disk.read(5, 10).await, disk.version());
            host.note(format!("{} {version}", Disk::is_content(5, &data)));
            tokio::time::sleep(ms(100)).await;
        }
    });
    lab.at(ms(50), Action::Disk(SERVER.into(), DiskState::Lying));
    lab.at(ms(150), Action::Disk(SERVER.into(), DiskState::Stale));
    lab.at(ms(250), Action::Disk(SERVER.into(), DiskState::Hung));
    lab.at(ms(450), Action::Disk(SERVER.into(), DiskState::Healthy));
    let (_, report) = lab
        .run(BOUND, |_| async {
            tokio::time::sleep(ms(500)).await;
            Ok(())
        })
        .unwrap();
    let notes = report.events.iter().filter_map(|(at, event)| match event {
        Event::Note { text, .. } => Some((at.as_millis() as u64, text.as_str())),
        _ => None,
    });
    let expected = [(0, "true 1"), (100, "false 1"), (200, "false 0"), (450, "true 1")];
    assert_eq!(notes.collect::<Vec<_>>(), expected);
}

#[test]
fn software_is_told_what_the_script_says() {
    let mut lab = Lab::new(1);
    lab.at(ms(70), Action::Tell(CLIENT.into(), "go".into()));
    let (heard, _) =
        lab.run(BOUND, |host| async move { Ok((host.told().await, host.now())) }).unwrap();
    assert_eq!(heard, ("go".to_owned(), ms(70)));
}

#[test]
fn a_run_that_fails_names_its_seed() {
    let failure = Lab::new(99)
        .run(ms(500), |_| async {
            std::future::pending::<()>().await;
            Ok(())
        })
        .unwrap_err();
    assert!(matches!(failure.cause, Cause::Bound(_)));
    let text = failure.to_string();
    assert!(text.contains("seed 99") && text.contains("500 ms"), "{text}");

    let mut lab = Lab::new(98);
    lab.server("bad", LinkConfig::default(), |_| async { Err("no disk".into()) });
    let failure = lab
        .run(BOUND, |_| async {
            tokio::time::sleep(ms(100)).await;
            Ok(())
        })
        .unwrap_err();
    assert!(failure.to_string().contains("bad failed: no disk"), "{failure}");

    let failure = Lab::new(97).run::<_, _, ()>(BOUND, |_| async { panic!("of the client") });
    let text = failure.unwrap_err().to_string();
    assert!(text.contains("client panicked: of the client"), "{text}");
}

#[test]
fn an_action_on_nobody_is_a_failure() {
    let mut lab = Lab::new(1);
    lab.at(ms(10), Action::Crash("nobody".into()));
    let failure = lab
        .run(BOUND, |_| async {
            tokio::time::sleep(ms(100)).await;
            Ok(())
        })
        .unwrap_err();
    assert!(matches!(failure.cause, Cause::Action(_)), "{failure}");
}

#[test]
fn what_an_unwrap_prints_is_the_failures_text() {
    let failure = lab(delayed(ms(40)))
        .run(ms(60), |host| async move {
            host.note("up and waiting");
            let mut session = connect(&host).await?;
            ask(&host, &mut session, 10).await
        })
        .unwrap_err();
    let printed = format!("{failure:?}");
    assert_eq!(printed, failure.to_string());
    assert!(printed.starts_with("seed 7, after 60 ms: "), "{printed}");
    assert!(printed.contains("up and waiting") && !printed.contains("Datagram"), "{printed}");
}

/// The client's addresses, in the order in which they were seen first.
fn addresses(events: &[(Duration, Event)]) -> Vec<SocketAddr> {
    let mut seen = Vec::new();
    for (_, event) in events {
        if let Event::Sent { from, .. } = event
            && from.port() != 4_433
            && !seen.contains(from)
        {
            seen.push(*from);
        }
    }
    seen
}

#[test]
fn a_session_goes_on_from_another_address() {
    let mut lab = lab(delayed(ms(5)));
    lab.at(ms(100), Action::Rebind(CLIENT.into()));
    lab.at(ms(600), Action::Rebind(CLIENT.into()));
    let (_, report) = lab
        .run(BOUND, |host| async move {
            let mut session = connect(&host).await?;
            for at in [200, 700] {
                tokio::time::sleep(ms(at).saturating_sub(host.now())).await;
                ask(&host, &mut session, 10_000).await?;
            }
            Ok(())
        })
        .unwrap();
    let addresses = addresses(&report.events);
    assert_eq!(addresses.len(), 3, "{addresses:?}");
}

#[test]
fn what_is_sent_to_an_address_that_was_forgotten_is_lost() {
    let mut lab = lab(delayed(ms(50)));
    lab.at(ms(470), Action::Rebind(CLIENT.into()));
    let (_, report) = lab
        .run(BOUND, |host| async move {
            let mut session = connect(&host).await?;
            // QUIC allows no other address before the handshake is confirmed. The answer to what is sent at 400 ms is on
            // its way when the address is forgotten.
            tokio::time::sleep(ms(400) - host.now()).await;
            ask(&host, &mut session, 10_000).await
        })
        .unwrap();
    let old = addresses(&report.events)[0];
    let lost = |(_, event): &(Duration, Event)| *event == Event::NotTaken { to: old };
    assert!(report.events.iter().any(lost));
}

#[test]
fn a_host_that_froze_itself_is_thawed_by_what_it_asked_for() {
    let (now, _) = Lab::new(1)
        .run(BOUND, |host| async move {
            host.act(Action::Freeze(CLIENT.into()));
            host.act_in(ms(30_000), Action::Thaw(CLIENT.into()));
            tokio::time::sleep(ms(10)).await;
            Ok(host.now())
        })
        .unwrap();
    assert!((ms(30_000)..ms(30_005)).contains(&now), "{now:?}");
}

#[test]
fn the_clock_of_a_host_that_sleeps_stands_still() {
    let mut lab = Lab::new(1);
    lab.at(ms(100), Action::Sleep(CLIENT.into()));
    lab.at(ms(30_100), Action::Thaw(CLIENT.into()));
    let ((slept, now), report) = lab
        .run(BOUND, |host| async move {
            let start = tokio::time::Instant::now();
            tokio::time::sleep(ms(200)).await;
            Ok((start.elapsed(), host.now()))
        })
        .unwrap();
    assert!((ms(200)..ms(205)).contains(&slept), "{slept:?}");
    assert!((ms(30_200)..ms(30_205)).contains(&now), "{now:?}");
    assert!((ms(30_200)..ms(30_205)).contains(&report.elapsed), "{:?}", report.elapsed);
}

#[test]
fn a_server_does_not_change_its_address() {
    let mut lab = lab(delayed(ms(5)));
    lab.at(ms(10), Action::Rebind(SERVER.into()));
    let failure = lab.run(BOUND, |host| async move { Ok(host.told().await) }).unwrap_err();
    assert!(matches!(failure.cause, Cause::Action(Action::Rebind(_))), "{failure}");
}

#[test]
fn one_client_trusts_several_servers_by_their_certificates() {
    let mut lab = Lab::new(5);
    for server in ["one", "other"] {
        lab.server(server, delayed(ms(5)), echo);
    }
    lab.run(BOUND, |host| async move {
        let trust = Trust::ca(host.certificate_of("one") + &host.certificate_of("other"));
        let client = host.client().with_tls(trust)?.start()?;
        for server in ["one", "other"] {
            let target = Connect::new(host.address_of(server)).with_server_name("lab.example");
            ask(&host, &mut client.connect(target).await?, 10).await?;
        }
        Ok(())
    })
    .unwrap();
}
