// RUN: %gru-opt %s --gru-narrow-weights | FileCheck %s
// RUN: %gru-opt %s --gru-narrow-weights --gru-hoist-packs | FileCheck %s --check-prefix=HOIST
// RUN: %gru-opt %s --gru-narrow-weights=type=int8 | FileCheck %s --check-prefix=INT8
// RUN: not %gru-opt %s --gru-narrow-weights=type=int4 2>&1 | FileCheck %s --check-prefix=INT4
// INT4: error: type is 'int4', expected bf16 or int8

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

// Of a recurrence the recurrent kernels become bytes; here those of z and r, and of h.
// INT8-LABEL: func.func @recurrence
// INT8: gru.pack %{{.+}} : tensor<3x12xf32> -> tensor<1x3x3x16xf32>
// INT8-NOT: gru.pack %
// INT8: %[[U:.+]], %[[S:.+]] = gru.quantized_pack %arg2 {gates = 3 : i64, part = #gru.part<gates>, width = 16 : i64}
// INT8-SAME: tensor<4x12xf32> -> tensor<1x4x2x16xi8>, tensor<1x2x16xf32>
// INT8: %[[V:.+]], %[[T:.+]] = gru.quantized_pack %arg2 {{.*}} -> tensor<1x4x1x16xi8>, tensor<1x1x16xf32>
// INT8: gru.recur {{.*}} kernels(%[[U]], %[[V]] : tensor<1x4x2x16xi8>, tensor<1x4x1x16xi8>) kernel_scales(%[[S]], %[[T]] :
func.func @recurrence(%x: tensor<2x5x3xf32> {gru.name = "x"}, %w: tensor<3x12xf32> {gru.weight = "kernel"},
                      %u: tensor<4x12xf32> {gru.weight = "recurrent_kernel"}, %h: tensor<2x4xf32>) -> tensor<2x4xf32> {
  %wp = gru.pack %w {part = #gru.part<all>, gates = 3, width = 16} : tensor<3x12xf32> -> tensor<1x3x3x16xf32>
  %e = tensor.empty() : tensor<5x2x1x3x16xf32>
  %p = gru.packed_dense ins(%x, %wp : tensor<2x5x3xf32>, tensor<1x3x3x16xf32>) outs(%e : tensor<5x2x1x3x16xf32>)
      {activation = #gru.act<linear>} -> tensor<5x2x1x3x16xf32>
  %ug = gru.pack %u {part = #gru.part<gates>, gates = 3, width = 16} : tensor<4x12xf32> -> tensor<1x4x2x16xf32>
  %uc = gru.pack %u {part = #gru.part<candidate>, gates = 3, width = 16} : tensor<4x12xf32> -> tensor<1x4x1x16xf32>
  %s = gru.recur ins(%p : tensor<5x2x1x3x16xf32>) kernels(%ug, %uc : tensor<1x4x2x16xf32>, tensor<1x4x1x16xf32>)
      state(%h : tensor<2x4xf32>) {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>}
      -> tensor<2x4xf32>
  return %s : tensor<2x4xf32>
}
