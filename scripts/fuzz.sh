#!/usr/bin/env bash
# Builds the fuzz targets and runs each for some seconds, two at a time: scripts/fuzz.sh SECONDS [TARGET...]
#
# Stable Rust has no switch for it, but its LLVM has the pass that libFuzzer is guided by; the address sanitizer, which
# needs nightly, would find little in a package without unsafe code. The layout is cargo-fuzz's, for those who have it.
#
# A finding ends the script with 1, after all have run; what it leaves in target/fuzz/findings/TARGET runs again by
#   scripts/fuzz.sh FILE TARGET
set -euo pipefail
cd "$(dirname "$0")/.."
first=${1:?seconds, or a file to run}
shift
targets=(request sse list policy headers number)
[ $# = 0 ] || targets=("$@")
scripts/need.sh cargo c++

host=$(rustc -vV | sed -n 's/^host: //p')
out=$PWD/target/fuzz
flags=(--cfg fuzzing -Cpasses=sancov-module)
for flag in level=4 inline-8bit-counters pc-table trace-compares; do
  flags+=("-Cllvm-args=-sanitizer-coverage-$flag")
done
began=$SECONDS
# With --target the flags are for what runs, and not for what builds.
RUSTFLAGS="${flags[*]}" cargo build --release --locked --quiet --manifest-path fuzz/Cargo.toml \
  --target "$host" --target-dir "$out" --bins
echo "fuzz: built in $((SECONDS - began)) s"
bin=$out/$host/release

if [ -f "$first" ]; then exec "$bin/${targets[0]}" "$first"; fi

# Starts from what is checked in and from what earlier runs kept.
run() {
  local target=$1 findings=$out/findings/$1 corpus=$out/corpus/$1 log=$out/$1.log
  mkdir -p "$findings" "$corpus"
  local dirs=("$corpus" "fuzz/seeds/$target")
  [ ! -d "fuzz/regressions/$target" ] || dirs+=("fuzz/regressions/$target")
  if "$bin/$target" "${dirs[@]}" -dict=fuzz/dictionaries/mcp.dict -max_total_time="$first" -max_len=4096 -timeout=10 \
    -rss_limit_mb=1024 -print_final_stats=1 -artifact_prefix="$findings/" >"$log" 2>&1; then
    local executions coverage
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    coverage=$(sed -n 's/.* \(cov: [0-9]* ft: [0-9]*\) .*/\1/p' "$log" | tail -n 1)
    echo "fuzz: $target: $executions executions, $coverage, nothing found"
    return 0
  fi
  {
    echo "fuzz: $target: FOUND"
    grep -a -E -A 3 'panicked at|ERROR: libFuzzer' "$log" | head -n 12
    echo "  rerun: scripts/fuzz.sh $(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1) $target"
    echo "  all of it: $log"
  }
  return 1
}

status=0
waiting=()
for target in "${targets[@]}"; do
  run "$target" &
  waiting+=($!)
  if [ "${#waiting[@]}" = 2 ]; then
    wait "${waiting[0]}" || status=1
    waiting=("${waiting[@]:1}")
  fi
done
for job in "${waiting[@]}"; do wait "$job" || status=1; done
exit $status
