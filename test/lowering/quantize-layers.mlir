// RUN: %gru-opt %s --gru-quantize-layers=min-bytes=0 2>&1 | FileCheck %s
// RUN: %gru-opt %s --gru-quantize-layers=min-bytes=0 --gru-hoist-packs 2>/dev/null | FileCheck %s --check-prefix=HOIST
// RUN: %gru-opt %s --gru-quantize-layers 2>&1 | FileCheck %s --check-prefix=SMALL

// SMALL: remark: int8: the layer stays float32, because the 192 bytes of its recurrent kernel are fewer than 32768 and stay in the nearest cache
// SMALL-NOT: gru.quantized_pack

// Both kernels become bytes, the recurrent one here as that of z and r, and that of h;
// the input becomes bytes once, the state in each step.
// CHECK: remark: int8: the layer stays float32, because recurrent dropout gives each gate a state of its own
// CHECK-LABEL: func.func @recurrence
// CHECK-NOT: gru.pack %
// CHECK: %[[W:.+]], %[[WS:.+]] = gru.quantized_pack %arg1 {gates = 3 : i64, part = #gru.part<all>, width = 16 : i64} : tensor<7x12xf32> -> tensor<1x3x3x64xi8>, tensor<1x3x16xf32>
// CHECK: %[[X:.+]]:2 = gru.quantize_rows ins(%arg0 : tensor<2x5x7xf32>) outs({{.*}}) -> tensor<2x5x16xi8>, tensor<2x5xf32>
// CHECK: gru.packed_dense ins(%[[X]]#0, %[[W]] : tensor<2x5x16xi8>, tensor<1x3x3x64xi8>) scales(%[[X]]#1, %[[WS]] :
// CHECK: %[[U:.+]], %[[US:.+]] = gru.quantized_pack %arg2 {{.*}}part = #gru.part<gates>{{.*}} : tensor<4x12xf32> -> tensor<1x2x2x64xi8>, tensor<1x2x16xf32>
// CHECK: %[[V:.+]], %[[VS:.+]] = gru.quantized_pack %arg2 {{.*}}part = #gru.part<candidate>{{.*}} -> tensor<1x2x1x64xi8>, tensor<1x1x16xf32>
// CHECK: gru.recur {{.*}} kernels(%[[U]], %[[V]] : tensor<1x2x2x64xi8>, tensor<1x2x1x64xi8>) kernel_scales(%[[US]], %[[VS]] :
// A row in front of the bytes, which stand in fours.
// HOIST-LABEL: func.func @recurrence
// HOIST-SAME: extents = array<i64: 1, 7, 3, 4>, offset = {{[0-9]+}} : i64, scale_offset = {{[0-9]+}} : i64, scale_strides = array<i64: 48, 0, 16, 1>, source_offset = 0 : i64, source_strides = array<i64: 16, 12, 4, 1>, strides = array<i64: 576, 192, 64, 4>, type = i8
func.func @recurrence(%x: tensor<2x5x7xf32> {gru.name = "x"}, %w: tensor<7x12xf32> {gru.weight = "kernel"},
                      %u: tensor<4x12xf32> {gru.weight = "recurrent_kernel"}, %h: tensor<2x4xf32>) -> tensor<2x4xf32> {
  %wp = gru.pack %w {part = #gru.part<all>, gates = 3, width = 16} : tensor<7x12xf32> -> tensor<1x7x3x16xf32>
  %e = tensor.empty() : tensor<5x2x1x3x16xf32>
  %p = gru.packed_dense ins(%x, %wp : tensor<2x5x7xf32>, tensor<1x7x3x16xf32>) outs(%e : tensor<5x2x1x3x16xf32>)
      {activation = #gru.act<linear>} -> tensor<5x2x1x3x16xf32>
  %ug = gru.pack %u {part = #gru.part<gates>, gates = 3, width = 16} : tensor<4x12xf32> -> tensor<1x4x2x16xf32>
  %uc = gru.pack %u {part = #gru.part<candidate>, gates = 3, width = 16} : tensor<4x12xf32> -> tensor<1x4x1x16xf32>
  %s = gru.recur ins(%p : tensor<5x2x1x3x16xf32>) kernels(%ug, %uc : tensor<1x4x2x16xf32>, tensor<1x4x1x16xf32>)
      state(%h : tensor<2x4xf32>) {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>}
      -> tensor<2x4xf32>
  return %s : tensor<2x4xf32>
}

// Three features are not worth it; the recurrence is.
// CHECK-LABEL: func.func @fewFeatures
// CHECK: gru.packed_dense ins(%arg0, %{{.+}} : tensor<2x5x3xf32>, tensor<1x3x3x16xf32>)
// CHECK: gru.recur {{.*}} kernel_scales
func.func @fewFeatures(%x: tensor<2x5x3xf32>, %w: tensor<3x12xf32> {gru.weight = "kernel"},
                       %u: tensor<4x12xf32> {gru.weight = "recurrent_kernel"}, %h: tensor<2x4xf32>) -> tensor<2x4xf32> {
  %wp = gru.pack %w {part = #gru.part<all>, gates = 3, width = 16} : tensor<3x12xf32> -> tensor<1x3x3x16xf32>
  %e = tensor.empty() : tensor<5x2x1x3x16xf32>
  %p = gru.packed_dense ins(%x, %wp : tensor<2x5x3xf32>, tensor<1x3x3x16xf32>) outs(%e : tensor<5x2x1x3x16xf32>)
      {activation = #gru.act<linear>} -> tensor<5x2x1x3x16xf32>
  %up = gru.pack %u {part = #gru.part<all>, gates = 3, width = 16} : tensor<4x12xf32> -> tensor<1x4x3x16xf32>
  %s = gru.recur ins(%p : tensor<5x2x1x3x16xf32>) kernels(%up : tensor<1x4x3x16xf32>)
      state(%h : tensor<2x4xf32>) {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
      -> tensor<2x4xf32>
  return %s : tensor<2x4xf32>
}

// Weights that the program computes, and recurrent dropout.
// CHECK-LABEL: func.func @left
// CHECK-NOT: quantized_pack
// CHECK: return
func.func @left(%p: tensor<5x2x1x3x16xf32>, %v: tensor<4x12xf32>, %u: tensor<4x12xf32> {gru.weight = "recurrent_kernel"},
                %h: tensor<2x4xf32>, %m: tensor<3x2x4xf32>) -> (tensor<2x4xf32>, tensor<2x4xf32>) {
  %vp = gru.pack %v {part = #gru.part<all>, gates = 3, width = 16} : tensor<4x12xf32> -> tensor<1x4x3x16xf32>
  %s = gru.recur ins(%p : tensor<5x2x1x3x16xf32>) kernels(%vp : tensor<1x4x3x16xf32>)
      state(%h : tensor<2x4xf32>) {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
      -> tensor<2x4xf32>
  %up = gru.pack %u {part = #gru.part<all>, gates = 3, width = 16} : tensor<4x12xf32> -> tensor<1x4x3x16xf32>
  %t = gru.recur ins(%p : tensor<5x2x1x3x16xf32>) kernels(%up : tensor<1x4x3x16xf32>) recurrent_dropout_mask(%m : tensor<3x2x4xf32>)
      state(%h : tensor<2x4xf32>) {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
      -> tensor<2x4xf32>
  return %s, %t : tensor<2x4xf32>, tensor<2x4xf32>
}
