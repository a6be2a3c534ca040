#!/bin/sh
# Starts the whole server in the foreground, with its state under ./data unless told otherwise.
set -eu
cd "$(dirname "$0")/.."
export ML_SERVER_HOST="${ML_SERVER_HOST:-127.0.0.1}"
export ML_SERVER_WORKERS="${ML_SERVER_WORKERS:-1}"
export ML_SERVER_DATA_DIR="${ML_SERVER_DATA_DIR:-$PWD/data}"
export MODEL_UPLOAD_DIR="${MODEL_UPLOAD_DIR:-$ML_SERVER_DATA_DIR/models}"
export DECISION_ENGINE_DIR="${DECISION_ENGINE_DIR:-$ML_SERVER_DATA_DIR/engines}"
export LOCAL_PREDICTION_STORE="${LOCAL_PREDICTION_STORE:-sqlite}"
exec .venv/bin/python -m services.cli up "$@"
