#!/usr/bin/env bash
# A cluster on your own machine, in one command: `make local`. Called again, it brings what is there up to date.
set -euo pipefail
cd "$(dirname "$0")/../.."

CLUSTER=gameday
CONTEXT="kind-$CLUSTER"
IMAGE=registry.example.com/pyairtable-chaos:0.1.0
CATALOGUE=build/local-experiments
PYTHON="${PYTHON:-.venv/bin/python}"

say() { printf '\n== %s\n' "$1"; }
k() { kubectl --context "$CONTEXT" "$@"; }

missing=()
for command in docker kind helm kubectl; do
  command -v "$command" >/dev/null || missing+=("$command")
done
if [ "${#missing[@]}" -gt 0 ]; then
  echo "Not on the PATH: ${missing[*]}. docs/how-to/local-cluster.md says what is needed." >&2
  exit 2
fi
docker info >/dev/null 2>&1 || { echo "Docker does not answer: start it, then repeat." >&2; exit 2; }

say "Cluster"
kind get clusters | grep -qx "$CLUSTER" || kind create cluster --config deployments/local/kind.yaml --wait 120s

say "Image"
docker build --tag "$IMAGE" --file Containerfile .
kind load docker-image "$IMAGE" --name "$CLUSTER"

say "Prometheus and Grafana"
helm upgrade --install monitoring kube-prometheus-stack --kube-context "$CONTEXT" \
  --repo https://prometheus-community.github.io/helm-charts --namespace monitoring --create-namespace \
  --values deployments/helm/kube-prometheus-stack.yaml --values deployments/local/kube-prometheus-stack.yaml \
  --wait --timeout 10m

say "Chaos Mesh"
helm upgrade --install chaos-mesh chaos-mesh --kube-context "$CONTEXT" \
  --repo https://charts.chaos-mesh.org --version 2.8.1 --namespace chaos-engineering --create-namespace \
  --values deployments/helm/chaos-mesh.yaml --values deployments/local/chaos-mesh.yaml --wait --timeout 10m

say "Guard, limits, and a stand-in for the platform"
# On the server's side: Helm has made the namespace already.
k apply --server-side --force-conflicts -k deployments/local
k -n pyairtable-dev rollout status deployment,statefulset --timeout 5m
k -n chaos-engineering rollout status deployment/gameday-guard --timeout 5m

say "Catalogue"
"$PYTHON" -m deployments.local.catalogue "$CATALOGUE"

cat <<END

Ready. In another terminal:
  kubectl --context $CONTEXT -n monitoring port-forward service/prometheus 9090
Here:
  . .venv/bin/activate
  export GAMEDAY_EXPERIMENTS=$PWD/$CATALOGUE GAMEDAY_PROMETHEUS_URL=http://127.0.0.1:9090
  gameday doctor --env dev
  gameday run basic-pod-failure --env dev --reason "first look"
In the end: make local-down
END
