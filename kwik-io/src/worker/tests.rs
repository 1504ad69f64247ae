#![allow(clippy::unwrap_used)]

use super::*;
use std::sync::mpsc;

/// Tells when it is dropped, and on which thread.
struct Dropped(mpsc::Sender<Option<String>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(thread::current().name().map(str::to_owned));
    }
}

#[test]
fn there_are_at_least_two_by_default() {
    let Placement::Threads(count) = Placement::default() else { panic!("threads") };
    assert!(count >= 2);
}

#[test]
fn zero_threads_count_as_one() {
    assert_eq!(Workers::start(Placement::Threads(0)).unwrap().iter().count(), 1);
}

#[test]
fn workers_take_turns() {
    let workers = Workers::start(Placement::Threads(2)).unwrap();
    let turns: Vec<_> = (0..4).map(|_| workers.next().index()).collect();
    assert_eq!(turns, [0, 1, 0, 1]);
}

#[test]
fn each_worker_is_a_thread_of_its_own() {
    let workers = Workers::start(Placement::Threads(2)).unwrap();
    let (tell, told) = mpsc::channel();
    for worker in workers.iter() {
        let tell = tell.clone();
        worker.spawn(async move { tell.send(thread::current().id()) });
    }
    assert_ne!(told.recv().unwrap(), told.recv().unwrap());
}

#[test]
fn the_last_handle_ends_the_thread_and_its_tasks() {
    let workers = Workers::start(Placement::Threads(1)).unwrap();
    let worker = workers.next();
    let (tell, told) = mpsc::channel();
    let guard = Dropped(tell);
    worker.spawn(async move {
        let _guard = guard;
        std::future::pending::<()>().await;
    });
    drop(workers);
    assert!(told.try_recv().is_err());
    drop(worker);
    assert_eq!(told.recv().unwrap().as_deref(), Some("kwik-worker-0"));
}

#[tokio::test]
async fn the_last_handle_may_be_dropped_inside_a_runtime() {
    let workers = Workers::start(Placement::Threads(1)).unwrap();
    drop(workers);
}

#[test]
fn the_last_handle_may_be_dropped_on_its_own_worker() {
    let workers = Workers::start(Placement::Threads(1)).unwrap();
    let worker = workers.next();
    drop(workers);
    let (tell, told) = mpsc::channel();
    let guard = Dropped(tell);
    worker.clone().spawn(async move {
        drop(worker);
        drop(guard);
    });
    assert_eq!(told.recv().unwrap().as_deref(), Some("kwik-worker-0"));
}

#[test]
fn current_needs_a_runtime() {
    assert!(Workers::start(Placement::Current).is_err());
}

#[tokio::test]
async fn current_runs_on_the_runtime_of_its_start() {
    let here = thread::current().id();
    let worker = Workers::start(Placement::Current).unwrap().next();
    let there = worker.spawn(async { thread::current().id() }).await.unwrap();
    assert_eq!(here, there);
}

#[tokio::test]
async fn what_nobody_waits_for_is_aborted() {
    let worker = Workers::start(Placement::Threads(1)).unwrap().next();
    let (tell, told) = mpsc::channel();
    let (started, running) = oneshot::channel();
    let guard = Dropped(tell);
    let work = worker.run(async move {
        let _guard = guard;
        let _ = started.send(());
        std::future::pending::<()>().await;
    });
    tokio::select! {
        _ = work => panic!("it never ends"),
        started = running => started.unwrap(),
    }
    assert_eq!(told.recv().unwrap().as_deref(), Some("kwik-worker-0"));
}
