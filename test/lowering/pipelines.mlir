// The passes of each pipeline, phase by phase, and what they leave.
// RUN: %gru-opt --gru-to-cpu --dump-pass-pipeline %s -o %t 2>&1 | FileCheck %s --check-prefix=CPU
// RUN: %gru-opt --gru-to-reference --dump-pass-pipeline %s -o %t 2>&1 | FileCheck %s --check-prefix=REFERENCE
// RUN: %gru-opt --gru-to-cpu="stop-after=legalize" --dump-pass-pipeline %s -o %t 2>&1 | FileCheck %s --check-prefix=LEGALIZE
// RUN: %gru-opt --gru-to-reference="stop-after=loops" --dump-pass-pipeline %s -o %t 2>&1 | FileCheck %s --check-prefix=BISECT
// RUN: %gru-opt --gru-to-cpu=threads=2 --dump-pass-pipeline %s -o %t 2>&1 | FileCheck %s --check-prefix=TEAM
// RUN: %gru-opt --gru-to-cpu="weight-type=int8 byte-products=vpdpbusd" --dump-pass-pipeline %s -o %t 2>&1 | FileCheck %s --check-prefix=INT8
// RUN: %gru-opt --gru-to-cpu=weight-type=bf16 --dump-pass-pipeline %s -o %t 2>&1 | FileCheck %s --check-prefix=BF16
// RUN: %gru-opt %s --gru-to-cpu --verify-each --mlir-print-op-generic | FileCheck %s --check-prefix=LLVM
// RUN: %gru-opt %s --gru-to-cpu="vector-bytes=16 registers=16" --verify-each --mlir-print-op-generic | FileCheck %s --check-prefix=LLVM
// RUN: %gru-opt %s --gru-to-reference --verify-each --mlir-print-op-generic | FileCheck %s --check-prefix=LLVM
// RUN: %gru-opt %s --gru-to-reference="stop-after=sequence" --verify-each --mlir-print-op-generic | FileCheck %s --check-prefix=LLVM
// RUN: %gru-opt %s --gru-to-reference="stop-after=loops" --verify-each --mlir-print-op-generic | FileCheck %s --check-prefix=LLVM
// RUN: %gru-opt %s --gru-to-cpu="stop-after=sequence" | FileCheck %s --check-prefix=SEQUENCE
// RUN: %gru-opt %s --gru-to-cpu="stop-after=loops" | FileCheck %s --check-prefix=LOOPS

// INT8: convert-gru-layers-to-sequence
// INT8: gru-quantize-layers{min-bytes=32768}
// INT8: gru-fuse-projection
// INT8: gru-lower-dot-bytes{instruction=vpdpbusd}
// BF16: gru-fuse-projection
// BF16: gru-narrow-weights

// TEAM: convert-gru-step-to-vector{registers=32 threads=2 vector-bytes=64}
// TEAM: gru-lower-entry
// TEAM: gru-distribute{threads=2}

// CPU: gru-specialize
// CPU: gru-legalize
// CPU: canonicalize
// CPU: convert-gru-layers-to-sequence{registers=32 rows=0 threads=1 vector-bytes=64 width=0}
// CPU: gru-fuse-projection{rows=16}
// CPU: gru-hoist-packs
// CPU: convert-gru-to-linalg
// CPU: convert-elementwise-to-linalg
// CPU: convert-gru-rowwise-to-loops
// CPU: convert-gru-random-to-loops
// CPU: gru-bind-buffers
// CPU: eliminate-empty-tensors
// CPU: one-shot-bufferize
// CPU: gru-share-kernels{long-work=8192 many-copies=3}
// CPU: convert-gru-recur-to-loops
// CPU: convert-gru-step-to-vector{registers=32 threads=1 vector-bytes=64}
// CPU: convert-gru-packed-dense-to-vector{registers=32 threads=1 vector-bytes=64}
// CPU: convert-gru-quantize-rows-to-vector{threads=1 vector-bytes=64}
// CPU: gru-lower-dot-bytes{instruction=none}
// CPU: convert-linalg-to-loops
// CPU: gru-lower-copies
// CPU: gru-plan-memory
// CPU: gru-approximate-math
// CPU: gru-lower-calls
// CPU: gru-lower-entry{name=gru_kernel}
// CPU: gru-expand-arithmetic
// CPU: gru-lower-accesses
// CPU: convert-scf-to-cf
// CPU: gru-call-libm
// CPU: convert-to-llvm
// CPU: reconcile-unrealized-casts

// The reference is lowered from the layers as imported, before any rewrite.
// REFERENCE: gru-specialize
// REFERENCE-NOT: {{canonicalize|gru-legalize|convert-gru-layers}}
// REFERENCE: gru-promote-to-f64
// REFERENCE-NOT: {{canonicalize|gru-legalize|convert-gru-layers}}
// REFERENCE: convert-gru-to-reference-loops
// REFERENCE: gru-hoist-packs
// REFERENCE: one-shot-bufferize
// REFERENCE: gru-plan-memory
// REFERENCE: gru-expand-activations
// REFERENCE-NOT: gru-approximate-math
// REFERENCE: convert-to-llvm

// LEGALIZE: gru-legalize
// LEGALIZE-NOT: {{gru-|convert-}}

// Any phase of the cpu pipeline can be followed by the reference loops.
// BISECT: gru-promote-to-f64
// BISECT: convert-gru-recur-to-loops
// BISECT: convert-gru-to-reference-loops
// BISECT-NOT: {{one-shot-bufferize|to-vector}}

// LLVM: "llvm.func"{{.*}} sym_name = "gru_kernel"
// LLVM-NOT: "{{(gru|func|arith|math|vector|memref|scf|cf|tensor|linalg|bufferization|affine|index|ub)[.][a-z_]+}}"(
// LLVM-NOT: unrealized_conversion_cast
// LLVM: "llvm.return"

// SEQUENCE-NOT: gru.gru
// SEQUENCE: gru.recur
// SEQUENCE: gru.packed_dense
// LOOPS: scf.for
// LOOPS: gru.step

func.func @main(%x: tensor<2x?x5xf32> {gru.name = "x"}, %h: tensor<2x7xf32> {gru.state = 0 : i64, gru.name = "gru"},
                %W: tensor<5x21xf32> {gru.weight = "gru/kernel"}, %U: tensor<7x21xf32> {gru.weight = "gru/recurrent_kernel"},
                %b: tensor<2x21xf32> {gru.weight = "gru/bias"}, %V: tensor<12x3xf32> {gru.weight = "dense/kernel"})
    -> (tensor<2x?x3xf32> {gru.name = "output_0"}, tensor<2x7xf32> {gru.state = 0 : i64}) {
  %seq, %last, %state = gru.gru %x kernel(%W, %U) bias(%b : tensor<2x21xf32>) initial_state(%h : tensor<2x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<softmax>, reset_after, go_backwards}
      : tensor<2x?x5xf32>, tensor<5x21xf32>, tensor<7x21xf32> -> tensor<2x?x7xf32>, tensor<2x7xf32>, tensor<2x7xf32>
  %a = gru.activation %seq {kind = #gru.act<selu>} : tensor<2x?x7xf32>
  %c = tensor.concat dim(2) %a, %x : (tensor<2x?x7xf32>, tensor<2x?x5xf32>) -> tensor<2x?x12xf32>
  %r = gru.reverse %c {dim = 1} : tensor<2x?x12xf32>
  %y = gru.dense %r, %V {activation = #gru.act<sparsemax>} : tensor<2x?x12xf32>, tensor<12x3xf32> -> tensor<2x?x3xf32>
  return %y, %state : tensor<2x?x3xf32>, tensor<2x7xf32>
}
