//! `ringwire publish`: one message to one topic, and the offset that it got.

use std::borrow::Cow;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::value::RawValue;

use super::client::{Client, Received};
use super::said::Said;
use super::{CliError, server_url};
use crate::limits::CLIENT_MESSAGE_BYTES_MAX;
use crate::pubsub::topic::check_topic;
use crate::ws::CloseCode;

/// The only request of the connection.
const ID: u64 = 1;

/// Publishes a message and prints its offset.
#[derive(Clone, Debug, clap::Args)]
pub struct PublishArgs {
    /// The server: ws://host:port/ws or unix:/path
    #[arg(long, env = "RINGWIRE_URL", hide_env_values = true, default_value = super::DEFAULT_URL)]
    pub url: String,
    /// Seconds to wait for the acknowledgement
    #[arg(long, value_name = "S", default_value_t = 10,
        value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout_s: u64,
    /// The topic, such as chat:lobby
    pub topic: String,
    /// The data: JSON, or else a text that is sent as a JSON string; - reads it from standard input
    #[arg(allow_hyphen_values = true)]
    pub data: String,
}

#[derive(Serialize)]
struct Publish<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: u64,
    topic: &'a str,
    data: &'a RawValue,
}

/// Does it; `input` is read when the data is `-`.
pub fn run(
    args: &PublishArgs,
    input: &mut dyn Read,
    output: &mut dyn Write,
) -> Result<(), CliError> {
    let url = server_url(&args.url)?;
    check_topic(&args.topic).map_err(CliError::usage)?;
    let text = if args.data == "-" { read_all(input)?.into() } else { Cow::from(&args.data) };
    let data = data_of(&text)?;
    let request = Publish { kind: "publish", id: ID, topic: &args.topic, data: &data };
    let request = serde_json::to_string(&request).map_err(CliError::runtime)?;

    let mut client = Client::connect(&url)?;
    client.send_text(&request)?;
    let offset = await_ack(&mut client, args)?;
    writeln!(output, "offset {offset}").and_then(|()| output.flush()).map_err(CliError::runtime)?;
    // The message is published, whatever becomes of the connection now.
    let _ = client.close(CloseCode::NORMAL, "");
    Ok(())
}

fn await_ack(client: &mut Client, args: &PublishArgs) -> Result<u64, CliError> {
    let deadline = Instant::now() + Duration::from_secs(args.timeout_s);
    loop {
        match client.receive(Some(deadline))? {
            Received::Silence => {
                let what = format!("no acknowledgement within {} s", args.timeout_s);
                return Err(CliError::Runtime(what));
            }
            Received::Closed(code, reason) => return Err(CliError::closed(code, &reason)),
            Received::Message(kind, payload) => {
                let said = Said::parse(kind, &payload)?;
                // An error without an id is about a request that could not be read: ours.
                let is_ours = said.id == ID || said.id.is_null();
                match (said.kind.as_ref(), said.offset) {
                    ("ack", Some(offset)) if said.id == ID => return Ok(offset),
                    ("error", _) if is_ours => return Err(said.failure(&args.topic)),
                    _ => {}
                }
            }
        }
        if Instant::now() >= deadline {
            let what = format!("no acknowledgement within {} s", args.timeout_s);
            return Err(CliError::Runtime(what));
        }
    }
}

/// JSON as it was written, or else the text as a JSON string.
fn data_of(text: &str) -> Result<Box<RawValue>, CliError> {
    let as_json = serde_json::from_str::<Box<RawValue>>(text);
    as_json.or_else(|_| serde_json::value::to_raw_value(text)).map_err(CliError::runtime)
}

/// All of standard input, without the line break that ends it.
fn read_all(input: &mut dyn Read) -> Result<String, CliError> {
    let mut text = String::new();
    let unreadable = |error| CliError::Runtime(format!("cannot read standard input: {error}"));
    input
        .take(CLIENT_MESSAGE_BYTES_MAX as u64 + 1)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    if text.len() > CLIENT_MESSAGE_BYTES_MAX {
        let what = format!("standard input has more than {CLIENT_MESSAGE_BYTES_MAX} bytes");
        return Err(CliError::Runtime(what));
    }
    let line = text.strip_suffix('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    Ok(line.map(str::to_owned).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_json_or_else_a_string() {
        for (text, sent) in [
            ("{\"a\" : 1.0}", "{\"a\" : 1.0}"),
            ("-0", "-0"),
            ("\"x\"", "\"x\""),
            ("null", "null"),
            ("hello", "\"hello\""),
            ("", "\"\""),
            ("{a}", "\"{a}\""),
            ("1 2", "\"1 2\""),
            ("say \"hi\"", "\"say \\\"hi\\\"\""),
        ] {
            assert_eq!(data_of(text).unwrap().get(), sent, "{text}");
        }
    }

    #[test]
    fn the_line_break_that_ends_the_input_is_no_data() {
        for (input, text) in [("x\n", "x"), ("x\r\n", "x"), ("x\n\n", "x\n"), ("x", "x")] {
            assert_eq!(read_all(&mut input.as_bytes()).unwrap(), text);
        }
    }
}
