use super::net::*;

fn show(name: &str, lab: &Lab, rate: u64) -> Outcome {
    let o = lab.run();
    println!(
        "{name:32} {:5.1}% of {:5.0} Mbit/s  {:6.3} s  stall {:4} ms  redundant {:.2}%  last 1% {:.2}x  orders {} repairs {} hedges {} tail {} complete {} {:?}",
        o.efficiency(rate) * 100.0,
        rate as f64 / MBIT as f64,
        o.seconds,
        o.stall.as_millis(),
        o.redundancy() * 100.0,
        o.last_percent / (o.size as f64 / rate as f64 / 100.0),
        o.orders,
        o.repairs,
        o.hedges,
        o.end_game_copies,
        o.complete,
        o.received.iter().map(|b| b / MB).collect::<Vec<_>>(),
    );
    o
}

#[test]
fn survey() {
    for order in [Order::OneByOne, Order::InTurns] {
        println!("{order:?}");
        let go = |name: &str, mut lab: Lab, rate: u64| { lab.order = order; show(name, &lab, rate) };
        let e = link(100, 20);
        go("single", Lab::new(20, &[e.clone()], 128 * MB), 100 * MBIT);
        go("equal3", Lab::new(20, &vec![e.clone(); 3], 128 * MB), 300 * MBIT);
        go("equal8", Lab::new(20, &vec![e.clone(); 8], 256 * MB), 800 * MBIT);
        go("rtt1:2", Lab::new(20, &[link(100, 20), link(100, 40)], 128 * MB), 200 * MBIT);
        go("rtt1:10", Lab::new(20, &[link(100, 10), link(100, 100)], 128 * MB), 200 * MBIT);
        go("100/50/20", Lab::new(20, &[link(100, 10), link(50, 40), link(20, 80)], 128 * MB), 170 * MBIT);
        go("far", Lab::new(150, &vec![link(100, 5); 3], 128 * MB), 300 * MBIT);
        let mut far = Lab::new(150, &vec![link(100, 5); 3], 128 * MB);
        far.local = (kwik_core::delegation::Local::Share, 20 * MBIT);
        go("far share", far, 320 * MBIT);
        go("fast", Lab::new(1, &vec![link(1000, 1); 3], 512 * MB), 3000 * MBIT);
        go("small", Lab::new(20, &vec![e.clone(); 3], 2 * MB), 300 * MBIT);
        go("dies", Lab::new(20, &vec![e.clone(); 3], 128 * MB).fault(ms(1000), Fault::Dies(1)), 225 * MBIT);
        go("hangs", Lab::new(20, &vec![e.clone(); 3], 128 * MB).fault(ms(1000), Fault::DiskHangs(1, ms(60000))), 225 * MBIT);
        go("freezes", Lab::new(20, &vec![e.clone(); 3], 128 * MB).fault(ms(1000), Fault::Freezes(1, ms(1000))), 280 * MBIT);
        go("slows", Lab::new(20, &vec![e.clone(); 3], 128 * MB).fault(ms(1000), Fault::Rate(1, 10 * MBIT)), 240 * MBIT);
        go("outage", Lab::new(20, &vec![e.clone(); 3], 128 * MB).fault(ms(1000), Fault::Outage(ms(1000))), 300 * MBIT);
        go("client stops", Lab::new(20, &vec![e.clone(); 3], 128 * MB).fault(ms(1000), Fault::ClientStops(ms(2000))), 300 * MBIT);
    }
}
