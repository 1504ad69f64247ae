//! Methods of sessions: opening, accepting, and what a connection is asked.

/// Methods of what opens streams and closes sessions, for a type with functions `hold` and `hold_mut`.
#[doc(hidden)]
#[macro_export]
macro_rules! handle_api {
    ($name:ident) => {
        impl $name {
            /// Opens a stream of that type; waits while the peer's limit is reached.
            ///
            /// # Errors
            /// Why the session is over.
            pub async fn open_stream(
                &mut self,
                stream_type: $crate::stream::Type,
            ) -> $crate::stream::connection::Result<LocalStream> {
                let halves = self.hold_mut().open(stream_type).await?;
                Ok(LocalStream::new(halves, self.share()))
            }

            /// As [`open_stream`](Self::open_stream).
            pub fn poll_open_stream(
                &mut self,
                stream_type: $crate::stream::Type,
                cx: &mut $crate::api::names::Context<'_>,
            ) -> $crate::api::names::Poll<$crate::stream::connection::Result<LocalStream>> {
                let halves =
                    $crate::api::names::ready!(self.hold_mut().poll_open(stream_type, cx))?;
                let stream = LocalStream::new(halves, self.share());
                $crate::api::names::Poll::Ready(Ok(stream))
            }

            /// Opens a stream that both ends send on; waits while the peer's limit is reached.
            ///
            /// # Errors
            /// Why the session is over.
            pub async fn open_bidirectional_stream(
                &mut self,
            ) -> $crate::stream::connection::Result<BidirectionalStream> {
                let halves = self.hold_mut().open($crate::stream::Type::Bidirectional).await?;
                Ok(BidirectionalStream::new(halves, self.share()))
            }

            /// As [`open_bidirectional_stream`](Self::open_bidirectional_stream).
            pub fn poll_open_bidirectional_stream(
                &mut self,
                cx: &mut $crate::api::names::Context<'_>,
            ) -> $crate::api::names::Poll<$crate::stream::connection::Result<BidirectionalStream>>
            {
                let kind = $crate::stream::Type::Bidirectional;
                let halves = $crate::api::names::ready!(self.hold_mut().poll_open(kind, cx))?;
                let stream = BidirectionalStream::new(halves, self.share());
                $crate::api::names::Poll::Ready(Ok(stream))
            }

            /// Opens a stream that only this end sends on; waits while the peer's limit is reached.
            ///
            /// # Errors
            /// Why the session is over.
            pub async fn open_send_stream(
                &mut self,
            ) -> $crate::stream::connection::Result<SendStream> {
                let halves = self.hold_mut().open($crate::stream::Type::Unidirectional).await?;
                Ok(SendStream::new(halves, self.share()))
            }

            /// As [`open_send_stream`](Self::open_send_stream).
            pub fn poll_open_send_stream(
                &mut self,
                cx: &mut $crate::api::names::Context<'_>,
            ) -> $crate::api::names::Poll<$crate::stream::connection::Result<SendStream>> {
                let kind = $crate::stream::Type::Unidirectional;
                let halves = $crate::api::names::ready!(self.hold_mut().poll_open(kind, cx))?;
                let stream = SendStream::new(halves, self.share());
                $crate::api::names::Poll::Ready(Ok(stream))
            }

            /// This end's address on the connection between client and primary.
            ///
            /// # Errors
            /// If the machine did not tell it.
            pub fn local_addr(
                &self,
            ) -> $crate::stream::connection::Result<$crate::api::names::SocketAddr> {
                self.hold().local_addr()
            }

            /// The other end's address on the connection between client and primary, when the session began.
            ///
            /// # Errors
            /// If it is not known.
            pub fn remote_addr(
                &self,
            ) -> $crate::stream::connection::Result<$crate::api::names::SocketAddr> {
                self.hold().remote_addr()
            }

            /// The name that the primary was connected to by, if there was one.
            ///
            /// # Errors
            /// None at present.
            pub fn server_name(
                &self,
            ) -> $crate::stream::connection::Result<Option<std::sync::Arc<str>>> {
                Ok(self.hold().server_name())
            }

            /// The protocol that TLS agreed on (ALPN, RFC 7301).
            ///
            /// # Errors
            /// None at present.
            pub fn application_protocol(
                &self,
            ) -> $crate::stream::connection::Result<$crate::api::names::Bytes> {
                Ok($crate::api::names::Bytes::from_static($crate::tls::ALPN))
            }

            /// A number that no other session of the same client or server has.
            pub fn id(&self) -> u64 {
                self.hold().id()
            }

            /// Sends a PING (RFC 9000, 19.2); the answer keeps the session from being idle.
            ///
            /// # Errors
            /// Why the session is over.
            pub fn ping(&mut self) -> $crate::stream::connection::Result<()> {
                self.hold().ping()
            }

            /// Whether QUIC keeps the connection alive while nobody sends. On from the start.
            ///
            /// # Errors
            /// Why the session is over.
            pub fn keep_alive(&mut self, enabled: bool) -> $crate::stream::connection::Result<()> {
                self.hold().keep_alive(enabled)
            }

            /// Closes the session with the application's code (RFC 9000, 10.2). Every stream fails, on both ends.
            ///
            /// The top 2^16 codes are KWIK's own: one of them is told to the peer as 0.
            pub fn close(&self, error_code: $crate::stream::application::Error) {
                self.hold().close(error_code);
            }
        }
    };
}

/// Methods of what accepts streams of one kind.
#[doc(hidden)]
#[macro_export]
macro_rules! accept_one_api {
    ($name:ident, $stream:ident, $accept:ident, $poll:ident, $queue:ident, $about:literal) => {
        impl $name {
            #[doc = concat!($about, "; `None` when the session was closed without an error. Cancel safe.")]
            ///
            /// # Errors
            /// Why the session is over.
            pub async fn $accept(&mut self) -> $crate::stream::connection::Result<Option<$stream>> {
                $crate::api::names::poll_fn(|cx| self.$poll(cx)).await
            }

            #[doc = concat!("As [`", stringify!($accept), "`](Self::", stringify!($accept), ").")]
            pub fn $poll(
                &mut self,
                cx: &mut $crate::api::names::Context<'_>,
            ) -> $crate::api::names::Poll<$crate::stream::connection::Result<Option<$stream>>> {
                let (queue, handle) = self.$queue();
                let accepted = $crate::api::names::ready!(queue.poll_accept(handle.hold(), cx))?;
                let stream = accepted.map(|halves| $stream::new(halves, handle.clone()));
                $crate::api::names::Poll::Ready(Ok(stream))
            }
        }
    };
}

/// Methods of what accepts streams of both kinds.
#[doc(hidden)]
#[macro_export]
macro_rules! accept_api {
    ($name:ident) => {
        impl $name {
            /// The next stream of the peer, of either kind; `None` when the session was closed without an error.
            /// Cancel safe.
            ///
            /// # Errors
            /// Why the session is over.
            pub async fn accept(
                &mut self,
            ) -> $crate::stream::connection::Result<Option<PeerStream>> {
                $crate::api::names::poll_fn(|cx| self.poll_accept(cx)).await
            }

            /// As [`accept`](Self::accept).
            pub fn poll_accept(
                &mut self,
                cx: &mut $crate::api::names::Context<'_>,
            ) -> $crate::api::names::Poll<$crate::stream::connection::Result<Option<PeerStream>>>
            {
                use $crate::api::names::Poll;
                let both = self.poll_accept_bidirectional_stream(cx);
                if let Poll::Ready(Err(_) | Ok(Some(_))) = both {
                    return both.map_ok(|stream| stream.map(PeerStream::Bidirectional));
                }
                self.poll_accept_receive_stream(cx).map_ok(|stream| stream.map(PeerStream::Receive))
            }
        }

        $crate::accept_one_api!(
            $name,
            BidirectionalStream,
            accept_bidirectional_stream,
            poll_accept_bidirectional_stream,
            bidirectional,
            "The next stream of the peer that both ends send on"
        );
        $crate::accept_one_api!(
            $name,
            ReceiveStream,
            accept_receive_stream,
            poll_accept_receive_stream,
            unidirectional,
            "The next stream of the peer that only it sends on"
        );
    };
}

/// Acceptors: of both kinds, and of one each, with their `Stream`s.
#[doc(hidden)]
#[macro_export]
macro_rules! acceptors {
    () => {
        /// Accepts the streams that the peer opens, in the order of their ids.
        #[derive(Debug)]
        pub struct StreamAcceptor {
            bidirectional: BidirectionalStreamAcceptor,
            unidirectional: ReceiveStreamAcceptor,
        }

        /// Accepts the streams that both ends send on, in the order of their ids.
        #[derive(Debug)]
        pub struct BidirectionalStreamAcceptor {
            queue: $crate::table::AcceptQueue,
            handle: Handle,
        }

        /// Accepts the streams that only the peer sends on, in the order of their ids.
        #[derive(Debug)]
        pub struct ReceiveStreamAcceptor {
            queue: $crate::table::AcceptQueue,
            handle: Handle,
        }

        impl StreamAcceptor {
            pub(crate) fn new(incomings: $crate::table::Incomings, handle: Handle) -> Self {
                let queue = incomings.unidirectional;
                let unidirectional = ReceiveStreamAcceptor { queue, handle: handle.clone() };
                let queue = incomings.bidirectional;
                Self {
                    bidirectional: BidirectionalStreamAcceptor { queue, handle },
                    unidirectional,
                }
            }

            /// An acceptor for each kind.
            pub fn split(self) -> (BidirectionalStreamAcceptor, ReceiveStreamAcceptor) {
                (self.bidirectional, self.unidirectional)
            }

            pub(crate) fn bidirectional(&mut self) -> (&mut $crate::table::AcceptQueue, &Handle) {
                self.bidirectional.queue()
            }

            pub(crate) fn unidirectional(&mut self) -> (&mut $crate::table::AcceptQueue, &Handle) {
                self.unidirectional.queue()
            }
        }

        impl BidirectionalStreamAcceptor {
            fn queue(&mut self) -> (&mut $crate::table::AcceptQueue, &Handle) {
                (&mut self.queue, &self.handle)
            }
        }

        impl ReceiveStreamAcceptor {
            fn queue(&mut self) -> (&mut $crate::table::AcceptQueue, &Handle) {
                (&mut self.queue, &self.handle)
            }
        }

        $crate::accept_api!(StreamAcceptor);
        $crate::accept_one_api!(
            BidirectionalStreamAcceptor,
            BidirectionalStream,
            accept_bidirectional_stream,
            poll_accept_bidirectional_stream,
            queue,
            "The next stream"
        );
        $crate::accept_one_api!(
            ReceiveStreamAcceptor,
            ReceiveStream,
            accept_receive_stream,
            poll_accept_receive_stream,
            queue,
            "The next stream"
        );
        $crate::accepted!(StreamAcceptor, PeerStream, poll_accept);
        $crate::accepted!(
            BidirectionalStreamAcceptor,
            BidirectionalStream,
            poll_accept_bidirectional_stream
        );
        $crate::accepted!(ReceiveStreamAcceptor, ReceiveStream, poll_accept_receive_stream);
    };
}

/// What an acceptor is as a `Stream`.
#[doc(hidden)]
#[macro_export]
macro_rules! accepted {
    ($acceptor:ident, $stream:ident, $poll:ident) => {
        impl $crate::api::names::Stream for $acceptor {
            type Item = $crate::stream::connection::Result<$stream>;

            fn poll_next(
                mut self: $crate::api::names::Pin<&mut Self>,
                cx: &mut $crate::api::names::Context<'_>,
            ) -> $crate::api::names::Poll<Option<Self::Item>> {
                self.$poll(cx).map(Result::transpose)
            }
        }
    };
}
