//! `ringwire subscribe`: what is published to topics, one line of JSON for each message.

use std::io::{self, ErrorKind, Write};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::client::{Client, Received};
use super::said::Said;
use super::{CliError, server_url};
use crate::pubsub::topic::check_topic;
use crate::ws::CloseCode;

/// Subscribes to topics and prints each message as a line of JSON.
///
/// Messages go to standard output; acknowledgements and everything else to standard error.
#[derive(Clone, Debug, clap::Args)]
pub struct SubscribeArgs {
    /// The server: ws://host:port/ws or unix:/path
    #[arg(long, env = "RINGWIRE_URL", hide_env_values = true, default_value = super::DEFAULT_URL)]
    pub url: String,
    /// End after this many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// End after this many seconds: a failure if --count was given and not reached
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    pub timeout_s: Option<u64>,
    /// The topics, such as chat:lobby
    #[arg(required = true, value_name = "TOPIC")]
    pub topics: Vec<String>,
}

#[derive(Serialize)]
struct Subscribe<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: usize,
    topic: &'a str,
}

/// Does it; returns when it is done, or fails when the server ends it.
pub fn run(
    args: &SubscribeArgs,
    output: &mut dyn Write,
    notes: &mut dyn Write,
) -> Result<(), CliError> {
    let url = server_url(&args.url)?;
    for topic in &args.topics {
        check_topic(topic).map_err(CliError::usage)?;
    }
    let deadline = args.timeout_s.map(|s| Instant::now() + Duration::from_secs(s));
    let mut client = Client::connect(&url)?;
    for (index, topic) in args.topics.iter().enumerate() {
        let request = Subscribe { kind: "subscribe", id: index + 1, topic };
        client.send_text(&serde_json::to_string(&request).map_err(CliError::runtime)?)?;
    }
    let outcome = listen(&mut client, args, deadline, output, notes);
    // What was asked for is done or has failed; that is what counts.
    let _ = client.close(CloseCode::NORMAL, "");
    outcome
}

fn listen(
    client: &mut Client,
    args: &SubscribeArgs,
    deadline: Option<Instant>,
    output: &mut dyn Write,
    notes: &mut dyn Write,
) -> Result<(), CliError> {
    let mut heard = 0;
    loop {
        match client.receive(deadline)? {
            Received::Silence => return timed_out(args, heard),
            Received::Closed(code, reason) => return Err(CliError::closed(code, &reason)),
            Received::Message(kind, mut payload) => {
                let said = Said::parse(kind, &payload)?;
                let (is_message, is_event) = match said.kind.as_ref() {
                    "message" => (true, true),
                    "join" | "leave" => (false, true),
                    "error" => return Err(refusal(args, &said)),
                    _ => (false, false),
                };
                one_line(&mut payload);
                if !is_event {
                    // Nobody may read the notes; the messages are what counts.
                    let _ = print(notes, &payload);
                    continue;
                }
                match print(output, &payload) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                    Err(error) => return Err(CliError::runtime(error)),
                }
                heard += u64::from(is_message);
                if args.count == Some(heard) {
                    return Ok(());
                }
            }
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return timed_out(args, heard);
        }
    }
}

fn timed_out(args: &SubscribeArgs, heard: u64) -> Result<(), CliError> {
    match (args.count, args.timeout_s) {
        (Some(count), Some(seconds)) => {
            let what = format!("{heard} of {count} messages within {seconds} s");
            Err(CliError::Runtime(what))
        }
        (_, _) => Ok(()),
    }
}

/// The server refused one of the subscriptions.
fn refusal(args: &SubscribeArgs, said: &Said<'_>) -> CliError {
    let index = said.id.as_u64().and_then(|id| usize::try_from(id).ok()?.checked_sub(1));
    let topic = index.and_then(|index| args.topics.get(index)).map(String::as_str);
    said.failure(topic.or(said.topic.as_deref()).unwrap_or("the server"))
}

/// A line break in JSON stands between values: in a string it would be escaped.
fn one_line(json: &mut [u8]) {
    for octet in json.iter_mut().filter(|octet| matches!(octet, b'\n' | b'\r')) {
        *octet = b' ';
    }
}

fn print(to: &mut dyn Write, line: &[u8]) -> io::Result<()> {
    to.write_all(line)?;
    to.write_all(b"\n")?;
    to.flush()
}
