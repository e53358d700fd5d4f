#!/usr/bin/env bash
#SBATCH --job-name=counterpoint
#SBATCH --gres=gpu:1
#SBATCH --time=12:00:00
# Five minutes before its time is over this script gets SIGTERM: enough for the step under way and a checkpoint.
#SBATCH --signal=B:TERM@300
#SBATCH --requeue
#SBATCH --open-mode=append
#
# A run that goes on after every end of its time, until it is done:
#
#     sbatch deploy/slurm.sh --set run.name=long --set run.output=/shared/runs --device cuda:0
#
# The arguments are those of the recipe. COUNTERPOINT is its program, by default target/release/examples/sync_r1.
set -u

"${COUNTERPOINT:-target/release/examples/sync_r1}" "$@" --resume=if-there &
run=$!
trap 'kill -TERM "$run"' TERM
wait "$run"
status=$?
# A signal ends the first `wait` and not the run.
while kill -0 "$run" 2>/dev/null; do
    wait "$run"
    status=$?
done
# 75: it was asked to stop and has a checkpoint.
if [[ $status -eq 75 && -n ${SLURM_JOB_ID:-} ]]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
