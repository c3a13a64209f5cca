//! A whole shard in memory: octets in, orders out. Everything but the kernel and its ring.

use criterion::{Criterion, Throughput};
use ringwire::handler::Handler;

use crate::rig::scenes::{self, Scene};

const CONNECTIONS: usize = 64;
const PIPELINED: usize = 16;

pub(crate) fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("shard");
    let mut bench = |name: &str, elements: usize, round: &mut dyn FnMut()| {
        group.throughput(Throughput::Elements(elements as u64));
        group.bench_function(name, |bencher| bencher.iter(&mut *round));
    };
    let mut echo = player(scenes::echo(CONNECTIONS, 64, 1));
    bench("echo/64B/64_connections", CONNECTIONS, &mut echo);
    let mut echo = player(scenes::echo(CONNECTIONS, 64, PIPELINED));
    bench("echo/64B/64_connections/16_pipelined", CONNECTIONS * PIPELINED, &mut echo);
    let mut echo = player(scenes::echo(CONNECTIONS, 4000, 1));
    bench("echo/4000B/64_connections", CONNECTIONS, &mut echo);
    let mut fan_out = player(scenes::fan_out(100, 100, 20));
    bench("publish/100x100", 100 * 100, &mut fan_out);
    let mut fan_out = player(scenes::fan_out(1, 10_000, 20));
    bench("publish/1x10000", 10_000, &mut fan_out);
    group.finish();
}

/// Plays rounds. The copy into the receive buffer stands for the kernel's.
fn player<H: Handler>(mut scene: Scene<H>) -> impl FnMut() {
    let mut received = scene.input.clone();
    move || {
        received.copy_from_slice(&scene.input);
        scene.round(&mut received);
    }
}
