//! Sends every message back: the smallest server that the library can make.
//!
//! `cargo run --release --example echo`, then connect to `ws://127.0.0.1:9001/` with any client.

use ringwire::{Ctx, Handler, Message, Server};

struct Echo;

impl Handler for Echo {
    type Session = ();

    fn on_message(&mut self, ctx: &mut Ctx<'_, ()>, message: Message<'_>) {
        // Refused means that the client does not read what it asks for.
        if ctx.send(message).is_err() {
            ctx.close_slow();
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".into());
    let server = Server::builder().listen(addr.parse()?).handler(|_shard| Echo).start()?;
    println!("listening on {:?}", server.local_addrs());
    server.wait()?;
    Ok(())
}
