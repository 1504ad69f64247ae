//! The rival: bare s2n-quic, with KWIK's own limits, windows, buffers, sockets and certificate.

use std::net::SocketAddr;

use anyhow::anyhow;
use kwik_io::endpoint::{CongestionControl, EndpointLimits, Role, sockets};
use s2n_quic::client::Connect;
use s2n_quic::provider::congestion_controller::{Bbr, Cubic};
use s2n_quic::provider::io;
use s2n_quic::provider::limits::Limits;
use s2n_quic::{Client, Connection, Server};

use crate::role::{self, Certificate, SERVER_NAME, default_mtu};
use crate::traffic;

/// KWIK's QUIC limits, with that many streams.
pub(crate) fn limits(streams: u32) -> EndpointLimits {
    EndpointLimits { bidirectional_streams: streams, ..EndpointLimits::default() }
}

/// A server endpoint.
pub(crate) fn server(certificate: &Certificate, limits: EndpointLimits) -> anyhow::Result<Server> {
    let (control, max_mtu) = (limits.congestion_control, limits.max_mtu);
    let limits = limits.quic(Role::Server).map_err(|error| anyhow!(error))?;
    let builder = Server::builder()
        .with_tls((certificate.chain.as_str(), certificate.key.as_str()))?
        .with_limits(limits)?
        .with_io(io("127.0.0.1:0", Role::Server, max_mtu)?)?;
    let started = match control {
        CongestionControl::Bbr => builder.with_congestion_controller(Bbr::default())?.start(),
        _ => builder.with_congestion_controller(Cubic::default())?.start(),
    };
    started.map_err(|error| anyhow!("{error}"))
}

/// A server that does what clients ask for.
pub(crate) fn serve(role: &role::Server) -> anyhow::Result<SocketAddr> {
    let limits = EndpointLimits {
        congestion_control: role.congestion.0,
        max_mtu: role.max_mtu,
        ..limits(role.streams)
    };
    let mut server = server(&role.certificate, limits)?;
    let address = server.local_addr()?;
    tokio::spawn(async move {
        while let Some(connection) = server.accept().await {
            tokio::spawn(attend(connection));
        }
    });
    Ok(address)
}

async fn attend(mut connection: Connection) {
    // Fails only with the connection.
    let _ = connection.keep_alive(true);
    while let Ok(Some(stream)) = connection.accept_bidirectional_stream().await {
        tokio::spawn(traffic::serve(stream));
    }
}

/// A client endpoint.
pub(crate) fn client(chain: &str, limits: EndpointLimits) -> anyhow::Result<Client> {
    endpoint(chain, limits.quic(Role::Primary).map_err(|error| anyhow!(error))?, limits.max_mtu)
}

/// One whose servers may open that many streams and send that many bytes before anybody reads.
pub(crate) fn roomy_client(chain: &str, streams: u64, bytes: u64) -> anyhow::Result<Client> {
    let limits = EndpointLimits::default().quic(Role::Primary).map_err(|error| anyhow!(error))?;
    let limits = limits
        .with_data_window(bytes + (1 << 20))?
        .with_max_open_remote_unidirectional_streams(streams)?;
    endpoint(chain, limits, default_mtu())
}

fn endpoint(chain: &str, limits: Limits, max_mtu: u16) -> anyhow::Result<Client> {
    Client::builder()
        .with_tls(chain)?
        .with_limits(limits)?
        .with_io(io("0.0.0.0:0", Role::Primary, max_mtu)?)?
        .start()
        .map_err(|error| anyhow!("{error}"))
}

/// A connection to a server.
pub(crate) async fn connect(client: &Client, address: SocketAddr) -> anyhow::Result<Connection> {
    let mut connection =
        client.connect(Connect::new(address).with_server_name(SERVER_NAME)).await?;
    connection.keep_alive(true)?;
    Ok(connection)
}

/// KWIK's sockets: the same buffers.
fn io(address: &str, role: Role, max_mtu: u16) -> anyhow::Result<io::tokio::Provider> {
    let builder = io::tokio::Builder::default()
        .with_receive_address(address.parse()?)?
        .with_max_mtu(max_mtu)?;
    Ok(sockets(builder, role)?.build()?)
}
