//! Who is drawn for which bytes.

use super::*;

fn paths(cells: &[Cell]) -> Vec<Option<u16>> {
    cells.iter().map(|cell| cell.path.map(PathId::value)).collect()
}

#[test]
fn nothing_is_recorded_before_somebody_watches() {
    let mut bench = Bench::new(MIB, Candidates::All, Local::None);
    bench.orders();
    bench.held(64 * KIB, &[]);
    assert_eq!(bench.scheduler.views(9), []);
    bench.scheduler.watch();
    let views = bench.scheduler.views(9);
    assert_eq!(views[0].strip.cells.len(), 16);
    assert!(views[0].strip.cells.iter().all(|cell| cell.path.is_none() && cell.held == 4 * KIB));
}

#[test]
fn bytes_are_drawn_for_the_path_that_was_asked_and_holes_stay() {
    let mut bench = Bench::new(8 * MIB, Candidates::All, Local::None);
    bench.scheduler.watch();
    let orders = bench.orders();
    let (first, second) = (orders[0], orders[1]);
    // The report names the sender of what is beyond a hole.
    bench.held(0, &[(second.2, second.0)]);
    let view = bench.scheduler.views(9).remove(0);
    let cell = |offset: Offset| (offset.value() / view.strip.cell) as usize;
    let strip = &view.strip;
    assert_eq!(strip.cells[cell(second.2.start())].path, Some(second.0));
    assert_eq!(strip.cells[0].held, 0, "a hole");
    assert!(view.outstanding.contains(&(first.0, first.2)), "{:?}", view.outstanding);
    // Of the head nobody is named: who owed it has sent it.
    bench.held(second.2.end().value(), &[]);
    let strip = bench.scheduler.views(9).remove(0).strip;
    assert_eq!(strip.cells[0].path, Some(first.0));
    let held: u64 = strip.cells.iter().map(|cell| cell.held).sum();
    assert_eq!(held, second.2.end().value());
}

#[test]
fn what_nobody_was_asked_for_is_the_primarys_own() {
    let mut bench = Bench::new(MIB, Candidates::All, Local::None);
    let other = StreamId::from_wire(4).unwrap();
    bench.scheduler.watch();
    bench.scheduler.handle_window(other, Offset::new(MIB).unwrap(), bench.now);
    bench.stream = other;
    bench.held(8 * KIB, &[]);
    let view = bench.scheduler.views(9).pop().unwrap();
    assert_eq!((view.stream, view.contiguous), (other, 8 * KIB));
    assert_eq!(paths(&view.strip.cells), [Some(0), Some(0)]);
    bench.scheduler.handle_stream_closed(other, bench.now);
    assert!(bench.scheduler.views(9).iter().all(|view| view.stream != other));
}

#[test]
fn a_long_stream_has_larger_cells_and_no_more_of_them() {
    let mut strip = Strip::default();
    let path = |number| Some(PathId::new(number));
    strip.add(range(0, 256 * KIB), path(1));
    strip.add(range(256 * KIB, 512 * KIB), path(2));
    assert_eq!((strip.cell, strip.cells.len()), (4 * KIB, 128));
    strip.add(range(MIB - 1, MIB), path(3));
    assert_eq!((strip.cell, strip.cells.len()), (8 * KIB, 128));
    assert_eq!(strip.cells[31].path, path(1));
    assert_eq!(strip.cells[32].path, path(2));
    assert_eq!(strip.cells[127].held, 1);
    // The largest offset that there is.
    let end = Offset::MAX.value();
    strip.add(range(end - 1, end), None);
    assert!(strip.cells.len() <= 128);
}
