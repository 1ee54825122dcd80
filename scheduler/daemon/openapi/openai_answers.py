"""What is answered as OpenAI does: models, files, batches, and what is fine-tuned."""

from __future__ import annotations

from collections.abc import Mapping

from scheduler.batches import BatchStatus, FilePurpose
from scheduler.daemon.openapi.notation import (
    ANY_OBJECT,
    EPOCH_S,
    FLAG,
    NUMBER,
    TEXT,
    WHOLE,
    Json,
    an_object,
    answer_list,
    list_of,
    one_of,
    openai_list,
    or_null,
    states_of,
    table_of,
)
from scheduler.fine_tuning import PAUSED_BY_CLIENT, STATUS

_LEVELS = ("info", "warn", "error")

OPENAI: Mapping[str, Json] = {
    "Completion": ANY_OBJECT | {"description": "the worker's answer, byte for byte"},
    "Model": an_object(id=TEXT, object=one_of("model"), created=EPOCH_S, owned_by=TEXT),
    "ModelList": answer_list("Model"),
    "File": an_object(
        id=TEXT,
        object=one_of("file"),
        bytes=WHOLE,
        created_at=EPOCH_S,
        expires_at=or_null(EPOCH_S),
        filename=TEXT,
        purpose=states_of(FilePurpose),
        status=one_of("processed"),
        status_details=or_null(TEXT),
    ),
    "FileList": openai_list("File"),
    "DeletedFile": an_object(id=TEXT, object=one_of("file"), deleted=FLAG),
    "Batch": an_object(
        id=TEXT,
        object=one_of("batch"),
        endpoint=TEXT,
        model=or_null(TEXT),
        errors=or_null(
            an_object(
                object=one_of("list"),
                data=list_of(an_object(code=TEXT, message=TEXT, line=or_null(WHOLE), param=or_null(TEXT))),
            )
        ),
        input_file_id=TEXT,
        completion_window=TEXT,
        status=states_of(BatchStatus),
        output_file_id=or_null(TEXT),
        error_file_id=or_null(TEXT),
        created_at=EPOCH_S,
        in_progress_at=or_null(EPOCH_S),
        expires_at=EPOCH_S,
        finalizing_at=or_null(EPOCH_S),
        completed_at=or_null(EPOCH_S),
        failed_at=or_null(EPOCH_S),
        expired_at=or_null(EPOCH_S),
        cancelling_at=or_null(EPOCH_S),
        cancelled_at=or_null(EPOCH_S),
        request_counts=an_object(total=WHOLE, completed=WHOLE, failed=WHOLE),
        metadata=or_null(table_of(TEXT)),
    ),
    "BatchList": openai_list("Batch"),
    "FineTuningJob": an_object(
        object=one_of("fine_tuning.job"),
        id=TEXT,
        model=TEXT,
        created_at=EPOCH_S,
        finished_at=or_null(EPOCH_S),
        fine_tuned_model=or_null(TEXT),
        organization_id=TEXT,
        result_files=list_of(TEXT),
        status=one_of(*sorted({*STATUS.values(), PAUSED_BY_CLIENT})),
        validation_file=or_null(TEXT),
        training_file=TEXT,
        hyperparameters=table_of(NUMBER),
        method={"type": "object", "properties": {"type": TEXT}, "required": ["type"], "additionalProperties": True},
        trained_tokens=or_null(WHOLE),
        seed=WHOLE,
        estimated_finish=or_null(EPOCH_S),
        integrations=list_of(ANY_OBJECT),
        metadata=or_null(table_of(TEXT)),
        error=or_null(an_object(code=TEXT, message=TEXT, param=or_null(TEXT))),
    ),
    "FineTuningJobList": openai_list("FineTuningJob"),
    "FineTuningEvent": an_object(
        object=one_of("fine_tuning.job.event"),
        id=TEXT,
        created_at=EPOCH_S,
        level=one_of(*_LEVELS),
        message=TEXT,
        type=one_of("message", "metrics"),
        data=or_null(ANY_OBJECT),
    ),
    "FineTuningEventList": openai_list("FineTuningEvent"),
    "FineTuningCheckpoint": an_object(
        object=one_of("fine_tuning.job.checkpoint"),
        id=TEXT,
        created_at=EPOCH_S,
        fine_tuned_model_checkpoint=TEXT,
        fine_tuning_job_id=TEXT,
        step_number=WHOLE,
        metrics=ANY_OBJECT,
    ),
    "FineTuningCheckpointList": openai_list("FineTuningCheckpoint"),
}
