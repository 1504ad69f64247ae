//! Methods of streams that may be read.

/// Methods and traits of a stream that may be read, for a type with a function `readable`.
#[doc(hidden)]
#[macro_export]
macro_rules! receive_api {
    ($stream:ident) => {
        impl $stream {
            /// The next chunk of bytes; `None` at the end of the stream. Cancel safe.
            ///
            /// # Errors
            /// `StreamReset` at once if the sender reset the stream or `stop_sending` was called; `Missing`,
            /// `DataConflict` and `ConnectionError` after the last byte that could be delivered; `NonReadable` if the
            /// stream has no receive half.
            pub async fn receive(
                &mut self,
            ) -> $crate::stream::Result<Option<$crate::api::names::Bytes>> {
                $crate::api::names::poll_fn(|cx| self.poll_receive(cx)).await
            }

            /// As [`receive`](Self::receive).
            pub fn poll_receive(
                &mut self,
                cx: &mut $crate::api::names::Context<'_>,
            ) -> $crate::api::names::Poll<$crate::stream::Result<Option<$crate::api::names::Bytes>>>
            {
                self.readable()?.poll_receive(cx)
            }

            /// Fills `chunks`, which must be empty, from the front: how many, and whether the stream is still open. At
            /// least one if it is. Cancel safe, and cheaper than one chunk at a time.
            ///
            /// # Errors
            /// As [`receive`](Self::receive); `NonEmptyOutput` if a chunk was not empty.
            pub async fn receive_vectored(
                &mut self,
                chunks: &mut [$crate::api::names::Bytes],
            ) -> $crate::stream::Result<(usize, bool)> {
                $crate::api::names::poll_fn(|cx| self.poll_receive_vectored(chunks, cx)).await
            }

            /// As [`receive_vectored`](Self::receive_vectored).
            pub fn poll_receive_vectored(
                &mut self,
                chunks: &mut [$crate::api::names::Bytes],
                cx: &mut $crate::api::names::Context<'_>,
            ) -> $crate::api::names::Poll<$crate::stream::Result<(usize, bool)>> {
                self.readable()?.poll_receive_vectored(chunks, cx)
            }

            /// Asks the sender to stop (RFC 9000, 3.5). What has arrived and was not read is thrown away. Nothing
            /// happens if the stream was reset or everything has arrived.
            ///
            /// # Errors
            /// `NonReadable` if the stream has no receive half.
            pub fn stop_sending(
                &mut self,
                error_code: $crate::stream::application::Error,
            ) -> $crate::stream::Result<()> {
                self.readable()?.stop_sending(error_code)
            }
        }

        impl $crate::api::names::Stream for $stream {
            type Item = $crate::stream::Result<$crate::api::names::Bytes>;

            fn poll_next(
                mut self: $crate::api::names::Pin<&mut Self>,
                cx: &mut $crate::api::names::Context<'_>,
            ) -> $crate::api::names::Poll<Option<Self::Item>> {
                self.poll_receive(cx).map(Result::transpose)
            }
        }

        impl $crate::api::names::AsyncRead for $stream {
            fn poll_read(
                mut self: $crate::api::names::Pin<&mut Self>,
                cx: &mut $crate::api::names::Context<'_>,
                buf: &mut $crate::api::names::ReadBuf<'_>,
            ) -> $crate::api::names::Poll<$crate::api::names::io::Result<()>> {
                let inner = $crate::api::names::Pin::new(self.readable()?);
                $crate::api::names::AsyncRead::poll_read(inner, cx, buf)
            }
        }

        impl $crate::api::names::FuturesRead for $stream {
            fn poll_read(
                mut self: $crate::api::names::Pin<&mut Self>,
                cx: &mut $crate::api::names::Context<'_>,
                buf: &mut [u8],
            ) -> $crate::api::names::Poll<$crate::api::names::io::Result<usize>> {
                let inner = $crate::api::names::Pin::new(self.readable()?);
                $crate::api::names::FuturesRead::poll_read(inner, cx, buf)
            }
        }
    };
}
