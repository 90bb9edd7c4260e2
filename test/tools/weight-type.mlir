// Narrow weights move results by about what they are rounded by, and not otherwise:
// the reference, which multiplies the same bytes, agrees as closely as without.
// RUN: %gru-run %s --weight-type=bf16 --verify --atol=2e-2 | FileCheck %s --check-prefix=NEAR
// RUN: %gru-run %s --weight-type=int8 --verify --atol=2e-2 | FileCheck %s --check-prefix=NEAR
// RUN: not %gru-run %s --weight-type=int8 --verify 2>&1 | FileCheck %s --check-prefix=DRIFT
// RUN: %gru-opt %s --gru-to-cpu="batch=2 stop-after=sequence weight-type=int8" -o %t.mlir
// RUN: FileCheck %s --check-prefix=BYTES --input-file=%t.mlir
// RUN: %gru-run %t.mlir --verify --atol=1e-6 | FileCheck %s --check-prefix=NEAR
// RUN: %gru-run %t.mlir --verify --atol=1e-6 --threads=2 | FileCheck %s --check-prefix=NEAR
// RUN: not %gru-run %s --weight-type=int4 2>&1 | FileCheck %s --check-prefix=TYPE
// RUN: %if halide %{ not %gru-run %s --target=halide --weight-type=int8 2>&1 | FileCheck %s --check-prefix=TARGET %}

// BYTES: gru.quantize_rows
// BYTES: gru.recur {{.*}} kernel_scales
// NEAR: verify y: largest error
// DRIFT: verify: y differs from the reference by more than the tolerance
// TYPE: error: weight-type: is 'int4', expected bf16, int8, or nothing
// TARGET: error: weight-type: is 'int8', but the target halide stores weights as the model does; use target cpu

func.func @main(%x: tensor<2x6x20xf32> {gru.name = "x"}, %W: tensor<20x192xf32> {gru.weight = "kernel"},
                %U: tensor<64x192xf32> {gru.weight = "recurrent_kernel"}, %b: tensor<192xf32> {gru.weight = "bias"})
    -> (tensor<2x6x64xf32> {gru.name = "y"}) {
  %y, %last, %state = gru.gru %x kernel(%W, %U) bias(%b : tensor<192xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
      : tensor<2x6x20xf32>, tensor<20x192xf32>, tensor<64x192xf32>
      -> tensor<2x6x64xf32>, tensor<2x64xf32>, tensor<2x64xf32>
  return %y : tensor<2x6x64xf32>
}
