//! What a primary's session remembers of its secondaries: their grants, and that they were taken out.

use super::*;
use crate::delegation::{Candidates, Local};
use crate::session::PrimarySession;
use crate::session::primary::{AddPathError, Event, MAX_PATHS, Output as PrimaryOutput, PathSpec};

struct Desk {
    primary: PrimarySession,
    now: Instant,
}

impl Desk {
    /// With a stream of the client, id 0, and the handshake done.
    fn new() -> Self {
        let (config, now) = (SessionConfig::default(), Instant::ZERO);
        let mut primary = PrimarySession::new(&config, &hello(), SESSION, 7, now).unwrap();
        primary.handle_header(4, stream(0)).unwrap();
        let mut desk = Self { primary, now };
        desk.outputs();
        desk
    }

    fn outputs(&mut self) -> Vec<PrimaryOutput> {
        std::iter::from_fn(|| self.primary.poll_output(self.now)).collect()
    }

    fn hear(&mut self, frame: ControlFrame) {
        self.primary.handle_control(frame, self.now);
    }

    fn add(&mut self, server: u8, grant_all: bool) -> PathId {
        let spec = PathSpec {
            addresses: vec![format!("198.51.100.{server}:443").parse().unwrap()],
            identity: ServerIdentity::Pin([server; 32]),
            grant_all,
        };
        self.primary.add_path(spec, self.now).unwrap()
    }

    fn add_live(&mut self, server: u8) -> PathId {
        let path = self.add(server, false);
        self.answer(path, 1, ErrorCode::None);
        self.status(path, 1, PathState::Live);
        self.outputs();
        path
    }

    fn answer(&mut self, path: PathId, epoch: u32, code: ErrorCode) {
        let (epoch, detail) = (Epoch(epoch), String::new());
        self.hear(ControlFrame::AddPathResult(AddPathResult { path, epoch, code, detail }));
    }

    fn status(&mut self, path: PathId, epoch: u32, state: PathState) {
        self.hear(ControlFrame::PathStatus(PathStatus {
            path,
            epoch: Epoch(epoch),
            state,
            reason: None,
            smoothed_rtt_us: 20_000,
            rtt_variation_us: 1000,
            received_bytes: 0,
            busy_us: 0,
        }));
    }

    fn redial(&mut self, path: PathId) {
        self.status(path, 1, PathState::Gone);
        self.hear(ControlFrame::TokenRequest(TokenRequest { path, epoch: Epoch(1) }));
    }

    fn window(&mut self, id: u64, max: u64) {
        let frame = StreamWindow { stream: stream(id), max_offset: offset(max) };
        self.hear(ControlFrame::StreamWindow(frame));
    }

    fn delegate(&mut self, part: ByteRange, local: Local) {
        let (resource, all) = (Bytes::from_static(b"x"), Candidates::All);
        self.primary.delegate(stream(0), part, resource, all, local, self.now).unwrap();
    }

    /// (path, epoch, order) of all that is signed now.
    fn orders(&mut self) -> Vec<(PathId, Epoch, Order)> {
        let mut orders = Vec::new();
        for output in self.outputs() {
            if let PrimaryOutput::Sign(signed) = output {
                let to = (signed.path, signed.epoch);
                orders.extend(signed.orders.into_iter().map(|order| (to.0, to.1, order)));
            }
        }
        orders
    }

    fn grants(&mut self) -> Vec<(PathId, u32, Grant)> {
        let grant = |(path, epoch, order): (PathId, Epoch, Order)| match order {
            Order::Grant(grant) => Some((path, epoch.0, grant)),
            _ => None,
        };
        self.orders().into_iter().filter_map(grant).collect()
    }

    fn known(&self) -> usize {
        self.primary.paths.len()
    }
}

fn grant(id: u64, start: u64, end: Option<u64>, window: u64) -> Grant {
    Grant {
        stream: stream(id),
        start: offset(start),
        end: end.map(offset),
        max_offset: offset(window),
    }
}

mod grants {
    use super::*;

    #[test]
    fn a_grant_carries_the_window_of_its_stream() {
        let mut desk = Desk::new();
        let edge = desk.add_live(1);
        assert!(desk.primary.grant(edge, stream(0), offset(0), Some(offset(100))));
        desk.window(0, 1 << 20);
        assert!(desk.primary.grant(edge, stream(0), offset(50), None));
        let expected = [grant(0, 0, Some(100), 65_536), grant(0, 50, None, 1 << 20)];
        assert_eq!(desk.grants().map_grants(), expected);
    }

    #[test]
    fn a_path_dialled_again_gets_exactly_the_grants_that_it_had() {
        let mut desk = Desk::new();
        let edge = desk.add_live(1);
        for (start, end) in [(0, Some(100)), (0, Some(100)), (200, Some(300)), (9000, None)] {
            desk.primary.grant(edge, stream(0), offset(start), end.map(offset));
        }
        desk.window(0, 1 << 20);
        desk.outputs();
        desk.redial(edge);
        let renewed = desk.grants();
        assert!(renewed.iter().all(|(path, epoch, _)| (*path, *epoch) == (edge, 2)));
        let window = 1 << 20;
        let expected = [
            grant(0, 0, Some(100), window),
            grant(0, 200, Some(300), window),
            grant(0, 9000, None, window),
        ];
        assert_eq!(renewed.map_grants(), expected);
    }

    #[test]
    fn what_was_read_takes_no_room() {
        let mut desk = Desk::new();
        let edge = desk.add_live(1);
        let most = crate::grant::Grants::MAX_RANGES as u64;
        let give = |desk: &mut Desk, n: u64| {
            let (start, end) = (offset(n * 200), Some(offset(n * 200 + 100)));
            desk.primary.grant(edge, stream(0), start, end)
        };
        assert!((0..most).all(|n| give(&mut desk, n)));
        assert!(!give(&mut desk, most), "all of it is unread");
        desk.hear(ControlFrame::StreamProgress(StreamProgress {
            stream: stream(0),
            read_offset: offset(100 * 200),
            contiguous_end: offset(100 * 200),
            held: Vec::new(),
            reader_waiting: false,
        }));
        assert!((most..most + 100).all(|n| give(&mut desk, n)));
        desk.outputs();
        desk.redial(edge);
        assert_eq!(desk.grants().len() as u64, most, "what was read is not granted again");
    }

    #[test]
    fn what_no_stream_or_path_can_use_is_not_granted() {
        let mut desk = Desk::new();
        let edge = desk.add_live(1);
        let mut refused = |path, id, start, end| {
            !desk.primary.grant(path, stream(id), offset(start), Some(offset(end)))
        };
        assert!(refused(edge, 0, 100, 100), "no bytes");
        assert!(refused(edge, 0, 100, 50), "backwards");
        assert!(refused(PathId::new(9), 0, 0, 100), "no such path");
        assert!(refused(edge, 4, 0, 100), "no such stream");
        desk.primary.remove_path(edge, desk.now);
        assert!(!desk.primary.grant(edge, stream(0), offset(0), None), "a removed path");
        assert_eq!(desk.grants(), []);
    }

    #[test]
    fn a_path_that_is_granted_everything_gets_the_streams_that_were_open() {
        let mut desk = Desk::new();
        desk.primary.handle_header(8, stream(4)).unwrap();
        desk.window(4, 1 << 20);
        desk.outputs();
        let edge = desk.add(1, true);
        let given = desk.grants();
        assert!(given.iter().all(|(path, ..)| *path == edge));
        let expected = [grant(0, 0, None, 65_536), grant(4, 0, None, 1 << 20)];
        assert_eq!(given.map_grants(), expected);
        desk.primary.handle_header(12, stream(8)).unwrap();
        assert_eq!(desk.grants().map_grants(), [grant(8, 0, None, 65_536)]);
    }

    trait MapGrants {
        fn map_grants(self) -> Vec<Grant>;
    }

    impl MapGrants for Vec<(PathId, u32, Grant)> {
        fn map_grants(self) -> Vec<Grant> {
            self.into_iter().map(|(.., grant)| grant).collect()
        }
    }
}

mod removal {
    use super::*;

    #[test]
    fn a_path_that_is_gone_is_forgotten_at_once() {
        let mut desk = Desk::new();
        let edge = desk.add_live(1);
        desk.status(edge, 1, PathState::Gone);
        assert!(desk.primary.remove_path(edge, desk.now));
        assert_eq!(desk.known(), 0);
        assert!(!desk.primary.remove_path(edge, desk.now));
    }

    #[test]
    fn a_removed_path_is_forgotten_when_the_client_says_so_or_says_nothing() {
        let mut desk = Desk::new();
        let paths: Vec<PathId> = (1..=3).map(|server| desk.add_live(server)).collect();
        let dialled = desk.add(4, false);
        for path in paths.iter().chain([&dialled]) {
            desk.primary.remove_path(*path, desk.now);
        }
        desk.status(paths[0], 1, PathState::Gone);
        desk.answer(dialled, 1, ErrorCode::PathRemoved);
        assert_eq!(desk.known(), 2);
        desk.now = desk.primary.poll_timeout().unwrap();
        desk.primary.handle_timeout(desk.now);
        assert_eq!((desk.known(), desk.now), (0, Instant::ZERO + ms(10_000)));
        assert_eq!(desk.primary.poll_timeout(), None);
    }

    #[test]
    fn late_news_does_not_revive_a_removed_path() {
        let mut desk = Desk::new();
        let (dialled, live) = (desk.add(1, false), desk.add_live(2));
        for path in [dialled, live] {
            desk.primary.remove_path(path, desk.now);
        }
        desk.outputs();
        desk.answer(dialled, 1, ErrorCode::None);
        for path in [dialled, live] {
            for state in [PathState::Proving, PathState::Live, PathState::Suspect, PathState::Live]
            {
                desk.status(path, 1, state);
            }
        }
        desk.delegate(range(0, 60_000), Local::None);
        assert_eq!(desk.orders(), [], "asked for nothing");
        assert_eq!(desk.primary.paths().count(), 0);
        desk.redial(live);
        let again = |output: &PrimaryOutput| matches!(output, PrimaryOutput::Attach { .. });
        assert!(!desk.outputs().iter().any(again));
    }

    #[test]
    fn orders_carry_the_priority_that_their_stream_has_then() {
        let mut desk = Desk::new();
        desk.add_live(1);
        let rank = |desk: &mut Desk| {
            let orders = desk.orders();
            let [(_, _, Order::Delegation(order))] = &orders[..] else { panic!("{orders:?}") };
            order.rank
        };
        desk.delegate(range(0, 10_000), Local::None);
        assert_eq!(rank(&mut desk), Rank::default());
        desk.primary.set_priority(stream(0), -7);
        // Of a stream that there is not nothing is kept.
        desk.primary.set_priority(stream(400), 3);
        assert_eq!(desk.primary.priorities(), 1);
        desk.delegate(range(10_000, 20_000), Local::None);
        assert_eq!(rank(&mut desk), Rank { priority: -7, urgent: false });
        desk.primary.set_priority(stream(0), 0);
        assert_eq!(desk.primary.priorities(), 0);
    }

    #[test]
    fn nobody_waits_for_a_removed_path() {
        let mut desk = Desk::new();
        let (edge, other) = (desk.add_live(1), desk.add_live(2));
        desk.delegate(range(0, 60_000), Local::None);
        let orders = desk.orders();
        let [(asked, _, Order::Delegation(order))] = &orders[..] else { panic!("{orders:?}") };
        let left = if *asked == edge { other } else { edge };
        desk.primary.remove_path(left, desk.now);
        desk.hear(ControlFrame::DelegationStatus(DelegationStatus {
            path: *asked,
            delegation: order.id,
            state: DelegationState::Refused(GapReason::NotFound),
        }));
        let event = Event::Unavailable(stream(0), range(0, 60_000), GapReason::NotFound);
        assert!(desk.outputs().contains(&PrimaryOutput::Event(event)));
    }

    #[test]
    fn paths_that_come_and_go_leave_nothing_behind() {
        let mut desk = Desk::new();
        for round in 0..100 {
            let path = desk.add_live(1);
            desk.primary.grant(path, stream(0), offset(round), None);
            desk.primary.remove_path(path, desk.now);
        }
        desk.outputs();
        assert!(desk.known() <= MAX_PATHS);
        assert!(desk.primary.granted.paths_for(stream(0)).len() <= MAX_PATHS);
    }

    #[test]
    fn servers_join_and_leave_until_the_path_numbers_are_used_up() {
        let mut desk = Desk::new();
        for number in 1..=u16::MAX {
            let path = desk.add(1, false);
            assert_eq!(path, PathId::new(number));
            desk.answer(path, 1, ErrorCode::PathTimeout);
            desk.primary.remove_path(path, desk.now);
            desk.outputs();
        }
        let spec = PathSpec {
            addresses: vec!["198.51.100.1:443".parse().unwrap()],
            identity: ServerIdentity::Pin([1; 32]),
            grant_all: false,
        };
        let error = desk.primary.add_path(spec, desk.now);
        assert_eq!(error, Err(AddPathError::NumbersUsedUp));
        assert_eq!(desk.known(), 0);
    }
}

#[test]
fn a_window_follows_the_measured_control_loop() {
    // Half a window in 50 ms: too slow to need more of it at 10 ms, held up by it at 40 ms.
    for (rtt, grows) in [(10, false), (40, true)] {
        let (config, mut now) = (SessionConfig::default(), Instant::ZERO);
        let mut primary = PrimarySession::new(&config, &hello(), SESSION, 7, now).unwrap();
        primary.handle_rtt(ms(rtt));
        primary.handle_header(4, stream(0)).unwrap();
        let mut half = None;
        while let Some(output) = primary.poll_output(now) {
            if let PrimaryOutput::Stream(StreamAction::Open { receive: Some(config), .. }) = output
            {
                half = Some(ReceiveHalf::new(config));
            }
        }
        let mut half = half.unwrap();
        let source = half.add_source(PathId::PRIMARY, None);
        primary.service_stream(stream(0), &mut half, now);
        let first = half.max_offset().value();
        let piece = Bytes::from(vec![0; 64 * 1024]);
        let mut at = 0;
        while at < first * 3 / 4 {
            half.insert(source, offset(at), piece.clone(), piece.len(), now).unwrap();
            at += piece.len() as u64;
            while let Read::Data(_) = half.read(1 << 20, now) {}
            primary.service_stream(stream(0), &mut half, now);
            now = now + ms(50 * piece.len() as u64 * 2 / first) + Duration::from_micros(100);
        }
        assert_eq!(half.max_offset().value() > first * 2, grows, "at {rtt} ms");
    }
}
