#!/usr/bin/env bash
# Everything from a bare Debian 12 to a compiled model: installs the packages,
# builds, and runs the noise suppressor under test/golden/models/rnnoise.
# May be run again at any time; it does only what is missing.
#
#   ./setup.sh                   packages, build, run
#   ./setup.sh --packages-only   only packages, Halide and CUDA's headers
#                                (test.sh and CI use this)
set -euo pipefail
export LC_ALL=C # apt's answers are read below
cd "$(dirname "${BASH_SOURCE[0]}")"

# The compiler, LLVM and MLIR, what drives the build, and the libraries that our
# own code includes. LLVM's packages bring along what find_package(MLIR) needs;
# zstd, curl and libedit, which it looks for too, only matter to static linking.
packages=(
  clang-22 lld-22 libclang-rt-22-dev llvm-22-dev llvm-22-tools
  libmlir-22-dev mlir-22-tools
  cmake ninja-build ccache pkg-config git python3 python3-pip
  libhdf5-dev libzip-dev libxtensor-dev libprotobuf-dev protobuf-compiler
  libgtest-dev libgmock-dev libbenchmark-dev
  python3-dev python3-venv # the Python bindings
  qemu-user # runs objects made for other CPUs in the tests
)

# Where no CUDA toolkit is: headers of CUDA and cuDNN, and the assembler that tests
# run on generated PTX. Nothing of it is linked or needed by programs; of the
# wheels only these files are kept.
cuda_dir=build/cuda
cuda_wheels=(
  nvidia-cuda-runtime==13.5.37 nvidia-cuda-crt==13.5.37
  nvidia-cuda-nvcc==13.5.37 nvidia-cudnn-cu13==9.28.0.42
)

say() { printf '\n== %s\n' "$*"; }
die() { printf 'setup.sh: error: %s\n' "$*" >&2; exit 1; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "installing packages needs root, and there is no sudo; run as root:" \
      "./setup.sh --packages-only"
  fi
}

apt_get() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 \
    -q "$@" </dev/null
}

missing_packages() {
  local package
  for package in "${packages[@]}"; do
    # The status alone: dpkg-query also knows packages that were removed.
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = \
      installed ] || printf '%s\n' "$package"
  done
}

has_candidate() {
  apt-cache policy "$1" 2>/dev/null | grep -E '^ *Candidate: ' |
    grep -qv '(none)'
}

# "URI keyring" of the entry that provides the suite bookworm, in either format.
debian_entry() {
  local files=() file
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list \
    /etc/apt/sources.list.d/*.sources; do
    if [ -r "$file" ]; then files+=("$file"); fi
  done
  [ ${#files[@]} -gt 0 ] || return 0
  awk '
    function take(found, by) {
      if (!done && found != "") { print found, by; done = 1 }
    }
    function stanza() {
      if (types ~ /(^| )deb( |$)/ && suites ~ /(^| )bookworm( |$)/ &&
          enabled !~ /no/)
        take(uri, key)
      types = suites = uri = key = enabled = ""
    }
    FNR == 1 { stanza() }
    /^[ \t]*#/ { next }
    FILENAME ~ /\.sources$/ {
      if ($0 ~ /^[ \t]*$/) stanza()
      name = tolower($1)
      if (name == "types:") types = $0
      else if (name == "suites:") suites = $0
      else if (name == "uris:") uri = $2
      else if (name == "enabled:") enabled = tolower($2)
      else if (name == "signed-by:" && $2 ~ /^\//) key = $2
      next
    }
    $1 == "deb" {
      options = ""
      line = $0
      if (match(line, /\[[^]]*\]/)) {
        options = substr(line, RSTART + 1, RLENGTH - 2)
        line = substr(line, 1, RSTART - 1) substr(line, RSTART + RLENGTH)
      }
      split(line, word)
      if (word[3] != "bookworm") next
      signer = ""
      if (match(options, /signed-by=[^ ]+/))
        signer = substr(options, RSTART + 10, RLENGTH - 10)
      take(word[2], signer)
    }
    END { stanza() }
  ' "${files[@]}"
}

# LLVM 22 comes with Debian 12 through the security suite, which a minimal
# system may lack. Its place is derived from where this system already gets
# Debian from, so that a mirror stays the mirror.
add_security_suite() {
  local uri key
  read -r uri key <<<"$(debian_entry)" || true
  [ -n "${uri:-}" ] || die "no package libmlir-22-dev, and no apt entry for" \
    "bookworm to derive the security suite's from; LLVM 22 is needed"
  local list=/etc/apt/sources.list.d/bookworm-security.list
  local entry="deb ${key:+[signed-by=$key] }${uri%/}-security bookworm-security main"
  say "adding the security suite, which has LLVM 22: $entry"
  printf '%s\n' "$entry" | as_root tee "$list" >/dev/null
  apt_get update
  has_candidate libmlir-22-dev ||
    die "no package libmlir-22-dev after adding '$entry' to $list"
}

install_packages() {
  local missing
  mapfile -t missing < <(missing_packages)
  if [ ${#missing[@]} -eq 0 ]; then
    say "packages: all there"
    return
  fi
  command -v apt-get >/dev/null ||
    die "this needs Debian 12 (apt-get); packages missing: ${missing[*]}"
  say "installing ${missing[*]}"
  apt_get update
  has_candidate libmlir-22-dev || add_security_suite
  apt_get install -y --no-install-recommends "${missing[@]}"
}

has_cuda_toolkit() {
  [ -e /usr/local/cuda/bin/ptxas ] && {
    [ -e /usr/local/cuda/include/cudnn.h ] || [ -e /usr/include/cudnn.h ]
  }
}

install_cuda_files() {
  if [ -e "$cuda_dir/complete" ] || has_cuda_toolkit; then return; fi
  case "$(uname -m)" in
    x86_64 | aarch64) ;;
    *) say "no CUDA headers for $(uname -m): building without device targets"
       return ;;
  esac
  say "fetching the headers of CUDA and cuDNN, and ptxas (600 MB of wheels)"
  rm -rf "$cuda_dir"
  mkdir -p "$cuda_dir"
  local wheel
  # One after the other, to need room for one.
  for wheel in "${cuda_wheels[@]}"; do
    if ! python3 -m pip --disable-pip-version-check -q --timeout 30 --retries 2 \
      download --no-deps --only-binary :all: -d "$cuda_dir" "$wheel" ||
      ! python3 cmake/unpack_cuda_wheels.py "$cuda_dir"; then
      say "no $wheel: building without the targets cudnn and gpu"
      rm -rf "$cuda_dir"
      return
    fi
  done
  touch "$cuda_dir/complete"
}

# Halide is no package of Debian 12 in the version that we need; PyPI's has the
# C++ library. Only the target halide needs it, so nothing fails without it.
halide=21.0.0
install_halide() {
  local stamp=build/halide/version-$halide
  if [ -e "$stamp" ]; then return; fi
  say "installing Halide $halide from PyPI into build/halide"
  rm -rf build/halide build/halide.new
  if python3 -m venv build/halide.new/venv &&
    build/halide.new/venv/bin/pip --disable-pip-version-check -q \
      --timeout 30 --retries 2 install --no-deps \
      --target build/halide.new/site "halide==$halide" &&
    mv build/halide.new/site/halide build/halide; then
    touch "$stamp"
  else
    say "Halide could not be installed: building without the target halide"
  fi
  rm -rf build/halide.new
}

# The Python bindings are built where these two can be had; the rest does not
# need them.
python_tools() {
  [ -x build/venv/bin/python ] && build/venv/bin/python -c \
    'import nanobind, numpy' 2>/dev/null && return
  say "Python tools into build/venv"
  { python3 -m venv build/venv &&
    build/venv/bin/pip -q install nanobind numpy; } ||
    { rm -rf build/venv; say "no nanobind: building without Python bindings"; }
}

build() {
  python_tools
  say "configuring and building into build/"
  cmake --preset release
  cmake --build --preset release
}

# The product's main job on a trained network and stored results of Keras.
run_main_job() {
  local model=test/golden/models/rnnoise/bd
  say "compiling and running $model/model.hdf5"
  build/bin/gru-run "$model/model.hdf5" \
    --input "main_input=$model/inputs.npz:main_input" \
    --expected "output_0=$model/expected_f64.npz:denoise_output" \
    --expected "output_1=$model/expected_f64.npz:vad_output" \
    --atol 1e-5 --rtol 0 --time
}

case "${1:-}" in
  --packages-only)
    install_packages
    install_halide
    install_cuda_files
    python_tools
    ;;
  '')
    install_packages
    install_halide
    install_cuda_files
    build
    run_main_job
    ;;
  *) die "unknown argument '$1', expected nothing or --packages-only" ;;
esac
