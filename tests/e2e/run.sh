#!/usr/bin/env bash
# Everything for real: a kind cluster, Milvus from its own chart, the image and the chart of this checkout, and stories on it.
# KEEP=1 leaves the cluster. CONTRIBUTING.md has the tests that need no Docker; README.md beside this file says more.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly cluster=milvus-rbac-e2e image=milvus-rbac-operator:e2e system=milvus-rbac-system
readonly milvus_charts=https://zilliztech.github.io/milvus-helm milvus_chart_version=5.0.30

for tool in docker kind kubectl helm; do
  command -v "$tool" >/dev/null || { echo "make e2e needs $tool on the PATH." >&2; exit 1; }
done

finish() {
  local status=$?
  if ((status)); then
    kubectl get pods --all-namespaces --output wide || true
    kubectl logs --namespace "$system" --selector app.kubernetes.io/name=milvus-rbac-operator --prefix --tail 200 || true
  fi
  if [[ ${KEEP:-0} == 0 ]]; then
    kind delete cluster --name "$cluster"
    rm -f "$KUBECONFIG"
  else
    echo "The cluster stays: export KUBECONFIG=$KUBECONFIG; kind delete cluster --name $cluster"
  fi
  exit "$status"
}

make image IMAGE="$image"
KUBECONFIG=$(mktemp)  # kind would write into the user's own
export KUBECONFIG
kind create cluster --name "$cluster" --config tests/e2e/kind.yaml --wait 3m
trap finish EXIT
kind load docker-image "$image" --name "$cluster"

helm upgrade --install milvus milvus --repo "$milvus_charts" --version "$milvus_chart_version" \
  --namespace milvus --create-namespace --values tests/e2e/milvus.yaml --wait --timeout 15m
helm upgrade --install milvus-rbac-operator helm/milvus-rbac-operator \
  --namespace "$system" --create-namespace --values tests/e2e/operator.yaml --wait --timeout 3m

# Where the operator reaches Milvus, and where the tests do.
export E2E_MILVUS_URI=http://milvus.milvus:19530 E2E_MILVUS_PORT=31530
PYTHONPATH=operator:tests "${PYTHON:-.venv/bin/python}" -m pytest tests/e2e/stories.py
