use super::check;
use crate::image_api::fault::{Fault, FaultBody, Result};
use crate::image_api::request::{Call, InPath};

/// Is refused: tasks are forgotten by and by.
#[utoipa::path(
    delete, path = "/v2/tasks/{task_id}", tag = "tasks", operation_id = "delete_task",
    params(("task_id" = String, Path, description = "UUID of the task")),
    responses(
        (status = 403, description = "The policy does not allow it", body = FaultBody),
        (status = 405, description = "It is not allowed to anybody", body = FaultBody),
    )
)]
pub async fn delete(call: Call, InPath(_): InPath<String>) -> Result<()> {
    check(&call)?;
    Err(Fault::MethodNotAllowed { method: "DELETE".to_owned(), allow: "GET".to_owned() })
}
