//! The primary: its scheduler hears, and decides.

use super::*;

impl World<'_> {
    pub(super) fn at_primary(&mut self, message: Message) {
        let now = self.now;
        match message {
            Message::Progress(progress) => self.scheduler.handle_progress(&progress, now),
            Message::Status(status) => self.scheduler.handle_path_status(&status, now),
            Message::Gap(gap) => self.scheduler.handle_gap(&gap, now),
            Message::Answer { status } => self.scheduler.handle_status(&status, now),
            Message::Window(offset) => self.scheduler.handle_window(self.stream, offset, now),
            _ => {}
        }
        self.drain_primary();
    }

    pub(super) fn drain_primary(&mut self) {
        let way = self.lab.primary_rtt / 2;
        while let Some(decision) = self.scheduler.poll(self.now) {
            self.orders += 1;
            match decision {
                Decision::Delegate { path, delegation } => {
                    let (path, id, range) =
                        (usize::from(path.value()), delegation.id, delegation.range);
                    assert!(range.end().value() <= self.window_told, "beyond the window");
                    self.ordered.insert(id, range);
                    self.send_to_client(way, Message::Order { path, id, range });
                }
                Decision::SupplyLocally { range, id, .. } => {
                    self.ordered.insert(id, range);
                    self.at_server(0, Message::Order { path: 0, id, range });
                }
                Decision::CancelLocal { id } => self.at_server(0, Message::Revoke { path: 0, id }),
                Decision::Revoke { path, delegation, .. } => {
                    let path = usize::from(path.value());
                    self.send_to_client(way, Message::Revoke { path, id: delegation });
                }
                Decision::GiveUp { .. } => self.gave_up = true,
                other => panic!("{other:?}"),
            }
        }
        while let Some(event) = self.scheduler.poll_event() {
            self.told.push(event);
        }
        if let Some(due) = self.scheduler.poll_timeout()
            && self.primary_timer.is_none_or(|armed| due < armed || armed <= self.now)
        {
            assert!(due > self.now, "a timer in the past");
            self.primary_timer = Some(due);
            self.at(due, Event::Timer);
        }
    }
}
