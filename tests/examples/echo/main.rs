//! One source, two transports: `program.rs` is an echo server and client as they are written for s2n-quic, compiled once
//! against s2n-quic and once against KWIK; `quic.rs` and `kwik.rs` are the `use` lines.
//!
//!     cargo run -p kwik-tests --example echo -- certificate /tmp/cert.pem /tmp/key.pem
//!     cargo run -p kwik-tests --example echo -- kwik server 127.0.0.1:4433 /tmp/cert.pem /tmp/key.pem
//!     echo hello | cargo run -p kwik-tests --example echo -- kwik client 127.0.0.1:4433 /tmp/cert.pem
//!
//! With `quic` for `kwik` the same runs over a bare s2n-quic connection; with `copying-server` for `server` the server
//! splits its streams and copies with `tokio::io::copy`.
// On purpose: one source, compiled against two transports.
#![allow(clippy::duplicate_mod)]

mod kwik;
mod quic;

use std::error::Error;
use std::fs;

const USAGE: &str = "echo certificate CERT KEY\n\
    echo quic|kwik server|copying-server ADDRESS CERT KEY\n\
    echo quic|kwik client ADDRESS CERT";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["certificate", cert, key] => {
            let certificate = kwik_tests::certificate();
            fs::write(cert, certificate.certificate_pem())?;
            Ok(fs::write(key, certificate.key_pem())?)
        }
        ["quic", role @ ("server" | "copying-server"), address, cert, key] => {
            let (cert, key) = (fs::read_to_string(cert)?, fs::read_to_string(key)?);
            let server = quic::program::listen(address, &cert, &key)?;
            match role {
                "server" => quic::program::echo(server).await,
                _ => quic::program::echo_by_copying(server).await,
            }
            Ok(())
        }
        ["kwik", role @ ("server" | "copying-server"), address, cert, key] => {
            let (cert, key) = (fs::read_to_string(cert)?, fs::read_to_string(key)?);
            let server = kwik::program::listen(address, &cert, &key)?;
            match role {
                "server" => kwik::program::echo(server).await,
                _ => kwik::program::echo_by_copying(server).await,
            }
            Ok(())
        }
        [transport @ ("quic" | "kwik"), "client", address, cert] => {
            let (address, cert) = (address.parse()?, fs::read_to_string(cert)?);
            let (input, output) = (tokio::io::stdin(), tokio::io::stdout());
            match transport {
                "quic" => quic::program::ask(address, &cert, input, output).await,
                _ => kwik::program::ask(address, &cert, input, output).await,
            }
        }
        _ => Err(USAGE.into()),
    }
}
