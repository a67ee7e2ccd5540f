#!/bin/sh
# Which blocks of the VGGs pay for being factorized? JSON from vggcalc, questions in jq.
set -eu

for model in vgg11 vgg13 vgg16 vgg19; do
    vggcalc compare "$model" --no-latency --json
done | jq -r '
    .comparisons[] | . as $comparison
    | (.variants[0].blocks | map(select(.kernels | length > 0)))[] as $naive
    | ($comparison.variants[1].blocks[] | select(.name == $naive.name)) as $stack
    | [$comparison.name, $naive.name, ($naive.kernels[0] | map(tostring) | join("×")),
       $naive.costs.macs, $stack.costs.macs,
       (($stack.costs.macs / $naive.costs.macs * 1000 | round) / 1000)]
    | @tsv'
