//! Devices of other machines, on burn's remote backend: a name says where the server is, the environment what it wants to hear.

use std::env;
use std::sync::{Mutex, PoisonError};

use burn::remote::{ConnectError, EndpointId, IrohHost, IrohRelays, RemoteHost};
use burn::tensor::Device;

use super::{RELAYS, TOKEN};
use crate::{Error, Result};

/// What devices were connected by the names in front of them: burn gives them numbers.
static CONNECTED: Mutex<Vec<(String, Device)>> = Mutex::new(Vec::new());

/// Connects the device at `address`, `ws://HOST:PORT[/N]` or `iroh:ID@IP:PORT[/N]`.
pub(super) fn connect(address: &str) -> Result<Device> {
    let mut connected = CONNECTED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, device)) = connected.iter().find(|(name, _)| name == address) {
        return Ok(device.clone());
    }
    let (host, index) = parsed(address)?;
    let token = env::var(TOKEN).unwrap_or_default();
    if token.is_empty() {
        return Err(Error::config(format!(
            "device `remote:{address}`: expected the server's token in the environment variable {TOKEN}, which is not set"
        )));
    }
    let options = Device::remote_options(&host.with_credential(token.as_bytes())).device_index(index);
    let device = options.init().map_err(|error| refused(address, error))?;
    connected.push((address.to_owned(), device.clone()));
    Ok(device)
}

/// The name by which `device` was connected.
pub(super) fn name(device: &Device) -> Option<String> {
    let connected = CONNECTED.lock().unwrap_or_else(PoisonError::into_inner);
    connected.iter().find(|(_, known)| known == device).map(|(name, _)| format!("remote:{name}"))
}

fn parsed(address: &str) -> Result<(RemoteHost, usize)> {
    let wrong = |what: &str| {
        Error::config(format!(
            "device `remote:{address}`: {what}; expected `remote:ws://HOST:PORT`, or `remote:iroh:ID@IP:PORT` with the server's id, and `/N` \
             behind it for another device than the first"
        ))
    };
    let (scheme, rest) = match address.split_once(':') {
        Some(("ws", rest)) => ("ws", rest.strip_prefix("//").ok_or_else(|| wrong("no `//` after `ws:`"))?),
        Some(("iroh", rest)) => ("iroh", rest),
        _ => return Err(wrong("it begins with neither `ws:` nor `iroh:`")),
    };
    let (server, index) = match rest.split_once('/') {
        Some((server, index)) => (server, index.parse().map_err(|_| wrong("what follows `/` is no number"))?),
        None => (rest, 0),
    };
    if scheme == "ws" {
        let port = server.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        return match port {
            Some(Ok(_)) => Ok((RemoteHost::websocket(&format!("ws://{server}")), index)),
            _ => Err(wrong("it has no port")),
        };
    }
    let (id, at) = server.split_once('@').ok_or_else(|| wrong("no `@` after the server's id"))?;
    let id: EndpointId = id.parse().map_err(|_| wrong("what follows `iroh:` is no server's id"))?;
    let at = at.parse().map_err(|_| wrong("what follows `@` is no IP address with a port"))?;
    Ok((RemoteHost::iroh(IrohHost::new(id).with_address(at).with_relays(relays()?)), index))
}

/// Relays that the environment names; none without.
pub fn relays() -> Result<IrohRelays> {
    let named = env::var(RELAYS).unwrap_or_else(|_| "disabled".to_owned());
    let relays = named.parse();
    relays.map_err(|error| Error::config(format!("the environment variable {RELAYS}: {error}")))
}

fn refused(address: &str, error: ConnectError) -> Error {
    let hint = match &error {
        ConnectError::Unauthorized => format!("; set {TOKEN} to the token that the server was started with"),
        ConnectError::Unreachable { .. } => "; start `serve` there, or mend the address".to_owned(),
        _ => String::new(),
    };
    Error::config(format!("device `remote:{address}` cannot be connected: {error}{hint}"))
}
