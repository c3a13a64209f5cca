//! A chat on the library: whoever connects to `/ROOM` hears everything that is said in that room.
//!
//! `cargo run --release --example chat`, then connect several clients to
//! `ws://127.0.0.1:9001/lobby`.
//! Each text message is a line; binary ones are refused.

use ringwire::{Accept, Ctx, Handler, Kind, Message, Refusal, SendError, Server, Upgrade};

/// Octets of a room's name.
const ROOM_BYTES_MAX: usize = 64;

struct Chat;

/// What the chat keeps for each connection.
#[derive(Default)]
struct Guest {
    room: String,
}

impl Handler for Chat {
    type Session = Guest;

    fn on_upgrade(&mut self, upgrade: &Upgrade<'_>) -> Result<Accept<Guest>, Refusal> {
        let room = upgrade.request.path().trim_start_matches('/');
        if room.is_empty() || room.len() > ROOM_BYTES_MAX {
            return Err(Refusal::NotFound);
        }
        Ok(Accept { session: Guest { room: format!("room:{room}") }, subprotocol: None })
    }

    fn on_open(&mut self, ctx: &mut Ctx<'_, Guest>) {
        let room = ctx.session().room.clone();
        if ctx.subscribe(&room, &[]).is_err() {
            return ctx.close(ringwire::CloseCode::TRY_AGAIN_LATER, "too many rooms");
        }
        let name = format!("{:x}", ctx.id().to_bits());
        self.say(ctx, &format!("* {name} has come"));
    }

    fn on_message(&mut self, ctx: &mut Ctx<'_, Guest>, message: Message<'_>) {
        let Some(text) = message.text() else {
            return ctx.close(ringwire::CloseCode::UNSUPPORTED, "text only");
        };
        let name = format!("{:x}", ctx.id().to_bits());
        self.say(ctx, &format!("{name}: {text}"));
    }
}

impl Chat {
    fn say(&mut self, ctx: &mut Ctx<'_, Guest>, line: &str) {
        let room = ctx.session().room.clone();
        // Refusals are honest: the speaker is told, and may say it again.
        match ctx.publish(&room, "", line.as_bytes(), Kind::Text, &[]) {
            Ok(_) => {}
            Err(SendError::Overloaded) if ctx.send_text("* busy, say it again").is_ok() => {}
            Err(_) => ctx.close_slow(),
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".into());
    let server = Server::builder().listen(addr.parse()?).handler(|_shard| Chat).start()?;
    println!("listening on {:?}", server.local_addrs());
    server.wait()?;
    Ok(())
}
