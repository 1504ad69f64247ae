//! Methods of streams that may be written.

/// Methods and traits of a stream that may be written, for a type with a function `writable`.
#[doc(hidden)]
#[macro_export]
macro_rules! send_api {
    ($stream:ident) => {
        impl $stream {
            /// Queues a chunk, without a copy; waits while the queue is full (4 MiB by default). The chunk that
            /// crosses the line is taken whole. Cancel safe.
            ///
            /// # Errors
            /// `SendAfterFinish` after `finish`; `StreamReset` after a reset or when the receiver stopped the stream;
            /// `ConnectionError` when the session is over; `NonWritable` if the stream has no send half.
            pub async fn send(
                &mut self,
                mut data: $crate::api::names::Bytes,
            ) -> $crate::stream::Result<()> {
                $crate::api::names::poll_fn(|cx| self.poll_send(&mut data, cx)).await
            }

            /// As [`send`](Self::send); `chunk` is left empty once it was taken.
            pub fn poll_send(
                &mut self,
                chunk: &mut $crate::api::names::Bytes,
                cx: &mut $crate::api::names::Context<'_>,
            ) -> $crate::api::names::Poll<$crate::stream::Result<()>> {
                self.writable()?.poll_send(chunk, cx)
            }

            /// Queues chunks, without a copy; each is left empty once it was taken. Cancel safe.
            ///
            /// # Errors
            /// As [`send`](Self::send).
            pub async fn send_vectored(
                &mut self,
                chunks: &mut [$crate::api::names::Bytes],
            ) -> $crate::stream::Result<()> {
                self.writable()?.send_vectored(chunks).await
            }

            /// As [`send_vectored`](Self::send_vectored), for as many chunks as the queue takes: how many from the
            /// front.
            pub fn poll_send_vectored(
                &mut self,
                chunks: &mut [$crate::api::names::Bytes],
                cx: &mut $crate::api::names::Context<'_>,
            ) -> $crate::api::names::Poll<$crate::stream::Result<usize>> {
                self.writable()?.poll_send_vectored(chunks, cx)
            }

            /// Waits until the queue takes something: how many bytes.
            pub fn poll_send_ready(
                &mut self,
                cx: &mut $crate::api::names::Context<'_>,
            ) -> $crate::api::names::Poll<$crate::stream::Result<usize>> {
                self.writable()?.poll_send_ready(cx)
            }

            /// Queues a chunk without waiting.
            ///
            /// # Errors
            /// `SendingBlocked` while the queue is full, and as [`send`](Self::send).
            pub fn send_data(
                &mut self,
                chunk: $crate::api::names::Bytes,
            ) -> $crate::stream::Result<()> {
                self.writable()?.send_data(chunk)
            }

            /// Waits until the peer has received everything that was written: until QUIC there has acknowledged it,
            /// whether or not the application there has read it. Bytes that wait for the peer's window are waited for.
            ///
            /// # Errors
            /// As [`send`](Self::send), except that a finished stream can be flushed.
            pub async fn flush(&mut self) -> $crate::stream::Result<()> {
                $crate::api::names::poll_fn(|cx| self.poll_flush(cx)).await
            }

            /// As [`flush`](Self::flush).
            pub fn poll_flush(
                &mut self,
                cx: &mut $crate::api::names::Context<'_>,
            ) -> $crate::api::names::Poll<$crate::stream::Result<()>> {
                self.writable()?.poll_flush(cx)
            }

            /// Marks the end of the stream, without waiting. From here on KWIK delivers what was written, whatever
            /// becomes of this handle. Finishing twice is no error.
            ///
            /// # Errors
            /// `StreamReset` after a reset or stop, `ConnectionError` when the session is over; `Missing` where a
            /// primary left out ranges that nobody was asked to send.
            pub fn finish(&mut self) -> $crate::stream::Result<()> {
                self.writable()?.finish()
            }

            /// Marks the end of the stream and waits until all of it, the end included, was received.
            ///
            /// # Errors
            /// As [`finish`](Self::finish).
            pub async fn close(&mut self) -> $crate::stream::Result<()> {
                $crate::api::names::poll_fn(|cx| self.poll_close(cx)).await
            }

            /// As [`close`](Self::close).
            pub fn poll_close(
                &mut self,
                cx: &mut $crate::api::names::Context<'_>,
            ) -> $crate::api::names::Poll<$crate::stream::Result<()>> {
                self.writable()?.poll_close(cx)
            }

            /// Sets the stream's priority: of two streams of a session that have bytes the higher one's go first, equal ones
            /// take turns, byte for byte. Default 0. The servers that a primary delegates ranges of the stream to keep to it
            /// from its next order on.
            ///
            /// Too high: what it floods keeps all lower ones waiting, for as long as it has bytes. Too low: so do the others.
            ///
            /// # Errors
            /// `NonWritable` if the stream has no send half.
            pub fn set_priority(&mut self, priority: i32) -> $crate::stream::Result<()> {
                self.writable()?.set_priority(priority)
            }

            /// The stream's priority.
            ///
            /// # Errors
            /// `NonWritable` if the stream has no send half.
            pub fn priority(&mut self) -> $crate::stream::Result<i32> {
                self.writable()?.priority()
            }

            /// Ends the stream abruptly (RFC 9000, 3.1): nothing more is sent, what is on its way may be lost.
            ///
            /// # Errors
            /// `NonWritable` if the stream has no send half.
            pub fn reset(
                &mut self,
                error_code: $crate::stream::application::Error,
            ) -> $crate::stream::Result<()> {
                self.writable()?.reset(error_code)
            }
        }

        $crate::send_traits!($stream);
    };
}

/// The traits alone.
#[doc(hidden)]
#[macro_export]
macro_rules! send_traits {
    ($stream:ident) => {
        impl $crate::api::names::Sink<$crate::api::names::Bytes> for $stream {
            type Error = $crate::stream::Error;

            fn poll_ready(
                mut self: $crate::api::names::Pin<&mut Self>,
                cx: &mut $crate::api::names::Context<'_>,
            ) -> $crate::api::names::Poll<$crate::stream::Result<()>> {
                self.poll_send_ready(cx).map_ok(|_| ())
            }

            fn start_send(
                mut self: $crate::api::names::Pin<&mut Self>,
                data: $crate::api::names::Bytes,
            ) -> $crate::stream::Result<()> {
                self.send_data(data)
            }

            /// Nothing is buffered before the queue: as in s2n-quic it does not wait for the peer.
            fn poll_flush(
                self: $crate::api::names::Pin<&mut Self>,
                _cx: &mut $crate::api::names::Context<'_>,
            ) -> $crate::api::names::Poll<$crate::stream::Result<()>> {
                $crate::api::names::Poll::Ready(Ok(()))
            }

            fn poll_close(
                mut self: $crate::api::names::Pin<&mut Self>,
                cx: &mut $crate::api::names::Context<'_>,
            ) -> $crate::api::names::Poll<$crate::stream::Result<()>> {
                Self::poll_close(&mut self, cx)
            }
        }

        $crate::write_trait!($stream, AsyncWrite, poll_shutdown, {
            fn is_write_vectored(&self) -> bool {
                true
            }
        });
        $crate::write_trait!($stream, FuturesWrite, poll_close, {});
    };
}

/// One of the two traits of writers, which differ in a name.
#[doc(hidden)]
#[macro_export]
macro_rules! write_trait {
    ($stream:ident, $trait:ident, $close:ident, { $($more:tt)* }) => {
        impl $crate::api::names::$trait for $stream {
            fn poll_write(
                mut self: $crate::api::names::Pin<&mut Self>,
                cx: &mut $crate::api::names::Context<'_>,
                buf: &[u8],
            ) -> $crate::api::names::Poll<$crate::api::names::io::Result<usize>> {
                self.writable()?.poll_write_bytes(cx, buf)
            }

            fn poll_write_vectored(
                mut self: $crate::api::names::Pin<&mut Self>,
                cx: &mut $crate::api::names::Context<'_>,
                bufs: &[$crate::api::names::io::IoSlice<'_>],
            ) -> $crate::api::names::Poll<$crate::api::names::io::Result<usize>> {
                self.writable()?.poll_write_slices(cx, bufs)
            }

            /// Nothing is buffered before the queue: as in s2n-quic it does not wait for the peer.
            fn poll_flush(
                self: $crate::api::names::Pin<&mut Self>,
                _cx: &mut $crate::api::names::Context<'_>,
            ) -> $crate::api::names::Poll<$crate::api::names::io::Result<()>> {
                $crate::api::names::Poll::Ready(Ok(()))
            }

            /// Finishes the stream and waits until all of it was received.
            fn $close(
                mut self: $crate::api::names::Pin<&mut Self>,
                cx: &mut $crate::api::names::Context<'_>,
            ) -> $crate::api::names::Poll<$crate::api::names::io::Result<()>> {
                Self::poll_close(&mut self, cx).map_err(Into::into)
            }

            $($more)*
        }
    };
}
