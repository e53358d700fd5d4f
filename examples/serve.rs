//! Lends this machine's devices to runs on other machines, which name them `remote:...` (a build with `--features remote`):
//!
//!     export COUNTERPOINT_REMOTE_TOKEN=$(head -c 24 /dev/urandom | base64)
//!     cargo run --release --features remote,cuda --example serve -- --device cuda:0 --device cuda:1
//!
//! Only clients that present the token get a session. By WebSocket, the default, nothing is encrypted, so it listens to the machine itself: lead
//! a tunnel to it (`ssh -L 3000:localhost:3000 gpu-machine`). With `--iroh KEYFILE` connections are encrypted and go to the server with that key alone.
#![allow(clippy::print_stdout)]

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;

use burn::server::{IrohIdentity, IrohTransport, RemoteServer, TokenAuthorizer, Transport, WebSocketTransport};
use burn::tensor::Device;
use clap::Parser;
use counterpoint::device::{TOKEN, named, relays};
use counterpoint::{Error, Result};
use counterpoint_examples::status;

#[derive(Parser)]
#[command(about = "Lends this machine's devices to runs on other machines")]
struct Args {
    /// A device to lend, such as `flex`, `cuda:1` or `vulkan`. May be given several times, for devices of one kind.
    #[arg(long = "device", default_value = "flex")]
    devices: Vec<String>,
    /// Where to listen; port 0 is any that is free.
    #[arg(long, default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// Listens to other machines without encryption, behind something that adds it or in a network that is trusted.
    #[arg(long, conflicts_with = "iroh")]
    unencrypted: bool,
    /// Encrypts, by Iroh; the server's key is in this file, and is made where there is none.
    #[arg(long, value_name = "KEYFILE")]
    iroh: Option<PathBuf>,
}

fn main() -> ExitCode {
    status(run(&Args::parse()))
}

fn run(args: &Args) -> Result<()> {
    let token = std::env::var(TOKEN).unwrap_or_default();
    let authorizer = TokenAuthorizer::new(token.as_bytes()).map_err(|_| {
        Error::config(format!(
            "expected a token that clients have to present in the environment variable {TOKEN}, which is not set"
        ))
    })?;
    let devices = args.devices.iter().map(|name| named(name)).collect::<Result<Vec<Device>>>()?;
    let transport = transport(args)?;
    let server = RemoteServer::new(devices).with_authorizer(authorizer);
    server.serve(transport).map_err(|e| Error::config("cannot lend devices").with_source(e))
}

/// How clients come; says by which name.
fn transport(args: &Args) -> Result<Transport> {
    let address = args.listen;
    if let Some(path) = &args.iroh {
        let identity =
            IrohIdentity::load_or_create(path).map_err(|e| Error::io("cannot read or make the key", path, e))?;
        let transport = IrohTransport::new(identity).with_relays(relays()?).with_port(address.port());
        println!("remote:iroh:{}@IP:{}", transport.id(), address.port());
        return Ok(transport.into());
    }
    if !address.ip().is_loopback() && !args.unencrypted {
        return Err(Error::config(format!(
            "--listen {address}: expected an address of the machine itself, as WebSocket is not encrypted; use --iroh, a tunnel to \
             127.0.0.1, or --unencrypted where the network is trusted"
        )));
    }
    let listener = TcpListener::bind(address)
        .and_then(|listener| Ok((listener.local_addr()?, listener)))
        .map_err(|e| Error::config(format!("cannot listen at {address}")).with_source(e));
    let (address, listener) = listener?;
    println!("remote:ws://{address}");
    Ok(WebSocketTransport::from_listener(listener).into())
}
