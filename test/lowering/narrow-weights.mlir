// RUN: %gru-opt %s --gru-narrow-weights | FileCheck %s
// RUN: %gru-opt %s --gru-narrow-weights --gru-hoist-packs | FileCheck %s --check-prefix=HOIST

// The matrix becomes bf16, the bias does not; the pack program casts.
// CHECK-LABEL: func.func @main
// CHECK: gru.pack %arg1 {{.*}} : tensor<8x20xf32> -> tensor<2x8x1x16xbf16>
// CHECK: gru.pack %arg2 {{.*}} : tensor<20xf32> -> tensor<2x1x16xf32>
// CHECK: gru.packed_dense ins(%arg0, %{{.+}} : tensor<3x8xf32>, tensor<2x8x1x16xbf16>)
// HOIST: gru.packed = 0 : i64
// HOIST: extents = array<i64: 1, 8, 1, 16>{{.*}}type = bf16
func.func @main(%x: tensor<3x8xf32> {gru.name = "x"}, %w: tensor<8x20xf32> {gru.weight = "kernel"},
                %b: tensor<20xf32> {gru.weight = "bias"}) -> tensor<3x20xf32> {
  %wp = gru.pack %w {part = #gru.part<all>, gates = 1, width = 16} : tensor<8x20xf32> -> tensor<2x8x1x16xf32>
  %bp = gru.pack %b {part = #gru.part<all>, gates = 1, width = 16} : tensor<20xf32> -> tensor<2x1x16xf32>
  %e = tensor.empty() : tensor<3x20xf32>
  %y = gru.packed_dense ins(%x, %wp : tensor<3x8xf32>, tensor<2x8x1x16xf32>)
      bias(%bp : tensor<2x1x16xf32>) outs(%e : tensor<3x20xf32>) {activation = #gru.act<linear>} -> tensor<3x20xf32>
  return %y : tensor<3x20xf32>
}

// Of many rows, the product is not what waits.
// CHECK-LABEL: func.func @manyRows
// CHECK: gru.pack %arg1 {{.*}} -> tensor<1x8x1x16xf32>
func.func @manyRows(%x: tensor<5x8xf32>, %w: tensor<8x16xf32> {gru.weight = "kernel"}) -> tensor<5x16xf32> {
  %wp = gru.pack %w {part = #gru.part<all>, gates = 1, width = 16} : tensor<8x16xf32> -> tensor<1x8x1x16xf32>
  %e = tensor.empty() : tensor<5x16xf32>
  %y = gru.packed_dense ins(%x, %wp : tensor<5x8xf32>, tensor<1x8x1x16xf32>)
      outs(%e : tensor<5x16xf32>) {activation = #gru.act<linear>} -> tensor<5x16xf32>
  return %y : tensor<5x16xf32>
}

// float64 stays, and so does what the program computes.
// CHECK-LABEL: func.func @others
// CHECK: gru.pack %arg1 {{.*}} -> tensor<1x8x1x16xf64>
// CHECK: gru.pack %arg3 {{.*}} -> tensor<1x8x1x16xf32>
func.func @others(%x: tensor<3x8xf64>, %w: tensor<8x16xf64> {gru.weight = "kernel"}, %u: tensor<3x8xf32>,
                  %v: tensor<8x16xf32>) -> (tensor<3x16xf64>, tensor<3x16xf32>) {
  %wp = gru.pack %w {part = #gru.part<all>, gates = 1, width = 16} : tensor<8x16xf64> -> tensor<1x8x1x16xf64>
  %e = tensor.empty() : tensor<3x16xf64>
  %y = gru.packed_dense ins(%x, %wp : tensor<3x8xf64>, tensor<1x8x1x16xf64>)
      outs(%e : tensor<3x16xf64>) {activation = #gru.act<linear>} -> tensor<3x16xf64>
  %vp = gru.pack %v {part = #gru.part<all>, gates = 1, width = 16} : tensor<8x16xf32> -> tensor<1x8x1x16xf32>
  %f = tensor.empty() : tensor<3x16xf32>
  %z = gru.packed_dense ins(%u, %vp : tensor<3x8xf32>, tensor<1x8x1x16xf32>)
      outs(%f : tensor<3x16xf32>) {activation = #gru.act<linear>} -> tensor<3x16xf32>
  return %y, %z : tensor<3x16xf64>, tensor<3x16xf32>
}
