//! A secondary lies about one stream after the other: three pay for it, and no further one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kwik_client::{Connect, ErrorCode, Fault, PathMetrics, SessionMetrics};
use kwik_server::{Delegate, Event as PrimaryEvent, LocalSupply, PathId};
use kwik_sim::{Action, Disk, DiskState, Event, Host, Lab, SoftwareError};

use super::common::{PRIMARY, edge, for_seeds, ideal, link, percent_of, send, within};

const SIZE: u64 = 6 << 20;
const STREAMS: usize = 6;
const BOUND: Duration = Duration::from_secs(30);

async fn primary(host: Host) -> Result<(), SoftwareError> {
    let mut server = host.server()?.with_identity(host.signing_key())?.start()?;
    let mut session = server.accept().await.ok_or("no session")?;
    for index in 0..2 {
        session.add_path(host.path_to(&edge(index))).await?;
    }
    let handle = session.handle();
    let noting = host.clone();
    tokio::spawn(async move {
        while let Some(event) = handle.next_event().await {
            if let PrimaryEvent::PathDown(path, reason, _) = event {
                noting.note(format!("down: {path:?} {reason:?}"));
            }
        }
    });
    for number in 0.. {
        let Some(stream) = session.accept_bidirectional_stream().await? else { return Ok(()) };
        let (_, mut send) = stream.split();
        // Each is another file: a refusal of one says nothing about the next.
        let order = Delegate::new(0..SIZE, format!("file {number}").into());
        send.delegate(order.with_local(Arc::new(host.disk()), LocalSupply::Fallback).with_proof())
            .await?;
        tokio::spawn(async move { send.close().await });
    }
    Ok(())
}

async fn obey(host: Host) -> Result<(), SoftwareError> {
    let primary = host.public_key_of(PRIMARY);
    let (_, mut sessions) = host.server()?.with_trusted_primaries([primary])?.start()?.split();
    while let Some(mut session) = sessions.accept().await {
        let host = host.clone();
        tokio::spawn(async move {
            while let Ok(Some(order)) = session.next_delegation().await {
                let disk = host.disk();
                tokio::spawn(async move { send(&disk, order, false, false).await });
            }
        });
    }
    Ok(())
}

/// What each stream took, and the liar's state after each and in the end.
type Found = (Vec<Duration>, Vec<&'static str>);

async fn client(host: Host) -> Result<Found, SoftwareError> {
    let liar_at = host.address_of(&edge(0));
    let client = host.client().with_tls(host.pin_of(PRIMARY))?.start()?;
    let mut session = client.connect(Connect::new(host.address_of(PRIMARY))).await?;
    let (mut times, mut states) = (Vec::new(), Vec::new());
    for _ in 0..STREAMS {
        let start = host.now();
        let mut stream = session.open_bidirectional_stream().await?;
        stream.send("x".into()).await?;
        stream.finish()?;
        let mut at = 0;
        while let Some(chunk) = stream.receive().await? {
            assert!(Disk::is_content(at, &chunk), "wrong bytes from {at} on");
            at += chunk.len() as u64;
        }
        assert_eq!(at, SIZE);
        times.push(host.now() - start);
        states.push(liar(&session.metrics().await?, liar_at).state);
    }
    // Time for a redial, if there were one.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let metrics = session.metrics().await?;
    let lied = |fault: &Fault| fault.code == ErrorCode::DataConflict;
    let liars = metrics.faults.iter().filter(|fault| lied(fault)).map(|fault| fault.address);
    assert_eq!(liars.collect::<Vec<_>>(), [liar_at]);
    states.push(liar(&metrics, liar_at).state);
    Ok((times, states))
}

fn liar(metrics: &SessionMetrics, at: SocketAddr) -> &PathMetrics {
    metrics.paths.iter().find(|path| path.address == at).unwrap()
}

#[test]
fn who_lies_about_three_streams_is_not_asked_for_a_fourth() {
    for_seeds(|seed, _| {
        let mut lab = Lab::new(seed);
        lab.server(PRIMARY, link(50, 20), primary);
        for index in 0..2 {
            lab.server(&edge(index), link(40, 20), obey);
        }
        lab.at(Duration::ZERO, Action::Disk(edge(0), DiskState::Lying));
        let ran = lab.run(BOUND, client);
        let ((times, states), report) = ran.unwrap_or_else(|failure| panic!("{failure}"));
        println!("{times:?}");
        assert_eq!(states, ["live", "live", "gone", "gone", "gone", "gone", "gone"]);
        let told = format!("down: {:?} {:?}", PathId::new(1), Some(ErrorCode::DataConflict));
        let is_told = |event: &Event| matches!(event, Event::Note { text, .. } if *text == told);
        assert!(report.events.iter().any(|(_, event)| is_told(event)));
        for time in &times[3..] {
            within("a stream afterwards", *time, percent_of(ideal(SIZE, 40), 125));
        }
    });
}
