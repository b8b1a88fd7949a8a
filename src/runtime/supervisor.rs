//! Watches the long-lived tasks, each of which runs until the stop. The daemon ends when a task ends earlier: without
//! its scheduler, for example, it would look alive and do nothing.

use std::future::Future;

use tokio::task::JoinSet;

use crate::core::health::failure::chain;

/// A task that ended before the stop.
#[derive(Debug, thiserror::Error)]
#[error("the {task} ended unasked: {how}")]
pub struct EndedUnasked {
    pub task: &'static str,
    pub how: String,
}

#[derive(Default)]
pub struct Supervisor {
    tasks: JoinSet<(&'static str, Result<(), String>)>,
}

impl Supervisor {
    pub fn spawn<E: std::error::Error>(
        &mut self,
        task: &'static str,
        work: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        self.tasks
            .spawn(async move { (task, work.await.map_err(|error| chain(&error))) });
    }

    /// Waits until a task ends. Call it only before the stop.
    pub async fn first_end(&mut self) -> EndedUnasked {
        match self.tasks.join_next().await {
            Some(Ok((task, result))) => EndedUnasked {
                task,
                how: result
                    .err()
                    .unwrap_or_else(|| "without an error".to_owned()),
            },
            Some(Err(error)) => EndedUnasked {
                task: "task",
                how: error.to_string(),
            },
            None => std::future::pending().await,
        }
    }

    /// Waits for the end of all tasks, after the stop.
    pub async fn all_ended(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            if let Ok((task, Err(how))) = ended {
                tracing::warn!(
                    task,
                    error = how,
                    "a task ended with an error while stopping"
                );
            }
        }
    }
}
