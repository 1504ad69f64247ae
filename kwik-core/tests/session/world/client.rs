//! What reaches the client, and what it does then.

use super::*;

impl World {
    pub(super) fn header(
        &mut self,
        path: PathId,
        epoch: Epoch,
        carrier: u64,
        header: StreamHeader,
    ) {
        if !path.is_primary() && self.servers[usize::from(path.value()) - 1].epoch != epoch {
            return;
        }
        let routed = self.client.handle_header(path, carrier, header, self.now);
        self.drain();
        if let Ok(Routed::To(route)) = routed
            && let Some(half) = self.halves.get_mut(&route.stream)
        {
            let source = half.add_source(path, route.allowed);
            self.client.handle_source(path, carrier, source);
            self.feeds.insert((path, carrier), Feed { stream: route.stream, source });
        }
    }

    pub(super) fn chunk(
        &mut self,
        path: PathId,
        _epoch: Epoch,
        carrier: u64,
        offset: Offset,
        payload: Bytes,
    ) -> Result<(), String> {
        let Some(feed) = self.feeds.get(&(path, carrier)) else { return Ok(()) };
        let stream = feed.stream;
        let Some(half) = self.halves.get_mut(&stream) else { return Ok(()) };
        let length = payload.len();
        half.insert(feed.source, offset, payload, length, self.now)
            .map_err(|error| format!("an honest frame was refused: {error}"))?;
        self.service(stream);
        Ok(())
    }

    pub(super) fn end(&mut self, path: PathId, carrier: u64, end: CarrierEnd) {
        let half =
            self.feeds.remove(&(path, carrier)).and_then(|feed| self.halves.get_mut(&feed.stream));
        self.client.handle_carrier_end(path, carrier, end, half, self.now);
    }

    pub(super) fn service(&mut self, id: StreamId) {
        self.read_later();
        if let Some(half) = self.halves.get_mut(&id) {
            self.client.service_stream(id, half, self.now);
        }
    }

    pub(super) fn read(&mut self) -> Result<(), String> {
        if let Some(half) = self.halves.get_mut(&self.stream) {
            loop {
                let most = 1 + self.dice.roll(200_000) as usize;
                match half.read(most, self.now) {
                    Read::Data(data) => {
                        let right = data.iter().zip(self.read..).all(|(got, at)| *got == byte(at));
                        if !right {
                            return Err(format!("wrong bytes at {}", self.read));
                        }
                        self.read += data.len() as u64;
                    }
                    Read::Blocked => break,
                    Read::Finished => {
                        self.finished = true;
                        break;
                    }
                    other => {
                        let last = self.log.iter().rev().take(6).rev().collect::<Vec<_>>();
                        return Err(format!(
                            "the reader got {other:?} at {}: {last:#?}",
                            self.read
                        ));
                    }
                }
            }
            self.service(self.stream);
        }
        Ok(())
    }

    /// The reader comes back some time after something arrived.
    pub(super) fn read_later(&mut self) {
        if !self.reading {
            self.reading = true;
            let pause = Duration::from_micros(100 + self.dice.roll(4_000));
            self.schedule(self.now + pause, Event::Read);
        }
    }

    pub(super) fn client_output(&mut self, output: ClientOutput) {
        match output {
            ClientOutput::Send(path, frame) => {
                let delay = self.delay(path);
                let event = match path.value() {
                    0 => Event::ToPrimary(frame),
                    number => {
                        let epoch = self.epoch(path);
                        Event::ToSecondary(usize::from(number) - 1, epoch, frame)
                    }
                };
                self.travel((0, path, 0), delay, event);
            }
            ClientOutput::Dial { path, epoch, .. } => {
                let delay = self.delay(path) * 2;
                self.servers[usize::from(path.value()) - 1].epoch = epoch;
                self.schedule(self.now + delay, Event::Dialled(path, epoch));
            }
            ClientOutput::Stream(action) => self.client_action(action),
            ClientOutput::Service(id) => self.service(id),
            ClientOutput::StopCarrier { path, carrier, .. } => {
                self.feeds.remove(&(path, carrier));
            }
            ClientOutput::Close { code, reason, .. } => {
                self.log.push(format!("{} closed: {code:?} {reason}", self.now));
            }
            _ => {}
        }
    }

    pub(super) fn epoch(&self, path: PathId) -> Epoch {
        self.servers[usize::from(path.value()) - 1].epoch
    }

    pub(super) fn client_action(&mut self, action: StreamAction) {
        match action {
            StreamAction::Open { id, receive: Some(config), .. } => {
                self.halves.insert(id, ReceiveHalf::new(config));
            }
            StreamAction::Fail(id, failure) => {
                if let Some(half) = self.halves.get_mut(&id) {
                    half.fail(failure);
                }
            }
            _ => {}
        }
    }
}
