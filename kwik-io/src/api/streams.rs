//! Streams of which one of several kinds is at hand.

/// Both directions in one handle, around this crate's.
#[doc(hidden)]
#[macro_export]
macro_rules! split_api {
    ($($stream:ident => |$this:ident| $halves:expr;)+) => {$(
        impl SplittableStream for $stream {
            fn split(self) -> (Option<ReceiveStream>, Option<SendStream>) {
                let $this = self;
                $halves
            }
        }
    )+};
}

/// An enum of streams with the methods of all.
#[doc(hidden)]
#[macro_export]
macro_rules! stream_enum {
    ($(#[$about:meta])* $name:ident { $($(#[$which:meta])* $variant:ident($stream:ident),)+ }) => {
        $(#[$about])*
        #[derive(Debug)]
        pub enum $name {
            $($(#[$which])* $variant($stream),)+
        }

        impl $name {
            /// Id of the stream (RFC 9000, 2.1).
            pub fn id(&self) -> u64 {
                match self {
                    $(Self::$variant(stream) => stream.id(),)+
                }
            }

            /// A handle of the stream's session.
            pub fn connection(&self) -> Handle {
                match self {
                    $(Self::$variant(stream) => stream.connection(),)+
                }
            }

            /// The halves that there are.
            pub fn split(self) -> (Option<ReceiveStream>, Option<SendStream>) {
                SplittableStream::split(self)
            }

            fn readable(&mut self) -> $crate::stream::Result<&mut $crate::stream::ReceiveStream> {
                match self {
                    $(Self::$variant(stream) => stream.readable(),)+
                }
            }

            fn writable(&mut self) -> $crate::stream::Result<&mut $crate::stream::SendStream> {
                match self {
                    $(Self::$variant(stream) => stream.writable(),)+
                }
            }
        }

        $(
            impl From<$stream> for $name {
                fn from(stream: $stream) -> Self {
                    Self::$variant(stream)
                }
            }
        )+

        $crate::split_api!($name => |this| match this {
            $(Self::$variant(stream) => SplittableStream::split(stream),)+
        };);
        $crate::receive_api!($name);
        $crate::send_api!($name);
    };
}
