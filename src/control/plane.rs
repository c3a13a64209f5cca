//! temporary
use super::bridge::{Ask, Bridge, Stage};
use super::event::Event;
use super::listen::AdminListener;
use crate::base::ShardId;
use crate::pubsub::envelope::{ControlRequest, Request};
use crate::ring::{ControlBell, Doorbell};
use crate::shard::mailbox::Mailbox;
use std::sync::Arc;
use tokio::sync::mpsc;
pub struct PlaneConfig {
    pub admin: Option<AdminListener>,
    pub bridge: Bridge,
    pub mailbox: Mailbox,
    pub doorbell: Doorbell,
    pub bell: Arc<ControlBell>,
    pub asks: mpsc::Receiver<Ask>,
    pub shards_gone: Event,
    pub handles_signals: bool,
}
pub fn run(mut config: PlaneConfig) -> std::io::Result<()> {
    tokio_uring::start(async move {
        let drain = config.bridge.drain.clone();
        if config.handles_signals {
            let drain = drain.clone();
            let mut t = super::signals::Termination::install()?;
            tokio::task::spawn_local(async move {
                t.raise(&drain).await;
            });
        }
        if let Some(admin) = config.admin.take() {
            let b = config.bridge.clone();
            let gone = config.shards_gone.clone();
            tokio::task::spawn_local(async move {
                super::admin::serve(admin, b, Default::default(), gone).await
            });
        }
        drain.wait().await;
        config.bridge.state.advance(Stage::Draining);
        for s in 0..config.mailbox.participants() - 1 {
            let _ = config.mailbox.request(s, Request::Control(ControlRequest::Drain));
        }
        let bell = &mut config.doorbell;
        config.mailbox.signal(|s| bell.ring(ShardId(s as u16)).unwrap());
        config.shards_gone.wait().await;
        Ok(())
    })
}
