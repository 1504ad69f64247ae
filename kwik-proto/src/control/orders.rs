//! Orders, which are signed as bytes.

use bytes::Bytes;
use prost::Message;

use super::limits::MAX_ORDERS_BODY;
use super::{decoder, from_wire, to_wire};
use crate::error::DecodeError;
use crate::frame::Orders;
use crate::wire;

impl Orders {
    /// The bytes that are signed and that travel in [`SignedOrders`](crate::frame::SignedOrders); no length prefix.
    ///
    /// The limits are the caller's to keep; a debug build asserts [`validate`](Self::validate). At most
    /// [`MAX_ORDERS_BODY`] bytes travel: split the orders if there are more.
    ///
    /// ```
    /// use kwik_proto::frame::{Order, Orders, Revoke};
    /// use kwik_proto::{Epoch, PathId, SessionId, StreamId};
    /// let stream = StreamId::from_wire(1).expect("below 2^62");
    /// let (session, path, epoch) = (SessionId([1; 16]), PathId::new(1), Epoch::FIRST);
    /// let order = Order::Revoke(Revoke { stream, delegation: None });
    /// let orders = Orders { session, path, epoch, number: 1, orders: vec![order] };
    /// assert_eq!(Orders::decode(&orders.encode()), Ok(orders));
    /// ```
    pub fn encode(&self) -> Bytes {
        debug_assert_eq!(self.validate(), Ok(()), "orders that no receiver takes");
        to_wire::orders(self).encode_to_vec().into()
    }

    /// Reads what [`encode`](Self::encode) wrote. Resources and pieces are slices of `body`.
    ///
    /// # Errors
    /// [`DecodeError::TooLarge`], [`DecodeError::Invalid`], and those of bytes that are no such message; positions count from the start
    /// of `body`. An order of an unknown kind is [`Problem::Missing`](crate::Problem::Missing): orders are critical, so
    /// a later version may send a new one only where a feature was agreed on.
    pub fn decode(body: &Bytes) -> Result<Self, DecodeError> {
        if body.len() > MAX_ORDERS_BODY {
            let (size, limit) = (body.len() as u64, MAX_ORDERS_BODY as u64);
            return Err(DecodeError::TooLarge { field: "Orders", size, limit, at: 0 });
        }
        let message: wire::Orders = decoder::message(&wire::shapes::ORDERS, body.clone(), 0)?;
        let orders = from_wire::orders(message);
        let orders = orders.and_then(|orders| orders.validate().map(|()| orders));
        orders.map_err(|invalid| DecodeError::Invalid { invalid, at: 0 })
    }
}
