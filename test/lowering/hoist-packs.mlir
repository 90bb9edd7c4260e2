// RUN: %gru-opt %s --gru-hoist-packs | FileCheck %s

// 20 units in blocks of 16: one row of the pack program for the whole block, one
// for the partial one. Two equal packs are one argument.
// CHECK-LABEL: func.func @matrix
// CHECK-SAME: %[[X:.+]]: tensor<1x?x8xf32> {gru.name = "x"}, %[[U:.+]]: tensor<2x20x3x16xf32> {gru.packed = 0 : i64})
// CHECK-SAME: gru.pack_program = [
// CHECK-SAME: {extents = array<i64: 1, 20, 3, 16>, offset = 0 : i64, source_offset = 0 : i64, source_strides = array<i64: 16, 60, 20, 1>, strides = array<i64: 960, 48, 16, 1>, type = f32, weight = 0 : i64},
// CHECK-SAME: {extents = array<i64: 1, 20, 3, 4>, offset = 3840 : i64, source_offset = 16 : i64, source_strides = array<i64: 16, 60, 20, 1>, strides = array<i64: 960, 48, 16, 1>, type = f32, weight = 0 : i64}],
// CHECK-SAME: gru.weights = [{name = "U", type = tensor<20x60xf32>}], gru.weights_bytes = 7680 : i64
func.func @matrix(%x: tensor<1x?x8xf32> {gru.name = "x"}, %U: tensor<20x60xf32> {gru.weight = "U"})
    -> (tensor<2x20x3x16xf32>, tensor<2x20x3x16xf32>) {
  // CHECK-NEXT: return %[[U]], %[[U]]
  %0 = gru.pack %U {part = #gru.part<all>, gates = 3, width = 16} : tensor<20x60xf32> -> tensor<2x20x3x16xf32>
  %1 = gru.pack %U {part = #gru.part<all>, gates = 3, width = 16} : tensor<20x60xf32> -> tensor<2x20x3x16xf32>
  return %0, %1 : tensor<2x20x3x16xf32>, tensor<2x20x3x16xf32>
}

// Gates z and r are columns 0 to 2H, the candidate starts at column 2H.
// CHECK-LABEL: func.func @gates_and_candidate
// CHECK-SAME: extents = array<i64: 1, 4, 1, 4>, {{.*}} source_offset = 8 : i64
// CHECK-SAME: extents = array<i64: 1, 4, 2, 4>, {{.*}} source_offset = 0 : i64
func.func @gates_and_candidate(%U: tensor<4x12xf32> {gru.weight = "U"}) -> (tensor<1x4x2x8xf32>, tensor<1x4x1x8xf32>) {
  %0 = gru.pack %U {part = #gru.part<gates>, gates = 3, width = 8} : tensor<4x12xf32> -> tensor<1x4x2x8xf32>
  %1 = gru.pack %U {part = #gru.part<candidate>, gates = 3, width = 8} : tensor<4x12xf32> -> tensor<1x4x1x8xf32>
  return %0, %1 : tensor<1x4x2x8xf32>, tensor<1x4x1x8xf32>
}

// Row 0 of all gates is stored, row 1 of z and r is added to it.
// CHECK-LABEL: func.func @input_bias
// CHECK-SAME: [{extents = array<i64: 1, 1, 3, 16>, offset = 0 : i64, source_offset = 0 : i64,
// CHECK-SAME: {accumulate, extents = array<i64: 1, 1, 2, 16>, offset = 0 : i64, source_offset = 48 : i64,
// CHECK-SAME: source_strides = array<i64: 16, 48, 16, 1>, strides = array<i64: 48, 48, 16, 1>
func.func @input_bias(%b: tensor<2x48xf32> {gru.weight = "b"}) -> tensor<1x3x16xf32> {
  %0 = gru.pack %b {part = #gru.part<input_bias>, gates = 3, width = 16} : tensor<2x48xf32> -> tensor<1x3x16xf32>
  return %0 : tensor<1x3x16xf32>
}

// Row 1, from column 2H on: element 3H + 2H.
// CHECK-LABEL: func.func @recurrent_bias
// CHECK-SAME: [{extents = array<i64: 1, 1, 1, 16>, offset = 0 : i64, source_offset = 80 : i64,
// CHECK-NOT: accumulate
func.func @recurrent_bias(%b: tensor<2x48xf32> {gru.weight = "b"}) -> tensor<1x1x16xf32> {
  %0 = gru.pack %b {part = #gru.part<recurrent_bias>, gates = 3, width = 16} : tensor<2x48xf32> -> tensor<1x1x16xf32>
  return %0 : tensor<1x1x16xf32>
}

// A weight that is used as it is comes along as it is; each starts at a multiple
// of 64 bytes. An unused weight keeps its number, so that indices are the file's.
// CHECK-LABEL: func.func @plain
// CHECK-SAME: %[[V:.+]]: tensor<5xf32> {gru.packed = 0 : i64}, %[[W:.+]]: tensor<2x3xf32> {gru.packed = 64 : i64})
// CHECK-SAME: {extents = array<i64: 5>, {{.*}} weight = 1 : i64}
// CHECK-SAME: {extents = array<i64: 2, 3>, offset = 64 : i64, source_offset = 0 : i64, source_strides = array<i64: 3, 1>, strides = array<i64: 3, 1>, type = f32, weight = 2 : i64}
// CHECK-SAME: gru.weights = [{name = "unused", {{.*}} {name = "v", {{.*}} {name = "w",
func.func @plain(%u: tensor<9xf32> {gru.weight = "unused"}, %v: tensor<5xf32> {gru.weight = "v"}, %w: tensor<2x3xf32> {gru.weight = "w"})
    -> (tensor<5xf32>, tensor<2x3xf32>) {
  // CHECK-NEXT: return %[[V]], %[[W]]
  return %v, %w : tensor<5xf32>, tensor<2x3xf32>
}

// The type in the file, where the function computes in another one.
// CHECK-LABEL: func.func @weight_type
// CHECK-SAME: type = f64, weight = 0 : i64
// CHECK-SAME: gru.weights = [{name = "b", type = tensor<16xf32>}]
func.func @weight_type(%b: tensor<16xf64> {gru.weight = "b", gru.weight_type = tensor<16xf32>}) -> tensor<2x1x8xf64> {
  %0 = gru.pack %b {part = #gru.part<all>, gates = 1, width = 8} : tensor<16xf64> -> tensor<2x1x8xf64>
  return %0 : tensor<2x1x8xf64>
}

// What is not a weight is packed in each run: here a kernel that is an input.
// CHECK-LABEL: func.func @input
// CHECK-NOT:     gru.pack %
// CHECK:         %[[EMPTY:.*]] = tensor.empty() : tensor<1x4x3x8xf32>
// CHECK:         %[[PACKED:.*]] = linalg.generic {{.*}} outs(%[[EMPTY]] : tensor<1x4x3x8xf32>)
// CHECK:           tensor.extract %{{.*}} : tensor<4x12xf32>
// CHECK:         return %[[PACKED]]
func.func @input(%x: tensor<4x12xf32> {gru.name = "x"}) -> tensor<1x4x3x8xf32> {
  %0 = gru.pack %x {part = #gru.part<all>, gates = 3, width = 8} : tensor<4x12xf32> -> tensor<1x4x3x8xf32>
  return %0 : tensor<1x4x3x8xf32>
}

// The biases of z and r are summed there too.
// CHECK-LABEL: func.func @input_bias_input
// CHECK-COUNT-2: tensor.extract %{{.*}} : tensor<2x12xf32>
// CHECK:         arith.addf
func.func @input_bias_input(%x: tensor<2x12xf32> {gru.name = "x"}) -> tensor<1x3x8xf32> {
  %0 = gru.pack %x {part = #gru.part<input_bias>, gates = 3, width = 8} : tensor<2x12xf32> -> tensor<1x3x8xf32>
  return %0 : tensor<1x3x8xf32>
}
