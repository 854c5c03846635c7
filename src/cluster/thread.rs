//! The thread on which a member talks to its engine.
//!
//! What keeps the lease alive, and what writes, waits for nobody there: not for a page that is being read, nor for batches that
//! are being compressed, as all that goes on the threads of the iterations would.
//!
//! A member whose lease is renewed while it does nothing else any more would keep its slots from all others, for ever. So none of
//! the member's tasks outlives another one that a bug has ended.

use std::io;
use std::sync::Arc;

use tokio::runtime::{Builder, Handle};
use tokio::sync::{Notify, oneshot};
use tokio::task::{JoinHandle, JoinSet};

/// The thread. A clone is the same one; it ends with the last of them, and what goes on there ends with it.
#[derive(Clone, Debug)]
pub struct EngineThread {
    tasks: Handle,
    /// A bug has ended a task that the others can't do without.
    is_broken: Arc<Notify>,
    /// The thread waits for its end.
    _is_used: Arc<oneshot::Sender<()>>,
}

impl EngineThread {
    /// Starts it.
    ///
    /// # Errors
    /// Where there is no thread to be had.
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let tasks = runtime.handle().clone();
        let (is_used, unused) = oneshot::channel::<()>();
        let is_broken = Arc::new(Notify::new());
        let broken = Arc::clone(&is_broken);
        let until_the_end = async move {
            tokio::select! {
                _ = unused => {}
                () = broken.notified() => {}
            }
        };
        std::thread::Builder::new().name("engine".to_owned()).spawn(move || runtime.block_on(until_the_end))?;
        Ok(Self { tasks, is_broken, _is_used: Arc::new(is_used) })
    }

    /// Has something done there that the rest can't do without: should it panic, the thread ends, and all that goes on there.
    pub fn spawn_vital(&self, work: impl Future<Output = ()> + Send + 'static) {
        let (work, is_broken) = (self.spawn(work), Arc::clone(&self.is_broken));
        self.spawn(async move {
            if work.await.is_err_and(|ended| ended.is_panic()) {
                is_broken.notify_one();
            }
        });
    }

    /// Has something done there, whoever waits for it.
    pub fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.tasks.spawn(work)
    }

    /// Waits until something is done there. To give up the wait ends it. Nothing comes where the thread has ended.
    pub async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let mut tasks = JoinSet::new();
        tasks.spawn_on(work, &self.tasks);
        tasks.join_next().await?.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn work_goes_on_in_a_thread_of_its_own_and_ends_with_it() {
        let thread = EngineThread::start().expect("a thread");
        let name = thread.run(async { std::thread::current().name().map(str::to_owned) }).await;
        assert_eq!(name.flatten().as_deref(), Some("engine"));
        let (held, freed) = oneshot::channel::<()>();
        let endless = thread.spawn(async move {
            let _held = held;
            pending::<()>().await;
        });
        drop(thread);
        assert!(freed.await.is_err(), "what went on there is dropped");
        assert!(endless.await.is_err_and(|ended| ended.is_cancelled()));
    }

    #[tokio::test]
    async fn a_bug_in_one_of_the_members_tasks_ends_them_all() {
        let thread = EngineThread::start().expect("a thread");
        let (held, freed) = oneshot::channel::<()>();
        thread.spawn_vital(async move {
            let _held = held;
            pending::<()>().await;
        });
        thread.spawn_vital(async {});
        assert_eq!(thread.run(async { 7 }).await, Some(7), "one that is done ends nothing");
        thread.spawn_vital(async { panic!("a bug, as the test has it") });
        assert!(freed.await.is_err(), "the other one is dropped");
        assert_eq!(thread.run(async { 7 }).await, None);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_ends() {
        let thread = EngineThread::start().expect("a thread");
        let (held, freed) = oneshot::channel::<()>();
        let work = thread.run(async move {
            let _held = held;
            pending::<()>().await;
        });
        assert!(tokio::time::timeout(std::time::Duration::from_millis(1), work).await.is_err());
        assert!(freed.await.is_err());
    }
}
