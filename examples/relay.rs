//! A plain relay: on `/?topic=T` a client subscribes to T, and what it sends goes to all clients of
//! T, itself included, as it was sent. On any other path each message comes back. The server that
//! `benches/compare` holds against others where messages are fanned out.
//!
//! `cargo run --release --example relay -- --port 9001`; it says `ready` when clients may come.

use ringwire::{Accept, CloseCode, Ctx, Handler, Message, Refusal, Server, Upgrade};

/// One core is what is compared.
const SHARDS: u16 = 1;
const CONNECTIONS_MAX: u32 = 12_000;

/// The allocator of the `ringwire` command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Relay;

/// The topic of a connection; none for those that get their own messages back.
#[derive(Default)]
struct Client {
    topic: Option<Box<str>>,
}

impl Handler for Relay {
    type Session = Client;

    fn on_upgrade(&mut self, upgrade: &Upgrade<'_>) -> Result<Accept<Client>, Refusal> {
        let topic = upgrade.request.query().and_then(topic_of).map(Box::from);
        Ok(Accept { session: Client { topic }, subprotocol: None })
    }

    fn on_open(&mut self, ctx: &mut Ctx<'_, Client>) {
        let Some(topic) = ctx.session().topic.take() else { return };
        if ctx.subscribe(&topic, &[]).is_err() {
            ctx.close(CloseCode::POLICY, "not a topic, or one too many");
        }
        ctx.session().topic = Some(topic);
    }

    fn on_message(&mut self, ctx: &mut Ctx<'_, Client>, message: Message<'_>) {
        // Lent out for the call: the name may not be borrowed while the connection is used.
        let topic = ctx.session().topic.take();
        let taken = match &topic {
            Some(topic) => ctx.publish(topic, "", message.payload, message.kind, &[]),
            None => ctx.send(message),
        };
        ctx.session().topic = topic;
        if taken.is_err() {
            ctx.close_slow();
        }
    }
}

/// T of `topic=T`.
fn topic_of(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix("topic="))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some("--port"), Some(port)) = (args.next().as_deref(), args.next()) else {
        return Err("usage: relay --port PORT".into());
    };
    let addr = format!("0.0.0.0:{port}").parse()?;
    let builder = Server::builder().listen(addr).shards(SHARDS).connections_max(CONNECTIONS_MAX);
    let server = builder.handler(|_shard| Relay).start()?;
    println!("ready");
    server.wait()?;
    Ok(())
}
